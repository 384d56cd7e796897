from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from dataset_folders import write_csv
from PIL import Image
from scipy.spatial.distance import cdist
from shapely.geometry import box
from toy import ToySample

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.dataset import Dataset
from transfer_kit.data.organ_figures import measure_organ, organ_distance
from transfer_kit.data.sample import Sample


@dataclass(frozen=True, eq=False)
class Drawn:
    """A sample in memory of any image and annotation."""

    image_path: int
    pixels: np.ndarray
    known: Annotation
    mpp: float = 0.5
    source: str = "drawn"
    window: None = None

    def image(self):
        return self.pixels

    def annotation(self):
        return self.known


def measured(*samples):
    return measure_organ("name", "organ", "H&E", samples)


def plain(colour, side=64):
    return np.full((side, side, 3), colour, np.uint8)


def points(*xy):
    return Annotation.of_points(np.array(xy, np.float32).reshape(-1, 2))


def test_optical_density_is_that_of_beer_and_lambert():
    colour = (127, 63, 191)
    figures = measured(Drawn(0, plain(colour), points((5, 5))))
    expected = [np.log(256 / (value + 1)) for value in colour]
    assert figures.density_mean == pytest.approx(expected, rel=1e-5)
    assert figures.density_sd == pytest.approx((0, 0, 0), abs=1e-5)
    assert figures.stain_spread is None  # of one image


def test_glass_is_no_tissue():
    image = plain((250, 250, 250))
    image[:32] = (100, 50, 120)
    figures = measured(Drawn(0, image, points()))
    assert figures.density_mean == pytest.approx(np.log(256 / np.array([101, 51, 121])), rel=1e-5)
    assert measured(Drawn(0, plain((250, 250, 250)), points())).density_mean is None


def test_the_spread_of_images_is_their_distance_from_the_mean():
    images = [
        np.vstack([plain((c, 60, 120)), plain((120, d, 90))]) for c, d in ((100, 80), (60, 90))
    ]
    images.append(plain((90, 60, 100)))
    samples = [Drawn(i, image, points()) for i, image in enumerate(images)]
    densities = [np.log(256 / (image.reshape(-1, 3) + 1.0)) for image in images]
    figures = np.array([[*density.mean(axis=0), *density.std(axis=0)] for density in densities])
    away = np.sum((figures - figures.mean(axis=0)) ** 2, axis=1)
    expected = np.sqrt(np.mean(away))
    assert measured(*samples).stain_spread == pytest.approx(expected, rel=1e-5)


def test_nuclei_per_mm2_count_the_labelled_region_alone():
    inside = [(10, 10), (20, 20), (25, 12)]
    region = box(-0.5, -0.5, 31.5, 63.5)  # the left half, 32 x 64 px of .25 µm² each
    annotation = Annotation(
        np.array([*inside, (50, 50)], np.float32), ("",) * 4, labelled_regions=(region,)
    )
    figures = measured(Drawn(0, plain((100, 60, 120)), annotation))
    assert figures.nuclei_per_mm2 == pytest.approx(3 / (32 * 64 * 0.25) * 1e6, rel=0.05)
    assert figures.n_nuclei == 4


def test_the_nearest_neighbour_is_that_of_brute_force_in_um():
    xy = np.random.default_rng(1).uniform(0, 63, (40, 2)).astype(np.float32)
    figures = measured(Drawn(0, plain((100, 60, 120)), points(*xy), mpp=0.25))
    distances = cdist(xy, xy) + np.diag([np.inf] * 40)
    assert figures.neighbour_um == pytest.approx(np.median(distances.min(axis=1)) * 0.25, rel=1e-5)


def test_outlines_give_the_diameter_of_the_disc_as_large():
    squares = tuple(box(x, 10, x + 10, 20) for x in (0, 20, 40))
    annotation = Annotation(
        np.array([(5, 15), (25, 15), (45, 15)], np.float32), ("",) * 3, outlines=squares
    )
    figures = measured(Drawn(0, plain((100, 60, 120)), annotation, mpp=0.5))
    assert figures.diameter_from == "outlines"
    assert figures.diameter_um == pytest.approx(2 * np.sqrt(100 / np.pi) * 0.5)


def test_centres_alone_give_the_diameter_of_the_dark_spots():
    toys = [ToySample(i) for i in range(3)]
    figures = measured(*(Drawn(i, toy.image(), toy.annotation()) for i, toy in enumerate(toys)))
    assert figures.diameter_from == "blobs"
    assert figures.diameter_um == pytest.approx(9 * 0.5, rel=0.25)  # discs 9 px wide


def test_a_tiled_image_is_measured_once_and_whole(tmp_path):
    (tmp_path / "images").mkdir()
    image = np.random.default_rng(0).integers(60, 160, (200, 200, 3), np.uint8)
    Image.fromarray(image).save(tmp_path / "images" / "a.png")
    write_csv(tmp_path / "annotations" / "a.csv", [(30, 30), (99.4, 50), (150, 150)])
    card = "name: t\norgan: o\nstain: H&E\nmpp: 0.5\nlicence: private\n"
    (tmp_path / "dataset.yaml").write_text(card)
    whole = Dataset.open(tmp_path)
    (tmp_path / "dataset.yaml").write_text(card + "tile_px: 100\n")
    tiled = Dataset.open(tmp_path)
    assert (len(whole), len(tiled)) == (1, 4)
    assert all(isinstance(sample, Sample) for sample in tiled)
    figures = measured(*tiled)
    assert figures == measured(*whole)
    assert (figures.n_images, figures.n_nuclei) == (1, 3)
    assert figures.nuclei_per_mm2 == pytest.approx(3 / (100 * 100) * 1e6)


def test_the_distance_of_two_organs_is_worked_by_hand():
    one = measured(Drawn(0, plain((127, 63, 191)), points((5, 5), (9, 5)), mpp=0.5))
    other = measured(
        *(
            Drawn(i, plain(c), points((5, 5), (13, 5)), mpp=0.5)
            for i, c in enumerate([(63,) * 3] * 2)
        )
    )
    distance = organ_distance(one, other)
    first, second = np.log([2, 4, 256 / 192]), np.log([4, 4, 4])
    assert distance.stain == pytest.approx(np.linalg.norm(first - second), rel=1e-4)
    cosine = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
    assert distance.hue_degrees == pytest.approx(np.degrees(np.arccos(cosine)), rel=1e-3)
    assert distance.neighbour_ratio == pytest.approx(2)
    assert distance.nuclei_ratio == pytest.approx(1)
    assert distance.diameter_ratio is None


def test_an_organ_is_at_no_distance_from_itself():
    figures = measured(*(Drawn(i, plain((90, 60 + 20 * i, 120)), points((5, 5))) for i in range(3)))
    distance = organ_distance(figures, figures)
    assert (distance.stain, distance.stain_in_spreads) == (0, 0)
    assert distance.hue_degrees == pytest.approx(0, abs=0.05)


def test_a_stain_that_is_twice_as_dark_has_the_same_hue():
    thin = plain((round(255 * 0.8), round(255 * 0.5), round(255 * 0.7)))
    thick = plain((round(255 * 0.8**2), round(255 * 0.5**2), round(255 * 0.7**2)))
    one, other = (measured(Drawn(0, image, points())) for image in (thin, thick))
    distance = organ_distance(one, other)
    assert distance.stain > 0.5
    assert distance.hue_degrees < 1
