from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.feature import peak_local_max

from transfer_kit.codecs import VotingCodec, build_codec
from transfer_kit.data.annotation import Annotation, Points
from transfer_kit.errors import UserError

Map = NDArray[np.float32]


def annotated(*points: tuple[float, float]) -> Annotation:
    return Annotation.of_points(np.array(points, np.float32).reshape(-1, 2))


def understood(targets: Map, codec: VotingCodec) -> Map:
    """What a network gives that has learned its targets to perfection."""
    maps = targets.copy()
    maps[: len(codec.classes)] = 200 * targets[: len(codec.classes)] - 100
    if codec.weighted:
        maps[-1] -= 1
    return maps


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


def lone_disk(radius_px: float) -> int:
    reach = np.arange(-40, 41)
    return int(np.count_nonzero(reach**2 + reach[:, None] ** 2 < radius_px**2))


@given(
    seed=st.integers(0, 10**6),
    count=st.integers(0, 25),
    mpp=st.sampled_from([0.25, 0.5, 0.55, 1.0]),
    radius_um=st.floats(0.6, 7),
)
@settings(deadline=None, max_examples=40)
def test_encoding_equals_equations_1_to_3(
    seed: int, count: int, mpp: float, radius_um: float
) -> None:
    points = np.random.default_rng(seed).uniform(-20, 70, (count, 2)).astype(np.float32)
    maps = VotingCodec(radius_um=radius_um).encode(Annotation.of_points(points), (40, 53), mpp)
    assert maps.shape == (4, 40, 53)
    assert maps.dtype == np.float32
    rows, columns = np.indices((40, 53))
    steps = points.astype(np.float64)[:, :, None, None] - np.stack([columns, rows])
    distances = np.hypot(steps[:, 0], steps[:, 1])
    # Where 32 bits cannot say which side of the radius, or which point is nearer, either is right.
    doubtful = (np.abs(distances - radius_um / mpp) < 1e-3).any(axis=0)
    inside = distances < radius_um / mpp
    assert np.array_equal(maps[0][~doubtful], inside.any(axis=0)[~doubtful])
    assert np.array_equal(maps[3][~doubtful], inside.sum(axis=0)[~doubtful])
    to_nearest = np.hypot(maps[1], maps[2]) * 0.5 / mpp
    within = inside.any(axis=0) & ~doubtful
    if count:
        assert np.allclose(to_nearest[within], distances.min(axis=0)[within], atol=1e-3)
        ends = np.stack([columns, rows]) + maps[1:3] * 0.5 / mpp
        apart = np.hypot(*(points[:, :, None, None] - ends).transpose(1, 0, 2, 3))
        assert apart.min(axis=0)[within].max(initial=0) < 1e-3
    assert not maps[:, ~inside.any(axis=0) & ~doubtful].any()


def test_a_pixel_exactly_r_away_is_background_also_where_division_rounds() -> None:
    # 6.6 / .55 is 11.999999999999998 and 1.65 / .55 is 2.9999999999999996 in floating point.
    for radius_um, pixels in ((6.6, 12), (1.65, 3)):
        maps = VotingCodec(radius_um=radius_um).encode(annotated((20, 20)), (41, 41), 0.55)
        assert maps[0, 20].nonzero()[0].tolist() == list(range(21 - pixels, 20 + pixels))
        assert maps[0].sum() == lone_disk(pixels)


def test_a_pixel_between_two_nuclei_belongs_to_the_first_and_counts_both() -> None:
    maps = VotingCodec(radius_um=3.0).encode(annotated((12, 5), (8, 5)), (11, 21), 0.5)
    assert maps[:, 5, 10].tolist() == [1, 2, 0, 2]


