"""InstanSeg as in `brightfield_nuclei`, whose network looks at 0.5 µm per pixel."""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np
import torch
from edt import edt
from instanseg import InstanSeg
from instanseg.utils.loss.instanseg_loss import InstanSeg_Torchscript, ProbabilityNet
from instanseg.utils.models.InstanSeg_UNet import InstanSeg_UNet
from instanseg.utils.tiling import _chops, _instanseg_padding
from numpy.typing import NDArray
from tallied import Tally
from timed import MPP, main
from torch import Tensor, nn

NETWORK_MPP = 0.5
TILE, OVERLAP = 512, 2 * (80 + 20)  # as `eval_medium_image` has them
UNITS = 0.25  # of its coordinates, a pixel
REACH = 8.0  # it moves coordinates by less than half of this


class GivesIdeal(nn.Module):
    """The network, whose maps are exchanged for those of the same tile at their best.

    It becomes part of a TorchScript, as the published model is one.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.tiles = torch.jit.Attribute([], list[Tensor])
        self.calls = torch.jit.Attribute(0, int)

    def forward(self, x: Tensor) -> Tensor:
        """The network's own cost, and ideal maps."""
        maps = self.network(x)
        if len(self.tiles) == 0:
            return maps
        self.calls += 1
        return self.tiles[(self.calls - 1) % len(self.tiles)].unsqueeze(0)


class InstanSegNuclei:
    """`eval_medium_image`, its call for images that fit into memory."""

    name = "InstanSeg, brightfield nuclei"
    network_mpp = NETWORK_MPP
    note = "its pixel classifier is set by hand to what its training aims at"

    def __init__(self) -> None:
        if os.environ.get("PEERS_PUBLISHED"):
            raise NotImplementedError("its published model is one file that cannot be looked into")
        self.weights = "random"
        network = InstanSeg_UNet(
            in_channels=3, out_channels=[[2, 2, 1]], layers=[256, 128, 64, 32], norm="BATCH"
        ).eval()
        network.pixel_classifier = _classifier()
        whole = InstanSeg_Torchscript(network, pixel_size=NETWORK_MPP, n_sigma=2)
        self.traced = whole.fcn
        whole.fcn = GivesIdeal(whole.fcn)
        self.scripted = torch.jit.script(whole)
        self.kit = InstanSeg(self.scripted, device="cpu", verbosity=0)
        self.tally = Tally(network)
        self.parameters = self.tally.parameters

    def ideal(self, labels: NDArray[np.int32]) -> Any:
        """Each tile's maps: the way to the centre, inside or not, distance to the edge."""
        small = labels[:: round(NETWORK_MPP / MPP), :: round(NETWORK_MPP / MPP)]
        maps = _ideal_maps(np.ascontiguousarray(small))
        side = min(TILE, small.shape[0])
        overlap = OVERLAP if min(small.shape) > OVERLAP else 0
        rows, columns = _chops(maps.shape, shape=(side, side), overlap=overlap)
        tiles = [maps[:, y : y + side, x : x + side] for y in rows for x in columns]
        return [_instanseg_padding(tile[None], extra_pad=0)[0][0] for tile in tiles]

    def run(self, image: NDArray[np.uint8], ideal: Any) -> int:
        """Resizing, normalising, tiles, decoding and stitching, all its own."""
        self.tally.begin()
        given = self.scripted.fcn
        given.tiles, given.calls = ideal, 0
        found = self.kit.eval_medium_image(image, pixel_size=MPP, return_image_tensor=False)
        self.tally.shapes[(1, 3, *ideal[0].shape[1:])] = given.calls
        return len(torch.unique(found)) - 1

    def network_seconds(self) -> float:
        """As many times as it ran, on a tile of zeros: a TorchScript cannot be looked into."""
        ((shape, calls),) = self.tally.shapes.items()
        tile, seconds = torch.zeros(shape), []
        with torch.inference_mode():
            for _ in range(3):
                started = time.perf_counter()
                self.traced(tile)
                seconds.append(time.perf_counter() - started)
        return calls * sorted(seconds)[1]

    def macs(self) -> float:
        """Of all tiles."""
        return self.tally.macs()


def _classifier() -> ProbabilityNet:
    """Inside is what moved to the seed's place and calls itself inside: what training aims at."""
    classifier = ProbabilityNet(embedding_dim=4, width=5)
    with torch.no_grad():
        for layer in (classifier.fc1, classifier.fc2, classifier.fc3):
            layer.weight.zero_()
            layer.bias.zero_()
        for unit, (feature, sign) in enumerate(((0, 1), (0, -1), (1, 1), (1, -1), (2, -1))):
            classifier.fc1.weight[unit, feature] = sign
        classifier.fc2.weight.copy_(torch.eye(5))
        classifier.fc3.weight[0, :4] = -8.0
        classifier.fc3.weight[0, 4] = -20.0
        classifier.fc3.bias.fill_(6.0)
    return classifier


def _ideal_maps(labels: NDArray[np.int32]) -> Tensor:
    """`(5, H, W)`: logits of the way to the centre in x and y, two of sigma, and the seeds."""
    height, width = labels.shape
    ys, xs = np.mgrid[:height, :width].astype(np.float32)
    counts = np.maximum(np.bincount(labels.ravel()), 1)
    maps = []
    for places in (xs, ys):
        centres = np.bincount(labels.ravel(), weights=places.ravel()) / counts
        way = np.where(labels > 0, (centres[labels] - places) * UNITS, 0) / REACH
        maps.append(torch.logit(torch.from_numpy(way).float() + 0.5, eps=1e-4))
    inside = torch.from_numpy(np.where(labels > 0, 1.0, -1.0)).float()
    # As its own instance_wise_edt, which takes an image of each nucleus and much memory.
    depth = edt(labels.astype(np.uint32))
    deepest = np.ones(len(counts), np.float32)
    np.maximum.at(deepest, labels.ravel(), depth.ravel())
    seeds = (torch.from_numpy(depth / deepest[labels]) - 0.5) * 15
    return torch.stack([*maps, inside, inside, seeds])


if __name__ == "__main__":
    main([InstanSegNuclei], ("instanseg-torch", "torch"))
