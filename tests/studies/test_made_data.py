from __future__ import annotations

import numpy as np
import pytest
from dataset_folders import write_folder
from shapely.geometry import Point
from toy import toy_detector

from transfer_kit.data.dataset import Dataset
from transfer_kit.data.regions import labelled_mask
from transfer_kit.stores.datasets import find_dataset
from transfer_kit.studies.made_data import labelled_squares, make_data
from transfer_kit.studies.study import MadeData

SPLITS = {"train": 0.5, "validation": 0.25, "test": 0.25}


@pytest.fixture
def whole(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFER_KIT_HOME", str(tmp_path / "home"))
    folder = tmp_path / "whole"
    write_folder(folder, cases=4, per_case=2, side=96, splits=SPLITS, name="whole")
    return find_dataset(folder)


def made(whole, **fields):
    settings = MadeData(of=str(whole.root), **fields)
    return Dataset.open(make_data(settings, whole.root.parent / "made"))


def by_name(dataset):
    return {sample.id.split("/")[-1].split("-")[-1]: sample for sample in dataset}


def test_a_quarter_of_each_labelled_image_is_known_and_test_images_stay_whole(whole):
    part = made(whole, share=0.25, outside="unknown")
    assert len(part) == len(whole)
    before = by_name(whole)
    for name, sample in by_name(part).items():
        truth, known = before[name].annotation(), sample.annotation()
        assert part.split_of(sample) == whole.split_of(before[name])
        assert (sample.image() == before[name].image()).all()
        if part.split_of(sample) == "test":
            assert known.points == pytest.approx(truth.points, abs=1e-3)
            assert known.labelled_regions == ()
            continue
        assert labelled_mask(known, sample.size).mean() == pytest.approx(0.25)
        inside = [
            point
            for point in truth.points
            if any(region.contains(Point(point)) for region in known.labelled_regions)
        ]
        assert known.points == pytest.approx(np.array(inside).reshape(-1, 2), abs=1e-3)


def test_as_background_the_same_nuclei_are_left_and_all_of_the_image_counts(whole, tmp_path):
    unknown = made(whole, share=0.25, outside="unknown")
    settings = MadeData(of=str(whole.root), share=0.25, outside="background")
    background = Dataset.open(make_data(settings, tmp_path / "background"))
    for one, other in zip(unknown, background, strict=True):
        assert one.annotation().points == pytest.approx(other.annotation().points)
        assert other.annotation().labelled_regions == ()


def test_squares_differ_between_images_and_seeds_and_come_again(whole):
    settings = MadeData(of="x", share=0.25, outside="unknown")
    first, second = whole[0], whole[1]
    assert labelled_squares(first, settings) == labelled_squares(first, settings)
    assert labelled_squares(first, settings) != labelled_squares(second, settings)
    other = settings.model_copy(update={"seed": 1})
    assert labelled_squares(first, settings) != labelled_squares(first, other)


def test_images_that_are_proposed_are_kept_of_the_training_split_alone(whole, tmp_path):
    base = toy_detector(seed=1, threshold=0.05).save(tmp_path / "base.safetensors")
    part = made(whole, count=2, base=str(base))
    assert len(part.split("train")) == 2
    for split in ("validation", "test"):
        assert len(part.split(split)) == len(whole.split(split))