def test_a_vector_is_the_same_number_at_every_magnification() -> None:
    codec = VotingCodec()
    coarse = codec.encode(annotated((10, 10)), (21, 21), 0.5)
    fine = codec.encode(annotated((20, 20)), (41, 41), 0.25)
    assert np.array_equal(coarse, fine[:, ::2, ::2])
    assert coarse[1:3, 10, 7].tolist() == [3, 0]  # pixels at 20x
    halved = VotingCodec(vector_unit_um=1.0).encode(annotated((10, 10)), (21, 21), 0.5)
    assert np.array_equal(2 * halved[1:3], coarse[1:3])


def test_a_centre_outside_the_crop_still_reaches_in() -> None:
    codec = VotingCodec()
    points = ((10.25, 12.5), (40, 5), (14, 25))
    whole = codec.encode(annotated(*points), (50, 60), 0.5)
    crop = codec.encode(annotated(*((x - 16, y - 20) for x, y in points)), (30, 44), 0.5)
    assert crop[0, 0, 0] == 1
    assert np.array_equal(crop, whole[:, 20:, 16:])


def test_an_image_without_nuclei_is_all_zero() -> None:
    for codec in (VotingCodec(), VotingCodec(weighted=False, classes=("a", "b"))):
        assert not codec.encode(annotated(), (9, 7), 0.5).any()


def test_the_nearest_nucleus_gives_a_pixel_its_class() -> None:
    annotation = Annotation(np.array([[5, 8], [11, 8]], np.float32), ("tumour", "stroma"))
    codec = VotingCodec(classes=("stroma", "tumour"), radius_um=2.5)
    maps = codec.encode(annotation, (17, 17), 0.5)
    one = VotingCodec(radius_um=2.5).encode(annotation, (17, 17), 0.5)
    assert codec.channels == 5
    assert maps[:, 8, 7].tolist() == [0, 1, -2, 0, 2]
    assert maps[:, 8, 9].tolist() == [1, 0, 2, 0, 2]
    assert np.array_equal(maps[:2].sum(axis=0), one[0])
    assert np.array_equal(maps[4], one[3])


@given(
    seed=st.integers(0, 10**6),
    count=st.integers(0, 60),
    mpp=st.sampled_from([0.25, 0.5, 0.55, 1.0]),
    weighted=st.booleans(),
    relative_to=st.sampled_from(["maximum", "disk"]),
)
@settings(deadline=None, max_examples=40)
def test_decoding_returns_the_points_encoded_however_crowded(
    seed: int, count: int, mpp: float, weighted: bool, relative_to: Any
) -> None:
    codec = VotingCodec(weighted=weighted, relative_to=relative_to)
    points = scattered(seed, count, round(codec.min_distance_um / mpp), whole=True)
    maps = codec.encode(Annotation.of_points(points), (60, 80), mpp)
    nuclei = codec.decode(understood(maps, codec), mpp, threshold=0)
    assert len(nuclei) == len(points)
    assert as_set(nuclei.points) == as_set(points)
    assert np.all(np.diff(nuclei.scores) <= 0)


@given(seed=st.integers(0, 10**6), count=st.integers(0, 40), mpp=st.sampled_from([0.25, 0.55, 1]))
@settings(deadline=None, max_examples=40)
def test_decoding_returns_real_valued_points(seed: int, count: int, mpp: float) -> None:
    codec = VotingCodec(subpixel=True)
    points = scattered(seed, count, round(codec.min_distance_um / mpp) + 2, whole=False)
    maps = codec.encode(Annotation.of_points(points), (60, 80), mpp)
    nuclei = codec.decode(understood(maps, codec), mpp, threshold=None)
    assert len(nuclei) == len(points)
    if len(points):
        apart = np.linalg.norm(points[:, None] - nuclei.points[None], axis=2)
        assert apart.min(axis=1).max() < 1e-3


def test_a_lone_nucleus_scores_one_wherever_it_lies() -> None:
    for point in ((30, 30), (0, 0), (59, 20), (3, 58)):
        for codec in (VotingCodec(), VotingCodec(weighted=False), VotingCodec(subpixel=True)):
            maps = codec.encode(annotated(point), (60, 60), 0.5)
            nuclei = codec.decode(understood(maps, codec), 0.5, threshold=None)
            assert nuclei.points.tolist() == [list(point)]
            assert nuclei.scores.tolist() == pytest.approx([1])


