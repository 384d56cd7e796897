from __future__ import annotations

import json

import numpy as np
import pytest
from drawn_instances import annotated, scattered_discs
from PIL import Image
from toy import toy_detector

from transfer_kit.data.filling import instances_of
from transfer_kit.data.formats import AnnotationSource, ImageInfo, read_annotation
from transfer_kit.data.nuclei import Nuclei
from transfer_kit.inference import write_nuclei


def nuclei_in(instances, classes=("",)):
    points = annotated(instances).points
    count = len(points)
    scores = np.linspace(0.99, 0.5, count, dtype=np.float32)
    return Nuclei(points, scores, tuple(classes[k % len(classes)] for k in range(count)), instances)


def write_geojson(folder, nuclei):
    """As of an image in memory."""
    height, width = (20, 30) if nuclei.instances is None else nuclei.instances.shape
    image, classes = np.zeros((height, width, 3), np.uint8), tuple(sorted(set(nuclei.classes)))
    detector = toy_detector(classes=classes)
    return write_nuclei(
        ["geojson", "csv"], folder, "a", nuclei, detector=detector, image=image, mpp=0.5
    )


def features(path):
    return json.loads(path.read_text(encoding="utf-8"))["features"]


def read_back(path, size):
    """As `data add` reads it: the format found by looking, the image by its name."""
    image = path.with_suffix(".png")
    Image.fromarray(np.zeros((*size, 3), np.uint8)).save(image)
    return read_annotation(AnnotationSource("geojson", (path,)), ImageInfo.of(image))


@pytest.mark.parametrize("seed", range(2))
def test_whole_nuclei_come_back_as_they_were(tmp_path, seed):
    instances = scattered_discs(seed, count=40)
    nuclei = nuclei_in(instances, classes=("tumour", ""))
    write_geojson(tmp_path, nuclei)
    again = read_back(tmp_path / "a.geojson", instances.shape)
    assert np.array_equal(again.points, nuclei.points)
    assert again.classes == nuclei.classes
    assert np.array_equal(instances_of(again, instances.shape), instances)


def test_holes_and_pieces_come_back_too(tmp_path):
    instances = np.zeros((20, 30), np.int32)
    instances[2:10, 2:10], instances[4:6, 4:7] = 1, 0
    instances[12:15, 12:16] = instances[15:18, 16:20] = instances[2:4, 25:28] = 2
    nuclei = nuclei_in(instances)
    write_geojson(tmp_path, nuclei)
    again = read_back(tmp_path / "a.geojson", instances.shape)
    assert len(again) == 2
    assert np.array_equal(again.points, nuclei.points)
    assert np.array_equal(instances_of(again, instances.shape), instances)


def test_qupath_gets_detections_with_polygons_scores_and_corners_at_integers(tmp_path):
    instances = np.zeros((8, 9), np.int32)
    instances[2:4, 3:6] = 1
    write_geojson(tmp_path, nuclei_in(instances))
    (feature,) = features(tmp_path / "a.geojson")
    assert feature["properties"]["objectType"] == "detection"
    assert feature["properties"]["measurements"]["Detection score"] == pytest.approx(0.99)
    assert feature["geometry"]["type"] == "Polygon"
    corners = {tuple(corner) for corner in feature["geometry"]["coordinates"][0]}
    assert corners == {(3, 2), (6, 2), (6, 4), (3, 4)}


def test_a_nucleus_without_a_pixel_left_is_a_point(tmp_path):
    instances = np.zeros((8, 9), np.int32)
    instances[2:4, 3:6] = 1
    nuclei = Nuclei([[4, 2.5], [7, 7]], [0.9, 0.4], ("", ""), instances)
    write_geojson(tmp_path, nuclei)
    kinds = [feature["geometry"]["type"] for feature in features(tmp_path / "a.geojson")]
    assert kinds == ["Polygon", "Point"]
    assert np.array_equal(read_back(tmp_path / "a.geojson", (8, 9)).points, nuclei.points)


def test_centres_alone_stay_points(tmp_path):
    nuclei = Nuclei([[4.25, 2.5]], [0.9], ("a",))
    write_geojson(tmp_path, nuclei)
    (feature,) = features(tmp_path / "a.geojson")
    assert feature["geometry"] == {"type": "Point", "coordinates": [4.75, 3.0]}
