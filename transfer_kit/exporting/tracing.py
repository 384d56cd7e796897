"""A Detector's network made ready for export, and as a graph for images of any size."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch.export import Dim, ExportedProgram

from transfer_kit.detector import Detector
from transfer_kit.errors import UserError
from transfer_kit.networks import Network
from transfer_kit.networks.base import SelfJudging

SMALLEST_PX, LARGEST_PX = 64, 16384
"""Heights and widths that an exported network takes."""

LARGEST_BATCH = 1024

# Odd at every level at which a network may halve it, so that the trace holds each cut and each
# padding, with sizes that are computed anew of every image.
_TRACED_SIZE = (127, 191)


def ready_network(detector: Detector) -> Network:
    """A copy of the detector's network on the CPU, in evaluation mode and without gradients.

    Raises:
        UserError: what the network does depends on what it finds, which no graph holds.
    """
    network = detector.network
    if isinstance(network, SelfJudging):
        raise UserError(
            f"The network {detector.card.network.name} cannot be exported, since how many nuclei "
            "it finds decides what it computes; let transfer-kit run it, or train another network, "
            f"such as unet, with the codec {network.needed_codec} and export that."
        )
    copy = detector.copy().to("cpu").network
    copy.eval().requires_grad_(False)
    # A graph remembers the layout that its weights were traced in.
    copy.to(memory_format=torch.contiguous_format)
    return copy


def as_program(network: Network, *, size_px: int | None = None) -> ExportedProgram:
    """The network as a graph in which batch, height and width stay open.

    Args:
        network: From `ready_network`.
        size_px: Fixes height and width to this, and the batch to one image.

    Raises:
        UserError: the network cannot be traced.
    """
    example, options = torch.zeros(2, 3, 75, 100), _open_sizes()
    if size_px is not None:
        example, options = torch.zeros(1, 3, size_px, size_px), {}
    try:
        return torch.export.export(network, (example,), strict=False, **options)
    except Exception as error:  # tracing fails in as many ways as there are layers
        raise _not_traced(network, error) from error


def as_script(network: Network) -> torch.jit.ScriptModule:
    """The network as TorchScript, in which batch, height and width stay open.

    Args:
        network: From `ready_network`.

    Raises:
        UserError: the network cannot be traced.
    """
    trace: Any = torch.jit.trace  # without types
    example = torch.zeros(1, 3, *_TRACED_SIZE)
    try:
        with warnings.catch_warnings():
            # That TorchScript is deprecated, and that branches on sizes are traced one way.
            warnings.simplefilter("ignore")
            traced: torch.jit.ScriptModule = trace(network, example, check_trace=False)
    except Exception as error:
        raise _not_traced(network, error) from error
    return traced


def _open_sizes() -> dict[str, Any]:
    batch = Dim("batch", min=1, max=LARGEST_BATCH)
    height, width = (Dim(name, min=SMALLEST_PX, max=LARGEST_PX) for name in ("height", "width"))
    return {
        "dynamic_shapes": ({0: batch, 2: height, 3: width},),
        # What cannot be proved of all sizes is checked of each image instead.
        "prefer_deferred_runtime_asserts_over_guards": True,
    }


def _not_traced(network: Network, error: Exception) -> UserError:
    first = str(error).strip().splitlines() or [type(error).__name__]
    return UserError(
        f"The network {type(network).__name__} cannot be exported for images of any size "
        f"({first[0]}); choose another encoder or network."
    )
