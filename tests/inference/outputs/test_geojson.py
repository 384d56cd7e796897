"""GeoJSON as it streams: what the writer of whole documents gives, in little memory."""

from __future__ import annotations

import errno
import json
import tracemalloc
import uuid

import numpy as np
import pytest
from drawn_instances import scattered_discs
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from inference.outputs.found_nuclei import (
    EMPTY,
    facts,
    found_instances,
    found_outlines,
    found_points,
)

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.filling import instances_of
from transfer_kit.data.formats import AnnotationSource, ImageInfo, read_annotation
from transfer_kit.data.formats import write_geojson as write_geojson_at_once
from transfer_kit.errors import UserError
from transfer_kit.inference.found import FoundNuclei
from transfer_kit.inference.outputs import geojson
from transfer_kit.inference.outputs.geojson import write_geojson


def read_back(path):
    image = ImageInfo("a.png", path.with_name("a.png"), 1 << 18, 1 << 18)
    return read_annotation(AnnotationSource("geojson", (path,)), image)


def features(path):
    return json.loads(path.read_text(encoding="utf-8"))["features"]


def scores_of(path):
    return [f["properties"]["measurements"]["Detection score"] for f in features(path)]


def class_names(found):
    return tuple(found.classes[kind] for kind in found.kinds)


def annotation_of(found):
    outlines = () if found.outlines is None else tuple(found.outlines)
    return Annotation(found.points, class_names(found), outlines=outlines)


def write_at_once(path, found, model="breast"):
    scores = found.scores.tolist()
    write_geojson_at_once(path, annotation_of(found), scores=scores, model=model)


coordinates = st.floats(0, 200_000, width=32).filter(lambda v: v == 0 or v > 1e-6)


@settings(max_examples=40, deadline=None)
@given(data=st.data(), count=st.integers(0, 6))
def test_points_classes_and_scores_come_back_exactly(tmp_path_factory, data, count):
    path = tmp_path_factory.mktemp("g") / "a.geojson"
    points = data.draw(arrays(np.float32, (count, 2), elements=coordinates))
    scores = data.draw(arrays(np.float32, count, elements=st.floats(0, 2, width=32)))
    kinds = data.draw(arrays(np.uint16, count, elements=st.integers(0, 1)))
    names = data.draw(st.tuples(st.text(max_size=5).map(lambda t: f"a{t}"), st.just("")))
    write_geojson(path, FoundNuclei(points, scores, kinds, names), facts())
    again = read_back(path)
    assert np.array_equal(again.points, points)
    assert again.classes == tuple(names[kind] for kind in kinds)
    assert np.array_equal(np.array(scores_of(path), np.float32), scores)


@pytest.mark.parametrize("seed", range(2))
def test_whole_nuclei_come_back_as_they_were(tmp_path, seed):
    instances = scattered_discs(seed, count=40)
    found = found_instances(instances)
    write_geojson(tmp_path / "a.geojson", found, facts())
    again = read_back(tmp_path / "a.geojson")
    assert np.array_equal(again.points, found.points)
    assert np.array_equal(instances_of(again, instances.shape), instances)
    assert again.classes == class_names(found)


@pytest.mark.parametrize("found", [found_points(50), found_outlines()[0], EMPTY])
@pytest.mark.parametrize(("chunk", "model"), [(7, 'a "b" ä'), (5_000, "")])
def test_the_document_is_that_of_the_writer_of_whole_ones(
    tmp_path, monkeypatch, found, chunk, model
):
    monkeypatch.setattr(geojson, "_CHUNK", chunk)
    write_geojson(tmp_path / "a.geojson", found, facts(model=model))
    write_at_once(tmp_path / "b.geojson", found, model)
    assert (tmp_path / "a.geojson").read_bytes() == (tmp_path / "b.geojson").read_bytes()


