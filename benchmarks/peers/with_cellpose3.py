"""Cellpose 3, its residual U-Net with the settings of the model `nuclei`."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from cellpose import dynamics, models, utils
from cellpose.resnet_torch import CPnet
from numpy.typing import NDArray
from tallied import Tally
from timed import main

DIAMETER = 17.0  # of the nuclei that the model `nuclei` was trained with, in its pixels
WITHIN, OUTSIDE = 6.0, -6.0


class Cellpose3:
    """`CellposeModel.eval` in grey, told the nuclei's diameter, so that it resizes the image."""

    name = "Cellpose 3, nuclei"
    note = "told the nuclei's diameter, by which it resizes the image"

    def __init__(self) -> None:
        published = bool(os.environ.get("PEERS_PUBLISHED"))
        self.weights = "published" if published else "random"
        self.model = models.CellposeModel(
            gpu=False, model_type="nuclei" if published else None, diam_mean=DIAMETER
        )
        self.model.net.eval()
        self.network_mpp = 0.25
        self.tally = Tally(self.model.net)
        self.parameters = self.tally.parameters
        self._diameter = DIAMETER

    def ideal(self, labels: NDArray[np.int32]) -> Any:
        """What its training aims at: five times the flow, and the logit of a cell."""
        self._diameter = float(utils.diameters(labels)[0])
        self.network_mpp = round(0.25 * self._diameter / DIAMETER, 3)
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
            masks = self.model.eval(image, channels=[0, 0], diameter=self._diameter)[0]
        finally:
            self.model._compute_masks = decode
        return int(masks.max())

    def network_seconds(self) -> float:
        """Of all tiles."""
        return self.tally.seconds

    def macs(self) -> float:
        """Of all tiles, counted on the same network without oneDNN's own tensors."""
        net = self.model.net
        plain = CPnet(net.nbase, net.nout, sz=3, mkldnn=False, max_pool=True).eval()
        return self.tally.macs(plain)


if __name__ == "__main__":
    main([Cellpose3], ("cellpose", "torch"))
