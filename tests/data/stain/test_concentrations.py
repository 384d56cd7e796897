from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize, nnls
from skimage.color import rgb2hed
from stained_images import SCANNED, concentration_maps, stained_image

from transfer_kit.data.stain import (
    concentrations,
    nonnegative_concentrations,
    optical_density,
    published_vectors,
)
from transfer_kit.data.stain.vectors import HED


def test_known_concentrations_are_found_again():
    known = concentration_maps()
    found = concentrations((known @ SCANNED).astype(np.float32), SCANNED)
    np.testing.assert_allclose(found, known, atol=1e-5)


def test_three_dyes_by_hand_agree_with_scikit_image():
    """Its `rgb2hed` is the same deconvolution in units of its own: log base 1e-6, no +1."""
    image = np.clip(stained_image(), 1, 255)
    theirs = rgb2hed(image)
    density = np.log(image / 255) / np.log(1e-6)
    ours = density @ np.linalg.inv(HED)
    lengths = np.linalg.norm([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]], axis=1)
    np.testing.assert_allclose(np.maximum(ours / lengths, 0), theirs, atol=1e-5)


@pytest.mark.parametrize("stains", ["H&E", "H-DAB"])
def test_nonnegative_least_squares_agrees_with_scipy(stains):
    vectors = published_vectors(stains)
    density = np.random.default_rng(0).normal(0.4, 0.5, (300, 3)).astype(np.float32)
    expected = [nnls(vectors.T, row)[0] for row in density.astype(float)]
    np.testing.assert_allclose(nonnegative_concentrations(density, vectors), expected, atol=1e-4)


def test_sparse_concentrations_minimise_the_penalised_error():
    density = np.random.default_rng(1).normal(0.4, 0.4, (60, 3)).astype(np.float32)
    found = nonnegative_concentrations(density, SCANNED, penalty=0.1)

    def cost(c, row):
        return 0.5 * ((row - c @ SCANNED) ** 2).sum() + 0.1 * c.sum()

    for row, ours in zip(density.astype(float), found, strict=True):
        best = minimize(cost, [0.5, 0.5], args=(row,), bounds=[(0, None)] * 2, tol=1e-12)
        assert cost(ours, row) <= best.fun + 1e-6


def test_any_shape_goes_in():
    density = optical_density(stained_image()[:5, :7])
    assert nonnegative_concentrations(density, SCANNED).shape == (5, 7, 2)
    assert concentrations(density, SCANNED).shape == (5, 7, 2)
