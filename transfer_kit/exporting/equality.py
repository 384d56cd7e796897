"""Whether an exported network gives the maps that the network itself gives."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from transfer_kit.errors import UserError
from transfer_kit.networks import Network
from transfer_kit.networks.forward import Run

TOLERANCE = 1e-4
"""How far exported maps may be from the network's own."""

CHECKED = ((1, 64, 96), (2, 101, 150), (1, 90, 116), (1, 127, 83))
"""Batches, heights and widths that are compared: even and odd ones, also once or twice halved."""


def refuse_other_maps(
    run: Run, network: Network, *, checked: Iterable[tuple[int, int, int]] = CHECKED
) -> float:
    """The largest difference between an exported network's maps and the network's own.

    Args:
        run: The exported network.
        network: On the CPU, in evaluation mode.
        checked: Batch, height and width of each set of images.

    Raises:
        UserError: it is above `TOLERANCE`, or the maps are of another size.
    """
    largest = 0.0
    for number, (batch, height, width) in enumerate(checked):
        generator = torch.Generator().manual_seed(number)
        images = torch.randn(batch, 3, height, width, generator=generator)
        with torch.inference_mode():
            expected = network(images).numpy()
        maps = run(images.numpy())
        same = maps.shape == expected.shape
        difference = float(np.abs(maps - expected).max()) if same else np.inf
        if not difference <= TOLERANCE:  # a NaN is not, either
            raise UserError(
                f"The exported {type(network).__name__} gives maps that differ by {difference:.2g} "
                f"from its own at {height} x {width} px (at most {TOLERANCE:g}); nothing was "
                "written."
            )
        largest = max(largest, difference)
    return largest
