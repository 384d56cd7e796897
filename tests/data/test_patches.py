import multiprocessing
import random

import cv2
import numpy as np
import pytest
from drawn_samples import DrawnSample, noise_image, spot_centre, spotted_sample
from shapely.geometry import Polygon, box

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.augment import Augmentation
from transfer_kit.data.image_cache import ImageCache
from transfer_kit.data.patches import (
    PatchSampler,
    channel_statistics,
    normalise,
    normalise_by_itself,
)
from transfer_kit.data.regions import labelled_mask
from transfer_kit.errors import UserError

MPP = 0.25
FULL = Augmentation(
    rotation_degrees=180, shift_um=1, scale=(0.8, 1.25), elastic_alpha_um=1, elastic_sigma_um=6,
    blur_sigma_um=0.3, jpeg_quality=(50, 95), hed_jitter=0.1, hed_offset=0.02, brightness=0.1,
    contrast=0.1, noise=0.02, colour_probability=0.7,
)  # fmt: skip


def squares(annotation, size, mpp, rng):
    """A 3 × 3 pixel square at every point."""
    assert mpp == MPP
    target = np.zeros((1, *size), np.float32)
    for x, y in np.rint(annotation.points).astype(int):
        target[0, max(0, y - 1) : max(0, y + 2), max(0, x - 1) : max(0, x + 2)] = 1
    return target


def sampler_of(samples, augmentation=None, *, size_px=64, seed=7, **options):
    return PatchSampler(
        ImageCache(samples, MPP),
        size_px=size_px,
        augmentation=augmentation or Augmentation.none(),
        seed=seed,
        encode=squares,
        **options,
    )


def named_images(count, height=120, width=150):
    return [DrawnSample(f"image-{k}", noise_image(k, height, width)) for k in range(count)]


def bytes_of(patch):
    parts = (patch.image, patch.target, patch.weight, patch.annotation.points)
    return (patch.sample_id, patch.number, *(part.tobytes() for part in parts))


def test_a_patch_has_image_target_and_weight():
    patch = sampler_of([spotted_sample("spots")], FULL).patch(3)
    assert (patch.image.shape, patch.image.dtype) == ((64, 64, 3), np.uint8)
    assert (patch.target.shape, patch.target.dtype) == ((1, 64, 64), np.float32)
    assert (patch.weight.shape, patch.weight.dtype) == ((1, 64, 64), np.float32)
    assert (patch.sample_id, patch.number) == ("spots", 3)


def test_the_same_seed_gives_the_same_bytes_in_any_order():
    samples = [spotted_sample(f"spots-{k}", seed=k) for k in range(3)]
    numbers = list(range(30))
    first = {n: bytes_of(sampler_of(samples, FULL).patch(n)) for n in numbers[::7]}
    sampler = sampler_of(samples, FULL)
    random.Random(1).shuffle(numbers)
    drawn = {n: bytes_of(sampler.patch(n)) for n in numbers}
    assert len({content[2] for content in drawn.values()}) > 25  # a few show no spot
    assert all(drawn[n] == content for n, content in first.items())


def test_another_seed_gives_other_patches():
    samples = [spotted_sample("spots")]
    a, b = (sampler_of(samples, FULL, seed=seed) for seed in (1, 2))
    assert bytes_of(a.patch(0)) != bytes_of(b.patch(0))


def test_what_an_encoder_draws_follows_from_the_seed_and_the_patch_number():
    def drawn(annotation, size, mpp, rng):
        return np.full((1, *size), rng.random(), np.float32)

    def values(seed, numbers):
        sampler = sampler_of([spotted_sample("spots")], FULL, seed=seed)
        sampler.encode = drawn
        return [float(sampler.patch(n).target[0, 0, 0]) for n in numbers]

    assert values(1, [0, 1, 2]) == values(1, [2, 1, 0])[::-1]
    assert len({*values(1, range(3)), *values(2, range(3))}) == 6