def test_the_weight_makes_good_the_pixels_that_crowded_nuclei_share() -> None:
    annotation = annotated((40, 40), (49, 40))  # no pixel is equally near both
    for weighted, score in ((True, pytest.approx([1, 1])), (False, pytest.approx([0.75] * 2, 0.1))):
        codec = VotingCodec(weighted=weighted)
        maps = understood(codec.encode(annotation, (80, 90), 0.5), codec)
        assert codec.decode(maps, 0.5, threshold=None).scores.tolist() == score


def test_votes_for_all_nuclei_are_on_average_one_disk_each() -> None:
    points = scattered(3, 60, 4, whole=True)
    points = points[((points > 12) & (points < (67, 47))).all(axis=1)]
    codec = VotingCodec()
    maps = understood(codec.encode(Annotation.of_points(points), (60, 80), 0.5), codec)
    nuclei = codec.decode(maps, 0.5, threshold=None)
    assert len(nuclei) == len(points) > 10
    assert nuclei.scores.mean() == pytest.approx(1)
    assert np.ptp(nuclei.scores) > 0.1


def blank_tile() -> Map:
    """A network that is almost sure that there is no nucleus, and says so with a little noise."""
    rng = np.random.default_rng(0)
    maps = gaussian_filter(rng.normal(0, 2, (4, 64, 64)), (0, 2, 2)).astype(np.float32)
    maps[0] -= 7
    maps[3] -= 0.5
    return maps


def test_a_blank_tile_has_nuclei_by_the_papers_rule_alone() -> None:
    paper = VotingCodec(relative_to="maximum").decode(blank_tile(), 0.5, threshold=0.5)
    assert len(paper) >= 1
    assert paper.scores[0] == 1
    everyday = VotingCodec().decode(blank_tile(), 0.5, threshold=None)
    assert everyday.scores.max() < 0.01
    assert len(VotingCodec().decode(blank_tile(), 0.5, threshold=0.3)) == 0


def plain_decoding(maps: Map, codec: VotingCodec, mpp: float) -> dict[tuple[int, int], float]:
    """Eq. 5 and section 5.3, a pixel at a time; the sum of votes by position."""
    _, height, width = maps.shape
    accumulated = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            confidence = 1 / (1 + np.exp(-float(maps[0, y, x])))
            weight = max(0.0, 1 + float(maps[3, y, x])) if codec.weighted else 1.0
            to_x = round(x + float(maps[1, y, x]) * codec.vector_unit_um / mpp)
            to_y = round(y + float(maps[2, y, x]) * codec.vector_unit_um / mpp)
            if 0 <= to_x < width and 0 <= to_y < height:
                accumulated[to_y, to_x] += weight * confidence
    apart = round(codec.min_distance_um / mpp)
    peaks = peak_local_max(accumulated, min_distance=apart, threshold_abs=0, exclude_border=False)
    rows, columns = np.indices(accumulated.shape)
    near = codec.score_radius_um / mpp
    return {
        (x, y): accumulated[np.hypot(columns - x, rows - y) <= near + 1e-6].sum()
        for y, x in peaks.tolist()
        if accumulated[y, x] > 0
    }


@given(
    seed=st.integers(0, 10**6),
    mpp=st.sampled_from([0.25, 0.5, 0.55]),
    weighted=st.booleans(),
    smooth=st.floats(0.5, 3),
)
@settings(deadline=None, max_examples=12)
def test_decoding_equals_a_plain_loop_with_scikit_image(
    seed: int, mpp: float, weighted: bool, smooth: float
) -> None:
    rng = np.random.default_rng(seed)
    codec = VotingCodec(weighted=weighted, relative_to="maximum", score_radius_um=1.1)
    noise = gaussian_filter(rng.normal(size=(codec.channels, 45, 53)), (0, smooth, smooth))
    maps = (noise / noise.std(axis=(1, 2), keepdims=True)).astype(np.float32)
    maps[1:3] *= 4
    theirs = plain_decoding(maps, codec, mpp)
    nuclei = codec.decode(maps, mpp, threshold=None)
    ours = {
        (int(x), int(y)): score
        for (x, y), score in zip(nuclei.points.tolist(), nuclei.scores.tolist(), strict=True)
    }
    assert ours.keys() == theirs.keys()
    highest = max(theirs.values())
    assert all(abs(ours[point] - theirs[point] / highest) < 1e-5 for point in theirs)


