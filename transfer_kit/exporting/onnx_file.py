"""A Detector's network as one ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from transfer_kit.detector import Detector
from transfer_kit.errors import UserError
from transfer_kit.exporting.card_inside import exported_card
from transfer_kit.exporting.equality import CHECKED, refuse_other_maps
from transfer_kit.exporting.packages import require
from transfer_kit.exporting.tracing import SMALLEST_PX, as_program, ready_network
from transfer_kit.files import replacing
from transfer_kit.networks import Network
from transfer_kit.networks.forward import Floats, Run

LARGEST_ONNX_BYTES = 2_000_000_000
"""What fits into one ONNX file."""

LARGEST_FIXED_PX = 4096
"""More takes longer to trace and to verify than anything that needs a fixed size runs at."""


def export_onnx(detector: Detector, path: str | Path, *, size_px: int | None = None) -> float:
    """Write the network as one ONNX file for images of any size from 64 px.

    The card is the model's metadata property `card`.

    Args:
        detector: To be exported.
        path: The file.
        size_px: Fixes height and width, and the batch to one image. OpenCV 4, and QuPath with it,
            read no other ONNX files.

    Returns:
        The largest difference between its maps, as onnxruntime computes them, and the network's
        own.

    Raises:
        UserError: the extra `onnx` is not installed; the size is not one; the file cannot be
            written; the network cannot be traced, is too large for one file, or gives other maps
            once it is exported.
    """
    network = ready_network(detector)
    require("onnx", "onnxscript", "onnxruntime", extra="onnx", what="Exporting to ONNX")
    _refuse_too_large(network, detector.card.network.name)
    if size_px is not None and not SMALLEST_PX <= size_px <= LARGEST_FIXED_PX:
        raise UserError(
            f"The fixed size of an ONNX file is {SMALLEST_PX} to {LARGEST_FIXED_PX} px, but got "
            f"{size_px}."
        )
    with replacing(path) as temporary:
        temporary.touch()
        model = _onnx_program(network, size_px)
        model.model.metadata_props["card"] = exported_card(detector)
        model.save(str(temporary), external_data=False)
        checked = CHECKED if size_px is None else ((1, size_px, size_px),)
        return refuse_other_maps(onnx_run(onnx_session(temporary)), network, checked=checked)


def onnx_session(path: Path, *, threads: int | None = None) -> Any:
    """An onnxruntime session on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def onnx_run(session: Any) -> Run:
    """A session as a function from images to maps."""

    def run(images: Floats) -> Floats:
        maps: Floats = session.run(["maps"], {"images": images})[0]
        return maps

    return run


def _refuse_too_large(network: Network, name: str) -> None:
    size = sum(tensor.nbytes for tensor in network.state_dict().values())
    if size > LARGEST_ONNX_BYTES:
        raise UserError(
            f"The network {name} has {size / 1e9:.1f} GB of weights, more than one ONNX file "
            "holds; export it with --format torch-export."
        )


def _onnx_program(network: Network, size_px: int | None) -> Any:
    open_sizes = ({0: "batch", 2: "height", 3: "width"},)
    model = torch.onnx.export(
        as_program(network, size_px=size_px),
        input_names=["images"],
        output_names=["maps"],
        dynamic_shapes=open_sizes if size_px is None else None,
        verbose=False,
    )
    if size_px is not None:
        _cuts_as_slices(model)
    return model


def _cuts_as_slices(program: Any) -> None:
    """Write as `Slice` each `Pad` that takes rows or columns away, which OpenCV 4 refuses."""
    import onnx_ir as ir

    graph = program.model.graph
    for node in list(graph):
        pads = node.inputs[1] if node.op_type == "Pad" else None
        if pads is None or pads.const_value is None:
            continue
        amounts = pads.const_value.numpy().astype(np.int64)
        if amounts.max() > 0 or amounts.min() == 0:
            continue
        first, last = np.split(-amounts, 2)
        ends = np.where(last > 0, -last, np.iinfo(np.int64).max)
        inputs = [node.inputs[0]]
        for name, values in (("starts", first), ("ends", ends)):
            value = ir.Value(name=f"{node.outputs[0].name}_{name}", const_value=ir.tensor(values))
            graph.register_initializer(value)
            inputs.append(value)
        cut = ir.node("Slice", inputs=inputs)
        ir.convenience.replace_nodes_and_values(
            graph, node, [node], [cut], node.outputs, cut.outputs
        )
        if not pads.uses():
            graph.initializers.pop(pads.name, None)
