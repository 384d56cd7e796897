"""COCO JSON: every kind of annotation, faults by id, round trips."""

import json

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as run_lengths
from pycocotools.coco import COCO

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.formats import (
    FORMATS,
    AnnotationSource,
    ImageInfo,
    read_annotation,
    write_coco,
)
from transfer_kit.data.formats.instances import annotation_of_labels
from transfer_kit.errors import UserError

SIZE = (8, 10)


def document(*annotations, **image):
    return {
        "images": [{"id": 1, "file_name": "a.png", "height": 8, "width": 10, **image}],
        "annotations": [{"id": k, "image_id": 1, **a} for k, a in enumerate(annotations, start=1)],
        "categories": [{"id": 5, "name": "tumour"}],
    }


def info(tmp_path, name="a.png"):
    return ImageInfo(name, tmp_path / name, *SIZE)


def read(tmp_path, content, name="a.png"):
    path = tmp_path / "coco.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_annotation(AnnotationSource("coco", (path,)), info(tmp_path, name))


def test_boxes_and_polygons_count_from_the_images_corner(tmp_path):
    """COCO     0     1     2     3     4
                |-----|-----|-----|-----|     a box of four pixels: x 0, width 4, centre 2
    the kit        0     1     2     3        the same: -0.5 to 3.5, centre 1.5
    """  # fmt: skip
    read_ = read(
        tmp_path,
        document(
            {"bbox": [0, 0, 4, 2], "category_id": 5},
            {"segmentation": [[0, 0, 4, 0, 4, 2, 0, 2]], "bbox": [9, 9, 9, 9], "score": 0.5},
            {"segmentation": [[0, 0, 4, 0, 4, 2, 0, 2], [6, 0, 10, 0, 10, 2, 6, 2]]},
        ),
    )
    np.testing.assert_allclose(read_.points, [[1.5, 0.5], [1.5, 0.5], [4.5, 0.5]])
    assert read_.classes == ("tumour", "", "")
    assert read_.outlines[0].bounds == (-0.5, -0.5, 3.5, 1.5)
    assert read_.properties[1] == {"id": 2, "score": 0.5}


def test_keypoints_are_pixel_centres(tmp_path):
    read_ = read(tmp_path, document({"keypoints": [3, 2, 2], "bbox": [0, 0, 0, 0]}))
    np.testing.assert_array_equal(read_.points, [[3, 2]])
    assert read_.outlines == ()


@pytest.mark.parametrize("compressed", [True, False])
def test_run_lengths_make_centres_and_the_instance_map(tmp_path, compressed):
    labels = np.zeros(SIZE, np.int32)
    labels[1:4, 2:5], labels[6, 7:9] = 1, 2
    packed = []
    for k in (1, 2):
        rle = run_lengths.encode(np.asfortranarray(labels == k).astype(np.uint8))
        counts = rle["counts"].decode()
        if not compressed:
            flat = np.concatenate([[0], (labels == k).ravel(order="F"), [2]])
            edges = np.flatnonzero(np.diff(flat) != 0)
            counts = np.diff([0, *edges[:-1], labels.size]).tolist()
            counts = counts if not flat[1] else [0, *counts]
        packed.append({"segmentation": {"size": list(SIZE), "counts": counts}})
    read_ = read(tmp_path, document(*packed))
    np.testing.assert_array_equal(read_.instances, labels)
    np.testing.assert_array_equal(read_.points, [[3, 2], [7.5, 6]])


def test_images_are_told_apart_by_file_name(tmp_path):
    content = document({"bbox": [0, 0, 2, 2]})
    content["images"].append({"id": 2, "file_name": "set/b.jpg"})
    content["annotations"].append({"id": 9, "image_id": 2, "bbox": [4, 4, 2, 2]})
    np.testing.assert_allclose(read(tmp_path, content, "b.png").points, [[4.5, 4.5]])
    np.testing.assert_allclose(read(tmp_path, content, "a.png").points, [[0.5, 0.5]])
    assert FORMATS["coco"].images_of(tmp_path / "coco.json") == {"a.png", "set/b.jpg"}
    with pytest.raises(UserError, match=r"has no entry for c\.png"):
        read(tmp_path, content, "c.png")


