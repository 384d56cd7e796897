"""The Groovy scripts for QuPath: their fixed words are the kit's, and they do what they say.

QuPath itself is not here. Where Groovy 4 is (QuPath's own version; on the PATH, or its jars in the
folder GROOVY_JARS), the scripts run with a stand-in for the parts of QuPath that they call, whose
signatures are those of QuPath's documentation.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import shapely
from PIL import Image

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.formats import (
    AnnotationSource,
    ImageInfo,
    RegionNames,
    find_annotations,
    read_annotation,
    write_geojson,
)
from transfer_kit.data.images import read_image, read_mpp
from transfer_kit.data.provenance import SCORE, Origin, origins_of

TESTS = Path(__file__).parent
SCRIPTS = TESTS.parent / "examples" / "qupath"
STAND_IN = TESTS / "qupath_stand_in"
NAMES = sorted(path.name for path in SCRIPTS.glob("*.groovy"))
PAIRS = {")": "(", "]": "[", "}": "{"}


def source(name):
    return (SCRIPTS / name).read_text(encoding="utf-8")


def code_of(text):
    """The script without comments, texts and patterns, each of which must end."""
    tokens = r"/\*.*?\*/|//[^\n]*|'(?:\\.|[^'\\\n])*'|\"(?:\\.|[^\"\\\n])*\"|\(/(?:\\.|[^/\n])+/,"
    return re.sub(tokens, lambda found: "(," if found[0].startswith("(") else "", text, flags=re.S)


def test_both_scripts_are_there():
    assert NAMES == ["export_labels.groovy", "import_detections.groovy"]


@pytest.mark.parametrize("name", NAMES)
def test_brackets_and_texts_are_closed(name):
    code = code_of(source(name))
    assert "'" not in code
    assert '"' not in code
    assert "*/" not in code
    opened = []
    for sign in re.findall(r"[()\[\]{}]", code):
        if sign in PAIRS:
            assert opened.pop() == PAIRS[sign]
        else:
            opened.append(sign)
    assert opened == []


def test_the_classes_of_areas_are_the_kits():
    text = source("export_labels.groovy")
    listed = re.search(r"^LABELLED = \[(.*)\]$", text, flags=re.M)[1]
    assert tuple(re.findall(r"'([^']*)'", listed)) == RegionNames().labelled
    assert re.search(r"^REGION_PREFIX = '(.*)'$", text, flags=re.M)[1] == RegionNames().prefix


def test_the_measurement_and_the_suffix_are_the_kits():
    assert (
        re.search(r"^SCORE = '(.*)'$", source("import_detections.groovy"), flags=re.M)[1] == SCORE
    )
    for name in NAMES:
        assert ".geojson" in source(name)
    assert "'annotations'" in source("export_labels.groovy")


def test_what_it_calls_a_stem_is_what_the_kit_pairs_by(tmp_path):
    """`a.ome.tif` is `a.ome` to both; the pattern is the same in both scripts."""
    patterns = {re.search(r"replaceFirst\(/(.*)/, ''\)", source(name))[1] for name in NAMES}
    (pattern,) = patterns
    for name in ("a.png", "a.ome.tif", "case 1.b.jpeg", "A-1.tiff"):
        stem = re.sub(pattern, "", name, count=1)
        (tmp_path / f"{stem}.geojson").write_text("[]")
        Image.new("RGB", (8, 8)).save(tmp_path / "x.png")
        (tmp_path / "x.png").rename(tmp_path / name)
        found = find_annotations(tmp_path, [tmp_path / name])
        assert found[tmp_path / name].paths == (tmp_path / f"{stem}.geojson",)


@cache
def groovy():
    """How to start Groovy; None where there is none that works, of QuPath's version."""
    java, jars = shutil.which("java"), os.environ.get("GROOVY_JARS")
    command = ["groovy"]
    if java and jars:
        command = [
            java,
            "-cp",
            os.pathsep.join([f"{jars}/*", str(STAND_IN)]),
            "groovy.ui.GroovyMain",
        ]
    try:
        told = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
    except OSError:
        return None
    version = re.search(r"Groovy Version: (\d+)", told.stdout)
    return command if version and int(version[1]) >= 4 else None


