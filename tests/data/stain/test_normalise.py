from __future__ import annotations

import json
import logging

import numpy as np
import pytest
from PIL import Image
from skimage.color import rgb2lab
from stained_images import SCANNED, concentration_maps, glass, shown, stained_image

from transfer_kit.data.stain import (
    NAMED,
    StainNormaliser,
    StainReference,
    colour_statistics,
    estimate_stains,
    find_reference,
    standardise_luminosity,
)
from transfer_kit.data.stain.vectors import angle_degrees
from transfer_kit.errors import UserError

METHODS = ["macenko", "vahadane", "reinhard"]
OTHER = np.array([[0.70, 0.62, 0.35], [0.35, 0.82, 0.45]])
OTHER /= np.linalg.norm(OTHER, axis=1, keepdims=True)


def reference_of(image, **options):
    return StainReference.of_images([image], "one", **options)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("luminosity", [False, True])
def test_an_image_brought_to_its_own_stain_stays_the_same(method, luminosity):
    image = stained_image()
    normaliser = StainNormaliser(method, reference_of(image, luminosity=luminosity))
    expected = standardise_luminosity(image) if luminosity else image
    assert np.abs(normaliser(image).astype(int) - expected).max() <= 2


@pytest.mark.parametrize("method", ["macenko", "vahadane"])
def test_the_same_tissue_in_other_dyes_becomes_the_reference(method):
    """The truth is known: the same concentrations shown in the reference's dyes."""
    maps = concentration_maps()
    wanted = shown(maps, SCANNED, noise=0)
    image = shown(maps * [1.4, 0.7], OTHER, noise=0)
    found = StainNormaliser(method, reference_of(wanted))(image)
    before = np.abs(image.astype(int) - wanted).mean()
    after = np.abs(found.astype(int) - wanted).mean()
    assert before > 10
    assert after < 2


@pytest.mark.parametrize("method", ["macenko", "vahadane"])
def test_a_normalised_image_is_estimated_as_its_reference(method):
    reference = reference_of(stained_image(1))
    found = StainNormaliser(method, reference)(stained_image(2, OTHER, (1.3, 0.8)))
    pair, wanted = estimate_stains(found, method).pair, reference.of(method)
    assert max(map(angle_degrees, pair.matrix, wanted.matrix)) < 2
    np.testing.assert_allclose(pair.strengths, wanted.strengths, rtol=0.08)


def test_reinhard_gives_the_reference_s_mean_and_deviation():
    reference = reference_of(stained_image(1))
    found = colour_statistics(
        StainNormaliser("reinhard", reference)(stained_image(2, OTHER)), "lab"
    )
    np.testing.assert_allclose(found.mean, reference.reinhard.mean, atol=2)
    np.testing.assert_allclose(found.deviation, reference.reinhard.deviation, atol=2)


@pytest.mark.parametrize("method", ["macenko", "vahadane"])
def test_glass_is_given_back_as_it_is_with_a_warning(method, caplog):
    normaliser = StainNormaliser(method, find_reference("tnbc"))
    with caplog.at_level(logging.WARNING, logger="transfer_kit.stain"):
        np.testing.assert_array_equal(normaliser(glass(), "tile-3"), glass())
    assert "tile-3: 0.0% of it is tissue" in caplog.text


def test_a_dye_that_is_hardly_there_is_not_blown_up():
    maps = concentration_maps()
    maps[..., 0] += maps[..., 1]
    maps[..., 1] = 0
    image = shown(maps, SCANNED)
    found = StainNormaliser("macenko", find_reference("macenko"))(image)
    assert np.abs(found.astype(int) - image).mean() < 40


def test_the_luminosity_s_percentile_becomes_white():
    image = (stained_image() * 0.8).astype(np.uint8)
    standard = standardise_luminosity(image)
    light = np.percentile(colour_lightness(standard), 95)
    assert light >= 253
    assert np.percentile(colour_lightness(image), 95) < 230
    black = np.zeros((20, 20, 3), np.uint8)
    np.testing.assert_array_equal(standardise_luminosity(black), black)


def colour_lightness(image):
    return rgb2lab(image)[..., 0] * 2.55


def test_a_reference_survives_as_plain_numbers():
    reference = reference_of(stained_image(), luminosity=True)
    assert StainReference.from_dict(reference.as_dict()) == reference
    assert StainReference.from_dict(json.loads(json.dumps(reference.as_dict()))) == reference


def test_a_reference_of_many_images_is_their_median():
    images = [stained_image(seed) for seed in range(3)]
    pairs = [estimate_stains(image).pair for image in images]
    median = StainReference.of_images(images, "three").macenko
    np.testing.assert_allclose(median.strengths, np.median([p.strengths for p in pairs], axis=0))
    for ours, theirs in zip(median.matrix, SCANNED, strict=True):
        assert angle_degrees(ours, theirs) < 3


@pytest.mark.parametrize("name", list(NAMED))
@pytest.mark.parametrize("luminosity", [False, True])
def test_every_named_reference_has_unit_vectors(name, luminosity):
    reference = find_reference(name, luminosity=luminosity)
    assert (reference.name, reference.luminosity) == (name, luminosity)
    pair = reference.of("macenko")
    np.testing.assert_allclose(np.linalg.norm(pair.matrix, axis=1), 1, atol=2e-3)


def test_an_image_file_is_a_reference(tmp_path):
    Image.fromarray(stained_image()).save(tmp_path / "ours.png")
    reference = find_reference(str(tmp_path / "ours.png"))
    assert reference == StainReference.of_images([stained_image()], "ours.png")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("tnbk", r"There is no stain reference 'tnbk'\. Did you mean 'tnbc'\?"),
        ("nowhere/ours.png", r"The stain reference nowhere/ours\.png does not exist; check"),
    ],
)
def test_a_missing_reference_is_one_sentence(name, sentence):
    with pytest.raises(UserError, match=sentence):
        find_reference(name)


def test_an_image_of_glass_is_no_reference(tmp_path):
    Image.fromarray(glass()).save(tmp_path / "glass.png")
    with pytest.raises(UserError, match=r"glass\.png cannot be a stain reference: no tissue"):
        find_reference(str(tmp_path / "glass.png"))


def test_a_reference_without_numbers_for_a_method_is_refused():
    with pytest.raises(UserError, match=r"macenko has no numbers for reinhard, only for macenko;"):
        StainNormaliser("reinhard", find_reference("macenko"))
