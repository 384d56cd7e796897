"""Detectors that ship with the kit, through `Detector.predict`."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tallied import Tally
from timed import MPP, main

import transfer_kit as tk

MODELS = ("micronet-breast", "voca-colon", "dist-all")


class Ours:
    """Its own weights, and what they give."""

    weights = "shipped"

    def __init__(self, model: str) -> None:
        self.name = f"transfer-kit {model}"
        self.detector = tk.load(model)
        self.network_mpp = self.detector.card.mpp
        coarse = self.network_mpp > 1.5 * MPP
        self.note = f"made for images of {self.network_mpp:g} µm/px" if coarse else ""
        self.tally = Tally(self.detector.network)
        self.parameters = self.tally.parameters

    def ideal(self, labels: NDArray[np.int32]) -> Any:
        """It has weights."""
        return None

    def run(self, image: NDArray[np.uint8], ideal: Any) -> int:
        """Resampling, tiles, network and decoding."""
        self.tally.begin()
        found = self.detector.predict(image, mpp=MPP)
        return len(found)

    def network_seconds(self) -> float:
        """Of all tiles."""
        return self.tally.seconds

    def macs(self) -> float:
        """Of all tiles with their halos."""
        return self.tally.macs()


if __name__ == "__main__":
    main([partial(Ours, model) for model in MODELS], ("transfer-kit", "torch"))
