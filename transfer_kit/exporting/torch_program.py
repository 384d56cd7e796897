"""A Detector's network as a `torch.export` program."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from transfer_kit.detector import Detector
from transfer_kit.exporting.card_inside import exported_card
from transfer_kit.exporting.equality import refuse_other_maps
from transfer_kit.exporting.tracing import as_program, ready_network
from transfer_kit.files import replacing
from transfer_kit.networks.forward import Floats


def export_program(detector: Detector, path: str | Path) -> float:
    """Write the network as a `torch.export` program (`.pt2`) for images of any size from 64 px.

    `torch.export.load(path).module()` runs it; its extra file `card.json` is the card.

    Returns:
        The largest difference between its maps and the network's own.

    Raises:
        UserError: the file cannot be written; the network cannot be traced, or gives other maps
            once it is.
    """
    network = ready_network(detector)
    with replacing(path) as temporary:
        temporary.touch()  # a folder that cannot be written is told before the network is traced
        program = as_program(network)
        difference = refuse_other_maps(_Run(program.module()), network)
        card = {"card.json": exported_card(detector)}
        torch.export.save(program, str(temporary), extra_files=card)
    return difference


class _Run:
    def __init__(self, module: torch.nn.Module) -> None:
        self.module = module

    def __call__(self, images: Floats) -> Floats:
        with torch.inference_mode():
            maps: Tensor = self.module(torch.from_numpy(images))
        return maps.numpy()
