from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from transfer_kit.codecs import ProximityCodec
from transfer_kit.data.annotation import Annotation, Points
from transfer_kit.errors import UserError


def annotated(*points: tuple[float, float]) -> Annotation:
    return Annotation.of_points(np.array(points, np.float32).reshape(-1, 2))


def brute_distance(points: Points, size: tuple[int, int]) -> NDArray[np.float64]:
    rows, columns = np.indices(size)
    if not len(points):
        return np.full(size, np.inf)
    x, y = points.astype(np.float64).T[:, :, None, None]
    return np.hypot(columns - x, rows - y).min(axis=0)


def equation_1(distance: NDArray[np.float64], d: float, alpha: float) -> NDArray[np.float64]:
    value = (np.exp(alpha * (1 - distance / d)) - 1) / (np.exp(alpha) - 1)
    return np.where(distance <= d, value, 0)


def scattered(seed: int, count: int, apart: float, *, whole: bool) -> Points:
    """Points in 60 x 80 pixels, each pair more than `apart` away from each other in x or y."""
    rng = np.random.default_rng(seed)
    kept: list[NDArray[np.float64]] = []
    for point in rng.uniform((0, 0), (79, 59), (count, 2)):
        candidate = np.rint(point) if whole else point
        if all(np.abs(candidate - other).max() > apart for other in kept):
            kept.append(candidate)
    return np.array(kept, np.float32).reshape(-1, 2)


def as_set(points: Points) -> set[tuple[float, ...]]:
    return {tuple(p) for p in points.tolist()}


@given(
    seed=st.integers(0, 10**6),
    count=st.integers(0, 30),
    mpp=st.sampled_from([0.2465, 0.25, 0.5, 1.0]),
    radius_um=st.floats(0.6, 6),
    alpha=st.floats(0.5, 6),
    subpixel=st.booleans(),
)
@settings(deadline=None, max_examples=60)
def test_encoding_equals_equation_1(
    seed: int, count: int, mpp: float, radius_um: float, alpha: float, subpixel: bool
) -> None:
    points = np.random.default_rng(seed).uniform(-20, 70, (count, 2)).astype(np.float32)
    codec = ProximityCodec(radius_um=radius_um, alpha=alpha, subpixel=subpixel)
    ours = codec.encode(Annotation.of_points(points), (40, 53), mpp)
    centres = points if subpixel else np.floor(points + np.float32(0.5))
    theirs = 5 * equation_1(brute_distance(centres, (40, 53)), radius_um / mpp, alpha)
    assert ours.shape == (1, 40, 53)
    assert ours.dtype == np.float32
    assert np.abs(ours[0] - theirs).max() < 2e-5


def test_peak_regression_equals_the_formula_of_voca() -> None:
    points = np.array([[10, 8], [14, 20], [-3, 4]], np.float32)
    codec = ProximityCodec(decay="reciprocal", radius_um=3.0, scale=1.0)
    distance = brute_distance(points, (30, 25))
    theirs = np.where(distance < 6, 1 / (1 + 0.8 * distance), 0)
    assert np.allclose(codec.encode(annotated(*points), (30, 25), 0.5)[0], theirs, atol=1e-6)


