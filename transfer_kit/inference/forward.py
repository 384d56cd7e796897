"""What runs a detector's network over slides: which runtime, in how many bits, how much at once."""

from __future__ import annotations

from typing import Literal

import torch

from transfer_kit.detector import Detector
from transfer_kit.errors import UserError
from transfer_kit.networks.forward import Floats, Forward
from transfer_kit.networks.precision import Precision, chosen_precision
from transfer_kit.settings.training import WantedPrecision

Runtime = Literal["torch", "onnx", "openvino"]

_AT_ONCE = {"cuda": 4}
"""Tiles that fill a kind of device: those of one block. A CPU is filled by one."""


def precision_of(detector: Detector, runtime: Runtime, wanted: WantedPrecision) -> Precision:
    """The precision that a detector's network is run in.

    Raises:
        UserError: the runtime or the device does not compute in it.
    """
    kind = detector.device.type
    if runtime != "torch":
        if wanted not in ("auto", "32-true"):
            raise UserError(
                f"--runtime {runtime} computes in 32 bits alone, but the precision is {wanted}; "
                "leave --precision out, or --runtime."
            )
        return "32-true"
    if wanted == "16-mixed" and kind == "cpu":
        raise UserError("A CPU does not compute in 16-mixed; give --precision bf16-mixed.")
    return chosen_precision(wanted, kind)


def forward_of(
    detector: Detector,
    weights: str,
    *,
    runtime: Runtime = "torch",
    precision: WantedPrecision = "32-true",
    batch: int | None = None,
) -> Forward:
    """What runs a detector's network over slides.

    Args:
        detector: On its device.
        weights: The hash of its file.
        runtime: `onnx` and `openvino` export the network first, once on this machine, and run it
            on as many threads of the CPU as PyTorch would.
        precision: `auto` is 16 bits where the device has instructions for them.
        batch: Tiles at once; None is what fills the device.

    Raises:
        UserError: the runtime is not installed or not for this network or device; the precision
            is not for them.
    """
    chosen = precision_of(detector, runtime, precision)
    if batch is not None and batch < 1:
        raise UserError(f"At least one tile goes through the network at once, but got {batch=}.")
    at_once = batch or _AT_ONCE.get(detector.device.type, 1)
    own = detector.by_torch(precision=chosen, at_once=at_once)
    return own if runtime == "torch" else _exported(detector, weights, runtime, own)


def _exported(detector: Detector, weights: str, runtime: Runtime, own: Forward) -> Forward:
    # What traces networks is slow to import, and most searches are PyTorch's.
    from transfer_kit.exporting.kept import kept_runtime
    from transfer_kit.exporting.tracing import SMALLEST_PX

    if detector.device.type != "cpu":
        raise UserError(
            f"--runtime {runtime} runs on the CPU alone, but the device is {detector.device}; add "
            "--device cpu, or leave --runtime out."
        )
    try:
        network = kept_runtime(detector, weights, runtime, threads=torch.get_num_threads())
    except UserError as error:
        said = str(error).removesuffix(".")
        raise UserError(f"{said}; --runtime torch does without.") from None

    def run(tiles: Floats) -> Floats:
        # Smaller ones no exported network takes; PyTorch's maps of them are the same.
        small = min(tiles.shape[2:]) < SMALLEST_PX
        return own.run(tiles) if small else network(tiles)

    return Forward(run, own.at_once)
