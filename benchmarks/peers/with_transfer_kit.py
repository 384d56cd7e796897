"""Detectors that ship with the kit, through `Detector.predict`: by PyTorch, and by OpenVINO."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tallied import Tally
from timed import MPP, main

import transfer_kit as tk
from transfer_kit.inference.forward import forward_of
from transfer_kit.networks.forward import Floats, Forward
from transfer_kit.stores.models import find_weights
from transfer_kit.weights_file import weights_hash

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


class ByOpenVINO(Ours):
    """The same by the runtime that `predict --runtime openvino` takes."""

    def __init__(self, model: str) -> None:
        super().__init__(model)
        self.name += ", OpenVINO"
        own = forward_of(self.detector, weights_hash(find_weights(model)), runtime="openvino")

        def timed(tiles: Floats) -> Floats:
            self.tally.shapes[tiles.shape] += 1  # no hook of PyTorch sees them
            started = time.perf_counter()
            maps = own.run(tiles)
            self.tally.seconds += time.perf_counter() - started
            return maps

        self.detector.by_torch = lambda **_: Forward(timed)  # type: ignore[method-assign]


if __name__ == "__main__":
    makers = [partial(kind, model) for model in MODELS for kind in (Ours, ByOpenVINO)]
    main(makers, ("transfer-kit", "torch", "openvino"))
