from __future__ import annotations

import cv2
import numpy as np
from drawn_samples import noise_image

from transfer_kit.data.augment import jitter_hed
from transfer_kit.data.stain import map_density, optical_density
from transfer_kit.data.stain.vectors import HED


def test_density_is_beer_and_lambert_s():
    image = np.array([[[255, 127, 0]]], np.uint8)
    np.testing.assert_allclose(optical_density(image)[0, 0], [0, np.log(2), np.log(256)], rtol=1e-6)


def test_the_identity_gives_every_colour_back():
    image = noise_image(0)
    np.testing.assert_array_equal(map_density(image, np.eye(3), np.zeros(3)), image)


def test_a_map_is_what_the_formula_says():
    rng = np.random.default_rng(0)
    image, linear, offset = noise_image(1), np.eye(3) + rng.normal(0, 0.1, (3, 3)), [0.1, 0, -0.1]
    light = np.exp(-(-np.log((image + 1.0) / 256) @ linear + offset))
    expected = np.clip(256 * light - 1, 0, 255)
    np.testing.assert_allclose(map_density(image, linear, offset), expected, atol=0.51)


def test_hed_jitter_gives_the_bytes_it_has_always_given():
    image, rng = noise_image(2), np.random.default_rng(3)
    factors, offsets = 1 + 0.2 * rng.standard_normal(3), 0.05 * rng.standard_normal(3)
    table = (-np.log((np.arange(256) + 1) / 256)).astype(np.float32)
    linear = (np.linalg.inv(HED) * factors) @ HED
    matrix = np.hstack([linear.T, (offsets @ HED)[:, None]]).astype(np.float32)
    light = np.minimum(cv2.exp(cv2.transform(cv2.LUT(image, table), -matrix)), np.float32(1))
    light = np.maximum(light, np.float32(1 / 256))
    expected = cv2.convertScaleAbs(light, alpha=256, beta=-1)
    np.testing.assert_array_equal(jitter_hed(image, factors, offsets), expected)
