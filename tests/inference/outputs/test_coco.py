"""COCO JSON: the records of the other writer, and holes without run lengths."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import shapely
from drawn_instances import scattered_discs
from inference.outputs.found_nuclei import (
    CLASSES,
    EMPTY,
    facts,
    found_instances,
    found_outlines,
    found_points,
)
from pycocotools import mask as run_lengths

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.filling import filled_outlines
from transfer_kit.data.formats import AnnotationSource, ImageInfo, read_annotation
from transfer_kit.data.formats import write_coco as write_whole
from transfer_kit.inference.outputs.coco import without_holes, write_coco

IMAGE = ImageInfo("slide.svs", Path("slide.svs"), 90, 110)


def annotation_of(found):
    outlines = () if found.outlines is None else tuple(found.outlines)
    return Annotation(found.points, tuple(CLASSES[kind] for kind in found.kinds), outlines=outlines)


def read_back(path):
    return read_annotation(AnnotationSource("coco", (path,)), IMAGE)


@pytest.mark.parametrize("found", [found_points(30), found_instances(scattered_discs(0))])
def test_the_records_are_those_of_the_writer_of_whole_datasets(tmp_path, found):
    write_coco(tmp_path / "a.json", found, facts())
    write_whole(tmp_path / "b.json", [(IMAGE, annotation_of(found))])
    ours, theirs = (json.loads((tmp_path / name).read_text()) for name in ("a.json", "b.json"))
    scores = [record.pop("score") for record in ours["annotations"]]
    assert np.array_equal(np.array(scores, np.float32), found.scores)
    assert ours.pop("info")["model"] == "breast"
    assert ours == theirs


def test_outlines_with_holes_and_pieces_come_back(tmp_path):
    found, _ = found_outlines()
    write_coco(tmp_path / "a.json", found, facts())
    again = read_back(tmp_path / "a.json")
    assert np.array_equal(again.points, found.points)
    assert again.classes == annotation_of(found).classes
    filled = filled_outlines(again, (90, 110))
    assert np.array_equal(filled, filled_outlines(annotation_of(found), (90, 110)))


def test_cocos_own_tools_count_the_pixels_of_a_nucleus_with_a_hole(tmp_path):
    instances = np.zeros((90, 110), np.int32)
    instances[20:40, 20:40], instances[25:30, 25:36] = 1, 0
    write_coco(tmp_path / "a.json", found_instances(instances), facts())
    (record,) = json.loads((tmp_path / "a.json").read_text())["annotations"]
    packed = run_lengths.frPyObjects(record["segmentation"], 90, 110)
    assert run_lengths.decode(packed).any(axis=2).sum() == 20 * 20 - 5 * 11 == record["area"]


@pytest.mark.parametrize("seed", range(5))
def test_polygons_without_holes_cover_the_same(seed):
    rng = np.random.default_rng(seed)
    disc = shapely.Point(0, 0).buffer(20)
    holes = shapely.union_all(shapely.buffer(shapely.points(rng.uniform(-14, 14, (6, 2))), 2.3))
    part = disc.difference(holes)
    solid = without_holes(part)
    assert all(len(polygon.interiors) == 0 for polygon in solid)
    assert sum(polygon.area for polygon in solid) == pytest.approx(part.area)
    assert shapely.union_all(solid).symmetric_difference(part).area == pytest.approx(0, abs=1e-9)


def test_a_hole_narrower_than_a_pixel_is_cut_too():
    square = shapely.box(0, 0, 10, 10).difference(shapely.box(4.1, 4, 4.2, 6))
    assert sum(polygon.area for polygon in without_holes(square)) == pytest.approx(99.8)


def test_no_nuclei_leave_the_image_and_the_categories(tmp_path):
    write_coco(tmp_path / "a.json", EMPTY, facts())
    document = json.loads((tmp_path / "a.json").read_text())
    assert document["annotations"] == []
    assert {category["name"] for category in document["categories"]} == set(CLASSES)
    assert len(read_back(tmp_path / "a.json")) == 0
