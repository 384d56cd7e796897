"""A Detector's network for OpenVINO: an `.xml` with the graph and a `.bin` with the weights."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from transfer_kit.detector import Detector
from transfer_kit.exporting.card_inside import exported_card
from transfer_kit.exporting.equality import refuse_other_maps
from transfer_kit.exporting.packages import require
from transfer_kit.exporting.tracing import as_script, ready_network
from transfer_kit.files import replacing
from transfer_kit.networks.forward import Floats, Run


def export_openvino(detector: Detector, path: str | Path) -> float:
    """Write the network for OpenVINO, for images of any size from 64 px.

    The weights, in single precision, lie beside `path` under the suffix `.bin`; the two belong
    together. The card is the model's runtime information `card`.

    Returns:
        The largest difference between its maps, as OpenVINO's CPU runtime computes them in single
        precision, and the network's own.

    Raises:
        UserError: the extra `openvino` is not installed; the files cannot be written; the network
            cannot be traced, or gives other maps once it is exported.
    """
    network = ready_network(detector)
    require("openvino", extra="openvino", what="Exporting to OpenVINO")
    import openvino

    path = Path(path)
    # The weights are in place before the graph that names them.
    with replacing(path) as graph, replacing(path.with_suffix(".bin")) as weights:
        graph.touch()
        weights.touch()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = openvino.convert_model(as_script(network), input=[("images", [-1, 3, -1, -1])])
        model.inputs[0].get_tensor().set_names({"images"})
        model.outputs[0].get_tensor().set_names({"maps"})
        model.set_rt_info(exported_card(detector), "card")
        openvino.save_model(model, str(graph), compress_to_fp16=False)
        return refuse_other_maps(openvino_run(openvino_model(graph)), network)


def openvino_model(path: Path) -> Any:
    """The model in a file, which also knows its card."""
    import openvino

    return openvino.Core().read_model(str(path))


def openvino_run(model: Any, *, threads: int | None = None) -> Run:
    """A model as a function from images to maps, on the CPU and in single precision."""
    import openvino

    properties: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}
    if threads is not None:
        properties["INFERENCE_NUM_THREADS"] = threads
    compiled = openvino.Core().compile_model(model, "CPU", properties)

    def run(images: Floats) -> Floats:
        # A request of its own, since one serves a single thread; its result is its memory.
        maps: Floats = compiled.create_infer_request().infer({"images": images})["maps"].copy()
        return maps

    return run
