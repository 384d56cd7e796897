"""Immunostained drawings: brown means positive, and regions say where tumour is."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import lru_cache

import cv2
import numpy as np
import pytest
import shapely

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.card import DatasetCard
from transfer_kit.data.dataset import Dataset
from transfer_kit.data.synthetic import draw, make_dataset
from transfer_kit.data.synthetic.drawing import _averaged, _majority
from transfer_kit.data.synthetic.ki67 import (
    CLASSES,
    NEGATIVE,
    NON_TUMOUR,
    POSITIVE,
    REGIONS,
    immunostained,
    weak_regions,
)
from transfer_kit.data.synthetic.nuclei import NucleusPainter, Seat
from transfer_kit.data.synthetic.organs import PANCREAS_KI67

ORGAN = "pancreas-ki67"
SIZE = 300


@lru_cache(maxsize=8)
def drawn(case: int) -> tuple[np.ndarray, Annotation]:
    return draw(ORGAN, case=case, size=SIZE)


def settled(seed: int = 0) -> NucleusPainter:
    rng = np.random.default_rng(seed)
    seats = [
        Seat(*rng.uniform(20, 380, 2), rng.uniform(0, 3), kind)
        for kind in ("tumour", "lymphocyte", "fibroblast")
        for _ in range(60)
    ]
    painter = NucleusPainter(400, PANCREAS_KI67.populations, scale=1.0, rng=rng)
    painter.settle(seats)
    return painter


def stained(index: float, **others: float):
    stain = replace(PANCREAS_KI67.ki67, index=(index, index), others=others, share_weak=0.0)
    return immunostained(settled(), stain, np.random.default_rng(1)), settled()


def test_a_painter_knows_the_population_of_each_nucleus():
    painter = settled()
    assert len(painter.kinds) == len(painter.shapes) == painter.canvas.instances.max()
    lengths = {
        kind: np.median(
            [s.a for s, k in zip(painter.shapes, painter.kinds, strict=True) if k == kind]
        )
        for kind in ("tumour", "lymphocyte", "fibroblast")
    }
    assert lengths["lymphocyte"] < lengths["tumour"] < lengths["fibroblast"]


def test_classes_follow_population_and_stain():
    brown, painter = stained(1e9)
    expected = [POSITIVE if kind == "tumour" else NON_TUMOUR for kind in painter.kinds]
    assert list(brown.classes) == expected
    none, _ = stained(1e-9)
    assert set(none.classes) == {NEGATIVE, NON_TUMOUR}


def test_brown_lies_on_positive_nuclei_and_takes_the_place_of_blue():
    brown, painter = stained(1e9)
    instances = painter.canvas.instances
    positive = np.isin(instances, 1 + np.flatnonzero(np.array(brown.classes) == POSITIVE))
    other = (instances > 0) & ~positive
    assert brown.dab[positive].mean() == pytest.approx(0.85, abs=0.12)
    assert brown.dab[other].mean() < 0.1
    before = painter.canvas.haematoxylin
    assert brown.haematoxylin[positive].mean() < 0.4 * before[positive].mean()
    core = cv2.erode(other.astype(np.uint8), np.ones((7, 7))) > 0
    assert np.array_equal(brown.haematoxylin[core], before[core])


def test_other_populations_can_be_positive_and_stay_non_tumour():
    brown, painter = stained(1e-9, lymphocyte=1.0)
    lymphocytes = 1 + np.flatnonzero(np.array(painter.kinds) == "lymphocyte")
    inside = np.isin(painter.canvas.instances, lymphocytes)
    assert brown.dab[inside].mean() > 0.6
    assert POSITIVE not in brown.classes


def test_regions_lie_well_inside_their_kind():
    tumour = np.zeros((600, 600))
    tumour[:, 300:] = 1
    # 4 µm, less what simplifying moves, between a drawn outline and the border of its kind.
    kinds = {
        "tumour": shapely.box(156.5, -1, 301, 301),
        "non-tumour": shapely.box(-1, -1, 143, 301),
    }
    seen = Counter()
    for seed in range(6):
        for name, region in weak_regions(tumour, scale=2, rng=np.random.default_rng(seed)):
            assert region.is_valid
            assert region.area * 0.25 >= 200  # µm² at .5 µm per pixel
            assert kinds[name].contains(region)
            seen[name] += 1
    assert min(seen[name] for name in REGIONS) >= 4


def test_an_image_without_tumour_has_no_tumour_region():
    labels = weak_regions(np.zeros((400, 400)), scale=2, rng=np.random.default_rng(0))
    assert {name for name, _ in labels} == {"non-tumour"}


@pytest.mark.parametrize("case", [0, 1, 7])
def test_positive_tumour_nuclei_are_brown_and_negative_ones_blue(case):
    image, annotation = drawn(case)
    density = -np.log10((image.astype(float) + 1) / 256)
    count = len(annotation) + 1
    flat = annotation.instances.ravel()
    areas = np.bincount(flat, minlength=count)
    red, blue = (np.bincount(flat, density[..., c].ravel(), count)[1:] / areas[1:] for c in (0, 2))
    classes = np.array(annotation.classes)
    assert set(classes) == set(CLASSES)
    assert np.mean((blue > red)[classes == POSITIVE]) > 0.95
    assert np.mean((red > blue)[classes == NEGATIVE]) > 0.95


@pytest.mark.parametrize("case", [0, 1, 7])
def test_tumour_nuclei_lie_outside_non_tumour_regions(case):
    _, annotation = drawn(case)
    assert annotation.region_labels
    image = shapely.box(-0.5, -0.5, SIZE - 0.5, SIZE - 0.5)
    points = shapely.points(annotation.points.astype(float))
    own = np.array(annotation.classes) != NON_TUMOUR
    for name, region in annotation.region_labels:
        assert image.contains(region)
        inside = shapely.contains(region, points)
        if name == "non-tumour":
            assert not (inside & own).any()
        elif inside.sum() > 10:
            assert (inside & own).sum() > 0.5 * inside.sum()


def test_cases_differ_in_how_much_divides():
    indices = []
    for case in (0, 1, 2, 7):
        counts = Counter(drawn(case)[1].classes)
        indices.append(counts[POSITIVE] / (counts[POSITIVE] + counts[NEGATIVE]))
    assert min(indices) < 0.1
    assert max(indices) > 0.25


def test_larger_pixels_average_the_light_and_keep_whole_nuclei():
    rng = np.random.default_rng(0)
    light = rng.random((40, 40, 3))
    reference = cv2.resize(light, (20, 20), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(_averaged(light, 2), reference, atol=1e-12)
    disc = np.zeros((40, 40), np.int32)
    cv2.circle(disc, (19, 21), 9, 4, -1)
    small = _majority(disc, 2)
    assert set(np.unique(small)) == {0, 4}
    assert (small > 0).sum() == pytest.approx((disc > 0).sum() / 4, rel=0.1)
    rows, columns = np.nonzero(small)
    assert (2 * columns + 0.5).mean() == pytest.approx(19, abs=0.3)
    assert (2 * rows + 0.5).mean() == pytest.approx(21, abs=0.3)


def test_the_dataset_holds_centres_classes_and_regions_and_says_that_it_is_synthetic(tmp_path):
    make_dataset(ORGAN, tmp_path / "made", cases=3, size=128)
    card = DatasetCard.read(tmp_path / "made" / "dataset.yaml")
    assert (card.organ, card.stain, card.mpp) == ("pancreas", "Ki67", 0.5)
    assert tuple(card.classes) == CLASSES
    assert card.synthetic
    assert "SYNTHETIC" in card.description
    dataset = Dataset.open(tmp_path / "made")
    assert [len(dataset.split(name)) for name in ("train", "validation", "test")] == [1, 1, 1]
    for case, sample in enumerate(dataset):
        image, annotation = draw(ORGAN, case=case, size=128)
        read = sample.annotation()
        np.testing.assert_array_equal(sample.image(), image)
        np.testing.assert_array_equal(read.points, annotation.points)
        assert read.classes == annotation.classes
        assert sample.mpp == 0.5
        assert [name for name, _ in read.region_labels] == [n for n, _ in annotation.region_labels]
        for (_, one), (_, other) in zip(read.region_labels, annotation.region_labels, strict=True):
            assert one.equals(other)
