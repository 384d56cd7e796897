"""A slide is searched in tiles, and the nuclei are those of the undivided image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
from toy import lively_detector, toy_image

from transfer_kit.data.resampling import resample_image
from transfer_kit.data.slides.slide import Level
from transfer_kit.data.stain import find_reference
from transfer_kit.data.tiles import Window
from transfer_kit.detector import Detector
from transfer_kit.inference.field import Field, level_for
from transfer_kit.inference.found import FoundNuclei
from transfer_kit.inference.search import InMemory, search

MPP, SIDE = 0.5, 180


class DrawnSlide:
    """A slide in memory, with the levels it is given."""

    def __init__(self, *levels: np.ndarray, mpp: float = MPP) -> None:
        self.pixels, self.mpp, self.path = levels, mpp, Path("drawn.svs")
        first = levels[0].shape[1]
        self.levels = tuple(Level(p.shape[:2], first / p.shape[1]) for p in levels)
        self.reads: list[tuple[int, ...]] = []

    @property
    def size(self) -> tuple[int, int]:
        return self.levels[0].size

    def read(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        rows, columns = self.levels[level].size
        assert 0 <= x < x + width <= columns
        assert 0 <= y < y + height <= rows
        self.reads.append((level, x, y, width, height))
        return self.pixels[level][y : y + height, x : x + width].copy()

    def close(self) -> None:
        pass


def tissue(side: int = SIDE, seed: int = 0) -> np.ndarray:
    return toy_image(seed, side, side * side // 700)[0]


def rows_of(found: FoundNuclei) -> np.ndarray:
    return np.column_stack([found.points, found.scores, found.kinds])


def undivided(detector: Detector, image: np.ndarray, mpp: float, threshold: float) -> np.ndarray:
    found = FoundNuclei.of(
        detector.predict(image, mpp, threshold=threshold), detector.codec.classes
    )
    return rows_of(FoundNuclei.joined([found], detector.codec.classes))


CODECS = {
    "proximity": {"subpixel": True},
    "kinet": {},
    "objectness": {},
    "voting": {"radius_um": 3.0},
    "distance": {},
    "semantic": {},
    "concentric": {"min_area_um2": 0.0, "smoothing_um": 0.0},
    "boxes": {},
}


@pytest.mark.parametrize("codec", CODECS)
def test_nuclei_are_those_of_the_undivided_image_whatever_the_tiles(codec: str) -> None:
    detector = lively_detector(codec, options=CODECS[codec])
    image = tissue()
    expected = undivided(detector, image, MPP, 0.3)
    assert len(expected) > 5
    for block_px, tile_px in ((64, 64), (110, 90), (1000, 50)):
        field = Field.of(detector, DrawnSlide(image), MPP, tile_px=tile_px)
        found = search(field, threshold=0.3, block_px=block_px)
        np.testing.assert_allclose(rows_of(found), expected, atol=1e-3)


@pytest.mark.parametrize("mpp", [0.29, 0.25, 0.7])
def test_nuclei_are_those_of_the_undivided_image_at_another_scale(mpp: float) -> None:
    detector = lively_detector("proximity", options={"subpixel": True})
    image = tissue()
    expected = undivided(detector, image, mpp, 0.3)
    for block_px in (90, 1000):
        field = Field.of(detector, DrawnSlide(image, mpp=mpp), mpp, tile_px=96)
        found = search(field, threshold=0.3, block_px=block_px)
        np.testing.assert_allclose(rows_of(found), expected, atol=1e-3)


@pytest.mark.parametrize("method", ["reinhard", "macenko"])
def test_nuclei_are_those_of_the_undivided_image_where_stain_is_normalised(method: str) -> None:
    reference = find_reference("tnbc")
    plain = lively_detector("proximity")
    card = plain.card.model_copy(update={"stain_reference": reference, "normalise": method})
    detector = Detector(plain.network, plain.codec, card)
    image = tissue()
    expected = undivided(detector, image, MPP, 0.3)
    found = search(Field.of(detector, DrawnSlide(image), MPP), threshold=0.3, block_px=80)
    np.testing.assert_allclose(rows_of(found), expected, atol=1e-3)


def test_an_area_keeps_the_nuclei_whose_centres_lie_in_it_and_reads_little_else() -> None:
    detector, slide = lively_detector("proximity"), DrawnSlide(tissue())
    area = shapely.MultiPolygon([shapely.Point(80, 80).buffer(60)])
    everywhere = search(Field.of(detector, slide, MPP), threshold=0.3)
    slide.reads.clear()
    found = search(Field.of(detector, slide, MPP), area, threshold=0.3, block_px=64)
    inside = shapely.contains_xy(area, *everywhere.points.T.astype(float))
    np.testing.assert_allclose(rows_of(found), rows_of(everywhere.take(inside)), atol=1e-3)
    halo = detector.network.receptive_field // 2 + 2 * detector.network.stride + 64 + 40
    assert max(x + width for _, x, _, width, _ in slide.reads) <= 192 + halo


def test_the_coarsest_level_that_is_fine_enough_is_read() -> None:
    fine = tissue(400)
    slide = DrawnSlide(fine, resample_image(fine, 0.5), resample_image(fine, 0.25), mpp=0.25)
    assert [level_for(slide, 0.25, wanted) for wanted in (0.1, 0.25, 0.4, 0.5, 1.0, 9)] == [
        *(0, 0, 0, 1, 2, 2)
    ]
    detector = lively_detector("proximity")
    found = search(Field.of(detector, slide, 0.25), threshold=0.3)
    assert {read[0] for read in slide.reads} == {1}
    expected = detector.predict(slide.pixels[1], 0.5, threshold=0.3)
    expected_points = expected.points[np.lexsort(expected.points.T)]
    np.testing.assert_allclose(found.points, expected_points * 2 + 0.5, atol=1e-3)


def test_blocks_that_are_done_are_not_done_again() -> None:
    detector, kept = lively_detector("proximity"), InMemory()
    first = search(
        Field.of(detector, DrawnSlide(tissue()), MPP), threshold=0.3, block_px=128, keep=kept
    )
    slide = DrawnSlide(tissue())
    again = search(Field.of(detector, slide, MPP), threshold=0.3, block_px=128, keep=kept)
    assert not slide.reads
    np.testing.assert_array_equal(rows_of(again), rows_of(first))


def test_outlines_are_those_of_the_slides_pixels() -> None:
    detector = lively_detector("semantic")
    image = tissue()
    whole = detector.predict(image, MPP, threshold=0.3)
    found = search(Field.of(detector, DrawnSlide(image), MPP), threshold=0.3, block_px=77)
    areas = np.bincount(whole.instances.ravel(), minlength=len(whole) + 1)[1:]
    assert sorted(shapely.area(found.outlines)) == sorted(areas)
    drawn = shapely.get_coordinates(shapely.centroid(found.outlines))
    np.testing.assert_allclose(drawn, found.points, atol=0.01)


def test_progress_is_told_after_each_block() -> None:
    told = []
    field = Field.of(lively_detector("proximity"), DrawnSlide(tissue()), MPP)
    found = search(field, threshold=0.3, block_px=SIDE // 2, told=told.append)
    assert [(p.done, p.blocks) for p in told] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert told[-1].done_um2 == pytest.approx((SIDE * MPP) ** 2)
    assert told[-1].nuclei == len(found)


def test_a_window_of_a_field_has_the_bytes_of_the_whole() -> None:
    field = Field.of(lively_detector("proximity"), DrawnSlide(tissue(), mpp=0.31), 0.31)
    height, width = field.size
    whole = field.pixels(Window(0, 0, width, height))
    np.testing.assert_array_equal(whole, resample_image(tissue(), 0.62))
    part = field.pixels(Window(33, 41, 60, 50))
    np.testing.assert_array_equal(part, whole[41:91, 33:93])
    assert replace(field, tile_px=10).size == field.size
