"""Naylor's Algorithm 1, step by step."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.draw import disk
from skimage.morphology import dilation
from skimage.morphology import disk as disk_footprint

from transfer_kit.data.synthetic import Algorithm1, draw, simulate

SILENT = Algorithm1(nucleus_noise=0.0, image_noise=0.0)


def discs(centres: list[tuple[int, int]], radius: int, size: int = 80) -> np.ndarray:
    truth = np.zeros((size, size), bool)
    for centre in centres:
        truth[disk(centre, radius, shape=truth.shape)] = True
    return truth


def test_components_are_labelled_then_dilated():
    truth = discs([(20, 20), (55, 60)], 8)
    _, labels = simulate(truth, np.random.default_rng(0), SILENT)
    np.testing.assert_array_equal(labels > 0, dilation(truth, disk_footprint(2)))
    assert labels.max() == 2
    assert labels[20, 20] != labels[55, 60]


def test_components_that_grow_together_keep_their_own_labels_and_colours():
    truth = discs([(30, 20), (30, 41)], 10)
    image, labels = simulate(truth, np.random.default_rng(1), SILENT)
    assert labels[30, 30] != labels[30, 31]
    assert labels[30, 30] > 0
    assert labels[30, 31] > 0
    assert tuple(image[30, 25]) != tuple(image[30, 36])


def test_without_noise_each_component_has_one_colour_and_the_background_is_black():
    truth = discs([(15, 15), (15, 50), (55, 30)], 9)
    image, labels = simulate(truth, np.random.default_rng(2), SILENT)
    for label in (1, 2, 3):
        assert len(np.unique(image[labels == label], axis=0)) == 1
    assert (image[labels == 0] == 0).all()


def test_colours_are_drawn_from_a_normal_of_mean_127_and_sd_100_clipped_to_8_bits():
    truth = np.zeros((600, 600), bool)
    truth[::8, ::8] = True
    image, labels = simulate(
        truth, np.random.default_rng(3), Algorithm1(nucleus_noise=0, image_noise=0, dilation_px=0)
    )
    colours = image[labels > 0].astype(float)
    reference = np.clip(np.random.default_rng(9).normal(127, 100, 200_000), 0, 255)
    assert colours.shape == (75 * 75, 3)
    assert colours.mean() == pytest.approx(reference.mean(), abs=2)
    assert colours.std() == pytest.approx(reference.std(), abs=2)
    assert abs(np.corrcoef(colours.T)[0, 1]) < 0.05  # each channel is drawn for itself


def test_pixels_of_a_nucleus_scatter_by_sigma_2_about_its_colour():
    truth = discs([(40, 40)], 30)
    constants = Algorithm1(colour_sd=0.0, image_noise=0.0)
    image, labels = simulate(truth, np.random.default_rng(4), constants)
    inside = image[labels == 1].astype(float)
    assert inside.mean() == pytest.approx(127, abs=0.5)
    assert inside.std() == pytest.approx(10, abs=0.3)
    assert (image[labels == 0] == 0).all()


def test_all_pixels_are_raised_by_a_half_normal_of_sigma_3():
    image, labels = simulate(np.zeros((300, 300), bool), np.random.default_rng(5))
    assert not labels.any()
    assert image.mean() == pytest.approx(5 * np.sqrt(2 / np.pi), abs=0.05)
    assert (image.astype(float) ** 2).mean() == pytest.approx(25, abs=0.6)


def test_the_drawn_organ_has_nuclei_that_touch_after_the_dilation():
    _, annotation = draw("algorithm1", case=0)
    right, left = annotation.instances[:, 1:], annotation.instances[:, :-1]
    assert ((right != left) & (right > 0) & (left > 0)).any()
    areas = np.bincount(annotation.instances.ravel())[1:]
    assert areas.min() >= 40
