"""SegMitos: concentric labels against the definition, decoding against what was encoded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely
import torch
from drawn_instances import annotated
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from shapely import affinity

from transfer_kit.codecs import ConcentricCodec, build_codec
from transfer_kit.codecs.concentric import IGNORED
from transfer_kit.data.annotation import Annotation, Points
from transfer_kit.errors import NotFiniteMapsError, UserError

Map = NDArray[np.float32]

R12_R24: dict[str, Any] = {"inner_um": (3.0, 3.0), "ratio": (2.0, 2.0)}
R12: dict[str, Any] = {"inner_um": (3.0, 3.0), "ratio": (1.0, 1.0)}


def centres(*points: tuple[float, float]) -> Annotation:
    return Annotation.of_points(np.array(points, np.float32).reshape(-1, 2))


def rings(points: Points, size: tuple[int, int], inner: float, outer: float) -> Map:
    """Fixed radii in pixels, pixel by pixel from the definition."""
    rows, columns = np.indices(size)
    target = np.zeros(size, np.float32)
    if len(points):
        x, y = points.astype(np.float64).T[:, :, None, None]
        nearest = np.hypot(columns - x, rows - y).min(axis=0)
        target[nearest <= outer] = IGNORED
        target[nearest <= inner] = 1
    return target


def learned(codec: ConcentricCodec, target: Map, *, sure: float = 0.95) -> Map:
    """Network maps `(K + 1, H, W)` that are `sure` of each pixel; of rings that they are none."""
    classes = np.maximum(target[0], 0).astype(int)
    own = np.arange(codec.channels)[:, None, None] == classes
    return np.log(np.where(own, sure, (1 - sure) / len(codec.classes))).astype(np.float32)


def sorted_points(points: Points) -> list[tuple[float, ...]]:
    return sorted(map(tuple, points.tolist()))


@given(
    seed=st.integers(0, 10**6),
    count=st.integers(0, 12),
    mpp=st.sampled_from([0.25, 0.5, 0.55]),
    inner=st.floats(0.6, 5),
    ratio=st.sampled_from([1.0, 1.5, 2.0]),
)
@settings(deadline=None, max_examples=40)
def test_fixed_radii_give_the_circles_and_rings_of_the_definition(
    seed: int, count: int, mpp: float, inner: float, ratio: float
) -> None:
    points = np.random.default_rng(seed).uniform(-12, 65, (count, 2)).astype(np.float32)
    codec = ConcentricCodec(inner_um=(inner, inner), ratio=(ratio, ratio))
    target = codec.encode(Annotation.of_points(points), (40, 53), mpp)
    assert target.shape == (1, 40, 53)
    assert target.dtype == np.float32
    low, high = (rings(points, (40, 53), f * inner / mpp, f * ratio * inner / mpp) for f in _NEAR)
    sure = low == high  # elsewhere rounding decides
    assert sure.mean() > 0.99
    assert np.array_equal(target[0][sure], low[sure])


_NEAR = (1 - 1e-5, 1 + 1e-5)


def test_a_pixel_exactly_r_away_is_foreground_and_one_exactly_big_r_away_is_ignored() -> None:
    target = ConcentricCodec(**R12_R24).encode(centres((40, 40)), (81, 81), 0.25)[0, 40]
    assert target[[28, 52]].tolist() == [1, 1]
    assert target[[27, 53, 16, 64]].tolist() == [IGNORED] * 4
    assert target[[15, 65]].tolist() == [0, 0]


def test_without_a_ring_nothing_is_ignored() -> None:
    target = ConcentricCodec(**R12).encode(centres((40, 40), (60, 44)), (81, 101), 0.25)
    assert set(np.unique(target)) == {0, 1}


def test_radii_in_micrometres_hold_at_every_magnification() -> None:
    codec = ConcentricCodec(**R12_R24)
    coarse = codec.encode(centres((20, 20)), (41, 41), 0.5)
    fine = codec.encode(centres((40, 40)), (81, 81), 0.25)
    assert np.array_equal(coarse, fine[:, ::2, ::2])


def test_a_centre_outside_the_crop_still_reaches_in() -> None:
    target = ConcentricCodec(**R12_R24).encode(centres((-8, 20)), (41, 41), 0.25)[0, 20]
    assert target[:5].tolist() == [1] * 5
    assert target[5:17].tolist() == [IGNORED] * 12
    assert not target[17:].any()


def test_foreground_wins_over_the_ring_of_a_neighbour_in_any_order() -> None:
    codec = ConcentricCodec(**R12_R24)
    pair = [(30.0, 30.0), (48.0, 30.0)]
    one = codec.encode(centres(*pair), (61, 81), 0.25)
    other = codec.encode(centres(*pair[::-1]), (61, 81), 0.25)
    assert np.array_equal(one, other)
    assert (one[0, 30, 18:61] == 1).all()


def drawn_radii(codec: ConcentricCodec, seeds: range) -> NDArray[np.float64]:
    """Radii r and R in px of lone nuclei at several looks, from the pixels along a row."""
    radii = []
    for seed in seeds:
        row = codec.encode(centres((60, 60)), (121, 121), 0.25, np.random.default_rng(seed))[0, 60]
        radii.append([((row == 1).sum() - 1) / 2, ((row != 0).sum() - 1) / 2])
    return np.array(radii)


def test_random_radii_are_the_papers_and_are_spread_over_their_range() -> None:
    inner, outer = drawn_radii(ConcentricCodec(), range(200)).T
    assert inner.min() in (10, 11)
    assert inner.max() in (16, 17)
    ratio = outer / inner
    # Whole pixels are seen of each radius.
    assert 1.5 - 1 / 10 < ratio.min() < 1.62
    assert 2.35 < ratio.max() < 2.5 + 2.5 / 10
    assert inner.mean() == pytest.approx(13, abs=0.5)  # half a pixel below 13.5


def test_random_radii_differ_between_looks_and_repeat_by_seed() -> None:
    codec, annotation = ConcentricCodec(), centres((60, 60), (150, 80))
    rng = np.random.default_rng(3)
    looks = [codec.encode(annotation, (160, 220), 0.25, rng) for _ in range(2)]
    assert not np.array_equal(*looks)
    again = codec.encode(annotation, (160, 220), 0.25, np.random.default_rng(3))
    assert np.array_equal(again, looks[0])
    areas = [(looks[0][0, :, half] == 1).sum() for half in (slice(0, 105), slice(105, None))]
    assert areas[0] != areas[1]  # each nucleus has radii of its own
    unseeded = [codec.encode(annotation, (160, 220), 0.25) for _ in range(2)]
    assert np.array_equal(*unseeded)


def test_classes_are_numbered_and_others_are_background_where_asked() -> None:
    points = np.array([[20, 20], [60, 20], [100, 20]], np.float32)
    annotation = Annotation(points, ("mitosis", "other", "lookalike"))
    codec = ConcentricCodec(classes=("lookalike", "mitosis"), ignore_other_classes=True, **R12_R24)
    target = codec.encode(annotation, (41, 121), 0.25)[0]
    assert target[20, [20, 60, 100]].tolist() == [2, 0, 1]
    assert target[20, 40] == IGNORED  # 20 px from the first
    assert target[20, 60] == 0
    assert codec.channels == 3
    with pytest.raises(UserError, match="'other', which is not one of the detector's classes"):
        ConcentricCodec(classes=("lookalike", "mitosis")).encode(annotation, (41, 121), 0.25)


def test_between_two_classes_the_nearer_centre_has_the_pixel() -> None:
    annotation = Annotation(np.array([[20, 20], [36, 20]], np.float32), ("a", "b"))
    row = ConcentricCodec(classes=("a", "b"), **R12).encode(annotation, (41, 61), 0.25)[0, 20]
    assert row[8:28].tolist() == [1] * 20
    assert row[29:49].tolist() == [2] * 20


def box(left: float, top: float, width: float, height: float) -> shapely.Polygon:
    return shapely.box(left, top, left + width, top + height)


def ellipse(size: tuple[int, int], x: float, y: float, a: float, b: float) -> NDArray[np.bool_]:
    rows, columns = np.indices(size)
    return np.asarray(((columns - x) / a) ** 2 + ((rows - y) / b) ** 2 <= 1)


FIXED_ELLIPSE: dict[str, Any] = {
    "shape": "ellipse",
    "inner_share": (0.5, 0.5),
    "ratio": (2.5, 2.5),
}


def test_an_ellipse_has_the_shape_of_its_box() -> None:
    size = (61, 91)
    boxed = Annotation([[45.3, 30.2]], ("",), outlines=(box(25.3, 20.2, 40, 20),))
    target = ConcentricCodec(**FIXED_ELLIPSE).encode(boxed, size, 0.25)[0]
    inner = ellipse(size, 45.3, 30.2, 10, 5)
    outer = ellipse(size, 45.3, 30.2, 25, 12.5)
    assert np.array_equal(target == 1, inner)
    assert np.array_equal(target == IGNORED, outer & ~inner)


def test_an_ellipse_turns_with_its_box() -> None:
    size = (101, 101)
    turned = affinity.rotate(box(30, 40, 40, 20), 30, origin=(50, 50))
    target = ConcentricCodec(**FIXED_ELLIPSE).encode(
        Annotation([[50, 50]], ("",), outlines=(turned,)), size, 0.25
    )[0]
    rows, columns = np.indices(size)
    angle = np.deg2rad(30)
    along = (columns - 50) * np.cos(angle) + (rows - 50) * np.sin(angle)
    across = (rows - 50) * np.cos(angle) - (columns - 50) * np.sin(angle)
    expected = (along / 10) ** 2 + (across / 5) ** 2 <= 1
    assert (expected != (target == 1)).sum() <= 2  # pixels on the rim


def test_instances_have_the_ellipses_of_their_boxes_and_cut_ones_are_ignored() -> None:
    instances = np.zeros((61, 91), np.int32)
    instances[20:40, 26:66] = 1  # centred on 45.5, 29.5, 40 x 20
    instances[50:61, 5:15] = 2
    target = ConcentricCodec(**FIXED_ELLIPSE).encode(annotated(instances), (61, 91), 0.25)[0]
    assert np.array_equal(target == 1, ellipse((61, 91), 45.5, 29.5, 10, 5))
    assert (target[50:61, 5:15] == IGNORED).all()
    assert not target[50:61, 16:].any()


def test_a_lesion_with_an_outline_is_learned_also_where_the_crop_cuts_it() -> None:
    cut = Annotation([[0, 30]], ("",), outlines=(box(-20, 20, 40, 20),))
    target = ConcentricCodec(**FIXED_ELLIPSE).encode(cut, (61, 61), 0.25)[0]
    assert np.array_equal(target == 1, ellipse((61, 61), 0, 30, 10, 5))


def test_shares_of_ellipses_are_drawn_in_their_range() -> None:
    codec = ConcentricCodec(shape="ellipse")
    boxed = Annotation([[100, 60]], ("",), outlines=(box(40, 20, 120, 80),))
    halves = []
    for seed in range(60):
        row = codec.encode(boxed, (121, 201), 0.25, np.random.default_rng(seed))[0, 60]
        halves.append((row == 1).sum() / 2)
    assert 0.7 * 60 - 1 < min(halves) < 0.74 * 60
    assert 0.86 * 60 < max(halves) <= 0.9 * 60 + 1


def test_an_ellipse_needs_more_than_centres() -> None:
    codec = ConcentricCodec(shape="ellipse")
    with pytest.raises(UserError, match=r"x = 7, y = 9 is annotated by its centre alone; annotate"):
        codec.encode(centres((7, 9)), (30, 30), 0.25)
    some = Annotation([[5, 5], [20, 11]], ("", ""), outlines=(box(1, 1, 8, 8), None))
    with pytest.raises(UserError, match=r"x = 20, y = 11 .* boxes \(COCO\), outlines .* or inst"):
        codec.encode(some, (30, 30), 0.25)
    assert not codec.encode(centres(), (30, 30), 0.25).any()


def test_a_box_of_zero_size_is_refused() -> None:
    flat = shapely.Polygon([(4, 4), (12, 4), (9, 4)])
    with pytest.raises(UserError, match=r"x = 8, y = 4 is .* and holds nothing; draw it anew or d"):
        ConcentricCodec(shape="ellipse").encode(
            Annotation([[8, 4]], ("",), outlines=(flat,)), (30, 30), 0.25
        )


def test_the_loss_is_the_mean_cross_entropy_outside_rings() -> None:
    rng = np.random.default_rng(0)
    output = rng.normal(size=(3, 3, 8, 9)).astype(np.float32)
    target = rng.choice([IGNORED, 0.0, 1.0, 2.0], size=(3, 1, 8, 9)).astype(np.float32)
    weight = rng.choice([0.0, 0.5, 1.0], size=(3, 1, 8, 9)).astype(np.float32)
    powers = np.exp(output)
    shares = powers / powers.sum(axis=1, keepdims=True)
    for heavier in (1.0, 4.0):
        expected = []
        for share, own, known in zip(shares, target[:, 0], weight[:, 0], strict=True):
            total = pixels = 0.0
            for y, x in np.argwhere(own != IGNORED):
                importance = heavier if own[y, x] else 1.0
                total -= known[y, x] * importance * np.log(share[int(own[y, x]), y, x])
                pixels += known[y, x]
            expected.append(total / pixels)
        codec = ConcentricCodec(classes=("a", "b"), foreground_weight=heavier)
        loss = codec.loss(*map(torch.tensor, (output, target, weight)))
        assert np.allclose(loss.numpy(), expected, rtol=1e-5)


def test_rings_and_unlabelled_pixels_have_exactly_no_loss_and_no_gradient() -> None:
    codec = ConcentricCodec()
    generator = torch.Generator().manual_seed(0)
    output = torch.randn(2, 2, 60, 60, generator=generator)
    target = torch.from_numpy(codec.encode(centres((30, 28)), (60, 60), 0.25))[None].repeat(
        2, 1, 1, 1
    )
    weight = (torch.rand(2, 1, 60, 60, generator=generator) > 0.3).float()
    counted = (weight > 0) & (target != IGNORED)
    assert 0 < counted.float().mean() < 0.7
    reference = codec.loss(output, target, weight)
    output[~counted.expand_as(output)] = torch.inf
    output.requires_grad_(True)
    loss = codec.loss(output, target, weight)
    loss.sum().backward()
    assert torch.equal(loss, reference)
    assert output.grad is not None
    assert torch.equal(output.grad != 0, counted.expand_as(output))


def test_an_image_that_is_all_ring_has_no_loss() -> None:
    output = torch.randn(1, 2, 5, 5, requires_grad=True)
    target = torch.full((1, 1, 5, 5), IGNORED)
    loss = ConcentricCodec().loss(output, target, torch.ones(1, 1, 5, 5))
    loss.sum().backward()
    assert loss.item() == 0
    assert output.grad is not None
    assert torch.count_nonzero(output.grad) == 0


def test_the_loss_is_float32_under_autocast() -> None:
    output = torch.full((1, 2, 16, 16), 0.3, dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = ConcentricCodec().loss(output, torch.zeros(1, 1, 16, 16), torch.ones(1, 1, 16, 16))
    assert loss.dtype == torch.float32


@pytest.mark.parametrize("mpp", [0.25, 0.5])
@pytest.mark.parametrize("options", [{}, R12, R12_R24])
def test_decoding_returns_the_centres_encoded(options: dict[str, Any], mpp: float) -> None:
    grid = np.stack(np.meshgrid([50, 150, 250], [60, 160]), axis=-1).reshape(-1, 2)
    points = (grid * 0.25 / mpp).astype(np.float32)
    size = (round(220 * 0.25 / mpp), round(300 * 0.25 / mpp))
    codec = ConcentricCodec(**options)
    target = codec.encode(Annotation.of_points(points), size, mpp, np.random.default_rng(0))
    nuclei = codec.decode(learned(codec, target), mpp, threshold=0.5)
    assert np.allclose(sorted_points(nuclei.points), sorted_points(points), atol=0.25)
    assert nuclei.instances is None


def test_decoding_returns_the_classes_encoded() -> None:
    annotation = Annotation(np.array([[30, 30], [90, 40], [150, 30]], np.float32), ("a", "b", "a"))
    codec = ConcentricCodec(classes=("a", "b"))
    target = codec.encode(annotation, (80, 190), 0.25)
    nuclei = codec.decode(learned(codec, target), 0.25, threshold=None)
    found = sorted(zip(nuclei.points[:, 0].round().tolist(), nuclei.classes, strict=True))
    assert found == [(30, "a"), (90, "b"), (150, "a")]


def test_ellipses_are_found_as_instances() -> None:
    instances = np.zeros((121, 181), np.int32)
    instances[30:70, 20:100], instances[80:110, 120:150] = 1, 2
    codec = ConcentricCodec(smoothing_um=0, min_area_um2=0, **FIXED_ELLIPSE)
    target = codec.encode(annotated(instances), (121, 181), 0.25)
    nuclei = codec.decode(learned(codec, target), 0.25, threshold=None)
    assert nuclei.instances is not None
    assert np.array_equal(nuclei.instances > 0, target[0] == 1)
    assert sorted_points(nuclei.points) == [(59.5, 49.5), (134.5, 94.5)]


def squares(*shares: tuple[int, int, float]) -> Map:
    """Network maps of squares: where they begin on the diagonal, their side, their probability."""
    inside = np.full((100, 100), 1e-4)
    for start, side, share in shares:
        inside[start : start + side, start : start + side] = share
    return np.log(np.stack([1 - inside, inside])).astype(np.float32)


def test_blobs_of_a1_and_smaller_are_dropped() -> None:
    maps = squares((5, 9, 0.9), (30, 10, 0.9), (60, 11, 0.9))
    for mpp in (0.25, 0.5):
        codec = ConcentricCodec(smoothing_um=0, min_area_um2=100 * mpp**2)
        assert codec.decode(maps, mpp, threshold=None).points.tolist() == [[65, 65]]


def test_a_score_is_the_mean_probability_and_the_threshold_drops_lower_ones() -> None:
    maps = squares((5, 20, 0.9), (50, 20, 0.6))
    maps[:, 5:25, 5:15] = np.log([[[0.3]], [[0.7]]])
    codec = ConcentricCodec(smoothing_um=0)
    nuclei = codec.decode(maps, 0.25, threshold=None)
    assert np.allclose(nuclei.scores, [0.8, 0.6], atol=1e-5)
    assert codec.decode(maps, 0.25, threshold=0.7).points.tolist() == [[14.5, 14.5]]


def test_the_binarisation_is_otsus_for_the_whole_image_or_as_told() -> None:
    faint = squares((5, 20, 0.3), (50, 20, 0.3))
    codec = ConcentricCodec(smoothing_um=0)
    assert len(codec.decode(faint, 0.25, threshold=None)) == 2
    # Beside a strong response the same faint squares are background.
    strong = squares((5, 20, 0.15), (50, 20, 0.95))
    assert codec.decode(strong, 0.25, threshold=None).points.tolist() == [[59.5, 59.5]]
    told = ConcentricCodec(smoothing_um=0, binarisation=0.5)
    assert len(told.decode(faint, 0.25, threshold=None)) == 0
    assert len(told.decode(strong, 0.25, threshold=None)) == 1


def test_smoothing_takes_away_specks() -> None:
    maps = squares((40, 20, 0.9), (5, 2, 0.9), (80, 2, 0.9))
    counts = [
        len(ConcentricCodec(smoothing_um=sigma, min_area_um2=0).decode(maps, 0.25, threshold=None))
        for sigma in (0.0, 0.5)
    ]
    assert counts == [3, 1]


def test_an_image_without_response_has_no_nuclei_and_maps_must_be_finite() -> None:
    maps = squares()
    assert len(ConcentricCodec().decode(maps, 0.25, threshold=None)) == 0
    maps[1, 3, 3] = np.nan
    with pytest.raises(NotFiniteMapsError, match="not finite"):
        ConcentricCodec().decode(maps, 0.25, threshold=None)


def test_variants_begin_with_the_codec_and_differ_in_a1_alone() -> None:
    codec = ConcentricCodec(min_area_um2=8.0, smoothing_um=0.3)
    first, *others = codec.variants()
    assert first == codec
    pixels_at_40x = [other.min_area_um2 / 0.25**2 for other in others]
    assert pixels_at_40x == [0, 100, 200, 300, 400, 500, 700, 1000]
    assert {other.smoothing_um for other in others} == {0.3}
    assert len(ConcentricCodec().variants()) == 8


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"ratio": [0.8, 2]}, "'ratio' .* outer radius over the inner .* 0.8 makes the outer sm"),
        ({"inner_um": 3}, r"'inner_um' .* such as \[3, 3\] for always 3, but got 3"),
        ({"inner_um": [4, 3]}, r"'inner_um' .* lowest and the highest .* but got \[4, 3\]"),
        ({"inner_share": [0, 1]}, r"'inner_share' .* two numbers above 0"),
        ({"shape": "elipse"}, "'shape' .* cannot be 'elipse'. Did you mean 'ellipse'"),
        ({"binarisation": "Otsu"}, "must be 'otsu' or a number between 0 and 1, but got 'Otsu'"),
        ({"binarisation": 1.5}, "'binarisation' .* between 0 and 1, but got 1.5"),
        ({"smoothing_um": -1}, "'smoothing_um' .* above 0, but got -1"),
        ({"foreground_weight": -1}, "'foreground_weight' .* of at least 0, but got -1"),
        ({"min_area_um2": "small"}, "'min_area_um2' .* but got 'small'"),
    ],
)
def test_a_wrong_value_is_refused_in_one_sentence(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        build_codec("concentric", **options)


def test_options_read_from_a_card_give_the_same_codec() -> None:
    codec = ConcentricCodec(**R12_R24)
    assert build_codec("concentric", inner_um=[3, 3], ratio=[2, 2]) == codec
    assert hash(codec) == hash(build_codec("concentric", inner_um=[3, 3], ratio=[2, 2]))
