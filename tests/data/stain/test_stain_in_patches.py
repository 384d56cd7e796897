"""The stain of crops varies, and nothing else does."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_samples import DrawnSample, spotted_sample
from stained_images import glass, stained_image

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.augment import Augmentation
from transfer_kit.data.image_cache import ImageCache
from transfer_kit.data.patches import PatchSampler
from transfer_kit.data.stain import (
    StainJitter,
    StainNormaliser,
    estimate_stains,
    find_reference,
    stain_variation,
)
from transfer_kit.settings import StainSettings

FULL = Augmentation(rotation_degrees=180, elastic_alpha_um=0.5, hed_jitter=0.1, noise=0.02)


def stained_sample(name="tissue", image=None):
    points = np.array([[40.0, 50], [120, 130]], np.float32)
    pixels = stained_image() if image is None else image
    return DrawnSample(name, pixels, Annotation.of_points(points, "nucleus"))


def sampler(samples, vary_stain=None, **cache_options):
    def squares(annotation, size, mpp, rng):
        """Draws too, as codecs may."""
        return np.full((1, *size), len(annotation) + rng.random(), np.float32)

    return PatchSampler(
        ImageCache(samples, 0.25, **cache_options),
        size_px=64,
        augmentation=FULL,
        seed=3,
        encode=squares,
        vary_stain=vary_stain,
    )


def test_a_recipe_that_says_nothing_of_stain_gives_the_same_bytes():
    nothing = stain_variation(StainSettings(), stains="H&E", images=[])
    assert nothing is None
    never = stain_variation(StainSettings(augment="jitter", probability=0), stains="H&E", images=[])
    samples = [stained_sample(), spotted_sample("spots")]
    plain, without = sampler(samples), sampler(samples, never)
    for number in range(8):
        np.testing.assert_array_equal(plain.patch(number).image, without.patch(number).image)


def test_only_the_colours_of_a_crop_change():
    samples = [stained_sample(), spotted_sample("spots")]
    plain, varied = sampler(samples), sampler(samples, StainJitter())
    for number in range(6):
        before, after = plain.patch(number), varied.patch(number)
        assert not np.array_equal(before.image, after.image)
        np.testing.assert_array_equal(before.target, after.target)
        np.testing.assert_array_equal(before.weight, after.weight)
        np.testing.assert_array_equal(before.annotation.points, after.annotation.points)


def test_a_crop_s_stain_is_a_function_of_seed_and_number():
    varied = sampler([stained_sample()], StainJitter())
    images = [varied.patch(number).image for number in range(6)]
    again = sampler([stained_sample()], StainJitter())
    for number in reversed(range(6)):
        np.testing.assert_array_equal(again.patch(number).image, images[number])


def test_the_cache_estimates_each_image_once_and_crops_use_it():
    asked = []

    def estimate(image, name):
        asked.append(name)
        return estimate_stains(image, name=name)

    seen = []

    def change(image, rng, estimate=None):
        seen.append(estimate)
        return image

    drawn = sampler([stained_sample("a"), stained_sample("b")], change, estimate=estimate)
    for number in range(8):
        drawn.patch(number)
    assert asked == ["a", "b"]
    assert all(each == estimate_stains(stained_image()) for each in seen)


def test_images_are_normalised_before_they_are_cached():
    normaliser = StainNormaliser("macenko", find_reference("tnbc"))
    image, _ = ImageCache([stained_sample()], 0.25, prepare=normaliser).get(0)
    np.testing.assert_array_equal(image, normaliser(stained_image()))


def test_a_cached_image_of_glass_is_named_in_the_warning(caplog):
    normaliser = StainNormaliser("macenko", find_reference("tnbc"))
    cache = ImageCache([stained_sample("slide-4", glass(240))], 0.25, prepare=normaliser)
    np.testing.assert_array_equal(cache.get(0)[0], glass(240))
    assert "slide-4: 0.0% of it is tissue" in caplog.text


@pytest.mark.parametrize("kind", ["jitter", "hestain", "randstainna"])
def test_every_kind_of_the_recipe_changes_crops(kind):
    settings = StainSettings(augment=kind, probability=1)
    images = [stained_image(0), stained_image(1, strength=(1.2, 0.7))]
    change = stain_variation(settings, stains="H&E", images=images)
    plain, varied = (sampler([stained_sample()], each).patch(0).image for each in (None, change))
    assert not np.array_equal(plain, varied)
