"""Tiles go through a network several at once, with the maps that each has by itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from toy import lively_detector, toy_detector, toy_image

from transfer_kit.data.tiles import Window
from transfer_kit.errors import UserError
from transfer_kit.networks.forward import Forward
from transfer_kit.networks.tiled import tiles_with_halo

SIDE = 200


def maps_in_batches(detector, at_once):
    """The maps of the middle of an image in tiles, and how many went together each time."""
    own, batches = detector.by_torch(), []

    def run(tiles):
        batches.append(len(tiles))
        return own.run(tiles)

    image = toy_image(0, SIDE, 40)[0]
    maps = detector.window_maps(
        lambda window: image[window.y0 : window.y1, window.x0 : window.x1],
        Window(61, 58, 90, 87),
        (SIDE, SIDE),
        tile_px=32,
        forward=Forward(run, at_once),
    )
    return maps, batches


def test_maps_of_batches_are_those_of_single_tiles():
    detector = toy_detector(network={"name": "fcrn_b", "options": {"width": 3}})
    single, singly = maps_in_batches(detector, 1)
    together, batches = maps_in_batches(detector, 4)
    assert singly == [1] * 9
    assert batches == [4, 4, 1]
    assert single.std() > 1e-3
    np.testing.assert_allclose(together, single, atol=1e-6)


def test_tiles_inside_an_image_see_equally_much():
    network = lively_detector("distance").network
    window = Window(1003, 1011, 701, 650)
    tiles = list(tiles_with_halo(network, window, (4000, 4000), tile_px=256))
    assert len({seen[2:] for _, seen in tiles}) == 1
    covered = np.zeros((window.height, window.width), int)
    for kept, seen in tiles:
        assert seen.x0 % network.stride == seen.y0 % network.stride == 0
        assert kept.grown(network.receptive_field // 2, (4000, 4000)).x1 <= seen.x1
        y0, x0 = kept.y0 - window.y0, kept.x0 - window.x0
        covered[y0 : y0 + kept.height, x0 : x0 + kept.width] += 1
    assert (covered == 1).all()


def small_device(most):
    """A network whose device holds so many tiles; its maps are the tiles' first channel."""

    def run(tiles):
        if len(tiles) > most:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return tiles[:, :1]

    return run


def test_batches_that_do_not_fit_are_halved_once_and_for_all(caplog):
    forward = Forward(small_device(2), at_once=8)
    tiles = [np.full((3, 4, 5), number, np.float32) for number in range(8)]
    maps = list(forward(tiles))
    assert [each.shape for each in maps] == [(1, 4, 5)] * 8
    assert [each.max() for each in maps] == list(range(8))
    assert forward.at_once == 2
    assert [record.message for record in caplog.records] == [
        "The device's memory does not suffice for 8 tiles at once: going on with 4 (--batch 4).",
        "The device's memory does not suffice for 4 tiles at once: going on with 2 (--batch 2).",
    ]


def test_a_tile_that_does_not_fit_alone_is_told():
    forward = Forward(small_device(0))
    with pytest.raises(UserError, match=r"not suffice for a tile of 9 x 7 pixels; give a smaller"):
        list(forward([np.zeros((3, 7, 9), np.float32)]))
