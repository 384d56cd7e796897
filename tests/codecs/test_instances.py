from __future__ import annotations

import numpy as np
import pytest
import shapely
from drawn_instances import annotated, scattered_discs

from transfer_kit.codecs import build_codec
from transfer_kit.codecs.instances import class_map, instance_map, nuclei_of
from transfer_kit.data.annotation import Annotation
from transfer_kit.errors import UserError

WHOLE_NUCLEI = ["distance", "semantic"]


def test_outlines_are_filled_where_there_is_no_map() -> None:
    outlines = (shapely.box(0.5, 1.5, 4.5, 3.5), shapely.box(6.5, 0.5, 8.5, 2.5))
    annotation = Annotation([[2.5, 2.5], [7.5, 1.5]], ("", ""), outlines=outlines)
    expected = np.zeros((5, 10), int)
    expected[2:4, 1:5], expected[1:3, 7:9] = 1, 2
    assert np.array_equal(instance_map(annotation, (5, 10), codec="distance"), expected)


def test_a_nucleus_that_reaches_in_from_outside_has_its_pixels_inside() -> None:
    outlines = (shapely.box(-6, 0.5, 1.5, 2.5), shapely.box(30, 30, 40, 40))
    annotation = Annotation([[-3, 1], [35, 35]], ("", ""), outlines=outlines)
    filled = instance_map(annotation, (5, 6), codec="distance")
    assert np.argwhere(filled == 1).tolist() == [[1, 0], [1, 1], [2, 0], [2, 1]]
    assert not (filled == 2).any()


def test_of_overlapping_outlines_the_smaller_lies_above() -> None:
    outlines = (shapely.box(2.5, 2.5, 4.5, 4.5), shapely.box(-0.5, -0.5, 8.5, 8.5))
    annotation = Annotation([[3, 3], [4, 4]], ("", ""), outlines=outlines)
    filled = instance_map(annotation, (9, 9), codec="distance")
    assert (filled == 1).sum() == 4
    assert (filled == 2).sum() == 81 - 4


@pytest.mark.parametrize("codec", WHOLE_NUCLEI)
@pytest.mark.parametrize("outlines", [(), (shapely.box(0, 0, 3, 3), None)])
def test_centres_alone_are_refused_with_the_codecs_that_would_do(codec, outlines) -> None:
    annotation = Annotation([[1, 1], [5, 5]], ("", ""), outlines=outlines)
    said = (
        f"The codec '{codec}' learns whole nuclei, but some are annotated by their centre alone; "
        "use a codec that needs points alone (proximity, voting or concentric), or annotate "
        "outlines."
    )
    with pytest.raises(UserError) as caught:
        build_codec(codec).encode(annotation, (16, 16), 0.25)
    assert str(caught.value) == said


@pytest.mark.parametrize("codec", WHOLE_NUCLEI)
def test_an_image_without_nuclei_is_all_background(codec) -> None:
    maps = build_codec(codec).encode(Annotation.of_points(np.zeros((0, 2))), (7, 9), 0.25)
    assert maps.shape == (1, 7, 9)
    assert not maps.any()


@pytest.mark.parametrize("codec", WHOLE_NUCLEI)
def test_a_nucleus_of_an_unknown_class_is_refused_or_background(codec) -> None:
    instances = np.zeros((12, 20), np.int32)
    instances[2:7, 2:7], instances[2:7, 11:16] = 1, 2
    annotation = annotated(instances, ("tumour", "strma"))
    with pytest.raises(UserError, match=r"'strma', which is not one of .* Did you mean 'stroma'"):
        build_codec(codec, classes=["tumour", "stroma"]).encode(annotation, (12, 20), 0.25)
    tolerant = build_codec(codec, classes=["tumour"], ignore_other_classes=True)
    maps = tolerant.encode(annotation, (12, 20), 0.25)
    assert maps[:, 4, 4].max() > 0
    assert not maps[:, :, 9:].any()


def test_a_map_of_another_size_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match=r"instance map is \(5, 5\), but size is \(5, 6\)"):
        instance_map(annotated(np.eye(5, dtype=np.int32)), (5, 6), codec="distance")


def test_the_class_of_each_pixel_is_that_of_its_nucleus() -> None:
    instances = np.array([[1, 1, 0, 2], [3, 0, 0, 2]], np.int32)
    annotation = annotated(instances, ("b", "a", "c"))
    numbered = class_map(annotation, instances, classes=("a", "b", "c"), ignore_others=False)
    assert numbered.tolist() == [[2, 2, 0, 1], [3, 0, 0, 1]]


def test_nuclei_of_instances_lie_at_centroids_and_are_sorted_by_score() -> None:
    instances = scattered_discs(3)
    count = int(instances.max())
    scores = np.random.default_rng(0).random(count).astype(np.float32)
    heights = np.random.default_rng(1).random((2, *instances.shape)).astype(np.float32)
    nuclei = nuclei_of(instances, scores, heights, ("a", "b"))
    assert np.array_equal(nuclei.scores, np.sort(scores)[::-1])
    for k in range(count):
        pixels = nuclei.instances == k + 1
        old = np.unique(instances[pixels])
        assert len(old) == 1
        assert np.array_equal(pixels, instances == old[0])
        assert scores[old[0] - 1] == nuclei.scores[k]
        assert np.allclose(nuclei.points[k], np.argwhere(pixels)[:, ::-1].mean(axis=0), atol=1e-4)
        assert nuclei.classes[k] == "ab"[int(np.argmax(heights[:, pixels].sum(axis=1)))]
