from __future__ import annotations

import numpy as np
import pytest
from dataset_folders import write_folder

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.dataset import Dataset
from transfer_kit.data.tiles import Window, annotation_in, windows_of


@pytest.mark.parametrize("size", [(1000, 1000), (1100, 740), (500, 499), (90, 2000), (1249, 1251)])
def test_tiles_cover_every_pixel_once(size):
    covered = np.zeros(size, int)
    for x0, y0, width, height in windows_of(size, 500):
        covered[y0 : y0 + height, x0 : x0 + width] += 1
    assert (covered == 1).all()


def test_a_thousand_pixels_make_four_tiles_of_five_hundred():
    assert windows_of((1000, 1000), 500) == [
        Window(0, 0, 500, 500),
        Window(500, 0, 500, 500),
        Window(0, 500, 500, 500),
        Window(500, 500, 500, 500),
    ]


def test_a_small_remainder_joins_the_tile_before_it():
    assert [w.width for w in windows_of((100, 1100), 500)] == [500, 600]
    assert [w.width for w in windows_of((100, 1300), 500)] == [500, 500, 300]


def test_points_move_into_the_tile_and_others_stay_out():
    points = np.array([[5, 5], [15, 5], [9.4, 3], [9.6, 3]], np.float32)
    left = annotation_in(Annotation.of_points(points), Window(0, 0, 10, 10))
    right = annotation_in(Annotation.of_points(points), Window(10, 0, 10, 10))
    np.testing.assert_allclose(left.points, [[5, 5], [9.4, 3]])
    np.testing.assert_allclose(right.points, [[5, 5], [-0.4, 3]], atol=1e-5)


def test_a_nucleus_that_the_edge_cuts_gets_the_centre_of_what_is_seen():
    instances = np.zeros((10, 20), np.int32)
    instances[2:5, 4:11] = 1  # centre x = 7, reaches one pixel into the right tile
    whole = Annotation(np.array([[7, 3]], np.float32), ("",), instances=instances)
    left = annotation_in(whole, Window(0, 0, 10, 10))
    right = annotation_in(whole, Window(10, 0, 10, 10))
    np.testing.assert_allclose(left.points, [[7, 3]])
    np.testing.assert_allclose(right.points, [[0, 3]])
    assert right.instances is not None
    assert right.instances.sum() == 3


def test_a_dataset_counts_tiles_as_images_and_keeps_their_cases_together(tmp_path):
    folder = write_folder(tmp_path / "d", cases=4, per_case=1, side=200, tile_px=100)
    dataset = Dataset.open(folder)
    assert len(dataset) == 16
    assert len(dataset.cases) == 4
    whole = Dataset.open(write_folder(tmp_path / "w", cases=4, per_case=1, side=200))
    assert dataset.n_nuclei == whole.n_nuclei
    tile = dataset[3]
    assert tile.size == tile.image().shape[:2] == (100, 100)
    x0, y0, width, height = tile.window
    big = next(sample for sample in whole if sample.case == tile.case)
    np.testing.assert_array_equal(tile.image(), big.image()[y0 : y0 + height, x0 : x0 + width])
    splits = {dataset.split_of(sample) for sample in dataset if sample.case == tile.case}
    assert len(splits) == 1