@pytest.mark.parametrize("radius_um", [0.125, 0.75, 1.825, 3.75])
def test_encoding_equals_equation_1_on_the_distance_transform(radius_um: float) -> None:
    points = np.random.default_rng(3).integers(0, 90, (40, 2)).astype(np.float32)
    background = np.ones((90, 90), np.uint8)
    background[tuple(points.astype(int).T[::-1])] = 0
    distance = cv2.distanceTransform(background, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    ours = ProximityCodec(radius_um=radius_um).encode(annotated(*points), (90, 90), 0.25)[0]
    assert np.allclose(ours, 5 * equation_1(distance, radius_um / 0.25, 3), atol=2e-5)


def test_the_same_recipe_serves_two_magnifications() -> None:
    codec = ProximityCodec()
    coarse = codec.encode(annotated((10, 10)), (21, 21), 0.5)[0]
    fine = codec.encode(annotated((20, 20)), (41, 41), 0.25)[0]
    assert np.allclose(coarse, fine[::2, ::2], atol=1e-5)


def test_a_centre_outside_the_crop_reaches_into_it() -> None:
    codec = ProximityCodec(subpixel=True)
    whole = codec.encode(annotated((10.3, 12.6), (40, 5)), (50, 60), 0.25)
    crop = codec.encode(annotated((10.3 - 16, 12.6 - 20), (40 - 16, 5 - 20)), (30, 44), 0.25)
    assert crop[0, 0, 0] > 0
    assert np.allclose(crop, whole[:, 20:, 16:], atol=1e-5)


def test_the_height_at_a_centre_is_the_scale_and_zero_beyond_the_radius() -> None:
    maps = ProximityCodec(radius_um=1.0, scale=3.0).encode(annotated((10, 10)), (21, 21), 0.25)
    assert maps[0, 10, 10] == pytest.approx(3.0)
    assert maps[0, 10, 14:].tolist() == [0] * 7
    assert np.count_nonzero(maps) == 45  # the pixels of a disc of radius below 4


def test_each_class_has_its_own_map_and_no_class_takes_all() -> None:
    annotation = Annotation(np.array([[5, 5], [15, 9]], np.float32), ("tumour", "stroma"))
    both = ProximityCodec(classes=("stroma", "tumour"), radius_um=1).encode(
        annotation, (20, 20), 0.25
    )
    one = ProximityCodec(radius_um=1).encode(annotation, (20, 20), 0.25)
    assert (both[0, 9, 15], both[0, 5, 5]) == (5, 0)
    assert (both[1, 9, 15], both[1, 5, 5]) == (0, 5)
    assert np.array_equal(both.max(axis=0), one[0])


@given(seed=st.integers(0, 10**6), count=st.integers(0, 40), mpp=st.sampled_from([0.25, 0.5, 1.0]))
@settings(deadline=None, max_examples=60)
def test_decoding_returns_the_points_encoded(seed: int, count: int, mpp: float) -> None:
    codec = ProximityCodec()
    points = scattered(seed, count, codec.min_distance_um / mpp, whole=True)
    maps = codec.encode(Annotation.of_points(points), (60, 80), mpp)
    for threshold in (None, 0.99):
        nuclei = codec.decode(maps, mpp, threshold=threshold)
        assert as_set(nuclei.points) == as_set(points)
        assert len(nuclei) == len(points)
        assert np.allclose(nuclei.scores, 1)


@given(seed=st.integers(0, 10**6), count=st.integers(1, 40))
@settings(deadline=None, max_examples=40)
def test_decoding_returns_real_valued_points_within_a_quarter_pixel(seed: int, count: int) -> None:
    codec = ProximityCodec(subpixel=True)
    points = scattered(seed, count, 10, whole=False)
    points = points[((points >= 1) & (points <= (78, 58))).all(axis=1)]
    maps = codec.encode(Annotation.of_points(points), (60, 80), 0.25)
    nuclei = codec.decode(maps, 0.25, threshold=None)
    assert len(nuclei) == len(points)
    if len(points):
        apart = np.linalg.norm(points[:, None] - nuclei.points[None], axis=2)
        assert apart.min(axis=1).max() < 0.25


@given(seed=st.integers(0, 10**6), pick=st.floats(0, 1), relative=st.booleans())
@settings(deadline=None, max_examples=40)
def test_a_threshold_equals_dropping_candidates_by_score(
    seed: int, pick: float, relative: bool
) -> None:
    rng = np.random.default_rng(seed)
    codec = ProximityCodec(relative_to="maximum" if relative else "scale", min_distance_um=0.5)
    maps = np.floor(rng.normal(2, 3, (2, 30, 30)) * 10).astype(np.float32) / 7
    codec = ProximityCodec(classes=("a", "b"), relative_to=codec.relative_to, min_distance_um=0.5)
    candidates = codec.decode(maps, 0.25, threshold=None)
    threshold = float(candidates.scores[int(pick * (len(candidates) - 1))])
    kept, chosen = codec.decode(maps, 0.25, threshold=threshold), candidates.above(threshold)
    assert np.array_equal(kept.points, chosen.points)
    assert np.array_equal(kept.scores, chosen.scores)
    assert kept.classes == chosen.classes


def test_scores_are_relative_to_the_scale_or_to_the_maximum() -> None:
    maps = np.zeros((1, 20, 40), np.float32)
    maps[0, 10, 10], maps[0, 10, 30] = 2.0, 1.0
    everyday = ProximityCodec().decode(maps, 0.25, threshold=None)
    paper = ProximityCodec(relative_to="maximum").decode(maps, 0.25, threshold=0.6)
    assert everyday.scores.tolist() == pytest.approx([0.4, 0.2])
    assert paper.scores.tolist() == [1.0]
    assert len(ProximityCodec().decode(maps, 0.25, threshold=0.5)) == 0


def test_the_highest_channel_names_the_class_within_the_distance() -> None:
    maps = np.zeros((2, 30, 60), np.float32)
    maps[0, 10, 10], maps[1, 12, 13] = 3.0, 4.0  # 3 pixels apart: one nucleus
    maps[0, 10, 40], maps[1, 10, 40] = 5.0, 1.0
    codec = ProximityCodec(classes=("tumour", "stroma"))
    nuclei = codec.decode(maps, 0.25, threshold=0.1)
    assert nuclei.points.tolist() == [[40, 10], [13, 12]]
    assert nuclei.classes == ("tumour", "stroma")


@pytest.mark.parametrize("classes", [("",), ("a", "b")])
@pytest.mark.parametrize("relative_to", ["scale", "maximum"])
def test_an_empty_map_has_no_nuclei(classes: tuple[str, ...], relative_to: str) -> None:
    codec = ProximityCodec(classes=classes, relative_to=relative_to)  # type: ignore[arg-type]
    for value in (0.0, -1.0):
        maps = np.full((len(classes), 9, 7), value, np.float32)
        assert len(codec.decode(maps, 0.25, threshold=None)) == 0
    assert codec.encode(annotated(), (9, 7), 0.25).max() == 0 if classes == ("",) else True


def test_maps_that_are_not_finite_are_refused() -> None:
    maps = np.zeros((1, 9, 9), np.float32)
    maps[0, 4, 4] = np.nan
    with pytest.raises(UserError, match="not finite, so no nuclei can be found"):
        ProximityCodec().decode(maps, 0.25, threshold=0.5)


def tensors(*rows: list[float]) -> tuple[torch.Tensor, ...]:
    return tuple(torch.tensor(row).reshape(1, 1, 1, -1) for row in rows)


def test_the_loss_equals_equation_2_by_hand() -> None:
    output, target, weight = tensors([0.5, 0.5], [1.0, 0.0], [1.0, 1.0])
    # mean .5: ((1 + 5 * .5) * .25 + (0 + 5 * .5) * .25) / 2, halved, over two pixels
    assert ProximityCodec().loss(output, target, weight).tolist() == pytest.approx([0.375])
    assert ProximityCodec(lambda_=0).loss(output, target, weight).tolist() == pytest.approx(
        [0.0625]
    )


def test_the_loss_ignores_pixels_outside_the_labelled_region() -> None:
    output, target, weight = tensors([0.5, 0.5], [1.0, 0.0], [1.0, 0.0])
    # mean over the one labelled pixel 1: (1 + 5) * .25 / 2
    assert ProximityCodec().loss(output, target, weight).tolist() == pytest.approx([0.75])


def test_the_loss_equals_equation_2_in_numpy_for_classes_and_weights() -> None:
    rng = np.random.default_rng(0)
    output, target = rng.normal(size=(2, 3, 2, 8, 9))
    target = np.abs(target)
    weight = rng.choice([0.0, 0.5, 1.0], size=(3, 1, 8, 9))
    expected = []
    for o, y, w in zip(output, target, weight, strict=True):
        mean = (w * y).sum(axis=(1, 2), keepdims=True) / w.sum()
        expected.append(0.5 * (w * (y + 5 * mean) * (o - y) ** 2).sum() / w.sum())
    codec = ProximityCodec(classes=("a", "b"))
    loss = codec.loss(*(torch.tensor(a, dtype=torch.float32) for a in (output, target, weight)))
    assert loss.shape == (3,)
    assert np.allclose(loss.numpy(), expected, rtol=1e-5)


def test_the_gradient_is_exactly_zero_where_the_weight_is() -> None:
    generator = torch.Generator().manual_seed(0)
    output = torch.randn(2, 1, 6, 6, generator=generator)
    target = torch.rand(2, 1, 6, 6, generator=generator)
    weight = (torch.rand(2, 1, 6, 6, generator=generator) > 0.5).float()
    output[weight == 0] = torch.inf
    output.requires_grad_(True)
    loss = ProximityCodec().loss(output, target, weight)
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert output.grad is not None
    assert torch.equal(output.grad == 0, weight == 0)


def test_an_image_without_labelled_pixels_has_no_loss_and_no_gradient() -> None:
    output = torch.randn(2, 1, 5, 5, requires_grad=True)
    weight = torch.ones(2, 1, 5, 5)
    weight[1] = 0
    loss = ProximityCodec().loss(output, torch.ones(2, 1, 5, 5), weight)
    loss.sum().backward()
    assert loss[1] == 0
    assert output.grad is not None
    assert torch.count_nonzero(output.grad[1]) == 0


def test_nothing_is_learned_around_a_nucleus_without_a_name() -> None:
    codec = ProximityCodec(classes=("a", "b"), radius_um=1.0)
    nuclei = Annotation(np.array([[6, 8], [24, 8]], np.float32), ("b", ""))
    target = codec.encode(nuclei, (16, 32), 0.25)
    rows, columns = np.indices((16, 32))
    reach = 1.0 / 0.25
    unknown = (columns - 24) ** 2 + (rows - 8) ** 2 < reach**2
    assert ((target == -1) == unknown).all()

    torch.manual_seed(0)
    output = torch.randn(1, 2, 16, 32, requires_grad=True)
    loss = codec.loss(output, torch.from_numpy(target)[None], torch.ones(1, 1, 16, 32))
    loss.sum().backward()
    gradient = output.grad[0].abs().sum(dim=0).numpy()
    assert (gradient[unknown] == 0).all()
    assert (gradient[~unknown] > 0).any()

    without = codec.encode(Annotation(nuclei.points[:1], ("b",)), (16, 32), 0.25)
    outside = torch.from_numpy(~unknown).float()[None, None]
    expected = codec.loss(output, torch.from_numpy(without)[None], outside)
    torch.testing.assert_close(loss, expected)


def test_a_codec_without_classes_learns_nuclei_without_a_name() -> None:
    nuclei = Annotation(np.array([[6, 8], [24, 8]], np.float32), ("b", ""))
    maps = ProximityCodec(radius_um=1.0).encode(nuclei, (16, 32), 0.25)
    assert maps[0, 8, 6] == maps[0, 8, 24] == 5
    assert maps.min() == 0


def test_the_loss_is_float32_under_autocast() -> None:
    output = torch.full((1, 1, 64, 64), 0.3, dtype=torch.bfloat16)
    target, weight = torch.rand(1, 1, 64, 64), torch.ones(1, 1, 64, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = ProximityCodec().loss(output, target, weight)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, ProximityCodec().loss(output.float(), target, weight))
