from __future__ import annotations

import cv2
import numpy as np
import pandas as pd
import pytest
from dataset_folders import DIAMETER_PX, draw_tissue, write_card
from laboratory import BASE, SHORT, TARGET, transfer_kit
from PIL import Image
from toy import toy_detector

from transfer_kit.detector import Detector
from transfer_kit.evaluation import adopt, calibrate, evaluate_segmentation, examine
from transfer_kit.stores.datasets import find_dataset

pytest_plugins = ["lab_fixtures"]

DETECTOR = "whole.safetensors"
OUTLINED = "outlined"
COLUMNS = ("base", "base_recalibrated", "finetuned")


def rows_of(said):
    """The cells of every row of a table that was printed."""
    lines = [line for line in said.splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in line.strip("│ ").split("│")] for line in lines]


@pytest.fixture
def outlined(lab):
    """A detector of whole nuclei, untrained but never silent, and images with instance maps."""
    options = {"target": "normalised", "foreground": 0.0}
    toy_detector(mpp=0.25, threshold=0.0, codec={"name": "distance", "options": options}).save(
        lab / DETECTOR
    )
    folder = lab / OUTLINED
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for case in range(3):
        image, points = draw_tissue([5, case], side=90, count=6)
        instances = np.zeros((90, 90), np.int32)
        for k, (x, y) in enumerate(points, start=1):
            cv2.circle(instances, (round(x), round(y)), DIAMETER_PX // 2, k, -1)
        Image.fromarray(image).save(folder / "images" / f"c0{case}_0.png")
        Image.fromarray(instances.astype(np.uint16)).save(folder / "labels" / f"c0{case}_0.png")
    splits = {"train": ["c00"], "validation": ["c01"], "test": ["c02"]}
    write_card(
        folder,
        case_pattern=r"(c\d+)_",
        images="images/*.png",
        annotations="labels/{stem}.png",
        format="instances",
        splits=splits,
    )
    return lab


def test_whole_nuclei_are_measured_where_both_sides_have_them(outlined):
    words = ("evaluate", "--model", DETECTOR, "--target", OUTLINED, "--split", "all")
    document = transfer_kit(*words, "--json").json["segmentation"]
    examined = examine(Detector.load(DETECTOR), find_dataset(OUTLINED))
    assert document == evaluate_segmentation(examined, threshold=0.0).as_dict()
    assert document["n_nuclei"] == 18
    assert document["n_found"] > 0
    table = transfer_kit(*words).out
    said = {name: [cell] for name, cell in rows_of(table)}
    assert said["AJI"] == [f"{document['aji']:.3f}"]
    assert said["95 % interval of AJI"] == [f"{document['aji_low']:.3f}–{document['aji_high']:.3f}"]
    for name, figure in (("AJI+", "aji_plus"), ("PQ", "pq"), ("DQ", "dq"), ("SQ", "sq")):
        assert said[name] == [f"{document[figure]:.3f}"]
    assert said["Dice of pixels"] == [f"{document['dice']:.3f}"]


def test_where_centres_are_all_that_is_known_there_is_no_segmentation(outlined):
    for model, target in ((DETECTOR, TARGET), (BASE, OUTLINED)):
        words = ("evaluate", "--model", model, "--target", target, "--split", "all")
        assert transfer_kit(*words, "--json").json["segmentation"] is None
        assert "AJI" not in transfer_kit(*words).out


def test_a_fine_tuning_calibrates_and_measures_whole_nuclei(outlined):
    words = ("finetune", "--base", DETECTOR, "--target", OUTLINED, *SHORT, "--json")
    said = transfer_kit(*words)
    document = said.json
    aji = [document[name]["segmentation"]["aji"] for name in COLUMNS]
    assert ["AJI", *(f"{value:.3f}" for value in aji)] in rows_of(said.err)
    assert "Whole nuclei are outlined" in said.err
    assert f": {aji[2] - aji[1]:+.3f} AJI" in said.err
    for column in COLUMNS:
        whole = document[column]["segmentation"]
        assert whole["threshold"] == document[column]["test"]["threshold"]
        assert [image["case"] for image in whole["images"]] == ["c02"]
    card = Detector.load(outlined / document["run"] / "detector.safetensors").card
    assert card.threshold_chosen_on.endswith(", by AJI")
    # What p1 and p2 of the base's own can give is among what the recalibration chose from.
    labelled = [*find_dataset(OUTLINED).split("train"), *find_dataset(OUTLINED).split("validation")]
    base = Detector.load(outlined / DETECTOR)
    chosen = calibrate(base, labelled, radius_um=2.0)
    as_it_is = calibrate(base, labelled, radius_um=2.0, codecs=(base.codec,))
    assert chosen.aji >= as_it_is.aji
    adopt(base, chosen)
    examined = examine(base, find_dataset(OUTLINED).split("test"))
    expected = evaluate_segmentation(examined, threshold=chosen.threshold).as_dict()
    assert document["base_recalibrated"]["segmentation"] == expected


def test_what_a_person_sees_of_a_training_is_the_figure_that_chooses_its_weights(
    outlined, monkeypatch
):
    drawn = []

    def draw(curves, path, *, ylabel):
        drawn.append((curves, ylabel))

    monkeypatch.setattr("transfer_kit.report.learning_curves", draw)
    words = ("finetune", "--base", DETECTOR, "--target", OUTLINED, *SHORT, "--json")
    said = transfer_kit(*words, "--set", "validation_share=0.5")
    curves = pd.read_csv(outlined / said.json["run"] / "curves.csv")
    ((points, ylabel),) = drawn
    assert ylabel == "AJI on validation"
    aji = list(zip(curves["step"], curves["val/aji"], strict=True))
    assert points.keys() == {"fine-tuned"}
    np.testing.assert_allclose(points["fine-tuned"], aji)
    for _, value in aji[1:]:
        assert f"validation AJI {value:.3f}" in said.err
