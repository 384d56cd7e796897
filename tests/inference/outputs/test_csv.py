"""CSV: read back by pandas and by the kit."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from inference.outputs.found_nuclei import (
    CLASSES,
    EMPTY,
    facts,
    found_outlines,
    found_points,
)

from transfer_kit.data.formats import AnnotationSource, ImageInfo, read_annotation
from transfer_kit.inference.found import FoundNuclei
from transfer_kit.inference.outputs import csv
from transfer_kit.inference.outputs.csv import write_csv


def read_back(path):
    image = ImageInfo("a.png", path.with_name("a.png"), 90, 110)
    return read_annotation(AnnotationSource("csv", (path,)), image)


@settings(max_examples=30, deadline=None)
@given(arrays(np.float32, (3, 2), elements=st.floats(0, 200_000, width=32)))
def test_points_come_back_exactly(tmp_path_factory, points):
    path = tmp_path_factory.mktemp("c") / "a.csv"
    found = FoundNuclei(points, np.ones(3, np.float32), np.zeros(3, np.uint16), ("tumour",))
    write_csv(path, found, facts())
    assert np.array_equal(read_back(path).points, points)


def test_pixels_microns_scores_and_classes_are_columns(tmp_path, monkeypatch):
    monkeypatch.setattr(csv, "_CHUNK", 30)
    found = found_points(100)
    write_csv(tmp_path / "a.csv", found, facts(mpp=0.5))
    table = pd.read_csv(tmp_path / "a.csv", keep_default_na=False)
    assert list(table) == ["x", "y", "x_um", "y_um", "score", "class"]
    assert np.array_equal(table["score"].astype(np.float32), found.scores)
    assert list(table["class"]) == [CLASSES[kind] for kind in found.kinds]
    np.testing.assert_allclose(table[["x_um", "y_um"]], found.points * 0.5, atol=1e-4)
    assert read_back(tmp_path / "a.csv").classes == tuple(table["class"])


def test_areas_are_those_of_the_pixels_and_missing_without_an_outline(tmp_path):
    found, instances = found_outlines()
    write_csv(tmp_path / "a.csv", found, facts(mpp=0.5))
    areas = pd.read_csv(tmp_path / "a.csv")["area_um2"]
    assert np.flatnonzero(areas.isna()).tolist() == [3, 7]
    expected = np.bincount(instances.ravel())[1:] * 0.25
    assert np.array_equal(areas.drop([3, 7]), np.delete(expected, [3, 7]))


def test_no_nuclei_are_a_header(tmp_path):
    write_csv(tmp_path / "a.csv", EMPTY, facts())
    assert len(pd.read_csv(tmp_path / "a.csv")) == 0
    assert len(read_back(tmp_path / "a.csv")) == 0
