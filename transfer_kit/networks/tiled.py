"""A network over an image of any size, in tiles with a halo, with the maps of the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from transfer_kit.data.tiles import Window
from transfer_kit.networks.base import Network
from transfer_kit.networks.forward import Forward, run_network


def tiled_maps(
    network: Network, image: Tensor, *, tile_px: int = 1024, channels: int
) -> NDArray[np.float32]:
    """The network's maps of one image, equal to those of the undivided image.

    Args:
        network: In evaluation mode.
        image: `(3, H, W)` float32, normalised.
        tile_px: Side of the part of a tile that is kept, to a stride.
        channels: Maps that the network returns.

    Returns:
        `(channels, H, W)` float32.
    """
    height, width = image.shape[-2:]
    pixels: NDArray[np.float32] = image.cpu().numpy()

    def read(window: Window) -> NDArray[np.float32]:
        return pixels[:, window.y0 : window.y1, window.x0 : window.x1]

    return window_maps(
        network, Forward(partial(run_network, network)), read,
        Window(0, 0, width, height), (height, width), tile_px=tile_px, channels=channels,
    )  # fmt: skip


def window_maps(
    network: Network,
    forward: Forward,
    read: Callable[[Window], NDArray[np.float32]],
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
        network: Whose stride and receptive field tell the tiles.
        forward: What computes its maps.
        read: The normalised pixels `(3, h, w)` float32 of a window.
        window: Whose maps are wanted.
        size: Height and width of the image.
        tile_px: Side of the part of a tile that is kept, to a stride.
        channels: Maps that the network returns.

    Returns:
        `(channels, h, w)` float32 of the window.
    """
    maps = np.empty((channels, window.height, window.width), np.float32)
    tiles = tiles_with_halo(network, window, size, tile_px=tile_px)
    for batch in _alike(tiles, forward.at_once):
        parts = forward([read(seen) for _, seen in batch])
        for (kept, seen), part in zip(batch, parts, strict=True):
            maps[_inside(kept, window)] = part[_inside(kept, seen)]
    return maps


def _inside(part: Window, whole: Window) -> tuple[slice, slice, slice]:
    """Of maps of what lies around a window, those of the window."""
    return (
        slice(None),
        slice(part.y0 - whole.y0, part.y1 - whole.y0),
        slice(part.x0 - whole.x0, part.x1 - whole.x0),
    )


def _alike(
    tiles: Iterable[tuple[Window, Window]], at_once: int
) -> Iterator[list[tuple[Window, Window]]]:
    """Tiles together that see equally much, so many at most."""
    by_size: dict[tuple[int, ...], list[tuple[Window, Window]]] = {}
    for kept, seen in tiles:
        by_size.setdefault(seen[2:], []).append((kept, seen))
    for equal in by_size.values():
        for first in range(0, len(equal), at_once):
            yield equal[first : first + at_once]


def tiles_with_halo(
    network: Network, window: Window, size: tuple[int, int], *, tile_px: int
) -> Iterator[tuple[Window, Window]]:
    """The tiles of a window, and what of the image each must see: inside it equally much."""
    stride = network.stride
    halo = -(-(network.receptive_field // 2) // stride) * stride
    rows = _parts(window.y0, window.y1, tile_px, stride)
    columns = _parts(window.x0, window.x1, tile_px, stride)
    for row, column in product(rows, columns):
        kept = Window.between(column.first, row.first, column.stop, row.stop)
        seen = Window.between(column.seen_first, row.seen_first, column.seen_stop, row.seen_stop)
        yield kept, seen.grown(halo, size)


class _Part(NamedTuple):
    """Of an axis: what is kept of a tile, and what the network computes for it."""

    first: int
    stop: int
    seen_first: int
    seen_stop: int


def _parts(first: int, stop: int, tile_px: int, stride: int) -> list[_Part]:
    """Parts of one length, which begin at multiples of the stride, as the image does."""
    begin, end = first // stride, -(-stop // stride)
    count = max(1, -(-(stop - first) // tile_px))
    length = -(-(end - begin) // count)
    parts = []
    for start in range(begin, end, length):
        # The last one reaches back, so that it sees as much as the others.
        seen = max(begin, min(start, end - length)) * stride
        kept = max(first, start * stride), min(stop, (start + length) * stride)
        parts.append(_Part(*kept, seen, seen + length * stride))
    return parts
