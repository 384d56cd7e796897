"""What was found in one way is not mixed with what is found in another."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from data.slides.made_slides import write_tiff
from exporting.exported import skip_without
from toy import lively_detector, toy_image

from transfer_kit.inference.predict import SlideTask, predict_slide


@pytest.fixture
def task(tmp_path, monkeypatch):
    """A slide of four blocks."""
    monkeypatch.setenv("TRANSFER_KIT_HOME", str(tmp_path / "home"))
    cv2.imwrite(str(tmp_path / "a.png"), toy_image(0, 160, 30)[0])
    weights = lively_detector("proximity", threshold=0.3).save(tmp_path / "model.safetensors")
    return SlideTask(tmp_path / "a.png", tmp_path / "out", weights, mpp=0.5, block_px=100)


def stopped(task: SlideTask) -> None:
    """Searched up to the first block that is told of."""

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_slide(task, stop)


@pytest.mark.parametrize("other", [{"runtime": "openvino"}, {"precision": "bf16-mixed"}])
def test_blocks_that_were_done_in_another_way_do_not_count(task, other):
    if "runtime" in other:
        skip_without("openvino")
    stopped(task)
    parts = task.output / ".parts" / "a"
    assert list(parts.glob("*.parquet"))
    mark = parts / "mark"
    mark.touch()
    stopped(replace(task, batch=3))
    assert mark.exists()
    stopped(replace(task, **other))
    assert not mark.exists()
    assert predict_slide(replace(task, **other)).made_by.items() >= other.items()


def test_a_slide_that_was_searched_in_another_way_is_searched_again(task):
    first = predict_slide(task)
    assert first.made_by["precision"] == "32-true"
    again = predict_slide(replace(task, precision="bf16-mixed"))
    assert again.made_by == first.made_by | {"precision": "bf16-mixed"}
    assert again.nuclei > 0


@pytest.mark.parametrize(("name", "searched"), [("a.svs", False), ("a.tif", True)])
def test_of_a_scanners_file_with_one_level_the_tissue_alone_is_searched(task, name, searched):
    glass = np.full((160, 160, 3), 244, np.uint8)
    slide = write_tiff(task.slide.with_name(name), [glass])
    assert (predict_slide(replace(task, slide=slide)).searched_mm2 > 0) == searched
