from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage.color import rgb2hed
from stained_images import SCANNED, concentration_maps, shown, stained_image

from transfer_kit.data.stain import (
    ColourDistribution,
    ColourStatistics,
    HEStain,
    RandStainNA,
    StainJitter,
    colour_statistics,
    estimate_stains,
    matched,
    reinhard,
    stain_variation,
    tissue_mask,
)
from transfer_kit.data.stain.hestain import preset_matrices
from transfer_kit.data.stain.jitter import _turned
from transfer_kit.data.stain.vectors import HED, angle_degrees
from transfer_kit.errors import UserError
from transfer_kit.settings import StainSettings

IMAGE = stained_image()
DISTRIBUTION = ColourDistribution.of(
    [colour_statistics(stained_image(seed, strength=(1, 0.5 + seed / 3))) for seed in range(4)]
)
CHANGES = [StainJitter(hue_degrees=5), RandStainNA(DISTRIBUTION), HEStain()]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: type(change).__name__)
def test_a_change_is_a_function_of_image_and_generator_alone(change):
    first, again, other = (change(IMAGE, np.random.default_rng(seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert (first.dtype, first.shape) == (np.uint8, IMAGE.shape)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first, IMAGE)


def test_jitter_is_the_affine_change_of_known_concentrations():
    """With the estimate at hand, α · c + β of each dye is what the formula gives."""
    maps = concentration_maps()
    image = shown(maps, SCANNED, noise=0)
    own = estimate_stains(image)
    change = StainJitter(factor=0.3, offset=0.1)
    rng = np.random.default_rng(4)
    factors, offsets = rng.uniform(0.7, 1.3, 2), rng.uniform(-0.1, 0.1, 2)
    density = -np.log((image + 1.0) / 256)
    amounts = density @ np.linalg.pinv(own.pair.matrix)
    changed = density + (amounts * (factors - 1) + offsets) @ own.pair.matrix
    expected = np.clip(256 * np.exp(-changed) - 1, 0, 255)
    np.testing.assert_allclose(change(image, np.random.default_rng(4), own), expected, atol=0.6)


def test_jitter_without_strength_changes_nothing():
    still = StainJitter(factor=0, offset=0, hue_degrees=0)
    assert np.abs(still(IMAGE, np.random.default_rng(0)).astype(int) - IMAGE).max() <= 1


def test_jitter_turns_each_dye_by_up_to_its_angle():
    rng = np.random.default_rng(0)
    angles = [
        angle_degrees(turned, vector)
        for _ in range(50)
        for turned, vector in zip(_turned(SCANNED, 5.0, rng), SCANNED, strict=True)
    ]
    assert max(angles) <= 5.0 + 1e-6
    assert max(angles) > 4
    assert np.mean(angles) == pytest.approx(2.5, abs=0.7)


@pytest.mark.parametrize("change", [StainJitter(background=False), HEStain(offset=0.3)])
def test_glass_may_be_left_alone(change):
    image = IMAGE.copy()
    image[:60] = 250
    found = change(image, np.random.default_rng(1))
    assert np.abs(found[:60].astype(int) - 250).max() <= 4
    assert np.abs(found.astype(int) - image)[tissue_mask(image)].mean() > 3


@pytest.mark.parametrize("background", [False, True])
def test_hestain_is_albumentations_one(background):
    from albumentations.augmentations.pixel.functional import apply_he_stain_augmentation

    rng = np.random.default_rng(0)
    for matrix in preset_matrices():
        factors, offsets = rng.uniform(0.7, 1.3, 2), rng.uniform(-0.2, 0.2, 2)
        theirs = apply_he_stain_augmentation(IMAGE, matrix, factors, offsets, background)
        ours = HEStain(background=background).shown(IMAGE, matrix, factors, offsets)
        # It takes 0 for no light, where one level is added here; glass meets at one lightness.
        difference = np.abs(ours.astype(int) - theirs).max(axis=2)
        assert np.percentile(difference, 99) <= 3
        assert difference.mean() < 1.5


def test_all_eight_presets_are_drawn():
    assert len(preset_matrices()) == 8
    still = HEStain(factor=0, offset=0)
    drawn = {still(IMAGE, np.random.default_rng(seed)).tobytes() for seed in range(60)}
    assert len(drawn) == 8


@pytest.mark.parametrize("space", ["lab", "hsv", "hed"])
def test_statistics_are_those_of_the_channels(space):
    if space == "hed":
        published = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
        lengths = np.linalg.norm(published, axis=1)
        density = -np.log((IMAGE + 1.0) / 256)
        channels = density @ np.linalg.inv(HED)
        theirs = rgb2hed(np.clip(IMAGE, 1, 255)) * lengths * -np.log(1e-6)
        np.testing.assert_allclose(np.maximum(channels, 0), theirs, atol=0.03)
    else:
        code = {"lab": cv2.COLOR_RGB2LAB, "hsv": cv2.COLOR_RGB2HSV}[space]
        channels = cv2.cvtColor(IMAGE, code).astype(float)
    found = colour_statistics(IMAGE, space)
    np.testing.assert_allclose(found.mean, channels.mean(axis=(0, 1)), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found.deviation, channels.std(axis=(0, 1)), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("space", ["lab", "hsv", "hed"])
def test_a_matched_image_has_the_target_s_statistics(space):
    own = colour_statistics(IMAGE, space)
    shift = {"lab": (-8, 3, -2), "hsv": (2, 8, -8), "hed": (0.05, 0.05, 0.0)}[space]
    target = ColourStatistics(
        space,
        tuple(np.add(own.mean, shift)),
        tuple(np.multiply(own.deviation, (0.9, 0.95, 0.9))),
    )
    found = colour_statistics(matched(IMAGE, target), space)
    tolerance = 0.03 if space == "hed" else 2.5
    np.testing.assert_allclose(found.mean, target.mean, atol=tolerance)
    np.testing.assert_allclose(found.deviation, target.deviation, atol=tolerance)


def test_reinhard_is_the_exact_twin_of_the_quick_one():
    target = colour_statistics(stained_image(3, strength=(0.8, 1.2)), "lab")
    difference = np.abs(reinhard(IMAGE, target).astype(int) - matched(IMAGE, target))
    assert difference.mean() < 1
    assert np.abs(reinhard(IMAGE, colour_statistics(IMAGE)).astype(int) - IMAGE).max() <= 1


def test_virtual_images_follow_the_statistics_of_the_real_ones():
    rng = np.random.default_rng(0)
    drawn = [DISTRIBUTION.draw(rng) for _ in range(2000)]
    means = np.array([each.mean for each in drawn])
    np.testing.assert_allclose(means.mean(axis=0), DISTRIBUTION.means[0], atol=0.7)
    np.testing.assert_allclose(means.std(axis=0), DISTRIBUTION.deviations[0], rtol=0.08)
    assert min(min(each.deviation) for each in drawn) > 0
    still = DISTRIBUTION.draw(rng, spread=0)
    np.testing.assert_allclose(still.mean, DISTRIBUTION.means[0])


def test_an_image_of_one_colour_is_survived():
    flat = np.full((30, 30, 3), 200, np.uint8)
    for change in CHANGES:
        assert change(flat, np.random.default_rng(0)).shape == flat.shape


def test_the_settings_choose_the_change():
    images = [stained_image(seed) for seed in range(2)]

    def chosen(**fields):
        return stain_variation(StainSettings(**fields), stains="H&E", images=images)

    assert chosen() is None
    assert chosen(augment="jitter", factor=0.4).change == StainJitter(0.4, 0.2, 3.0, True)
    assert isinstance(chosen(augment="randstainna", space="hed").change, RandStainNA)
    assert isinstance(chosen(augment="hestain").change, HEStain)
    sometimes = chosen(augment="jitter", probability=0.3)
    rng = np.random.default_rng(0)
    changed = sum(sometimes(IMAGE, rng) is not IMAGE for _ in range(200))
    assert 35 < changed < 85


def test_one_image_alone_is_nothing_to_draw_from():
    settings = StainSettings(augment="randstainna")
    with pytest.raises(UserError, match=r"there is one alone; name organs or datasets in stain"):
        stain_variation(settings, stains="H&E", images=[IMAGE])


def test_presets_of_eosin_are_refused_for_dab():
    with pytest.raises(UserError, match=r"hestain knows matrices of H&E alone, .* are H-DAB"):
        stain_variation(StainSettings(augment="hestain"), stains="H-DAB", images=[])
