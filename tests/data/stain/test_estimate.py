from __future__ import annotations

import logging

import numpy as np
import pytest
from drawn_samples import noise_image
from PIL import Image
from scipy.optimize import minimize
from skimage.data import immunohistochemistry
from stained_images import DAB, SCANNED, concentration_maps, glass, shown, stained_image

from transfer_kit.data.stain import (
    concentrations,
    estimate_stains,
    macenko_vectors,
    nonnegative_concentrations,
    optical_density,
    published_vectors,
    tissue_colours,
    tissue_mask,
    vahadane_vectors,
)
from transfer_kit.data.stain.estimate import quietly_estimated
from transfer_kit.data.stain.vectors import angle_degrees, ordered, stains_of


def angles(found, expected):
    return [angle_degrees(ours, theirs) for ours, theirs in zip(found, expected, strict=True)]


def plain_macenko(image):
    """All tissue pixels, NumPy's covariance and percentiles."""
    density = optical_density(image)[tissue_mask(image)].astype(float)
    plane = np.linalg.eigh(np.cov(density, rowvar=False))[1][:, [2, 1]]
    plane *= np.where(plane[0] < 0, -1, 1)
    along, across = (density @ plane).T
    low, high = np.percentile(np.arctan2(across, along), [1, 99])
    vectors = [plane @ [np.cos(angle), np.sin(angle)] for angle in (low, high)]
    return np.array(sorted(vectors, key=lambda vector: -vector[0]))


@pytest.mark.parametrize(("method", "most"), [("macenko", 3.0), ("vahadane", 4.0)])
@pytest.mark.parametrize("seed", [0, 1])
def test_known_dyes_are_found_again(method, most, seed):
    estimate = estimate_stains(stained_image(seed), method)
    assert max(angles(estimate.pair.matrix, SCANNED)) < most
    assert estimate.note == ""


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_macenko_on_colours_is_macenko_on_all_pixels(seed):
    image = stained_image(seed)
    assert max(angles(macenko_vectors(tissue_colours(image), "H&E"), plain_macenko(image))) < 0.5


def test_vahadane_s_dictionary_is_the_optimum_of_its_equation():
    """No other pair of unit vectors, searched without its algorithm, has a lower cost."""
    colours = tissue_colours(stained_image())
    densities, counts = colours.densities.T.astype(float), colours.counts

    def cost(angles_of_two):
        polar, azimuth = angles_of_two.reshape(2, 2)
        vectors = np.stack(
            [np.cos(polar), np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth)], 1
        )
        codes = nonnegative_concentrations(densities.astype(np.float32), vectors, 0.1).astype(float)
        errors = 0.5 * ((densities - codes @ vectors) ** 2).sum(1) + 0.1 * codes.sum(1)
        return float(errors @ counts / counts.sum())

    def as_angles(vectors):
        return np.array([np.arccos(vectors[:, 0]), np.arctan2(vectors[:, 2], vectors[:, 1])])

    ours = vahadane_vectors(colours, "H&E")
    searched = minimize(cost, as_angles(SCANNED).ravel(), method="Nelder-Mead", tol=1e-8)
    assert cost(as_angles(ours).ravel()) <= searched.fun + 1e-6


@pytest.mark.parametrize("method", ["macenko", "vahadane"])
def test_the_start_and_the_order_of_pixels_do_not_matter(method):
    image = stained_image()
    mixed = np.random.default_rng(0).permutation(image.reshape(-1, 3)).reshape(image.shape)
    assert quietly_estimated(image, method, "H&E") == quietly_estimated(mixed, method, "H&E")
    colours = tissue_colours(image)
    from_published = vahadane_vectors(colours, "H&E", start=published_vectors("H&E"))
    assert max(angles(vahadane_vectors(colours, "H&E"), from_published)) < 0.1


def test_strengths_are_the_99th_percentile_of_the_tissue_s_concentrations():
    image = stained_image(strength=(1.4, 0.7))
    pair = estimate_stains(image).pair
    amounts = concentrations(optical_density(image)[tissue_mask(image)], pair.matrix)
    np.testing.assert_allclose(pair.strengths, np.percentile(amounts, 99, axis=0), rtol=0.03)


def test_haematoxylin_comes_first_beside_eosin_and_beside_dab():
    for stains, vectors in (("H&E", SCANNED), ("H-DAB", DAB)):
        np.testing.assert_array_equal(ordered(vectors[::-1].copy(), stains), vectors)
        np.testing.assert_array_equal(ordered(vectors.copy(), stains), vectors)
    very_dark_dab = np.array([[0.60, 0.70, 0.39], [0.62, 0.57, 0.75]])
    np.testing.assert_array_equal(ordered(very_dark_dab[::-1], "H-DAB"), very_dark_dab)


@pytest.mark.parametrize("method", ["macenko", "vahadane"])
def test_dab_is_found_beside_haematoxylin(method):
    image = np.ascontiguousarray(immunohistochemistry()[..., :3])
    haematoxylin, dab = estimate_stains(image, method, stains="H-DAB").pair.matrix
    assert angle_degrees(dab, DAB[1]) < 8
    assert haematoxylin[2] < dab[2]
    assert haematoxylin[0] > dab[0]


@pytest.mark.parametrize("method", ["macenko", "vahadane"])
def test_glass_falls_back_on_the_published_vectors_and_says_so(method, caplog):
    with caplog.at_level(logging.WARNING, logger="transfer_kit.stain"):
        estimate = estimate_stains(glass(), method, name="tile-7")
    assert not estimate.has_tissue
    np.testing.assert_allclose(estimate.pair.matrix, published_vectors("H&E"))
    assert "0.0% of it is tissue" in estimate.note
    assert "the published vectors of H&E are assumed" in estimate.note
    assert caplog.messages == [f"tile-7: {estimate.note}"]


@pytest.mark.parametrize("noise", [1, 6])
@pytest.mark.parametrize("dye", [0, 1])
@pytest.mark.parametrize("method", ["macenko", "vahadane"])
def test_one_dye_alone_falls_back_and_says_so(method, dye, noise, caplog):
    maps = concentration_maps()
    maps[..., dye] += maps[..., 1 - dye]
    maps[..., 1 - dye] = 0
    estimate = estimate_stains(shown(maps, SCANNED, noise), method)
    assert "one dye alone" in estimate.note
    assert estimate.has_tissue
    np.testing.assert_allclose(estimate.pair.matrix, published_vectors("H&E"))
    assert estimate.note in caplog.text


@pytest.mark.parametrize("image", [noise_image(0), np.zeros((40, 40, 3), np.uint8)])
@pytest.mark.parametrize("method", ["macenko", "vahadane"])
def test_images_that_are_no_tissue_give_finite_unit_vectors(image, method):
    vectors = estimate_stains(image, method).pair.matrix
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
    assert (vectors >= 0).all()


def test_the_stain_of_a_dataset_tells_its_dyes():
    assert [stains_of(name) for name in ("H&E", "Ki67", "IHC (DAB)", "")] == [
        *("H&E", "H-DAB", "H-DAB", "H&E")
    ]


@pytest.mark.real_data
def test_real_tissue_is_estimated_as_from_all_its_pixels(real_data):
    for path in sorted((real_data / "monuseg" / "images").iterdir())[::9]:
        image = np.array(Image.open(path).convert("RGB"))[:500, :500].copy()
        estimate = estimate_stains(image)
        assert estimate.note == ""
        assert max(angles(estimate.pair.matrix, plain_macenko(image))) < 0.6