def test_nuclei_that_are_equal_in_all_get_ids_of_their_own_as_before(tmp_path, monkeypatch):
    monkeypatch.setattr(geojson, "_CHUNK", 4)
    points = np.array([[3, 4], [1, 1], [3, 4], [3, 4], [-0.0, 0], [0, 0]], np.float32)
    found = FoundNuclei(points, np.ones(6, np.float32), np.zeros(6, np.uint16), ("a",))
    write_geojson(tmp_path / "a.geojson", found, facts())
    ids = [feature["id"] for feature in features(tmp_path / "a.geojson")]
    assert len(set(ids)) == 6
    assert all(uuid.UUID(identifier).version == 5 for identifier in ids)
    write_at_once(tmp_path / "b.geojson", found)
    assert ids == [feature["id"] for feature in features(tmp_path / "b.geojson")]


def test_corners_of_pixels_are_integers_in_qupath(tmp_path):
    """QuPath's numbers lie on the grid lines.

    Two pixels, (3, 2) and (4, 2), are the box from 3 to 5 and from 2 to 3.
    """
    instances = np.zeros((8, 9), np.int32)
    instances[2, 3:5] = 1
    found = found_instances(instances, classes=("tumour",))
    write_geojson(tmp_path / "a.geojson", found, facts((8, 9)))
    (feature,) = features(tmp_path / "a.geojson")
    corners = {tuple(corner) for corner in feature["geometry"]["coordinates"][0]}
    assert corners == {(3, 2), (5, 2), (5, 3), (3, 3)}
    assert feature["properties"]["objectType"] == "detection"
    assert feature["properties"]["classification"]["name"] == "tumour"
    # This one's centre is not its centroid (3.5, 2), so it is told.
    assert feature["properties"]["measurements"]["Centre X px"] == 3.75 + 0.5


def test_corners_between_pixels_are_written_in_full(tmp_path):
    found, _ = found_outlines()
    drawn = [o if o is None else o.buffer(0.3) for o in found.outlines]
    found.outlines[:] = drawn
    write_geojson(tmp_path / "a.geojson", found, facts())
    write_at_once(tmp_path / "b.geojson", found)
    assert (tmp_path / "a.geojson").read_bytes() == (tmp_path / "b.geojson").read_bytes()


@pytest.mark.parametrize("count", [0, 1, 10, 11])
def test_parts_hold_all_features_in_order(tmp_path, count):
    found = found_points(count)
    parts = write_geojson(tmp_path / "a.geojson", found, facts(), features_per_file=5)
    assert [part.name for part in parts] == [
        f"a-{k:03}.geojson" for k in range(1, max(-(-count // 5), 1) + 1)
    ]
    write_geojson(tmp_path / "a.geojson", found, facts())
    whole = features(tmp_path / "a.geojson")
    assert [f for part in parts for f in features(part)] == whole
    assert all(len(features(part)) <= 5 for part in parts)


def test_fewer_parts_leave_none_of_an_earlier_call(tmp_path):
    for name in ("a-b.geojson", "a-12.geojson", "ab-004.geojson", "a-004.csv"):
        (tmp_path / name).write_text("mine")
    write_geojson(tmp_path / "a.geojson", found_points(20), facts(), features_per_file=5)
    write_geojson(tmp_path / "a.geojson", found_points(6), facts(), features_per_file=5)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "a-001.geojson", "a-002.geojson", "a-004.csv", "a-12.geojson", "a-b.geojson",
        "ab-004.geojson",
    ]  # fmt: skip


def test_a_disk_that_fills_up_in_the_second_part_leaves_the_earlier_files(tmp_path, monkeypatch):
    write_geojson(tmp_path / "a.geojson", found_points(12), facts(), features_per_file=5)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    between = geojson._Features.between

    def full(self, start, stop):
        yield from between(self, start, stop)
        if start:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(geojson._Features, "between", full)
    with pytest.raises(UserError, match="No space is left"):
        write_geojson(tmp_path / "a.geojson", found_points(9, seed=1), facts(), features_per_file=5)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_memory_does_not_grow_with_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(geojson, "_CHUNK", 500)
    found = found_points(10_000, size=(50_000, 50_000))
    tracemalloc.start()
    write_geojson(tmp_path / "a.geojson", found, facts())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "a.geojson").stat().st_size > 3e6
    assert peak < 1.5e6


def test_a_file_of_no_features_is_refused(tmp_path):
    with pytest.raises(ValueError, match="features_per_file=0"):
        write_geojson(tmp_path / "a.geojson", EMPTY, facts(), features_per_file=0)
