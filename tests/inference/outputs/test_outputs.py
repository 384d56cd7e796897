"""All formats by name: what they share."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from inference.outputs.drawn_slide import DrawnSlide
from inference.outputs.found_nuclei import (
    EMPTY,
    EMPTY_OUTLINES,
    NOTHING,
    facts,
    found_outlines,
    found_points,
)

from transfer_kit.errors import UserError
from transfer_kit.inference.outputs import OUTPUTS, Extras, outputs_named, write_outputs

SLIDE = DrawnSlide(np.full((90, 110, 3), 200, np.uint8))
PACKAGES = {"anndata": "anndata", "spatialdata": "spatialdata"}


def available(name):
    if name in PACKAGES:
        pytest.importorskip(PACKAGES[name], reason="the extra [spatial] is not installed")
    return OUTPUTS[name]


def test_formats_are_found_by_name_in_the_order_given():
    assert list(outputs_named(["parquet", "geojson", "parquet"])) == ["parquet", "geojson"]


def test_an_unknown_format_is_refused_with_the_nearest_before_anything_is_written(tmp_path):
    with pytest.raises(UserError, match=r"There is no output 'geojsn'\. Did you mean 'geojson'\?"):
        write_outputs(["csv", "geojsn"], tmp_path, "a", EMPTY, NOTHING)
    assert list(tmp_path.iterdir()) == []


def test_no_two_formats_write_the_same_file_and_each_has_a_line_of_help():
    assert len({output.suffix for output in OUTPUTS.values()}) == len(OUTPUTS)
    assert all(0 < len(output.about) < 70 for output in OUTPUTS.values())


@pytest.mark.parametrize("name", OUTPUTS)
@pytest.mark.parametrize(
    ("found", "slide_facts"), [(EMPTY, facts()), (EMPTY_OUTLINES, facts()), (EMPTY, NOTHING)]
)
def test_no_nuclei_are_a_file_too(tmp_path, name, found, slide_facts):
    available(name)
    (path,) = write_outputs([name], tmp_path, "a", found, slide_facts, Extras(slide=SLIDE))
    assert [path] == list(tmp_path.iterdir())
    assert path.is_dir() or path.stat().st_size


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_file_is_the_same_each_time(tmp_path, name):
    available(name)
    if name in ("spatialdata", "density"):
        pytest.skip("holds a random id or the time, by its format")
    found, _ = found_outlines()
    extras = Extras(slide=SLIDE, mitosis="tumour")
    first, again = (
        write_outputs([name], tmp_path / folder, "a", found, facts(), extras)[0].read_bytes()
        for folder in ("one", "two")
    )
    assert first == again


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
@pytest.mark.parametrize("name", [name for name in OUTPUTS if name != "spatialdata"])
def test_a_full_disk_is_one_sentence_and_leaves_the_earlier_file(tmp_path, name):
    """The temporary file is a link to a device on which every write fails, as on a full disk."""
    output = available(name)
    path = tmp_path / f"a{output.suffix}"
    path.write_text("earlier")
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    temporary.symlink_to("/dev/full")
    with pytest.raises(UserError, match="No space is left to write"):
        output.write(path, found_points(3_000), facts(), Extras(slide=SLIDE))
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == "earlier"


def test_extras_reach_their_formats(tmp_path):
    extras = Extras(features_per_file=20, mitosis="tumour", slide=SLIDE)
    names = ["geojson", "summary", "overlay"]
    written = write_outputs(names, tmp_path, "a", found_points(50), facts(), extras)
    assert [path.name for path in written] == [
        "a-001.geojson", "a-002.geojson", "a-003.geojson", "a-summary.json", "a-overlay.png",
    ]  # fmt: skip
    assert '"hottest": {' in written[3].read_text()


def test_an_overlay_needs_the_slide(tmp_path):
    with pytest.raises(ValueError, match="needs the open slide"):
        write_outputs(["overlay"], tmp_path, "a", EMPTY, facts())