@given(
    seed=st.integers(0, 10**6), pick=st.floats(0, 1), relative=st.sampled_from(["maximum", "disk"])
)
@settings(deadline=None, max_examples=30)
def test_a_threshold_equals_dropping_candidates_by_score(
    seed: int, pick: float, relative: Any
) -> None:
    rng = np.random.default_rng(seed)
    codec = VotingCodec(classes=("a", "b"), relative_to=relative, subpixel=True)
    maps = rng.normal(0, 3, (5, 40, 40)).astype(np.float32)
    candidates = codec.decode(maps, 0.5, threshold=None)
    threshold = float(candidates.scores[int(pick * (len(candidates) - 1))])
    kept, chosen = codec.decode(maps, 0.5, threshold=threshold), candidates.above(threshold)
    assert np.array_equal(kept.points, chosen.points)
    assert np.array_equal(kept.scores, chosen.scores)
    assert kept.classes == chosen.classes


def test_a_nucleus_is_of_the_class_with_the_most_votes() -> None:
    points = np.array([[12, 15], [30, 15], [46, 15]], np.float32)
    codec = VotingCodec(classes=("stroma", "tumour"), radius_um=3.0)
    annotation = Annotation(points, ("tumour", "stroma", "tumour"))
    maps = understood(codec.encode(annotation, (30, 60), 0.5), codec)
    nuclei = codec.decode(maps, 0.5, threshold=0.5)
    named = dict(zip(as_named(nuclei.points), nuclei.classes, strict=True))
    assert named == {(12, 15): "tumour", (30, 15): "stroma", (46, 15): "tumour"}
    maps[0, :, 35:], maps[1, :, 35:] = 1, 0.5  # now both are likely there, and stroma more so
    renamed = codec.decode(maps, 0.5, threshold=0.3)
    assert dict(zip(as_named(renamed.points), renamed.classes, strict=True))[46, 15] == "stroma"


def as_named(points: Points) -> list[tuple[int, int]]:
    return [(int(x), int(y)) for x, y in points.tolist()]


def test_extreme_maps_neither_overflow_nor_vote_outside() -> None:
    maps = np.full((4, 12, 9), 1e6, np.float32)
    maps[1:3, 3] = -1e30
    with np.errstate(all="raise"):
        assert len(VotingCodec(subpixel=True).decode(maps, 0.5, threshold=None)) == 0


@pytest.mark.parametrize("channel", range(4))
def test_maps_that_are_not_finite_are_refused(channel: int) -> None:
    maps = np.zeros((4, 9, 9), np.float32)
    maps[channel, 4, 4] = np.nan
    with pytest.raises(UserError, match="not finite, so no nuclei can be found"):
        VotingCodec().decode(maps, 0.5, threshold=0.5)


def tensor(*maps: list[float]) -> torch.Tensor:
    """Maps of one row of pixels, as `(1, C, 1, W)`."""
    return torch.tensor(maps).reshape(1, len(maps), 1, -1)


