"""StarDist 2D as in `2D_versatile_he`: 32 rays on a grid of 2 x 2 pixels."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import numpy as np
import tensorflow as tf
from csbdeep.utils import normalize
from numpy.typing import NDArray
from stardist import edt_prob, star_dist
from stardist.models import Config2D, StarDist2D
from timed import main

PUBLISHED = "2D_versatile_he"
PROBABILITY, OVERLAP = 0.692478, 0.3  # its thresholds
TILE = 1024


class StarDist:
    """`predict_instances` with labels, as its examples call it."""

    name = "StarDist 2D, versatile H&E"
    network_mpp = 0.25
    note = ""

    def __init__(self) -> None:
        if os.environ.get("PEERS_PUBLISHED"):
            self.weights = "published"
            self.model = StarDist2D.from_pretrained(PUBLISHED)
        else:
            self.weights = "random"
            config = Config2D(axes="YXC", n_channel_in=3, n_rays=32, grid=(2, 2))
            self.model = StarDist2D(config, name=None, basedir=None)
            self.model.thresholds = {"prob": PROBABILITY, "nms": OVERLAP}
        self.parameters = self.model.keras_model.count_params()
        self._pixels, self._seconds = 0, 0.0

    def ideal(self, labels: NDArray[np.int32]) -> Any:
        """What its training aims at: probability from the distance to the edge, and 32 rays."""
        if self.weights == "published":
            return None
        prob = edt_prob(labels)[::2, ::2]
        dist = np.maximum(1e-3, star_dist(labels, 32, grid=(2, 2)))
        inside = prob > PROBABILITY
        inside[:2], inside[-2:], inside[:, :2], inside[:, -2:] = False, False, False, False
        return prob[inside], dist[inside], np.argwhere(inside) * 2

    def run(self, image: NDArray[np.uint8], ideal: Any) -> int:
        """The network by tiles, then non-maximum suppression and polygons to labels."""
        tiles = (*(int(np.ceil(side / TILE)) for side in image.shape[:2]), 1)
        self._pixels = image.shape[0] * image.shape[1]
        started = time.perf_counter()
        pixels = normalize(image, 1, 99.8, axis=(0, 1))
        prob, dist, points = self.model.predict_sparse(
            pixels, n_tiles=tiles, show_tile_progress=False
        )
        self._seconds = time.perf_counter() - started
        if ideal is not None:
            prob, dist, points = ideal
        _, found = self.model._instances_from_prediction(image.shape[:2], prob, dist, points=points)
        return len(found["prob"])

    def network_seconds(self) -> float:
        """Of all tiles, with normalising the image."""
        return self._seconds

    def macs(self) -> float:
        """Of all convolutions, without the overlap of tiles."""
        side, total = 256, 0.0
        layers = [layer for layer in self.model.keras_model.layers if hasattr(layer, "kernel_size")]
        shapes = tf.keras.Model(self.model.keras_model.inputs, [one.output for one in layers])
        outputs = shapes(np.zeros((1, side, side, 3), np.float32))
        for layer, output in zip(layers, outputs, strict=True):
            height, width = output.shape[1:3]
            total += height * width * int(np.prod(layer.kernel.shape))
        return total * self._pixels / side**2


if __name__ == "__main__":
    threads = int(sys.argv[sys.argv.index("--threads") + 1])
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    main([StarDist], ("stardist", "tensorflow-cpu", "keras"))
