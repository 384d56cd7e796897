import cv2
import numpy as np
import pytest
from drawn_samples import noise_image
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import box
from toy import toy_detector

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.resampling import (
    resample,
    resample_image,
    resample_window,
    scale_factor,
)
from transfer_kit.data.resampling_axis import ResampledAxis
from transfer_kit.data.tiles import Window


@pytest.mark.parametrize(
    ("mpp", "wanted", "factor"), [(0.25, 0.5, 0.5), (0.2527, 0.251, 1.0), (0.247, 0.25, 0.988)]
)
def test_scales_within_one_percent_count_as_the_same(mpp, wanted, factor):
    assert scale_factor(mpp, wanted) == pytest.approx(factor, rel=1e-12)


def test_an_image_of_the_same_scale_is_handed_back_as_it_is():
    image, known = noise_image(0), Annotation.of_points([[1, 2]])
    assert resample_image(image, 1.0) is image
    assert resample(image, known, 1.0) == (image, known)


@pytest.mark.parametrize("factor", [0.5, 0.43, 1.6, 2.0])
def test_points_stay_on_their_spot_when_resampled(factor):
    point = np.array([[61.3, 40.8]], np.float32)
    rows, columns = np.mgrid[:100, :120]
    light = 250 * np.exp(-((columns - point[0, 0]) ** 2 + (rows - point[0, 1]) ** 2) / 50)
    image = np.repeat(light[..., None], 3, axis=2).astype(np.uint8)
    resized, known = resample(image, Annotation.of_points(point), factor)
    rows, columns = np.mgrid[: resized.shape[0], : resized.shape[1]]
    weight = resized[..., 0].astype(float)
    centre = np.array([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()
    np.testing.assert_allclose(known.points[0], centre, atol=0.05)


def test_halving_takes_means_of_pixels_and_doubling_repeats_instances():
    image = noise_image(3, 40, 60)
    halved, _ = resample(image, Annotation.of_points(np.zeros((0, 2))), 0.5)
    means = image.reshape(20, 2, 30, 2, 3).mean((1, 3))
    np.testing.assert_allclose(halved, means, atol=0.51)

    instances = np.arange(40 * 60, dtype=np.int32).reshape(40, 60)
    known = Annotation(np.zeros((2400, 2)), ("",) * 2400, instances=instances)
    _, doubled = resample(image, known, 2.0)
    np.testing.assert_array_equal(doubled.instances, np.kron(instances, np.ones((2, 2), np.int32)))


def test_polygons_are_resampled_as_areas_of_pixels():
    # Pixels 10 … 19 in both directions; at half the size they are pixels 5 … 9.
    area = box(9.5, 9.5, 19.5, 19.5)
    known = Annotation(
        np.zeros((1, 2)),
        ("",),
        outlines=(area,),
        labelled_regions=(area,),
        region_labels=(("tumour", area),),
    )
    _, halved = resample(noise_image(0, 40, 60), known, 0.5)
    expected = box(4.5, 4.5, 9.5, 9.5)
    assert halved.outlines[0].equals(expected)
    assert halved.labelled_regions[0].equals(expected)
    assert halved.region_labels[0][1].equals(expected)


@pytest.mark.parametrize(
    ("size", "factor", "expected"),
    [((100, 101), 0.5, (50, 50)), ((7, 9), 1.5, (10, 14)), ((1, 50), 0.3, (1, 15))],
)
def test_sides_are_whole_pixels_and_one_at_least(size, factor, expected):
    instances = np.arange(size[0] * size[1], dtype=np.int32).reshape(size)
    known = Annotation(np.zeros((instances.size, 2)), ("",) * instances.size, instances=instances)
    image, resized = resample(noise_image(0, *size), known, factor)
    assert image.shape == (*expected, 3)
    rows, columns = (
        np.minimum(np.floor((np.arange(new) + 0.5) / factor), old - 1).astype(int)
        for new, old in zip(expected, size, strict=True)
    )
    np.testing.assert_array_equal(resized.instances, instances[np.ix_(rows, columns)])


def test_a_detector_sees_what_a_training_sees(monkeypatch):
    detector, seen = toy_detector(mpp=0.5), []
    monkeypatch.setattr(detector, "maps", lambda image: seen.append(image) or np.zeros((1, 9, 9)))
    image = noise_image(4, 81, 67)
    detector.candidates(image, mpp=0.37)
    trained_on, _ = resample(image, Annotation.of_points([]), scale_factor(0.37, 0.5))
    np.testing.assert_array_equal(seen[0], trained_on)


@pytest.mark.parametrize("factor", [0.5, 0.25, 0.43, 0.9881, 1.3, 2.0])
def test_resampling_is_that_of_opencv(factor):
    image = noise_image(5, 75, 90)
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    expected = cv2.resize(image, None, fx=factor, fy=factor, interpolation=how)
    ours = resample_image(image, factor)
    assert ours.shape == expected.shape
    difference = np.abs(ours.astype(int) - expected)
    assert difference.max() <= 1  # of halves, OpenCV rounds some up and some down
    assert (difference > 0).mean() < 0.04


@given(
    factor=st.floats(0.08, 2.5),
    size=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    ends=st.tuples(*[st.floats(0, 1)] * 4),
)
def test_a_window_has_the_bytes_that_it_has_in_the_whole(factor, size, ends):
    image = noise_image(1, *size)
    rows, columns = (ResampledAxis(length, factor) for length in size)
    whole = resample_image(image, factor) if factor != 1 else image
    (x0, x1), (y0, y1) = (
        sorted(min(int(end * length), length - 1) for end in pair)
        for pair, length in ((ends[:2], columns.resampled), (ends[2:], rows.resampled))
    )
    window = Window.between(x0, y0, x1 + 1, y1 + 1)
    top, bottom = rows.sources(window.y0, window.y1)
    left, right = columns.sources(window.x0, window.x1)
    part = resample_window(image[top:bottom, left:right], (left, top), rows, columns, window)
    np.testing.assert_array_equal(part, whole[y0 : y1 + 1, x0 : x1 + 1])
