"""A Detector's network as TorchScript, which programs in C++, Java and older PyTorch run."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch

from transfer_kit.detector import Detector
from transfer_kit.exporting.card_inside import exported_card
from transfer_kit.exporting.equality import refuse_other_maps
from transfer_kit.exporting.tracing import as_script, ready_network
from transfer_kit.files import replacing
from transfer_kit.networks.forward import Floats


def export_torchscript(detector: Detector, path: str | Path) -> float:
    """Write the network as TorchScript (`.pt`) for images of any size from 64 px.

    `torch.jit.load(path)` runs it; its extra file `card.json` is the card. PyTorch calls
    TorchScript deprecated since 2.10, but still reads and writes it.

    Returns:
        The largest difference between its maps, read from the file again, and the network's own.

    Raises:
        UserError: the file cannot be written; the network cannot be traced, or gives other maps
            once it is.
    """
    network = ready_network(detector)
    load: Any = torch.jit.load  # without types
    with replacing(path) as temporary:
        temporary.touch()
        script = as_script(network)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            files = {"card.json": exported_card(detector)}
            torch.jit.save(script, str(temporary), _extra_files=files)
            again = load(str(temporary), map_location="cpu")

        def run(images: Floats) -> Floats:
            with torch.inference_mode():
                maps: Floats = again(torch.from_numpy(images)).numpy()
            return maps

        return refuse_other_maps(run, network)
