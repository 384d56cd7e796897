"""Any network with any codec: a few steps, saved, loaded, and nuclei found or none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from networks.tiny import TINY, tiny_options
from toy import MPP, toy_card, toy_image

from transfer_kit.codecs import codec_names
from transfer_kit.data.annotation import Annotation
from transfer_kit.data.nuclei import Nuclei
from transfer_kit.data.patches import normalise
from transfer_kit.detector import Detector
from transfer_kit.networks import network_names
from transfer_kit.networks.base import SelfJudging, needed_codec

SIZE = 64

CODECS: dict[str, dict[str, Any]] = {
    "boxes": {},
    "concentric": {},
    "distance": {},
    "kinet": {"regions": ["tumour", "stroma"]},
    "objectness": {},
    "proximity": {},
    "semantic": {},
    "voting": {},
}
"""Options of each registered codec; classes come from the card."""


def codec_options(name: str) -> dict[str, Any]:
    assert name in CODECS, f"add options of the codec {name!r} to CODECS in tests/test_zoo_grid.py"
    return CODECS[name]


@pytest.fixture(scope="module")
def labelled() -> tuple[np.ndarray, Annotation]:
    """An image with outlined nuclei of two classes, and what is in them by pixel."""
    from shapely.geometry import Point, box

    image, points = toy_image(0, SIZE, 6)
    rows, columns = np.indices((SIZE, SIZE))
    instances = np.zeros((SIZE, SIZE), np.int32)
    for number, (x, y) in enumerate(points, 1):
        instances[(columns - x) ** 2 + (rows - y) ** 2 <= 16] = number
    outlines = tuple(Point(*point).buffer(4) for point in points)
    classes = tuple("ab"[number % 2] for number in range(len(points)))
    regions = (("tumour", box(0, 0, 32, SIZE)), ("stroma", box(32, 0, SIZE, SIZE)))
    return image, Annotation(points, classes, instances, outlines, region_labels=regions)


def losses_of(detector: Detector, pixels: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    network, weight = detector.network, torch.ones(2, 1, SIZE, SIZE)
    if isinstance(network, SelfJudging):
        return network.loss(pixels, targets, weight)
    return detector.codec.loss(network(pixels), targets, weight)


def train(detector: Detector, image: np.ndarray, annotation: Annotation, steps: int) -> list[float]:
    card, codec = detector.card, detector.codec
    pixels = torch.from_numpy(normalise(image, card.mean, card.std))[None].repeat(2, 1, 1, 1)
    target = codec.encode(annotation, (SIZE, SIZE), MPP, np.random.default_rng(0))
    targets = torch.from_numpy(np.stack([target, target]))
    optimiser = torch.optim.Adam(detector.network.parameters(), lr=1e-3)
    detector.network.train()
    losses = []
    for _ in range(steps):
        loss = losses_of(detector, pixels, targets).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    detector.network.eval()
    return losses


PAIRS = [
    (network, codec)
    for network in network_names()
    for codec in codec_names()
    if needed_codec(network) in (None, codec)
]


@pytest.mark.parametrize(("network", "codec"), PAIRS)
def test_any_network_learns_any_codec_and_is_kept(network, codec, labelled, tmp_path):
    image, annotation = labelled
    card = toy_card(
        network={"name": network, "options": tiny_options(network)},
        codec={"name": codec, "options": codec_options(codec)},
        classes=("a", "b"),
    )
    detector = Detector.fresh(card, seed=0)
    before = {name: value.clone() for name, value in detector.network.state_dict().items()}
    losses = train(detector, image, annotation, steps=2)
    assert np.isfinite(losses).all()
    assert any(not torch.equal(before[n], v) for n, v in detector.network.state_dict().items())
    loaded = Detector.load(detector.save(tmp_path / "detector.safetensors"))
    maps = loaded.maps(image)
    assert maps.shape == (detector.codec.channels, SIZE, SIZE)
    np.testing.assert_array_equal(maps, detector.maps(image))
    found = loaded.predict(image, MPP)
    assert isinstance(found, Nuclei)
    assert set(found.classes) <= {"a", "b"}


def test_every_network_and_codec_has_tiny_options():
    for network in network_names():
        tiny_options(network)
    for codec in codec_names():
        codec_options(codec)


def test_no_tiny_options_are_left_of_what_is_gone():
    assert set(TINY) == set(network_names())
    assert set(CODECS) == set(codec_names())
