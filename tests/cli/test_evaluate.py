from __future__ import annotations

import numpy as np
import pytest
from dataset_folders import write_folder
from laboratory import BASE, OWN, TARGET, listing, transfer_kit
from PIL import Image

from transfer_kit.detector import Detector
from transfer_kit.evaluation import evaluate, examine
from transfer_kit.stores.datasets import find_dataset

pytest_plugins = ["lab_fixtures"]


def measured(*words, code=0):
    return transfer_kit("evaluate", *words, "--json", code=code).json


def test_the_figures_are_those_of_the_run(finished):
    words = ("--model", finished.run, "--target", TARGET)
    document = measured(*words)
    test = finished.said.json["finetuned"]["test"]
    assert {name: document[name] for name in test} == test
    assert (document["target"], document["split"]) == (TARGET, "test")
    table = transfer_kit("evaluate", *words).out
    assert f"{test['f1']:.3f}" in table
    assert "4, 2, " in table


@pytest.mark.parametrize(("split", "n_images"), [("train", 8), ("validation", 4), ("all", 16)])
def test_another_split_can_be_measured(lab, split, n_images):
    document = measured("--model", BASE, "--target", TARGET, "--split", split)
    assert document["n_images"] == n_images


def test_radius_and_threshold_can_be_chosen(lab):
    document = measured(
        *("--model", BASE, "--target", TARGET, "--radius-um", 4, "--threshold", 0.01)
    )
    examined = examine(Detector.load(BASE), find_dataset(TARGET).split("test"))
    scores = evaluate(examined, radius_um=4, threshold=0.01)
    assert document["f1"] == scores.f1 > 0
    assert (document["radius_um"], document["threshold"]) == (4, 0.01)


def test_figures_and_overlays_are_written_where_they_are_asked_for(finished, tmp_path):
    words = ("--model", finished.run, "--target", TARGET, "-o", tmp_path / "out")
    said = transfer_kit("evaluate", *words)
    found = set(listing(tmp_path / "out"))
    assert {"precision_recall.png", "overlays"} <= found
    assert sum(name.startswith("overlays/") for name in found) == 4
    for path in (tmp_path / "out").rglob("*.png"):
        assert np.asarray(Image.open(path)).std() > 0
    assert f"Figures and overlays: {tmp_path / 'out'}" in said.out


def test_cases_that_the_detector_learned_from_are_told(lab):
    words = ("--model", BASE, "--target", OWN, "--split", "all")
    assert measured(*words)["cases_learned_from"] == ["c00"]
    assert "learned from 1 of the 3 cases" in transfer_kit("evaluate", *words).out
    assert measured("--model", BASE, "--target", TARGET)["cases_learned_from"] == []


def test_an_unknown_split_names_the_nearest(lab):
    words = ("evaluate", "--model", BASE, "--target", TARGET, "--split", "tests")
    said = transfer_kit(*words, code=2).error
    assert said == "There is no split 'tests'. Did you mean 'test'?"


def test_of_images_with_some_nuclei_marked_recall_alone_is_told(lab, tmp_path):
    folder = write_folder(tmp_path / "some", cases=3, per_case=1, side=112, positives_only=True)
    words = ("--model", BASE, "--target", folder, "--split", "all", "--threshold", 0.01)
    document = measured(*words)
    assert document["n_true"] + document["n_missed"] == find_dataset(folder).n_nuclei
    assert document["recall"] == document["n_true"] / find_dataset(folder).n_nuclei > 0
    assert not {"precision", "f1"} & set(document)
    said = transfer_kit("evaluate", *words).out
    assert f"recall {document['recall']:.3f} (95 % interval" in said
    assert "precision and F1 cannot be told" in said


def test_a_fine_tuning_that_nothing_could_judge_is_refused(lab, tmp_path):
    folder = write_folder(tmp_path / "some", cases=5, per_case=1, side=112, positives_only=True)
    said = transfer_kit("finetune", "--base", BASE, "--target", folder, code=2).error
    assert said.startswith("There is nothing to choose a threshold by: of ")
    assert "mark every nucleus in a labelled region of one of them at least." in said