def run(script, tmp_path, **changes):
    """The script on the one image of a project; what it printed, and the objects then there."""
    text = source(script)
    for name, value in changes.items():
        text, count = re.subn(rf"^{name} = .*$", f"{name} = {value}", text, flags=re.M)
        assert count == 1
    (tmp_path / script).write_text(text, encoding="utf-8")
    result = tmp_path / "result.json"
    done = subprocess.run(
        [*groovy(), "-cp", str(STAND_IN), str(tmp_path / script)],
        env={
            **os.environ,
            "STAND_IN_IMAGE": str(tmp_path / "slide.ome.png"),
            "STAND_IN_OBJECTS": str(tmp_path / "objects.json"),
            "STAND_IN_PROJECT": str(tmp_path / "project"),
            "STAND_IN_RESULT": str(result),
            "STAND_IN_MPP": "0.2527",
            "LC_ALL": "C.UTF-8",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads(result.read_text(encoding="utf-8"))["features"]


@pytest.fixture
def project(tmp_path):
    """An image whose colours tell the place, and its objects."""
    if groovy() is None:
        pytest.skip("no Groovy 4: install it, or set GROOVY_JARS to the folder of its jars")
    rows, columns = np.mgrid[0:90, 0:120].astype(np.uint8)
    pixels = np.stack([rows, columns, rows ^ columns], axis=-1)
    Image.fromarray(pixels).save(tmp_path / "slide.ome.png")
    (tmp_path / "project").mkdir()
    labels = Annotation(
        np.float32([[40, 30], [50, 40], [100, 80]]),
        ("Tumor", "", ""),
        outlines=(shapely.box(36.5, 26.5, 43.5, 33.5), None, None),
        labelled_regions=(shapely.box(19.5, 9.5, 69.5, 59.5),),
        region_labels=(("tumour", shapely.box(0, 0, 30, 30)),),
    )
    write_geojson(tmp_path / "objects.json", labels)
    document = json.loads((tmp_path / "objects.json").read_text())
    several = {"type": "MultiPoint", "coordinates": [[30.5, 20.5], [110.5, 20.5]]}
    document["features"] += [
        {"type": "Feature", "geometry": several, "properties": {"objectType": "annotation"}},
        {**document["features"][0], "properties": {"objectType": "tile"}},
    ]
    (tmp_path / "objects.json").write_text(json.dumps(document))
    return tmp_path


def read(path, image):
    return read_annotation(AnnotationSource("geojson", (path,)), ImageInfo.of(image))


def test_all_labels_of_an_image_are_exported_beside_its_name(project):
    before = json.loads((project / "objects.json").read_text())["features"]
    said, _ = run("export_labels.groovy", project)
    assert said == "slide.ome: 6 objects, 1 labelled regions\n"
    path = project / "project" / "labels" / "annotations" / "slide.ome.geojson"
    exported = json.loads(path.read_text())["features"]
    assert [f for f in before if f["properties"]["objectType"] != "tile"] == sorted(
        exported, key=before.index
    )
    annotation = read(path, project / "slide.ome.png")
    assert len(annotation) == 5
    assert len(annotation.labelled_regions) == 1


def test_a_labelled_region_becomes_an_image_with_its_labels_and_scale(project):
    said, _ = run("export_labels.groovy", project, TILES="true")
    assert said == "slide.ome-1: 5 objects, 0.2527 µm per pixel\n"
    labels = project / "project" / "labels"
    image = labels / "images" / "slide.ome-1.png"
    whole = read_image(project / "slide.ome.png")
    assert np.array_equal(read_image(image), whole[10:60, 20:70])
    assert read_mpp(image) == pytest.approx(0.2527, rel=1e-6)
    annotation = read(labels / "annotations" / "slide.ome-1.geojson", image)
    # Those at (100, 80) and (110, 20) are outside; 40 - 20 and 30 - 10 and so on.
    np.testing.assert_array_equal(
        sorted(annotation.points.tolist()), [[10, 10], [20, 20], [30, 30]]
    )
    assert annotation.labelled_regions[0].bounds == (-0.5, -0.5, 49.5, 49.5)
    assert [name for name, _ in annotation.region_labels] == ["tumour"]


def found(points, **options):
    return Annotation(np.float32(points), ("Tumor",) * len(points), **options)


def test_detections_come_onto_the_image_of_their_name_and_replace_older_ones(project):
    path = project / "project" / "found" / "slide.ome.geojson"
    for points in ([[5, 5]], [[10, 10], [20, 20], [30, 30]]):
        write_geojson(path, found(points), scores=[0.9, 0.2, 0.8][: len(points)], model="m")
        said, objects = run("import_detections.groovy", project, LOWEST_SCORE="0.5")
        (project / "objects.json").write_text(
            json.dumps({"type": "FeatureCollection", "features": objects})
        )
    assert said == "slide.ome.png: 2 objects from slide.ome.geojson\n"
    written = json.loads(path.read_text())["features"]
    scored = [f for f in objects if SCORE in f["properties"].get("measurements", {})]
    assert scored == [written[0], written[2]]
    assert len(objects) == 7 + 2


def test_parts_are_read_together_and_the_loop_knows_its_own_detections(project):
    folder = project / "project" / "found"
    for number, points in enumerate(([[10, 10]], [[20, 20]]), start=1):
        path = folder / f"slide.ome-{number:03d}.geojson"
        write_geojson(path, found(points), scores=[0.9], model="m")
    write_geojson(folder / "slide.ome-12.geojson", found([[1, 1]]))  # another image's
    said, _ = run("import_detections.groovy", project)
    assert "2 objects from slide.ome-001.geojson, slide.ome-002.geojson" in said
    shutil.copy(project / "result.json", project / "objects.json")
    run("export_labels.groovy", project)
    path = project / "project" / "labels" / "annotations" / "slide.ome.geojson"
    origins = origins_of(read(path, project / "slide.ome.png"))
    assert origins.count(Origin("model", "m")) == 2


def test_without_a_file_of_the_image_s_name_nothing_is_changed(project):
    before = json.loads((project / "objects.json").read_text())["features"]
    said, objects = run("import_detections.groovy", project)
    assert said.startswith("slide.ome.png: no slide.ome.geojson in ")
    assert objects == before