def test_an_image_with_region_labels_alone_teaches_nothing_about_nuclei():
    tumour = (("tumour", box(10, 10, 90, 90)),)
    image = noise_image(1, 120, 150)
    alone = DrawnSample("alone", image, Annotation(np.zeros((0, 2)), (), region_labels=tumour))
    no_nucleus = DrawnSample(
        "empty",
        image,
        Annotation(
            np.zeros((0, 2)), (), region_labels=tumour, labelled_regions=(box(-1, -1, 150, 120),)
        ),
    )
    assert sampler_of([alone]).patch(0).weight.max() == 0
    assert sampler_of([no_nucleus]).patch(0).weight.min() == 1


def _send_patch(sampler, number, queue):
    queue.put(bytes_of(sampler.patch(number)))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_draw_the_same_patches(method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system cannot {method}")
    sampler = sampler_of([spotted_sample("spots")], FULL)
    expected = bytes_of(sampler.patch(5))
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    worker = context.Process(target=_send_patch, args=(sampler, 5, queue))
    worker.start()
    assert queue.get(timeout=240) == expected
    worker.join()
    assert worker.exitcode == 0


def test_drawing_touches_no_global_random_state():
    sampler = sampler_of([spotted_sample("spots")], FULL)
    before = np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    for number in range(5):
        sampler.patch(number)
    np.testing.assert_array_equal(before[0], np.random.get_state()[1])  # noqa: NPY002
    assert before[1] == random.getstate()


def test_every_image_comes_equally_often_in_every_pass_and_in_another_order():
    sampler = sampler_of(named_images(5), crops_per_image=3)
    assert sampler.patches_per_pass == 15
    passes = [[sampler.image_of(n) for n in range(k * 15, k * 15 + 15)] for k in range(4)]
    for indices in passes:
        assert np.bincount(indices).tolist() == [3] * 5
    assert len({tuple(indices) for indices in passes}) == 4


def test_only_the_chosen_images_come():
    sampler = sampler_of(named_images(5), indices=[1, 4])
    names = [sampler.patch(n).sample_id for n in range(8)]
    assert sorted(names) == ["image-1"] * 4 + ["image-4"] * 4


def test_without_augmentation_patches_are_crops():
    sample = named_images(1)[0]
    sampler = sampler_of([sample])
    windows = np.lib.stride_tricks.sliding_window_view(sample.pixels, (64, 64, 3))[..., 0, :, :, :]
    corners = set()
    for number in range(20):
        patch = sampler.patch(number)
        found = np.argwhere((windows[:, :, 0, 0] == patch.image[0, 0]).all(-1))
        matches = [c for c in found.tolist() if np.array_equal(windows[tuple(c)], patch.image)]
        assert len(matches) == 1
        corners.add(tuple(matches[0]))
        assert patch.weight.all()
    assert len(corners) == 20


def test_places_reach_the_image_from_edge_to_edge():
    image = np.zeros((70, 75, 3), np.uint8)
    image[..., 0], image[..., 1] = np.arange(75), np.arange(70)[:, None]
    sampler = sampler_of([DrawnSample("ramp", image)])
    first = np.array([sampler.patch(n).image[0, 0, :2] for n in range(400)])
    assert set(first[:, 0]) == set(range(12))
    assert set(first[:, 1]) == set(range(7))


def test_a_bright_spot_stays_under_its_point_and_its_target():
    geometry = Augmentation(
        rotation_degrees=180, shift_um=2, scale=(0.8, 1.25), elastic_alpha_um=1.0,
        elastic_sigma_um=6,
    )  # fmt: skip
    sampler = sampler_of([spotted_sample("spots")], geometry, size_px=128)
    seen = 0
    for number in range(30):
        patch = sampler.patch(number)
        for point in patch.annotation.points:
            x, y = np.rint(point).astype(int)
            if min(x, y) < 12 or max(x, y) > 115 or not patch.weight[0, y, x]:
                continue
            assert np.hypot(*(spot_centre(patch.image, point) - point)) < 0.75
            assert patch.target[0, y, x] == 1
            seen += 1
    assert seen > 60


def test_small_images_are_padded_by_reflection_with_weight_zero():
    sample = DrawnSample("small", noise_image(2, 40, 50))
    patch = sampler_of([sample]).patch(0)
    inside = np.zeros((64, 64), bool)
    inside[12:52, 7:57] = True
    np.testing.assert_array_equal(patch.weight[0] > 0, inside)
    padded = cv2.copyMakeBorder(sample.pixels, 12, 12, 7, 7, cv2.BORDER_REFLECT_101)
    np.testing.assert_array_equal(patch.image, padded)


def test_weight_is_zero_wherever_the_patch_leaves_the_image():
    # The image is white throughout, with a frame of black outside only by its weight.
    sample = DrawnSample("white", np.full((80, 80, 3), 255, np.uint8))
    turning = Augmentation(rotation_degrees=180)
    weights = [sampler_of([sample], turning).patch(n).weight[0] for n in range(20)]
    assert any(w.min() == 0 for w in weights)
    assert all(set(np.unique(w)) <= {0.0, 1.0} for w in weights)
    assert all(w[26:38, 26:38].all() for w in weights)


def coded_image(height=200, width=220):
    """Every pixel's own position is its colour, so that a patch tells where it came from."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0], image[..., 1] = np.arange(width), np.arange(height)[:, None]
    return image


def test_weight_is_one_exactly_in_the_labelled_region():
    region = Polygon([(30, 20), (150, 60), (90, 180)], [[(80, 70), (110, 80), (90, 100)]])
    known = Annotation(np.zeros((0, 2)), (), labelled_regions=(region,))
    sampler = sampler_of(
        [DrawnSample("coded", coded_image(), known)], Augmentation(quarter_turns=True)
    )
    mask = labelled_mask(known, (200, 220))
    for number in range(40):
        patch = sampler.patch(number)
        assert patch.weight.any()
        columns, rows = patch.image[..., 0].astype(int), patch.image[..., 1].astype(int)
        np.testing.assert_array_equal(patch.weight[0] > 0, mask[rows, columns])


@pytest.mark.parametrize("corner", [(0, 0), (215, 0), (100, 195)])
def test_even_a_tiny_labelled_region_is_in_every_patch(corner):
    x, y = corner
    known = Annotation(
        np.zeros((0, 2)), (), labelled_regions=(box(x - 0.5, y - 0.5, x + 3.5, y + 3.5),)
    )
    sampler = sampler_of([DrawnSample("coded", coded_image(), known)], FULL)
    assert all(sampler.patch(n).weight.any() for n in range(60))


def test_labelled_pixels_are_chosen_by_area():
    # A region three times as large as the other, too far apart to share a patch.
    regions = (box(-0.5, 50.5, 29.5, 110.5), box(179.5, 50.5, 199.5, 80.5))
    known = Annotation(np.zeros((0, 2)), (), labelled_regions=regions)
    sampler = sampler_of([DrawnSample("coded", coded_image(), known)], size_px=40)
    left = np.mean([sampler.patch(n).image[20, 20, 0] < 100 for n in range(400)])
    assert 0.68 < left < 0.82


def test_rare_nuclei_can_be_asked_for():
    known = Annotation.of_points(np.array([[190, 30]], np.float32))
    samples = [DrawnSample("coded", coded_image(400, 256), known)]
    often = sampler_of(samples, FULL, nucleus_fraction=1.0)
    seldom = sampler_of(samples, FULL)
    assert all(often.patch(n).target.any() for n in range(30))
    assert np.mean([seldom.patch(n).target.any() for n in range(30)]) < 0.5


def test_nuclei_beyond_the_edge_still_reach_the_encoder():
    known = Annotation.of_points(np.array([[-2.0, 30.0], [-30.0, 30.0]], np.float32))
    sampler = sampler_of([DrawnSample("small", noise_image(0, 64, 64), known)], margin_um=2.0)
    np.testing.assert_array_equal(sampler.patch(0).annotation.points, [[-2, 30]])


def test_images_of_another_scale_are_brought_to_the_training_scale():
    # A nucleus every 40 px at 0.5 µm per pixel is one every 80 px at 0.25.
    points = np.array([[40, 40], [80, 40]], np.float32)
    sample = DrawnSample("coarse", noise_image(0, 100, 120), Annotation.of_points(points), mpp=0.5)
    patch = sampler_of([sample], size_px=200).patch(0)
    np.testing.assert_allclose(np.diff(patch.annotation.points[:, 0]), 80)


def test_no_image_is_one_sentence():
    with pytest.raises(UserError, match=r"There is no image to train on; give the dataset"):
        sampler_of([])


def test_a_labelled_region_off_the_image_is_one_sentence():
    known = Annotation(np.zeros((0, 2)), (), labelled_regions=(box(500, 500, 600, 600),))
    with pytest.raises(UserError, match=r"regions of lost leave no pixel: they lie outside"):
        sampler_of([DrawnSample("lost", noise_image(0), known)])


def test_statistics_equal_those_of_all_pixels_together():
    images = [noise_image(k, 20 + 10 * k, 33) // (k + 1) for k in range(3)]
    pixels = np.concatenate([image.reshape(-1, 3) for image in images]) / 255
    mean, std = channel_statistics(images)
    np.testing.assert_allclose(mean, pixels.mean(0))
    np.testing.assert_allclose(std, pixels.std(0))
    with pytest.raises(UserError, match="no image to take the mean"):
        channel_statistics([])


def test_normalising_subtracts_the_mean_and_divides_by_the_deviation():
    image, mean, std = noise_image(0, 30, 40), (0.7, 0.5, 0.6), (0.2, 0.1, 0.3)
    channels = normalise(image, mean, std)
    expected = ((image / 255 - mean) / std).transpose(2, 0, 1)
    assert channels.dtype == np.float32
    assert channels.flags.c_contiguous
    np.testing.assert_allclose(channels, expected, atol=1e-5)


def test_a_patch_normalised_by_itself_has_mean_zero_and_deviation_one():
    image = noise_image(0, 30, 40) // np.array([2, 3, 4], np.uint8)
    channels = normalise_by_itself(image)
    np.testing.assert_allclose(channels.mean((1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(channels.std((1, 2)), 1, atol=1e-5)
    flat = normalise_by_itself(np.full((8, 8, 3), 91, np.uint8))
    np.testing.assert_allclose(flat, 0, atol=1e-4)


def test_a_pass_over_a_grid_visits_every_place_once():
    cache = [DrawnSample("coded", coded_image(100, 110), Annotation.of_points(np.zeros((0, 2))))]
    sampler = sampler_of(cache, size_px=40, grid_stride_px=17, crops_per_image=4 * 5)
    corners = {tuple(int(v) for v in sampler.patch(n).image[0, 0, :2]) for n in range(20)}
    image = coded_image(100, 110)
    places = {tuple(int(v) for v in image[y, x, :2]) for y in range(0, 61, 17)
              for x in range(0, 71, 17)}  # fmt: skip
    assert corners == places
    again = {tuple(int(v) for v in sampler.patch(n).image[0, 0, :2]) for n in range(20, 40)}
    assert again == places


def test_a_grid_on_an_image_smaller_than_the_patch_has_one_place():
    sampler = sampler_of(named_images(1, 30, 30), size_px=64, grid_stride_px=8)
    assert len({sampler.patch(n).image.tobytes() for n in range(4)}) == 1
