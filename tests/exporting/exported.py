"""Tiny detectors to be exported, and what the tests of exported files ask of each."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from networks.tiny import tiny_options
from toy import toy_card

from transfer_kit.detector import Detector
from transfer_kit.networks import network_names
from transfer_kit.networks.base import needed_codec

EXPORTABLE = tuple(name for name in network_names() if needed_codec(name) is None)

# None of them is among those that are compared while a file is written.
SIZES = ((1, 64, 64), (3, 97, 140), (1, 110, 71))

PACKAGES = {
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "openvino": ("openvino",),
    "torch-export": (),
    "torchscript": (),
}
SUFFIXES = {"onnx": ".onnx", "openvino": ".xml", "torch-export": ".pt2", "torchscript": ".pt"}


def skip_without(format: str) -> None:
    for package in PACKAGES[format]:
        pytest.importorskip(package, reason=f"{package}, of an extra, is not installed")


def tiny_detector(name: str, *, codec: str = "proximity", **options) -> Detector:
    """A tiny detector whose maps are not near zero."""
    network = {"name": name, "options": {**tiny_options(name), **options}}
    detector = Detector.fresh(toy_card(network=network, codec={"name": codec}), seed=0)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in detector.network.parameters():
            value.add_(torch.randn(value.shape, generator=generator) * 0.05)
    return detector


def noise(batch: int, height: int, width: int):
    generator = torch.Generator().manual_seed(7)
    return torch.randn(batch, 3, height, width, generator=generator).numpy()


def largest_difference(run, detector: Detector) -> float:
    largest = 0.0
    for size in SIZES:
        with torch.no_grad():
            expected = detector.network(torch.from_numpy(noise(*size))).numpy()
        assert np.abs(expected).max() > 1e-3
        largest = max(largest, float(np.abs(run(noise(*size)) - expected).max()))
    return largest


def opened(format: str, path: Path):
    """An exported file as a function from images to maps, without any code of the kit."""
    if format == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        return lambda images: session.run(["maps"], {"images": images})[0]
    if format == "openvino":
        import openvino

        exact = {"INFERENCE_PRECISION_HINT": "f32"}
        compiled = openvino.Core().compile_model(str(path), "CPU", exact)
        return lambda images: compiled(images)["maps"]
    module, _ = torch_file(format, path)

    def run(images):
        with torch.no_grad():
            return module(torch.from_numpy(images)).numpy()

    return run


def card_text(format: str, path: Path) -> str:
    """The card inside a file, read as another program would."""
    if format == "onnx":
        import onnx

        return {entry.key: entry.value for entry in onnx.load(path).metadata_props}["card"]
    if format == "openvino":
        import openvino

        return openvino.Core().read_model(str(path)).get_rt_info("card").value
    return torch_file(format, path)[1]


@lru_cache
def torch_file(format: str, path: Path):
    """What runs in a file of PyTorch, and its card."""
    files = {"card.json": ""}
    if format == "torch-export":
        return torch.export.load(path, extra_files=files).module(), files["card.json"]
    script = torch.jit.load(path, _extra_files=files)
    return script, files["card.json"].decode()
