from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from drawn_instances import annotated, same_partition, scattered_discs
from numpy.typing import NDArray
from shapely.geometry import LineString, Point, Polygon, box

from transfer_kit.codecs import BoxesCodec, build_codec
from transfer_kit.data.annotation import Annotation
from transfer_kit.errors import NotFiniteMapsError, UserError

MPP = 0.25
SMALL = BoxesCodec(min_area_um2=0)


def outputs_of(target: NDArray[np.float32], score: float = 0.9) -> NDArray[np.float32]:
    """Maps of a network that knows the target, and gives all nuclei one score."""
    logit = np.log(score / (1 - score))
    output = target[:-1].copy()
    output[:-2] = np.where(target[:-3] > 0, logit, -10)
    return output


def square(size: tuple[int, int], *boxes: tuple[int, int, int, int]) -> NDArray[np.int32]:
    """Instances that fill rows and columns `top, bottom, left, right`, the last ones outside."""
    instances = np.zeros(size, np.int32)
    for k, (top, bottom, left, right) in enumerate(boxes, 1):
        instances[top:bottom, left:right] = k
    return instances


@pytest.mark.parametrize("seed", range(3))
def test_each_pixel_points_to_the_centre_of_its_nucleuss_box(seed: int) -> None:
    instances = scattered_discs(seed)
    maps = BoxesCodec().encode(annotated(instances), instances.shape, MPP)
    assert np.array_equal(maps[0], instances > 0)
    assert np.array_equal(maps[3], instances)
    for k in range(1, instances.max() + 1):
        rows, columns = np.nonzero(instances == k)
        middle = (columns.min() + columns.max()) / 2, (rows.min() + rows.max()) / 2
        assert np.allclose(maps[1, rows, columns] + columns, middle[0])
        assert np.allclose(maps[2, rows, columns] + rows, middle[1])
    assert not maps[1:3, instances == 0].any()


def test_each_class_has_its_map_and_ignored_ones_are_background() -> None:
    instances = square((10, 30), (2, 8, 2, 8), (2, 8, 12, 18), (2, 8, 22, 28))
    annotation = annotated(instances, ("b", "c", "a"))
    codec = BoxesCodec(classes=("a", "b"), ignore_other_classes=True)
    maps = codec.encode(annotation, instances.shape, MPP)
    assert maps.shape == (5, 10, 30)
    assert np.array_equal(maps[0], instances == 3)
    assert np.array_equal(maps[1], instances == 1)
    assert np.array_equal(maps[4], instances * (instances != 2))


def test_of_a_nucleus_cut_by_the_crop_the_part_inside_has_the_box() -> None:
    annotation = Annotation([[-1, 4]], ("",), outlines=(box(-6.5, 1.5, 3.5, 6.5),))
    maps = BoxesCodec().encode(annotation, (9, 9), MPP)
    assert maps[1, 4].tolist() == [1.5, 0.5, -0.5, -1.5, 0, 0, 0, 0, 0]
    assert maps[2, :, 0].tolist() == [0, 0, 2, 1, 0, -1, -2, 0, 0]


@pytest.mark.parametrize("seed", range(4))
def test_decoding_a_target_gives_back_its_instances(seed: int) -> None:
    instances = scattered_discs(seed, count=12, size=(140, 150), radius=(5, 12))
    target = BoxesCodec().encode(annotated(instances), instances.shape, MPP)
    codec = BoxesCodec(foreground=0.05, min_distance_um=MPP)  # crescents may share a centre
    nuclei = codec.decode(outputs_of(target, 0.3), MPP, threshold=None)
    assert nuclei.instances is not None
    assert same_partition(nuclei.instances, instances)
    assert np.allclose(nuclei.scores, 0.3)
    for k, (x, y) in enumerate(nuclei.points, 1):
        assert np.allclose(np.argwhere(nuclei.instances == k).mean(axis=0), (y, x), atol=1e-3)


def test_touching_nuclei_are_parted_and_pieces_of_one_stay_together() -> None:
    instances = square((20, 60), (4, 16, 4, 16), (4, 16, 16, 28), (4, 16, 40, 52))
    instances[9:11, 40:52] = 0  # the third is in two pieces
    target = BoxesCodec().encode(annotated(instances), instances.shape, MPP)
    nuclei = BoxesCodec().decode(outputs_of(target), MPP, threshold=None)
    assert nuclei.instances is not None
    assert same_partition(nuclei.instances, instances)


def test_a_hole_is_no_part_of_its_nucleus() -> None:
    ring = Polygon(box(3.5, 3.5, 16.5, 16.5).exterior, [box(7.5, 7.5, 12.5, 12.5).exterior])
    annotation = Annotation([[10, 10]], ("",), outlines=(ring,))
    target = BoxesCodec().encode(annotation, (20, 20), MPP)
    nuclei = BoxesCodec().decode(outputs_of(target), MPP, threshold=None)
    assert nuclei.instances is not None
    assert np.array_equal(nuclei.instances > 0, target[0] > 0)
    assert nuclei.instances[10, 10] == 0
    assert np.count_nonzero(nuclei.instances) == 13 * 13 - 5 * 5


