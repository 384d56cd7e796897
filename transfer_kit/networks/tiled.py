"""A network over an image of any size, in tiles with a halo, with the maps of the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from transfer_kit.data.tiles import Window
from transfer_kit.networks.base import Network


def tiled_maps(
    network: Network, image: Tensor, *, tile_px: int = 1024, channels: int
) -> NDArray[np.float32]:
    """The network's maps of one image, equal to those of the undivided image.

    Args:
        network: In evaluation mode, on the image's device.
        image: `(3, H, W)` float32, normalised.
        tile_px: Side of the part of a tile that is kept, at most.
        channels: Maps that the network returns.

    Returns:
        `(channels, H, W)` float32.
    """
    height, width = image.shape[-2:]

    def read(window: Window) -> Tensor:
        return image[:, window.y0 : window.y1, window.x0 : window.x1]

    return window_maps(
        network, read, Window(0, 0, width, height), (height, width),
        tile_px=tile_px, channels=channels,
    )  # fmt: skip


def window_maps(
    network: Network,
    read: Callable[[Window], Tensor],
    window: Window,
    size: tuple[int, int],
    *,
    tile_px: int = 1024,
    channels: int,
) -> NDArray[np.float32]:
    """The network's maps of a window of an image, equal to those of the undivided image.

    Tiles start at multiples of the network's stride in the image and are read with a halo of half
    its receptive field, so that every kept pixel sees what it would see in the whole image.

    Args:
        network: In evaluation mode, on the device of what is read.
        read: The normalised pixels `(3, h, w)` float32 of a window.
        window: Whose maps are wanted.
        size: Height and width of the image.
        tile_px: Side of the part of a tile that is kept, at most.
        channels: Maps that the network returns.

    Returns:
        `(channels, h, w)` float32 of the window.
    """
    maps = np.empty((channels, window.height, window.width), np.float32)
    for kept, seen in tiles_with_halo(network, window, size, tile_px=tile_px):
        pixels = read(seen)[None]
        if pixels.device.type == "cpu":  # where this layout is up to twice as fast
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            part = network(pixels)[0].float().cpu().numpy()
        maps[
            :, kept.y0 - window.y0 : kept.y1 - window.y0, kept.x0 - window.x0 : kept.x1 - window.x0
        ] = part[
            :, kept.y0 - seen.y0 : kept.y1 - seen.y0, kept.x0 - seen.x0 : kept.x1 - seen.x0
        ]  # fmt: skip
    return maps


def tiles_with_halo(
    network: Network, window: Window, size: tuple[int, int], *, tile_px: int
) -> Iterator[tuple[Window, Window]]:
    """The tiles of a window of about equal sides, and what of the image each must see."""
    stride = network.stride
    halo = -(-(network.receptive_field // 2) // stride) * stride
    for y0, y1 in pairwise(_edges(window.y0, window.y1, tile_px, stride)):
        for x0, x1 in pairwise(_edges(window.x0, window.x1, tile_px, stride)):
            kept = Window.between(x0, y0, x1, y1)
            # What is seen starts at a multiple of the stride, as the image does.
            left, top = x0 // stride * stride, y0 // stride * stride
            yield kept, Window.between(left, top, x1, y1).grown(halo, size)


def _edges(first: int, stop: int, tile_px: int, stride: int) -> list[int]:
    """Where tiles begin and end: at multiples of the stride but for the first and the last."""
    count = max(1, -(-(stop - first) // tile_px))
    inner = (round((first + (stop - first) * k / count) / stride) * stride for k in range(1, count))
    return sorted({first, stop, *(edge for edge in inner if first < edge < stop)})
