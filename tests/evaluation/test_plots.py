from __future__ import annotations

import sys

import cv2
import numpy as np
import pytest
from scattered_nuclei import evaluated, found_at, scattered

from transfer_kit.evaluation import learning_curves, precision_recall_figure
from transfer_kit.evaluation.plots import LINE_COLOURS


def has_colour(path, name):
    image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    wanted = [int(name[i : i + 2], 16) for i in (1, 3, 5)]
    return bool((image == wanted).all(axis=-1).any())


def test_a_precision_recall_figure_has_a_line_a_detector(tmp_path):
    path = tmp_path / "curve.png"
    named = {"base": [scattered(0)], "fine-tuned": [scattered(1)]}
    precision_recall_figure(named, path, radius_um=4, thresholds={"base": 0.5})
    assert [has_colour(path, colour) for colour in LINE_COLOURS[:3]] == [True, True, False]


def test_a_detector_that_finds_nothing_is_drawn_too(tmp_path):
    path = tmp_path / "curve.png"
    named = {
        "nothing found": [evaluated([[5, 5]], found_at([]))],
        "nothing known": [evaluated([], found_at([]))],
    }
    precision_recall_figure(named, path, radius_um=4)
    assert path.stat().st_size > 1000


def test_learning_curves_leave_out_trainings_without_points(tmp_path):
    path = tmp_path / "learning.png"
    learning_curves(
        {"fine-tuned": [(0, 0.2), (10, np.nan), (20, 0.8)], "scratch": [], "other": [(0, 0.1)]},
        path,
    )
    assert [has_colour(path, colour) for colour in LINE_COLOURS[:3]] == [True, False, True]


def test_an_interrupted_figure_leaves_the_former_one(tmp_path, monkeypatch):
    path = tmp_path / "curve.png"
    path.write_bytes(b"former")
    with pytest.raises(TypeError):
        learning_curves({"broken": [(0, "much")]}, path)
    assert path.read_bytes() == b"former"
    assert [file.name for file in tmp_path.iterdir()] == ["curve.png"]


def test_drawing_leaves_no_global_state(tmp_path):
    learning_curves({"a": [(0, 0.5)]}, tmp_path / "a.png")
    if "matplotlib.pyplot" in sys.modules:
        assert sys.modules["matplotlib.pyplot"].get_fignums() == []