@pytest.mark.parametrize("seed", range(3))
def test_ragged_vectors_of_a_dense_network_still_give_whole_nuclei(seed: int) -> None:
    instances = scattered_discs(seed, count=15, size=(150, 160), radius=(8, 12))
    target = BoxesCodec().encode(annotated(instances), instances.shape, MPP)
    output = outputs_of(target)
    output[1:] += np.random.default_rng(seed).normal(0, 1.2, output[1:].shape)
    nuclei = BoxesCodec().decode(output, MPP, threshold=None)
    areas = np.bincount(instances.ravel())[1:]
    assert len(nuclei) == np.count_nonzero(areas >= 48)  # 3 µm²
    assert nuclei.instances is not None
    for k in np.flatnonzero(areas >= 48) + 1:
        found = np.bincount(nuclei.instances[instances == k])
        assert found.argmax() > 0
        assert found.max() > 0.95 * areas[k - 1]


def test_scores_are_means_and_classes_those_of_most_score() -> None:
    instances = square((12, 40), (2, 10, 2, 18), (2, 10, 22, 38))
    codec = BoxesCodec(classes=("a", "b"))
    target = codec.encode(annotated(instances, ("a", "b")), instances.shape, MPP)
    output = outputs_of(target)
    output[:2] = -10
    output[0, 2:10, 2:18] = 2.0
    output[1, 2:10, 2:6] = 3.0  # a quarter of the first is sooner of class b
    output[1, 2:10, 22:38] = 1.0
    nuclei = codec.decode(output, MPP, threshold=None)
    sigmoid = {value: 1 / (1 + np.exp(-value)) for value in (1.0, 2.0, 3.0)}
    assert nuclei.classes == ("a", "b")
    assert nuclei.scores[0] == pytest.approx(0.75 * sigmoid[2.0] + 0.25 * sigmoid[3.0])
    assert nuclei.scores[1] == pytest.approx(sigmoid[1.0])
    kept = codec.decode(output, MPP, threshold=0.8)
    assert kept.classes == ("a",)


def test_only_pixels_above_the_foreground_count() -> None:
    instances = square((12, 20), (2, 10, 2, 10))
    output = outputs_of(BoxesCodec().encode(annotated(instances), (12, 20), MPP), score=0.4)
    assert len(BoxesCodec(foreground=0.5).decode(output, MPP, threshold=None)) == 0
    assert len(BoxesCodec(foreground=0.05).decode(output, MPP, threshold=None)) == 1


def test_a_speck_is_dropped_and_one_that_points_nearly_there_joins() -> None:
    instances = square((30, 60), (5, 17, 5, 17), (20, 22, 50, 52))
    output = outputs_of(BoxesCodec().encode(annotated(instances), (30, 60), MPP))
    output[1, 5:7, 5:7] += 8  # four pixels of the first point 8 px, 2 µm, beside its centre
    joined = BoxesCodec().decode(output, MPP, threshold=None)
    assert joined.instances is not None
    assert np.array_equal(joined.instances, instances == 1)
    apart = SMALL.decode(output, MPP, threshold=None)
    assert apart.instances is not None
    assert sorted(np.bincount(apart.instances.ravel())[1:]) == [4, 4, 140]


def test_centres_nearer_than_the_least_distance_are_of_one_nucleus() -> None:
    instances = square((20, 20), (2, 17, 2, 11), (2, 17, 11, 14))
    target = SMALL.encode(annotated(instances), (20, 20), MPP)  # centres 6 px, 1.5 µm, apart
    counts = {
        distance: len(
            replace(SMALL, min_distance_um=distance).decode(outputs_of(target), MPP, threshold=None)
        )
        for distance in (1.0, 2.0)
    }
    assert counts == {1.0: 2, 2.0: 1}


def test_vectors_that_point_out_of_the_image_end_at_its_edge() -> None:
    instances = square((20, 20), (0, 10, 0, 10))
    output = outputs_of(BoxesCodec().encode(annotated(instances), (20, 20), MPP))
    output[1:, :10, :10] = -1000
    nuclei = BoxesCodec().decode(output, MPP, threshold=None)
    assert nuclei.instances is not None
    assert np.array_equal(nuclei.instances, instances)


def test_an_empty_image_has_no_nuclei() -> None:
    maps = BoxesCodec().encode(Annotation.of_points(np.zeros((0, 2))), (8, 9), MPP)
    assert maps.shape == (4, 8, 9)
    assert not maps.any()
    nuclei = BoxesCodec().decode(outputs_of(maps), MPP, threshold=None)
    assert len(nuclei) == 0
    assert nuclei.instances is not None
    assert nuclei.instances.shape == (8, 9)