def test_the_loss_equals_equation_4_by_hand() -> None:
    output = tensor([0, 0], [0, 9], [0, 9], [0, 1])
    target = tensor([1, 0], [2, 0], [0.5, 0], [2, 0])
    weight = torch.ones(1, 1, 1, 2)
    confidence = 2 * np.log(2)  # a nucleus's pixel and another one, each its own class's mean
    vector = 1.5 + 0.125  # |2| - .5, and .5² / 2, at the nucleus's pixel alone
    number = (0.5 + 1.5) / 2  # 1 where 2 is right, 2 where none is
    for options, expected in (
        ({}, confidence + vector + number),
        ({"lambda_1": 3.0}, confidence + 3 * vector + number),
        ({"lambda_2": 0.0}, confidence + vector),
    ):
        loss = VotingCodec(**options).loss(output, target, weight)
        assert loss.tolist() == pytest.approx([expected])
    unweighted = VotingCodec(weighted=False).loss(output[:, :3], target[:, :3], weight)
    assert unweighted.tolist() == pytest.approx([confidence + vector])


def test_the_cross_entropy_is_weighted_by_the_inverse_of_each_classs_share() -> None:
    codec = VotingCodec(weighted=False, lambda_1=0)
    output, inside = np.array([0.3, -1.0, 2.0, 0.5, 0.1]), np.array([1, 0, 0, 0, 1])
    entropy = np.log1p(np.exp(-np.where(inside, output, -output)))
    share = np.where(inside, 2 / 5, 3 / 5)
    empty = [0.0] * 5
    loss = codec.loss(
        tensor(output.tolist(), empty, empty),
        tensor(inside.tolist(), empty, empty),
        torch.ones(1, 1, 1, 5),
    )
    assert loss.tolist() == pytest.approx([np.mean(entropy / share)])


def test_the_loss_equals_equation_4_in_numpy_for_classes_and_weights() -> None:
    rng = np.random.default_rng(0)
    output = rng.normal(0, 2, (3, 5, 8, 9))
    kind = rng.choice([0, 1, 2], size=(3, 1, 8, 9))
    target = np.concatenate(
        [kind == 1, kind == 2, rng.normal(0, 3, (3, 2, 8, 9)), rng.integers(0, 3, (3, 1, 8, 9))], 1
    ).astype(float)
    weight = rng.choice([0.0, 0.5, 1.0], size=(3, 1, 8, 9))

    def smooth(error: NDArray[np.float64]) -> NDArray[np.float64]:
        size = np.abs(error)
        return np.where(size < 1, size**2 / 2, size - 0.5)

    expected = []
    for o, y, (w,) in zip(output, target, weight, strict=True):
        loss = 0.0
        for k in (0, 1):
            entropy = np.logaddexp(0, np.where(y[k] == 1, -o[k], o[k]))
            for side in (y[k] == 1, y[k] == 0):
                loss += (w * side * entropy).sum() / (w * side).sum()
        nuclei = w * (y[0] + y[1])
        loss += (nuclei * (smooth(o[2] - y[2]) + smooth(o[3] - y[3]))).sum() / nuclei.sum()
        loss += (w * smooth(np.maximum(1 + o[4], 0) - y[4])).sum() / w.sum()
        expected.append(loss)
    codec = VotingCodec(classes=("a", "b"))
    loss = codec.loss(*(torch.tensor(a, dtype=torch.float32) for a in (output, target, weight)))
    assert loss.shape == (3,)
    assert np.allclose(loss.numpy(), expected, rtol=1e-5)


