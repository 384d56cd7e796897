"""Drawn mitoses: annotated by their centres alone, ragged and dark among smooth look-alikes."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache

import cv2
import numpy as np
import pytest

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.card import DatasetCard
from transfer_kit.data.dataset import Dataset
from transfer_kit.data.synthetic import classes_of, draw, make_dataset
from transfer_kit.data.synthetic.chromosomes import STAGES
from transfer_kit.data.synthetic.mitosis import (
    APOPTOTIC,
    CELL_UM,
    MARGIN_UM,
    Figure,
    paint,
    shrunken,
    with_mitoses,
)
from transfer_kit.data.synthetic.nuclei import Canvas, NucleusPainter, Seat
from transfer_kit.data.synthetic.organ import Spread
from transfer_kit.data.synthetic.organs import BREAST_MITOSES
from transfer_kit.data.synthetic.tissue import Tissue, px, scatter

ORGAN = "breast-mitoses"
SIZE = 500


@lru_cache(maxsize=16)
def drawn(case: int) -> tuple[np.ndarray, Annotation]:
    return draw(ORGAN, case=case, size=SIZE)


def sheet(seed: int = 0, size: int = 600) -> Tissue:
    """Epithelium alone, full of seats."""
    blank = np.zeros((size, size))
    seats = scatter(
        np.random.default_rng(seed), blank + 1, per_mm2=9000, population="epithelial", spacing_um=8
    )
    return Tissue(cells=blank + 1, void=blank, grain=blank, seats=seats)


def painted(stage: str, seed: int, *, angle: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Where the chromosomes of one figure in the middle are, and its annotated point."""
    canvas = Canvas.empty(160)
    sharp = replace(BREAST_MITOSES.mitoses, soft=0.0, haematoxylin=Spread(1.0, 0.0))
    figures = [Figure(80.0, 80.0, angle, stage)]
    points = paint(canvas, figures, sharp, np.random.default_rng(seed))
    return canvas.cover > 0.5, points[0]


def solidity(mask: np.ndarray) -> float:
    """Area over that of the convex hull: ragged outlines fill less of it."""
    points = np.argwhere(mask)[:, ::-1].astype(np.int32)
    return float(mask.sum() / cv2.contourArea(cv2.convexHull(points)))


def test_only_mitoses_are_annotated_and_by_their_centres_alone():
    counts = []
    for case in range(8):
        _, annotation = drawn(case)
        assert set(annotation.classes) <= {"mitosis"}
        assert annotation.instances is None
        assert not annotation.outlines
        assert not annotation.labelled_regions
        inside = (annotation.points > px(MARGIN_UM) - px(2)) & (
            annotation.points < SIZE - px(MARGIN_UM) + px(2)
        )
        assert inside.all()
        counts.append(len(annotation))
    assert classes_of(ORGAN) == ("mitosis",)
    assert min(counts) <= 1
    assert 2 <= max(counts) < 25  # of more than a hundred nuclei


def test_mitoses_are_darker_than_what_surrounds_them():
    inner, outer = np.zeros((2, 61, 61), np.uint8)
    cv2.circle(inner, (30, 30), 14, 1, -1)
    cv2.circle(outer, (30, 30), 28, 1, -1)
    ring = (outer > 0) & (inner == 0)
    contrasts = []
    for case in range(8):
        image, annotation = drawn(case)
        red = image[..., 0].astype(float)
        padded = np.pad(red, 30, mode="reflect")
        for x, y in np.rint(annotation.points).astype(int):
            window = padded[y : y + 61, x : x + 61]
            darkest = np.sort(window[inner > 0])[:80]
            contrasts.append(np.median(window[ring]) - darkest.mean())
    assert len(contrasts) > 10
    assert min(contrasts) > 40
    assert np.median(contrasts) > 80


def test_the_same_case_has_the_same_mitoses_and_others_have_others():
    first, again, other = (draw(ORGAN, case=c, size=250) for c in (3, 3, 7))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1].points, again[1].points)
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_a_point_lies_in_the_middle_of_all_chromosomes_of_a_figure(stage):
    for seed in range(5):
        mask, point = painted(stage, seed, angle=0.3 * seed)
        middle = np.argwhere(mask)[:, ::-1].mean(axis=0)
        np.testing.assert_allclose(point, middle, atol=1e-3)
        assert np.hypot(*(middle - 80)) < px(1.2)


def test_stages_have_the_shapes_that_they_are_known_by():
    def largest_pieces(stage: str) -> np.ndarray:
        counts = []
        for seed in range(12):
            mask, _ = painted(stage, seed)
            areas = cv2.connectedComponentsWithStats(mask.astype(np.uint8))[2][1:, -1]
            counts.append(np.count_nonzero(areas > 0.25 * areas.sum()))
        return np.array(counts)

    assert (largest_pieces("telophase") == 2).mean() > 0.8
    assert (largest_pieces("anaphase") == 2).mean() > 0.6
    for stage in ("metaphase", "prometaphase"):
        assert (largest_pieces(stage) == 1).mean() > 0.8
    # A plate is long, and lies along its angle.
    for angle in (0.0, 0.7):
        mask, _ = painted("metaphase", 1, angle=angle)
        (_, _), sides, _ = cv2.minAreaRect(np.argwhere(mask)[:, ::-1].astype(np.float32))
        assert max(sides) > 1.7 * min(sides)
        centred = np.argwhere(mask)[:, ::-1] - 80.0
        axis = np.linalg.svd(centred - centred.mean(0))[2][0]
        assert abs(axis @ [np.cos(angle), np.sin(angle)]) > 0.97


