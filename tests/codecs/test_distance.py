"""DIST: targets against the definition, decoding against the drawn nuclei."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from drawn_instances import annotated, same_partition, scattered_discs
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_cdt

from transfer_kit.codecs import DistanceCodec, build_codec
from transfer_kit.codecs.distance import UNKNOWN, chessboard_distance, softmax
from transfer_kit.data.annotation import Annotation
from transfer_kit.data.regions import crop_annotation
from transfer_kit.data.sample import Sample
from transfer_kit.errors import NotFiniteMapsError, UserError
from transfer_kit.stores.datasets import find_dataset

TARGETS = ["raw", "normalised", "softmax"]


def brute_distance(instances: NDArray[np.int32]) -> NDArray[np.float64]:
    """Chessboard distance to the nearest pixel of another number, from the definition."""
    distance = np.zeros(instances.shape)
    for y, x in np.argwhere(instances > 0):
        others = np.argwhere(instances != instances[y, x])
        distance[y, x] = np.abs(others - (y, x)).max(axis=1).min() if len(others) else np.inf
    return distance


def squares() -> NDArray[np.int32]:
    """Two that touch, and one apart with a hole."""
    instances = np.zeros((30, 40), np.int32)
    instances[4:13, 4:13], instances[4:13, 13:20], instances[16:27, 24:35] = 1, 2, 3
    instances[20:22, 28:30] = 0
    return instances


def as_outputs(codec: DistanceCodec, maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """What a network that has learned its target by heart would give."""
    if codec.target != "softmax":
        return maps
    shares = np.clip(np.concatenate([1 - maps.sum(axis=0, keepdims=True), maps]), 1e-6, 1)
    return np.log(shares).astype(np.float32)


@given(seed=st.integers(0, 10**6), count=st.integers(0, 25))
@settings(deadline=None, max_examples=25)
def test_the_distance_is_that_of_the_definition_for_each_nucleus(seed: int, count: int) -> None:
    instances = scattered_discs(seed, count=count, size=(33, 41), radius=(1, 8))
    assert np.array_equal(chessboard_distance(instances), brute_distance(instances))


def test_the_distance_is_that_of_the_published_code_one_nucleus_at_a_time() -> None:
    instances = scattered_discs(1)
    expected = np.zeros(instances.shape)
    for k in range(1, instances.max() + 1):
        expected[instances == k] = distance_transform_cdt(instances == k)[instances == k]
    assert np.array_equal(chessboard_distance(instances), expected)


def test_between_nuclei_that_touch_the_map_has_a_valley() -> None:
    maps = DistanceCodec().encode(annotated(squares()), (30, 40), 0.25)
    assert maps[0, 8, 4:20].tolist() == [1, 2, 3, 4, 5, 4, 3, 2, 1, 1, 2, 3, 4, 3, 2, 1]


def test_the_raw_map_counts_pixels_at_40x_and_the_same_lengths_at_20x() -> None:
    coarse = squares()
    fine = coarse.repeat(2, axis=0).repeat(2, axis=1)
    codec = DistanceCodec()
    at_20x = codec.encode(annotated(coarse), coarse.shape, 0.5)
    at_40x = codec.encode(annotated(fine), fine.shape, 0.25)
    # A pixel at 20x is 2 units wide; the two in its place are 1 or 2 from the same outside.
    assert at_20x[0, 8, 4:9].tolist() == [2, 4, 6, 8, 10]
    assert at_40x[0, 16, 8:18].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 9]
    assert DistanceCodec(unit_um=0.5).encode(annotated(coarse), coarse.shape, 0.5).max() == 5


def test_the_normalised_map_reaches_1_in_each_nucleus() -> None:
    instances = squares()
    maps = DistanceCodec(target="normalised").encode(annotated(instances), (30, 40), 0.25)
    distance = brute_distance(instances)
    for k in (1, 2, 3):
        inside = instances == k
        assert np.allclose(maps[0][inside], distance[inside] / distance[inside].max())


@pytest.mark.parametrize("seed", range(3))
def test_a_crop_has_the_target_of_the_whole_image_where_it_can_tell(seed: int) -> None:
    instances = scattered_discs(seed, count=45, size=(120, 120), radius=(4, 14))
    annotation = annotated(instances)
    codec = DistanceCodec()
    whole = codec.encode(annotation, (120, 120), 0.25)[0, 30:90, 20:80]
    crop = codec.encode(
        crop_annotation(annotation, x0=20, y0=30, width=60, height=60), (60, 60), 0.25
    )[0]
    known = crop != UNKNOWN
    assert 0 < (~known).sum() < 0.1 * crop.size
    assert np.array_equal(crop[known], whole[known])
    assert known[20:40, 20:40].all()


def test_of_a_normalised_crop_the_nuclei_that_touch_its_edge_are_unknown() -> None:
    instances = np.zeros((20, 30), np.int32)
    instances[0:6, 3:9], instances[8:15, 12:19] = 1, 2
    maps = DistanceCodec(target="normalised").encode(annotated(instances), (20, 30), 0.25)[0]
    assert (maps[instances == 1] == UNKNOWN).all()
    assert (maps[instances != 1] >= 0).all()
    assert maps.max() == 1


def test_a_nucleus_in_two_pieces_is_learned_as_a_hill_each() -> None:
    instances = np.zeros((20, 30), np.int32)
    instances[4:11, 4:11] = instances[8:15, 18:25] = 1
    maps = DistanceCodec().encode(annotated(instances), (20, 30), 0.25)
    assert np.array_equal(maps[0], brute_distance(instances))
    nuclei = DistanceCodec().decode(maps, 0.25, threshold=None)
    assert sorted(nuclei.points.tolist()) == [[7, 7], [21, 11]]


def test_a_nucleus_that_fills_the_crop_is_known_at_its_edge_alone() -> None:
    maps = DistanceCodec().encode(annotated(np.ones((9, 9), np.int32)), (9, 9), 0.25)
    assert (maps == UNKNOWN).all()


@pytest.mark.parametrize("target", TARGETS)
def test_each_class_has_its_own_map(target: str) -> None:
    codec = DistanceCodec(classes=("stroma", "tumour"), target=target)  # type: ignore[arg-type]
    annotation = annotated(squares(), ("tumour", "stroma", "tumour"))
    maps = codec.encode(annotation, (30, 40), 0.25)
    one = DistanceCodec(target=target).encode(annotated(squares()), (30, 40), 0.25)  # type: ignore[arg-type]
    assert maps.shape == (2, 30, 40)
    assert np.array_equal(maps.max(axis=0), one[0])
    assert np.array_equal(maps[0] > 0, squares() == 2)


@pytest.mark.parametrize("target", TARGETS)
def test_decoding_returns_the_nuclei_encoded(target: str) -> None:
    codec = DistanceCodec(classes=("a", "b"), target=target, foreground=0.1)  # type: ignore[arg-type]
    annotation = annotated(squares(), ("a", "b", "a"))
    maps = as_outputs(codec, codec.encode(annotation, (30, 40), 0.25))
    nuclei = codec.decode(maps, 0.25, threshold=None)
    assert nuclei.instances is not None
    assert same_partition(nuclei.instances, squares())
    for k in range(3):
        own = squares()[nuclei.instances == k + 1][0] - 1
        assert np.allclose(nuclei.points[k], annotation.points[own], atol=1e-4)
        assert nuclei.classes[k] == annotation.classes[own]


@pytest.mark.parametrize("mpp", [0.25, 0.5])
def test_discs_that_touch_are_parted_where_they_touch(mpp: float) -> None:
    radius = 3.0 / mpp
    rows, columns = np.indices((60, 100))
    instances = np.zeros((60, 100), np.int32)
    for k, x in enumerate((30.0, 30 + 1.9 * radius), start=1):
        instances[np.hypot(rows - 30, columns - x) <= radius] = k
    codec = DistanceCodec()
    nuclei = codec.decode(codec.encode(annotated(instances), (60, 100), mpp), mpp, threshold=None)
    assert nuclei.instances is not None
    assert len(nuclei) == 2
    assert same_partition(nuclei.instances, instances)


def test_a_score_is_the_height_in_micrometres_and_small_nuclei_fall_below_a_threshold() -> None:
    codec = DistanceCodec()
    instances = np.zeros((30, 40), np.int32)
    instances[4:17, 4:17], instances[22:25, 30:33] = 1, 2
    for mpp in (0.25, 0.5):
        maps = codec.encode(annotated(instances), (30, 40), mpp)
        nuclei = codec.decode(maps, mpp, threshold=None)
        assert nuclei.scores.tolist() == [7 * mpp, 2 * mpp]
        kept = codec.decode(maps, mpp, threshold=2.5 * mpp)
        assert len(kept) == 1
        assert kept.instances is not None
        assert np.array_equal(kept.instances, instances == 1)


def test_fractions_score_as_they_are() -> None:
    codec = DistanceCodec(target="normalised")
    maps = 0.8 * codec.encode(annotated(squares()), (30, 40), 0.25)
    assert np.allclose(codec.decode(maps, 0.25, threshold=None).scores, 0.8)


def test_p1_merges_maxima_and_p2_cuts_the_foreground() -> None:
    maps = np.zeros((1, 9, 15), np.float32)
    maps[0, 4, 1:14] = [0.6, 2, 4, 5, 4, 3, 2, 3, 4, 4.2, 3, 1, 0.6]
    found = [len(DistanceCodec(dynamics=p1).decode(maps, 0.25, threshold=None)) for p1 in (0, 1, 2)]
    assert found == [2, 2, 1]  # the lower hill rounds to 4, the valley to 2
    areas = []
    for p2 in (0.5, 0.7, 1.5):
        instances = DistanceCodec(foreground=p2).decode(maps, 0.25, threshold=None).instances
        assert instances is not None
        areas.append(np.count_nonzero(instances))
    assert areas == [13, 11, 10]


def test_ripples_below_a_unit_make_no_nuclei() -> None:
    instances = squares()
    maps = DistanceCodec().encode(annotated(instances), (30, 40), 0.25)
    ripples = np.random.default_rng(0).uniform(-0.45, 0.45, maps.shape).astype(np.float32)
    nuclei = DistanceCodec().decode(maps + ripples, 0.25, threshold=None)
    assert nuclei.instances is not None
    assert same_partition(nuclei.instances, instances)


@pytest.mark.parametrize("target", TARGETS)
def test_variants_begin_with_the_codec_and_differ_in_p1_and_p2_alone(target: str) -> None:
    codec = DistanceCodec(target=target, classes=("a",), unit_um=0.3)  # type: ignore[arg-type]
    first, *others = codec.variants()
    assert first == codec
    assert len({codec, *others}) == len(others) + 1
    for other in others:
        same = build_codec(
            "distance", classes=("a",), target=target, unit_um=0.3,
            dynamics=other.dynamics, foreground=other.foreground,
        )  # fmt: skip
        assert other == same


def test_the_variants_are_those_of_table_1() -> None:
    numbers = {(codec.dynamics, codec.foreground) for codec in DistanceCodec().variants()}
    assert numbers == {(p1, p2 / 10) for p1 in (0, 1, 2) for p2 in range(5, 11)}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"target": "row"}, "'target' of the codec 'distance' cannot be 'row'. Did you mean 'raw'"),
        ({"unit_um": 0}, "'unit_um' .* must be a number above 0, but got 0"),
        ({"dynamics": -1}, "'dynamics' .* of at least 0, but got -1"),
        ({"foreground": "half"}, "'foreground' .* but got 'half'"),
    ],
)
def test_a_wrong_value_is_refused_in_one_sentence(options, sentence) -> None:
    with pytest.raises(UserError, match=sentence):
        build_codec("distance", **options)


def test_maps_that_are_not_finite_are_refused() -> None:
    maps = np.zeros((1, 9, 9), np.float32)
    for value in (np.nan, np.inf, -np.inf):
        maps[0, 4, 4] = value
        with pytest.raises(NotFiniteMapsError, match="not finite, so no nuclei can be found"):
            DistanceCodec().decode(maps, 0.25, threshold=None)


@pytest.mark.parametrize("target", TARGETS)
def test_an_empty_map_has_no_nuclei(target: str) -> None:
    codec = DistanceCodec(target=target)  # type: ignore[arg-type]
    maps = as_outputs(codec, np.zeros((1, 9, 11), np.float32))
    nuclei = codec.decode(maps, 0.25, threshold=None)
    assert len(nuclei) == 0
    assert nuclei.instances is not None
    assert not nuclei.instances.any()


def test_the_loss_is_equation_3_over_the_known_pixels() -> None:
    rng = np.random.default_rng(0)
    output, target = rng.normal(size=(2, 3, 2, 8, 9)).astype(np.float32)
    target = np.abs(target)
    target[rng.random(target.shape) < 0.2] = UNKNOWN
    weight = rng.choice([0.0, 0.5, 1.0], size=(3, 1, 8, 9)).astype(np.float32)
    expected = []
    for o, y, w in zip(output, target, weight, strict=True):
        total = 0.0
        for channel in range(2):
            known = w[0] * (y[channel] != UNKNOWN)
            total += (known * (o[channel] - y[channel]) ** 2).sum() / known.sum()
        expected.append(total)
    loss = DistanceCodec(classes=("a", "b")).loss(*map(torch.tensor, (output, target, weight)))
    assert np.allclose(loss.numpy(), expected, rtol=1e-5)


def test_the_loss_of_softmax_is_the_squared_error_of_probabilities() -> None:
    rng = np.random.default_rng(1)
    output = rng.normal(size=(2, 3, 4, 5)).astype(np.float32)
    target = rng.random((2, 2, 4, 5)).astype(np.float32)
    codec = DistanceCodec(classes=("a", "b"), target="softmax")
    loss = codec.loss(torch.tensor(output), torch.tensor(target), torch.ones(2, 1, 4, 5))
    for k in range(2):
        error = (softmax(output[k])[1:] - target[k]) ** 2
        assert loss[k].item() == pytest.approx(error.mean(axis=(1, 2)).sum(), rel=1e-5)
    assert codec.channels == 3
    assert np.allclose(softmax(output[0]), torch.tensor(output[0]).softmax(0).numpy(), atol=1e-6)


@pytest.mark.parametrize("target", TARGETS)
def test_where_the_weight_is_zero_or_the_target_unknown_there_is_no_gradient(target: str) -> None:
    codec = DistanceCodec(target=target)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(0)
    output = torch.randn(2, codec.channels, 6, 6, generator=generator)
    maps = torch.rand(2, 1, 6, 6, generator=generator)
    weight = (torch.rand(2, 1, 6, 6, generator=generator) > 0.5).float()
    output[(weight == 0).expand_as(output)] = torch.inf
    maps[0, 0, :3] = UNKNOWN
    output.requires_grad_(True)
    loss = codec.loss(output, maps, weight)
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert output.grad is not None
    counted = ((weight > 0) & (maps != UNKNOWN)).expand_as(output)
    assert torch.equal(output.grad != 0, counted)


def test_an_image_without_known_pixels_has_no_loss_and_no_gradient() -> None:
    output = torch.randn(1, 1, 5, 5, requires_grad=True)
    loss = DistanceCodec().loss(output, torch.full((1, 1, 5, 5), UNKNOWN), torch.ones(1, 1, 5, 5))
    loss.sum().backward()
    assert loss.item() == 0
    assert output.grad is not None
    assert torch.count_nonzero(output.grad) == 0


def test_the_loss_is_float32_under_autocast() -> None:
    output = torch.full((1, 1, 16, 16), 0.3, dtype=torch.bfloat16)
    target, weight = torch.rand(1, 1, 16, 16), torch.ones(1, 1, 16, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = DistanceCodec().loss(output, target, weight)
    assert loss.dtype == torch.float32


@pytest.mark.real_data
def test_the_nuclei_of_a_real_tile_come_back_from_their_own_map(real_data, monkeypatch) -> None:
    """Not all: a nucleus of two lobes has two maxima, and a dent holds a maximum of its own."""
    monkeypatch.setenv("TRANSFER_KIT_DATA", str(real_data))
    sample: Sample = next(iter(find_dataset("monuseg-breast")))
    annotation: Annotation = sample.annotation()
    codec = DistanceCodec(dynamics=1.0)
    target = np.maximum(codec.encode(annotation, sample.size, sample.mpp), 0)
    nuclei = codec.decode(cv2.GaussianBlur(target[0], (0, 0), 1)[None], sample.mpp, threshold=None)
    assert nuclei.instances is not None
    assert annotation.instances is not None
    assert 0.85 < len(nuclei) / len(np.unique(annotation.instances)) < 1.15
    both = (nuclei.instances > 0) & (annotation.instances > 0)
    assert both.sum() > 0.85 * (annotation.instances > 0).sum()
