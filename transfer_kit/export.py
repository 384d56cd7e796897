"""A Detector's network as a program that runs without this kit: torch.export or ONNX.

Both take `images`, float32 `(1, 3, H, W)` at the detector's own mpp, standardised with the card's
mean and std (`(pixel / 255 - mean) / std`), and give `maps`, float32 `(1, channels, H, W)`, from
which a codec decodes nuclei. The card travels inside as JSON. Where it has `normalise`, images
must be brought to its `stain_reference` first, which the graph leaves to its caller.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from transfer_kit.detector import Detector
from transfer_kit.errors import UserError
from transfer_kit.files import replacing
from transfer_kit.networks import Network
from transfer_kit.networks.base import SelfJudging

SMALLEST_PX, LARGEST_PX = 64, 16384
"""Heights and widths that an exported network takes."""

TOLERANCE = 1e-4
"""How far its maps may be from the network's own."""

LARGEST_ONNX_BYTES = 2_000_000_000
"""What fits into one ONNX file."""

_CHECKED_SIZES = ((64, 96), (101, 150))


def export_program(detector: Detector, path: str | Path) -> float:
    """Write the network as a `torch.export` program (`.pt2`) for images of any size from 64 px.

    `torch.export.load(path).module()` runs it; its extra file `card.json` is the card.

    Returns:
        The largest difference between its maps and the network's own.

    Raises:
        UserError: the network cannot be traced, or gives other maps once it is.
    """
    _refuse_self_judging(detector)
    network = _on_cpu(detector)
    program = _traced(network)
    difference = _largest_difference(program.module(), network)
    with replacing(path) as temporary:
        card = {"card.json": detector.card.model_dump_json()}
        torch.export.save(program, str(temporary), extra_files=card)
    return difference


def export_onnx(detector: Detector, path: str | Path) -> float | None:
    """Write the network as one ONNX file for images of any size from 64 px.

    The card is the model's metadata property `card`.

    Returns:
        The largest difference between its maps, as onnxruntime computes them, and the network's
        own; None where onnxruntime is not installed.

    Raises:
        UserError: the extra `onnx` is not installed; the network cannot be traced, is too large
            for one file, or gives other maps once it is exported.
    """
    _refuse_self_judging(detector)
    for package in ("onnx", "onnxscript"):
        if importlib.util.find_spec(package) is None:
            raise UserError(
                f"ONNX export needs {package}; install it with pip install 'transfer-kit[onnx]'."
            )
    network = _on_cpu(detector)
    size = sum(tensor.nbytes for tensor in network.state_dict().values())
    if size > LARGEST_ONNX_BYTES:
        raise UserError(
            f"The network {detector.card.network.name} has {size / 1e9:.1f} GB of weights, more "
            "than one ONNX file holds; export it with --torch."
        )
    model: Any = torch.onnx.export(
        _traced(network),
        input_names=["images"],
        output_names=["maps"],
        dynamic_shapes=({2: "height", 3: "width"},),
        verbose=False,
    )
    model.model.metadata_props["card"] = detector.card.model_dump_json()
    with replacing(path) as temporary:
        model.save(str(temporary), external_data=False)
        return _onnx_difference(temporary, network)


def _refuse_self_judging(detector: Detector) -> None:
    """What such a network does depends on what it finds, which no graph of either kind holds."""
    network = detector.network
    if isinstance(network, SelfJudging):
        raise UserError(
            f"The network {detector.card.network.name} cannot be exported, since how many nuclei "
            "it finds decides what it computes; let transfer-kit run it, or train another network, "
            f"such as unet, with the codec {network.needed_codec} and export that."
        )


def _on_cpu(detector: Detector) -> Network:
    network = detector.copy().to("cpu").network
    network.eval().requires_grad_(False)
    return network


def _traced(network: Network) -> ExportedProgram:
    """The network as a graph in which height and width stay open."""
    height, width = (Dim(name, min=SMALLEST_PX, max=LARGEST_PX) for name in ("height", "width"))
    example = torch.zeros(1, 3, 75, 100)
    try:
        return torch.export.export(
            network,
            (example,),
            dynamic_shapes=({2: height, 3: width},),
            strict=False,
            # What cannot be proved of all sizes is checked of each image instead.
            prefer_deferred_runtime_asserts_over_guards=True,
        )
    except Exception as error:  # tracing fails in as many ways as there are layers
        raise UserError(
            f"The network {type(network).__name__} cannot be exported for images of any size "
            f"({str(error).splitlines()[0]}); choose another encoder or network."
        ) from error


def _onnx_difference(path: Path, network: Network) -> float | None:
    if importlib.util.find_spec("onnxruntime") is None:
        return None
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run(["maps"], {"images": images.numpy()})[0])

    return _largest_difference(run, network)


def _largest_difference(run: Callable[[Tensor], Tensor], network: Network) -> float:
    """Of an exported network's maps and the network's own, over images of two sizes."""
    largest = 0.0
    for number, size in enumerate(_CHECKED_SIZES):
        images = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(number))
        with torch.inference_mode():
            largest = max(largest, (run(images) - network(images)).abs().max().item())
    if largest > TOLERANCE:
        raise UserError(
            f"The exported {type(network).__name__} gives maps that differ by {largest:.2g} "
            f"from its own (at most {TOLERANCE:g}); nothing was written."
        )
    return largest