def test_figures_are_ragged_where_dying_nuclei_are_smooth():
    figures = [solidity(painted(s, n)[0]) for s in ("metaphase", "prometaphase") for n in range(8)]
    smooth = []
    for seed in range(8):
        painter = NucleusPainter(
            160, BREAST_MITOSES.populations, scale=1.0, rng=np.random.default_rng(seed)
        )
        painter.settle([Seat(80, 80, 0.0, APOPTOTIC)])
        smooth.append(solidity(painter.canvas.instances > 0))
    assert min(smooth) > 0.95
    assert max(figures) < 0.95
    assert np.mean(figures) < 0.88


def test_a_dividing_cell_takes_the_place_of_a_nucleus_and_has_room_and_clear_cytoplasm():
    tissue = sheet()
    dense = replace(BREAST_MITOSES.mitoses, per_mm2=1500, evenness=1000)
    left, figures = with_mitoses(tissue, dense, np.random.default_rng(1))
    assert len(figures) > 10
    taken = {(s.x, s.y) for s in tissue.seats}
    places = np.array([[f.x, f.y] for f in figures])
    seats = np.array([[s.x, s.y] for s in left.seats])
    assert {tuple(place) for place in places} <= taken
    distances = np.hypot(*(places[:, None] - seats).transpose(2, 0, 1))
    assert distances.min() > px(0.7 * CELL_UM)
    np.testing.assert_array_equal(left.cell_centres, places)
    canvas = Canvas.empty(tissue.size)
    paint(canvas, figures, dense, np.random.default_rng(2))
    ring = [canvas.halo[int(y), int(x + px(3.9))] for x, y in places]
    assert np.median(ring) > 0.2
    assert canvas.halo[canvas.cover > 0.99].max() < 0.05


def test_the_number_of_mitoses_varies_from_case_to_case_about_its_mean():
    tissue = sheet(size=500)
    mitoses = BREAST_MITOSES.mitoses
    counts = [
        len(with_mitoses(tissue, mitoses, np.random.default_rng(seed))[1]) for seed in range(60)
    ]
    expected = mitoses.per_mm2 * (500 * 0.25 / 1000) ** 2
    assert np.mean(counts) == pytest.approx(expected, rel=0.25)
    assert np.var(counts) > 1.5 * np.mean(counts)  # more than by chance alone
    assert min(counts) == 0


def test_look_alikes_are_drawn_and_not_annotated():
    tissue = sheet(size=900)
    left, _ = with_mitoses(tissue, BREAST_MITOSES.mitoses, np.random.default_rng(0))
    kinds = [seat.population for seat in left.seats]
    for kind, per_mm2 in BREAST_MITOSES.mitoses.look_alikes.items():
        assert kinds.count(kind) == pytest.approx(per_mm2 * (0.9 * 0.25) ** 2, abs=9)
    assert kinds.count("epithelial") > 0.7 * len(kinds)


def test_the_cytoplasm_of_dying_cells_is_pinker():
    tissue = sheet()
    painter = NucleusPainter(
        600, BREAST_MITOSES.populations, scale=1.0, rng=np.random.default_rng(0)
    )
    painter.settle([Seat(200, 200, 0.0, APOPTOTIC), Seat(400, 400, 0.0, "epithelial")])
    eosin = shrunken(tissue, painter, BREAST_MITOSES.mitoses, np.random.default_rng(0)).eosin
    assert eosin[200, 200] > 0.1
    assert not eosin[300:, 300:].any()


def test_the_dataset_holds_centres_in_geojson_and_says_that_it_is_synthetic(tmp_path):
    make_dataset(ORGAN, tmp_path / "made", cases=5, size=200)
    card = DatasetCard.read(tmp_path / "made" / "dataset.yaml")
    assert (card.organ, card.stain, card.mpp) == ("breast", "H&E", 0.25)
    assert tuple(card.classes) == ("mitosis",)
    assert card.format == "geojson"
    assert card.synthetic
    assert "SYNTHETIC" in card.description
    for case, sample in enumerate(Dataset.open(tmp_path / "made")):
        image, annotation = draw(ORGAN, case=case, size=200)
        read = sample.annotation()
        np.testing.assert_array_equal(sample.image(), image)
        np.testing.assert_array_equal(read.points, annotation.points)
        assert read.classes == annotation.classes
        assert read.knows_nuclei
        document = json.loads(sample.source.paths[0].read_text(encoding="utf-8"))
        assert {f["geometry"]["type"] for f in document["features"]} <= {"Point"}


def test_its_dataset_has_more_cases_than_that_of_other_organs(tmp_path, monkeypatch):
    blank = np.zeros((96, 96, 3), np.uint8)
    nothing = Annotation.of_points(np.zeros((0, 2), np.float32))
    monkeypatch.setattr(
        "transfer_kit.data.synthetic.dataset.draw", lambda *args, **kwargs: (blank, nothing)
    )
    make_dataset(ORGAN, tmp_path / "made")
    dataset = Dataset.open(tmp_path / "made")
    assert [len(dataset.split(name)) for name in ("train", "validation", "test")] == [36, 12, 24]