def noisy_batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Output and target of two images of 6 x 6 pixels, half of them in nuclei."""
    generator = torch.Generator().manual_seed(0)
    output, target = torch.randn(2, 2, 4, 6, 6, generator=generator)
    target[:, 0] = (target[:, 0] > 0).float()
    return output, target


def test_the_gradient_is_exactly_zero_where_the_weight_is() -> None:
    output, target = noisy_batch()
    weight = (torch.rand(2, 1, 6, 6, generator=torch.Generator().manual_seed(1)) > 0.5).float()
    output[:, 3] = output[:, 3].abs()  # no weight is dead
    output[(weight == 0).expand_as(output)] = torch.inf
    output.requires_grad_(True)
    loss = VotingCodec().loss(output, target, weight)
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert output.grad is not None
    moved = output.grad != 0
    assert torch.equal(moved[:, 0], weight[:, 0] > 0)
    assert torch.equal(moved[:, 3], weight[:, 0] > 0)
    in_nuclei = (weight[:, 0] > 0) & (target[:, 0] > 0)
    assert torch.equal(moved[:, 1], in_nuclei)
    assert torch.equal(moved[:, 2], in_nuclei)


def test_what_lies_outside_the_labelled_region_changes_no_loss() -> None:
    output, target = noisy_batch()
    weight = torch.ones(2, 1, 6, 6)
    weight[..., 3:] = 0
    cropped = VotingCodec().loss(output[..., :3], target[..., :3], weight[..., :3])
    assert torch.allclose(VotingCodec().loss(output, target, weight), cropped, rtol=1e-6)


def test_an_image_without_labelled_pixels_has_no_loss_and_no_gradient() -> None:
    output, target = noisy_batch()
    output.requires_grad_(True)
    weight = torch.ones(2, 1, 6, 6)
    weight[1] = 0
    loss = VotingCodec().loss(output, target, weight)
    loss.sum().backward()
    assert loss[0] > 0
    assert loss[1] == 0
    assert output.grad is not None
    assert torch.count_nonzero(output.grad[1]) == 0


def test_an_image_without_nuclei_teaches_that_there_are_none() -> None:
    output = torch.zeros(1, 4, 5, 5, requires_grad=True)
    target, weight = torch.zeros(1, 4, 5, 5), torch.ones(1, 1, 5, 5)
    loss = VotingCodec().loss(output, target, weight)
    loss.sum().backward()
    assert loss.tolist() == pytest.approx([np.log(2) + 0.5])
    assert output.grad is not None
    assert (output.grad[:, [0, 3]] > 0).all()
    assert not output.grad[:, 1:3].any()


def test_the_loss_is_float32_under_autocast() -> None:
    output, target = noisy_batch()
    weight = torch.ones(2, 1, 6, 6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = VotingCodec().loss(output.bfloat16(), target, weight)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, VotingCodec().loss(output.bfloat16().float(), target, weight))


def test_the_codec_survives_the_card() -> None:
    codec = VotingCodec(classes=("tumour", "stroma"), weighted=False, threshold=0.37)
    assert build_codec("voting", **json.loads(json.dumps(asdict(codec)))) == codec


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"radius_um": 0}, "'radius_um' .* must be a number above 0, but got 0"),
        ({"vector_unit_um": 0}, "'vector_unit_um' .* above 0, but got 0"),
        ({"score_radius_um": -1}, "'score_radius_um' .* above 0, but got -1"),
        ({"min_distance_um": "4"}, "'min_distance_um' .* above 0, but got '4'"),
        ({"lambda_1": -1}, "'lambda_1' .* at least 0, but got -1"),
        ({"lambda_2": float("nan")}, "'lambda_2' .* but got nan"),
        ({"relative_to": "maximun"}, "'relative_to' .* Did you mean 'maximum'"),
        ({"weighted": "no"}, "'weighted' .* must be true or false, but got 'no'"),
        ({"subpixel": 1}, "'subpixel' .* must be true or false, but got 1"),
        ({"classes": ["a", "a"]}, "'classes' .* each class once"),
        ({"radius": 6}, r"no option 'radius'\. Did you mean 'radius_um'"),
    ],
)
def test_a_wrong_value_is_refused_in_one_sentence(
    options: dict[str, object], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        build_codec("voting", **options)


def test_a_nucleus_of_an_unknown_class_is_refused_or_background() -> None:
    annotation = Annotation(np.array([[3, 3], [12, 12]], np.float32), ("tumour", "strma"))
    with pytest.raises(UserError, match=r"'strma', which is not one of .* Did you mean 'stroma'"):
        build_codec("voting", classes=["tumour", "stroma"]).encode(annotation, (16, 16), 0.5)
    codec = build_codec("voting", classes=["tumour"], radius_um=1, ignore_other_classes=True)
    maps = codec.encode(annotation, (16, 16), 0.5)
    assert maps[0, 3, 3] == 1
    assert not maps[:, 12, 12].any()
