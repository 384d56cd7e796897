from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from toy import lively_detector, toy_image

from transfer_kit.cohorts import search_all, search_one
from transfer_kit.errors import UserError
from transfer_kit.inference.outputs import OUTPUTS
from transfer_kit.inference.predict import SlideTask, look_at, predict_slide
from transfer_kit.inference.records import read_record

MPP = 0.5


def write_slide(path: Path, seed: int = 0, side: int = 160) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), toy_image(seed, side, 30)[0])
    return path


@pytest.fixture
def lab(tmp_path):
    """A detector that finds something, and a task for a slide of its own."""
    weights = lively_detector("proximity", threshold=0.3).save(tmp_path / "model.safetensors")
    slide = write_slide(tmp_path / "slides" / "a.png")
    return SlideTask(slide, tmp_path / "out", weights, mpp=MPP, block_px=100)


def another_model(lab: SlideTask) -> SlideTask:
    other = lively_detector("proximity", seed=1)
    return replace(lab, weights=other.save(lab.weights.with_name("other.safetensors")))


def test_what_is_done_is_not_done_again_and_another_setting_is(lab):
    first = predict_slide(lab)
    assert first.nuclei > 0
    times = {file: (lab.output / file).stat().st_mtime_ns for file in first.files}
    assert predict_slide(lab) == first
    assert times == {file: (lab.output / file).stat().st_mtime_ns for file in first.files}
    (lab.output / first.files[0]).unlink()
    assert predict_slide(lab).files == first.files
    assert (lab.output / first.files[0]).exists()
    assert predict_slide(replace(lab, threshold=9.0)).nuclei == 0


def test_nuclei_of_another_model_are_kept_unless_the_user_says_so(lab):
    before = predict_slide(lab)
    other = another_model(lab)
    with pytest.raises(UserError, match=r"out holds what toy found in a, .*--overwrite"):
        predict_slide(other)
    assert read_record(lab.output, "a") == before
    assert predict_slide(replace(other, overwrite=True)).made_by != before.made_by


def test_tiles_smaller_than_what_the_network_must_see_are_refused(lab):
    with pytest.raises(UserError, match=r"Tiles of 16 pixels are smaller than the \d+ pix"):
        look_at([replace(lab, block_px=16)], each=True)


def test_a_slide_without_tissue_gives_empty_files_and_says_so(lab):
    cv2.imwrite(str(lab.slide), np.full((160, 160, 3), 255, np.uint8))
    record = predict_slide(replace(lab, where="tissue", write=("geojson", "csv", "summary")))
    assert record.nuclei == 0
    assert record.note == "no tissue was seen in it"
    assert json.loads((lab.output / "a.geojson").read_text())["features"] == []


def test_an_area_of_qupath_is_searched_alone(lab, tmp_path):
    corners = [[0, 0], [80, 0], [80, 160], [0, 160], [0, 0]]
    area = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [corners]},
        "properties": {"objectType": "annotation", "classification": {"name": "Tumor"}},
    }
    (tmp_path / "area.geojson").write_text(json.dumps(area))
    everywhere = predict_slide(lab)
    found = predict_slide(replace(lab, region=tmp_path / "area.geojson", overwrite=True))
    assert 0 < found.nuclei < everywhere.nuclei
    assert found.searched_mm2 == pytest.approx(80 * 160 * MPP**2 / 1e6)


def search_in_a_process(task: SlideTask) -> None:
    predict_slide(task)


def test_killed_in_the_middle_it_goes_on_and_writes_the_same(lab):
    write_slide(lab.slide, side=700)
    expected = predict_slide(replace(lab, output=lab.output / "whole"))
    process = multiprocessing.get_context("spawn").Process(target=search_in_a_process, args=(lab,))
    process.start()
    parts = lab.output / ".parts" / "a"
    until = time.monotonic() + 120
    while len(list(parts.glob("*.parquet"))) < 3 and time.monotonic() < until:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    kept = {path.name: path.stat().st_mtime_ns for path in parts.glob("*.parquet")}
    assert 3 <= len(kept) < 49
    assert not list(lab.output.glob("a*"))
    told = []
    again = predict_slide(lab, told.append)
    assert len(told) == 49
    assert again.nuclei == expected.nuclei
    for file in expected.files:
        if not file.endswith("summary.json"):
            whole = (lab.output / "whole" / file).read_bytes()
            assert (lab.output / file).read_bytes() == whole
    assert not parts.exists()


def test_one_slides_failure_touches_no_other_and_only_it_is_tried_again(lab):
    slides = [write_slide(lab.slide.with_name(f"{k}.png"), seed=k) for k in range(4)]
    whole = slides[2].read_bytes()
    slides[2].write_bytes(whole[:900])
    tasks = [replace(lab, slide=slide) for slide in slides]
    records = {task.name: record for task, record in search_all(tasks, workers=2)}
    assert {name for name, record in records.items() if record.reason} == {"2"}
    assert "damaged or cut short" in records["2"].reason
    assert "damaged or cut short" in read_record(lab.output, "2").reason
    times = (lab.output / "records" / "1.json").stat().st_mtime_ns
    slides[2].write_bytes(whole)
    again = {task.name: record for task, record in search_all(tasks, workers=1)}
    assert not any(record.reason for record in again.values())
    assert (lab.output / "records" / "1.json").stat().st_mtime_ns == times


def test_a_full_disk_in_the_middle_leaves_nothing_half_written(lab, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("transfer_kit.inference.parts.parquet.write_table", full)
    with pytest.raises(UserError, match="No space is left to write"):
        search_one(lab)
    assert not list(lab.output.glob("a*"))
    assert "No space is left" in read_record(lab.output, "a").reason


@pytest.mark.parametrize("name", sorted(set(OUTPUTS) - {"anndata", "spatialdata"}))
def test_every_output_is_written_by_name(lab, name):
    record = predict_slide(replace(lab, write=(name,)))
    assert len(record.files) == 1
    assert (lab.output / record.files[0]).stat().st_size > 0
