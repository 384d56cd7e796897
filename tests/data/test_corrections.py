"""Labels beside the predictions that they began as."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace

import numpy as np
import pytest
import shapely
from PIL import Image

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.corrections import compare, note_corrections
from transfer_kit.data.formats import AnnotationSource, write_geojson
from transfer_kit.data.provenance import Origin, origins_of
from transfer_kit.data.sample import Sample
from transfer_kit.errors import UserError

MPP = 0.25
UNCHANGED, CORRECTED = Origin("model", "m"), Origin("corrected", "m")


def detected(points, classes=None, ids=None, **fields):
    classes = classes or ("",) * len(points)
    said = [
        {"origin": "model: m", "geojson": {"id": str(uuid.UUID(int=i))} if ids else {}}
        for i in ids or range(len(points))
    ]
    return Annotation(np.float32(points), tuple(classes), properties=tuple(said), **fields)


def labelled(points, classes=None, ids=None, **fields):
    """As they come back: whatever said where they came from is lost."""
    found = detected(points, classes, ids, **fields)
    bare = tuple({"geojson": p["geojson"]} for p in found.properties)
    return replace(found, properties=bare)


def verdicts(labels, predicted, **options):
    return compare(labels, predicted, mpp=options.get("mpp", MPP))


def test_left_moved_added_and_deleted():
    """2 µm are 8 px: a move by 7 px is one, 9 px away is another nucleus."""
    predicted = detected([[10, 10], [100, 100], [200, 200], [300, 300]])
    found = verdicts(labelled([[10.4, 10], [107, 100], [209, 200]]), predicted)
    assert [str(origin) for origin in found.origins] == ["model: m", "corrected: m", "person"]
    assert found.deleted == 2


def test_by_their_ids_they_are_known_however_far_they_went():
    predicted = detected([[10, 10], [50, 50]], ids=[1, 2])
    found = verdicts(labelled([[50, 50], [400, 400]], ids=[2, 1]), predicted)
    assert found.origins == (UNCHANGED, CORRECTED)
    assert found.deleted == 0


def test_another_class_is_a_correction():
    predicted = detected([[10, 10], [50, 50]], ("Tumor", "Tumor"))
    found = verdicts(labelled([[10, 10], [50, 50]], ("Tumor", "Stroma")), predicted)
    assert found.origins == (UNCHANGED, CORRECTED)


def test_another_outline_is_a_correction():
    square, grown = shapely.box(5, 5, 15, 15), shapely.box(4, 4, 16, 16)
    predicted = detected([[10, 10]], outlines=(square,))
    rounded = shapely.transform(square, lambda corners: corners + 0.004)
    for outline, expected in ((square, UNCHANGED), (rounded, UNCHANGED), (grown, CORRECTED)):
        assert verdicts(labelled([[10, 10]], outlines=(outline,)), predicted).origins == (expected,)
    assert verdicts(labelled([[10, 10]]), predicted).origins == (CORRECTED,)


def test_the_nearest_pair_comes_first_and_each_prediction_has_one_label():
    predicted = detected([[10, 10], [20, 10]])
    found = verdicts(labelled([[13, 10], [14, 10], [18, 10]]), predicted)
    # 18 is nearest to 20, then 13 to 10; 14 has none left.
    assert found.origins == (CORRECTED, Origin("person"), CORRECTED)


def test_the_reach_is_of_micrometres():
    predicted = detected([[10, 10]])
    moved = labelled([[13, 10]])
    assert verdicts(moved, predicted, mpp=0.5).origins == (CORRECTED,)
    assert verdicts(moved, predicted, mpp=1.0).origins == (Origin("person"),)


def test_what_says_that_it_was_corrected_stays_corrected():
    predicted = detected([[10, 10]])
    said = replace(labelled([[10, 10]]), properties=({"origin": "corrected"},))
    assert verdicts(said, predicted).origins == (CORRECTED,)


def test_against_brute_force():
    """Random scenes: each label within 0.5 px of a prediction is its; nothing is given twice."""
    random = np.random.default_rng(4)
    for _ in range(20):
        predicted = random.uniform(0, 400, (60, 2))
        kept = predicted[random.random(60) < 0.7]
        labels = np.concatenate([kept, random.uniform(0, 400, (15, 2))])
        found = verdicts(labelled(labels), detected(predicted))
        distances = np.hypot(*(labels[:, None] - predicted[None]).transpose(2, 0, 1))
        unchanged = [origin.kind == "model" for origin in found.origins]
        assert unchanged == (distances.min(axis=1) <= 0.5).tolist()
        matched = sum(origin.kind != "person" for origin in found.origins)
        assert found.deleted == 60 - matched
        lone = [k for k, origin in enumerate(found.origins) if origin.kind == "person"]
        assert (distances[lone].min(axis=1) > 0.5).all()


@pytest.fixture
def sample(tmp_path):
    """An image with labels, and the predictions in `found/`."""
    Image.fromarray(np.full((200, 200, 3), 200, np.uint8)).save(tmp_path / "a.png")
    predicted = Annotation(np.float32([[10, 10], [100, 100], [150, 20]]), ("A", "A", ""))
    write_geojson(tmp_path / "found" / "a.geojson", predicted, scores=[0.5] * 3, model="m")
    labels = Annotation(
        np.float32([[10, 10], [104, 100], [30, 170]]),
        ("A", "A", "B"),
        labelled_regions=(shapely.box(0, 0, 150, 190),),
    )
    write_geojson(tmp_path / "a.geojson", labels)
    source = AnnotationSource("geojson", (tmp_path / "a.geojson",))
    return Sample("a", "a", tmp_path / "a.png", MPP, source)


def test_each_label_s_origin_is_noted_in_its_file_and_nothing_else_changes(sample, tmp_path):
    path = tmp_path / "a.geojson"
    before = json.loads(path.read_text())["features"]
    found = note_corrections(sample, tmp_path / "found")
    assert found.deleted == 1
    after = json.loads(path.read_text())["features"]
    noted = [f["properties"].pop("origin", None) for f in after]
    assert noted == [None, "model: m", "corrected: m", "person"]
    assert after == before
    assert origins_of(sample.annotation()) == found.origins


def test_a_second_look_writes_nothing_and_says_the_same(sample, tmp_path):
    first = note_corrections(sample, tmp_path / "found")
    before = (tmp_path / "a.geojson").stat().st_mtime_ns
    assert note_corrections(sample, tmp_path / "found") == first
    assert (tmp_path / "a.geojson").stat().st_mtime_ns == before


def test_without_a_prediction_of_the_image_nothing_is_noted(sample, tmp_path):
    (tmp_path / "found" / "a.geojson").rename(tmp_path / "found" / "b.geojson")
    before = (tmp_path / "a.geojson").read_bytes()
    assert note_corrections(sample, tmp_path / "found") is None
    assert (tmp_path / "a.geojson").read_bytes() == before


def test_labels_in_another_format_cannot_say_where_they_came_from(sample, tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n10,10\n")
    with pytest.raises(UserError, match=r"a\.csv is csv, which cannot hold .*; export GeoJSON"):
        note_corrections(
            replace(sample, source=AnnotationSource("csv", (tmp_path / "a.csv",))),
            tmp_path / "found",
        )
