"""The checks on histology as published: what is wrong there is found, what is right passes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from transfer_kit.data.check import check_dataset
from transfer_kit.data.check.positions import check_positions
from transfer_kit.data.check.scale import NuclearSize
from transfer_kit.stores.datasets import find_dataset

pytestmark = pytest.mark.real_data

SETS = ["monuseg-breast", "monuseg-kidney", "monuseg-prostate", "tnbc", "crchisto", "gbm40"]


@pytest.fixture(autouse=True)
def _data(real_data, tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFER_KIT_DATA", str(real_data))
    monkeypatch.setenv("TRANSFER_KIT_HOME", str(tmp_path))


def a_few(name, count=8):
    dataset = find_dataset(name)
    return replace(dataset, samples=dataset.samples[:: max(1, len(dataset) // count)])


def test_the_exchanged_masks_of_cpm15_are_named():
    findings = check_dataset(find_dataset("cpm15"))
    (finding,) = [f for f in findings if f.code == "exchanged-files"]
    assert "image04_mask.txt" in finding.message
    assert "image05_mask.txt are exchanged" in finding.message
    assert {f.code for f in findings if f.severity == "error"} == {
        "exchanged-files",
        "bad-annotation",
    }


@pytest.mark.parametrize("name", SETS)
def test_sound_sets_raise_no_error(name):
    errors = [f for f in check_dataset(a_few(name)) if f.severity == "error"]
    assert errors == []


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("factor", [0.5, 2])
def test_a_planted_scale_is_found(name, factor):
    dataset = a_few(name, 6)
    size = NuclearSize(dataset[0].mpp * factor)
    for sample in dataset:
        if sample.mpp == dataset[0].mpp:
            size.add(sample.image(), sample.annotation(), dataset.card.stain)
    assert [finding.code for finding in size.check("dataset.yaml")] == ["wrong-mpp"]


def test_the_twenty_fold_kidney_images_contradict_the_published_scale():
    dataset = find_dataset("monuseg-kidney")
    size = NuclearSize(0.25)
    for sample in dataset:
        if sample.case.startswith("TCGA-HE"):
            size.add(sample.image(), sample.annotation(), dataset.card.stain)
    assert "about 0.46 µm per pixel would fit" in size.check("dataset.yaml")[0].message


@pytest.mark.parametrize("name", ["monuseg-breast", "tnbc", "crchisto", "gbm40"])
def test_planted_exchanges_are_found(name):
    found = total = 0
    for sample in a_few(name, 6):
        points = sample.annotation().points
        if len(points) >= 40:
            total += 1
            codes = [
                f.code for f in check_positions(sample, sample.image(), points[:, ::-1], "H&E")
            ]
            found += "exchanged-xy" in codes
    assert total >= 3
    assert found == total


@pytest.mark.parametrize("name", ["monuseg-breast", "crchisto", "gbm40"])
def test_planted_shifts_are_found(name):
    found = total = 0
    for sample in a_few(name, 6):
        points = sample.annotation().points + np.float32(4 / sample.mpp) * np.array([[0.8, -0.6]])
        points = points[(points > 0).all(1) & (points < min(sample.size) - 1).all(1)]
        if len(points) >= 40:
            total += 1
            codes = [f.code for f in check_positions(sample, sample.image(), points, "H&E")]
            found += "shifted" in codes
    assert total >= 3
    assert found >= 0.8 * total
