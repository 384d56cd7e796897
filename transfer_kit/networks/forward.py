"""Tiles through a network, several at once, by whatever runs it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from transfer_kit.errors import UserError
from transfer_kit.networks.base import Network
from transfer_kit.wording import counted

log = logging.getLogger("transfer_kit.networks")

Floats = NDArray[np.float32]
Run = Callable[[Floats], Floats]
"""From standardised tiles `(B, 3, H, W)` to maps `(B, channels, H, W)`."""


@dataclass
class Forward:
    """A network as tiles go through it.

    Attributes:
        run: What computes the maps: PyTorch on some device, or another runtime.
        at_once: Tiles that it is given together, at most. Halved where they do not fit into the
            device's memory.
    """

    run: Run
    at_once: int = 1

    def __call__(self, tiles: Sequence[Floats]) -> Iterator[Floats]:
        """The maps `(channels, H, W)` of each of some tiles `(3, H, W)` of one size.

        Raises:
            UserError: not even one tile fits into the device's memory.
        """
        done = 0
        while done < len(tiles):
            batch = tiles[done : done + self.at_once]
            try:
                maps = self.run(batch[0][None] if len(batch) == 1 else np.stack(batch))
            except torch.OutOfMemoryError:
                self._halve(batch)
                continue
            yield from maps
            done += len(batch)

    def _halve(self, batch: Sequence[Floats]) -> None:
        if len(batch) == 1:
            height, width = batch[0].shape[1:]
            raise UserError(
                f"The device's memory does not suffice for a tile of {width} x {height} pixels; "
                "give a smaller --tile, or --device cpu."
            ) from None
        self.at_once = len(batch) // 2
        log.warning(
            "The device's memory does not suffice for %s at once: going on with %d (--batch %d).",
            counted(len(batch), "tile"), self.at_once, self.at_once,
        )  # fmt: skip
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def run_network(network: Network, tiles: Floats) -> Floats:
    """The maps of tiles by PyTorch, on the network's device, which must be in evaluation mode."""
    images = torch.from_numpy(tiles).to(next(network.parameters()).device)
    if images.device.type == "cpu":  # where this layout is up to twice as fast
        images = images.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        maps: Floats = network(images).float().cpu().numpy()
    return maps