def test_the_loss_is_cross_entropy_and_smooth_l1() -> None:
    rng = np.random.default_rng(0)
    codec = BoxesCodec(classes=("a", "b"), vector_weight=0.3)
    instances = scattered_discs(1, count=6, size=(20, 24), radius=(3, 5))
    target = codec.encode(annotated(instances, tuple("ababab")[: instances.max()]), (20, 24), MPP)
    output = rng.normal(0, 2, (4, 20, 24))
    weight = (rng.random((20, 24)) > 0.4).astype(np.float64)
    shares = 1 / (1 + np.exp(-output[:2]))
    entropy = -np.where(target[:2] > 0, np.log(shares), np.log(1 - shares)).sum(axis=0)
    apart = np.abs(output[2:] - target[2:4])
    error = np.where(apart < 1, apart**2 / 2, apart - 0.5).sum(axis=0)
    inside = weight * (instances > 0)
    expected = np.sum(weight * entropy) / weight.sum() + 0.3 * np.sum(inside * error) / inside.sum()
    tensors = (torch.tensor(x, dtype=torch.float32)[None] for x in (output, target, weight[None]))
    assert codec.loss(*tensors).tolist() == pytest.approx([expected], rel=1e-5)


def test_the_gradient_is_exactly_zero_where_the_weight_is() -> None:
    generator = torch.Generator().manual_seed(0)
    target = torch.zeros(2, 4, 6, 6)
    target[:, 0, :3], target[:, 3, :3] = 1, 1
    weight = (torch.rand(2, 1, 6, 6, generator=generator) > 0.5).float()
    weight[1] = 0
    output = torch.randn(2, 3, 6, 6, generator=generator)
    output[(weight == 0).expand_as(output)] = torch.inf
    output.requires_grad_(True)
    loss = BoxesCodec().loss(output, target, weight)
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert loss[1] == 0
    assert output.grad is not None
    moved = (weight > 0).expand_as(output) & (torch.arange(3)[:, None, None] == 0)
    moved |= ((weight > 0) & (target[:, -1:] > 0)).expand_as(output)
    assert torch.equal(output.grad != 0, moved)


def test_variants_differ_in_the_foreground_alone() -> None:
    codec = BoxesCodec(foreground=0.05, min_area_um2=1)
    first, *others = codec.variants()
    assert first == codec
    assert [other.foreground for other in others] == [0.3, 0.5, 0.7]
    assert {replace(other, foreground=0.05) for other in others} == {codec}


def test_a_codec_survives_the_card() -> None:
    codec = BoxesCodec(classes=("a", "b"), foreground=0.05, vector_weight=1.0)
    assert build_codec("boxes", **json.loads(json.dumps(asdict(codec)))) == codec


def test_centres_alone_are_refused_with_the_codecs_that_would_do() -> None:
    annotation = Annotation.of_points(np.array([[3, 3]], np.float32))
    with pytest.raises(UserError, match=r"'boxes' learns whole nuclei.*\(proximity, voting or"):
        BoxesCodec().encode(annotation, (8, 8), MPP)


@pytest.mark.parametrize(
    "flat",
    [box(5, 3, 5, 9), box(5, 3, 9, 3), box(5, 3, 5, 3), LineString([(1, 1), (4, 4)])],
)
def test_a_box_of_zero_size_is_refused(flat: Polygon) -> None:
    annotation = Annotation([[14, 14], [5, 6]], ("", ""), outlines=(Point(14, 14).buffer(4), flat))
    with pytest.raises(
        UserError, match=r"nucleus at x 5, y 6 has a width or height of 0 .* draw it anew or delete"
    ):
        BoxesCodec().encode(annotation, (20, 20), MPP)


def test_a_small_box_is_not_refused() -> None:
    annotation = Annotation([[5, 6]], ("",), outlines=(box(4.9, 5.9, 5.1, 6.1),))
    assert BoxesCodec().encode(annotation, (20, 20), MPP)[0].sum() == 1


def test_an_unknown_class_is_refused() -> None:
    annotation = annotated(square((9, 9), (2, 6, 2, 6)), ("strma",))
    with pytest.raises(UserError, match=r"'strma', which is not one of .* Did you mean 'stroma'"):
        BoxesCodec(classes=("tumour", "stroma")).encode(annotation, (9, 9), MPP)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"min_distance_um": 0}, "'min_distance_um' .* above 0, but got 0"),
        ({"min_area_um2": -1}, "'min_area_um2' .* at least 0, but got -1"),
        ({"foreground": "half"}, "'foreground' .* but got 'half'"),
        ({"vector_weight": float("nan")}, "'vector_weight' .* but got nan"),
        ({"classes": []}, "'classes' .* each class once"),
        ({"radius_um": 3}, "no option 'radius_um'"),
    ],
)
def test_a_wrong_value_is_refused_in_one_sentence(
    options: dict[str, object], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        build_codec("boxes", **options)


def test_maps_that_are_not_finite_are_refused() -> None:
    output = np.zeros((3, 5, 5), np.float32)
    output[1, 2, 2] = np.nan
    with pytest.raises(NotFiniteMapsError, match="weights are broken"):
        BoxesCodec().decode(output, MPP, threshold=None)