RLE = {"size": list(SIZE), "counts": [3, 200]}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (json.dumps(document({"bbox": [0, 0, 1, 1]}))[:-30], "the file is cut short"),
        ("[]", "has no list 'images'"),
        ('{"images": 3}', "has no list 'images'"),
        ({"images": [{"id": 1}]}, "images entry 1 has no sound 'file_name'"),
        (document({"bbox": [0, 0, 1, -1]}), "annotation 1: its box is 1 x -1, below 0"),
        (document({"bbox": [0, 0, 1]}), "annotation 1: its bbox is not"),
        (document({"bbox": [0, float("nan"), 1, 1]}), "annotation 1: nan is no finite number"),
        (document({}), "annotation 1 has neither keypoint, segmentation nor bbox"),
        (document({"bbox": [0, 0, 1, 1], "category_id": 8}), "category 8 is not in the list"),
        (document({"bbox": [0, 0, 1, 1], "iscrowd": 1}), "annotation 1 is a crowd"),
        (document({"segmentation": [[0, 0, 1, 1]]}), "annotation 1: a polygon needs"),
        (document({"segmentation": RLE}), "annotation 1: its run lengths are damaged"),
        (document({"segmentation": {**RLE, "counts": "~~~~"}}), "its run lengths are damaged"),
        (document({"segmentation": {**RLE, "counts": [80]}}), "its mask is empty"),
        (document({"segmentation": {"size": [3, 3], "counts": [9]}}), r"for size \[3, 3\]"),
        (document(height=99), r"says that a\.png is 10 x 99 pixels, but a\.png is 10 x 8"),
    ],
)
def test_faulty_files_name_the_annotation(tmp_path, content, says):
    with pytest.raises(UserError, match=says):
        read(tmp_path, content)


@given(
    arrays(
        np.float32,
        st.tuples(st.integers(1, 9), st.just(2)),
        elements=st.floats(0, 7, width=32, allow_subnormal=False),
    )
)
@settings(max_examples=40, deadline=None)
def test_points_come_back_exactly(tmp_path_factory, points):
    tmp_path = tmp_path_factory.mktemp("c")
    classes = tuple("ab"[k % 2] if k else "" for k in range(len(points)))
    write_coco(tmp_path / "o.json", [(info(tmp_path), Annotation(points, classes))])
    back = FORMATS["coco"].read((tmp_path / "o.json",), info(tmp_path))
    np.testing.assert_array_equal(back.points, points)
    assert back.classes == classes


def test_outlines_maps_and_many_images_come_back(tmp_path):
    labels = np.zeros(SIZE, np.int32)
    labels[1:4, 2:5], labels[6, 7:9] = 1, 2
    mapped = annotation_of_labels(labels, "x")
    ring = shapely.box(0, 0, 7, 7).difference(shapely.box(2, 2, 5, 5))
    outlined = Annotation(
        np.array([[1, 1], [3, 3]], np.float32), ("x", "y"), outlines=(shapely.box(0, 0, 2, 2), ring)
    )
    pairs = [(info(tmp_path, "a.png"), mapped), (info(tmp_path, "b.png"), outlined)]
    path = tmp_path / "o.json"
    write_coco(path, pairs)
    back = FORMATS["coco"].read((path,), pairs[0][0])
    np.testing.assert_array_equal(back.instances, labels)
    np.testing.assert_array_equal(back.points, mapped.points)
    back = FORMATS["coco"].read((path,), pairs[1][0])
    assert back.outlines[0].equals(outlined.outlines[0])
    np.testing.assert_array_equal(back.points, outlined.points)
    assert back.classes == ("x", "y")


def test_pycocotools_reads_what_is_written(tmp_path, capsys):
    labels = np.zeros(SIZE, np.int32)
    labels[1:4, 2:5] = 1
    path = tmp_path / "o.json"
    write_coco(path, [(info(tmp_path), annotation_of_labels(np.kron(labels, 1), "x"))])
    coco = COCO(str(path))
    (record,) = coco.loadAnns(coco.getAnnIds())
    np.testing.assert_array_equal(coco.annToMask(record), labels)
    assert record["bbox"] == [2, 1, 3, 3]
