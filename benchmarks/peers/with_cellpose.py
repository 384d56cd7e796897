"""Cellpose 4 (Cellpose-SAM), a vision transformer, in single precision."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from cellpose import dynamics, models, vit
from numpy.typing import NDArray
from tallied import Tally
from timed import main

WITHIN, OUTSIDE = 6.0, -6.0


class CellposeSam:
    """`CellposeModel.eval` with all that it does by default."""

    name = "Cellpose 4 (SAM)"
    network_mpp = 0.25
    note = ""

    def __init__(self) -> None:
        if os.environ.get("PEERS_PUBLISHED"):
            self.weights = "published"
            self.model = models.CellposeModel(gpu=False, use_bfloat16=False)
        else:
            self.weights = "random"
            self.model = _untrained()
        self.tally = Tally(self.model.net)
        self.parameters = self.tally.parameters

    def ideal(self, labels: NDArray[np.int32]) -> Any:
        """What its training aims at: five times the flow, and the logit of a cell."""
        if self.weights == "published":
            return None
        flows = dynamics.labels_to_flows([labels.copy()], device=torch.device("cpu"))[0]
        return 5 * flows[2:4], np.where(flows[1] > 0.5, WITHIN, OUTSIDE).astype(np.float32)

    def run(self, image: NDArray[np.uint8], ideal: Any) -> int:
        """Its own `eval`; the network's maps are exchanged for `ideal` before they are decoded."""
        self.tally.begin()
        decode = self.model._compute_masks

        def decode_ideal(shape: Any, flow: Any, cell: Any, **settings: Any) -> Any:
            if ideal is not None:
                flow, cell = ideal[0][:, None], ideal[1][None]
            return decode(shape, flow, cell, **settings)

        self.model._compute_masks = decode_ideal
        try:
            masks = self.model.eval(image)[0]
        finally:
            self.model._compute_masks = decode
        return int(masks.max())

    def network_seconds(self) -> float:
        """Of all tiles."""
        return self.tally.seconds

    def macs(self) -> float:
        """Of all tiles."""
        return self.tally.macs()


def _untrained() -> models.CellposeModel:
    """The model without its weights, which its own constructor insists on loading."""
    model = models.CellposeModel.__new__(models.CellposeModel)
    model.device, model.gpu = torch.device("cpu"), False
    model.backbone, model.pretrained_model = "sam_vitl", ""
    model.net = vit.CPSAM(dtype=torch.float32).eval()
    return model


if __name__ == "__main__":
    main([CellposeSam], ("cellpose", "torch"))
