"""Exported files at work: ONNX and OpenVINO networks as functions from images to maps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transfer_kit.card import DetectorCard
from transfer_kit.errors import UserError
from transfer_kit.exporting.card_inside import read_exported_card
from transfer_kit.exporting.decoding import Decoding
from transfer_kit.exporting.onnx_file import onnx_run, onnx_session
from transfer_kit.exporting.openvino_file import openvino_model, openvino_run
from transfer_kit.exporting.packages import require
from transfer_kit.networks.forward import Run


@dataclass(frozen=True, eq=False)
class Runtime:
    """An exported network on this machine's CPU.

    Attributes:
        card: Of the detector that was exported.
        decoding: How nuclei are found in its maps.
        run: What computes them.
        size_px: The only height and width that it takes, one image at a time; None for any size
            from 64 px and any batch.

    Example:
        >>> network = load_runtime("breast.onnx", threads=1)               # doctest: +SKIP
        >>> maps = network(np.zeros((2, 3, 512, 512), np.float32))          # doctest: +SKIP
    """

    card: DetectorCard
    decoding: Decoding
    run: Run
    size_px: int | None = None

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Maps `(B, channels, H, W)` of standardised images `(B, 3, H, W)`, both float32.

        Raises:
            UserError: the file was exported for a fixed size, and the images are of another.
        """
        size = self.size_px
        if size is not None and images.shape != (1, 3, size, size):
            raise UserError(
                f"The exported {self.card.name} takes one image of {size} x {size} px at a time, "
                f"but got {images.shape}; export it without --size."
            )
        return self.run(np.ascontiguousarray(images, np.float32))


def load_runtime(path: str | Path, *, threads: int | None = None) -> Runtime:
    """Read an `.onnx` or OpenVINO `.xml` file that `export_detector` wrote.

    Args:
        path: The file; OpenVINO's weights lie beside it.
        threads: Of this machine that one call uses; None leaves it to the runtime.

    Raises:
        UserError: the file is missing, damaged, of another suffix, or has no card; its runtime is
            not installed.
    """
    path = Path(path)
    loaders = {".onnx": _onnx, ".xml": _openvino}
    if path.suffix not in loaders:
        raise UserError(
            f"{path} cannot be run here: the runtimes read .onnx and OpenVINO's .xml files that "
            "transfer-kit models export wrote."
        )
    if not path.is_file():
        raise UserError(f"{path} does not exist; write it with transfer-kit models export.")
    text, run, size_px = loaders[path.suffix](path, threads)
    if text is None:
        raise UserError(
            f"{path} has no transfer-kit card; write it with transfer-kit models export."
        )
    card, decoding = read_exported_card(text, path)
    return Runtime(card, decoding, run, size_px)


Loaded = tuple[str | None, Run, int | None]


def _onnx(path: Path, threads: int | None) -> Loaded:
    require("onnxruntime", extra="onnx", what="Running an ONNX file")
    session = _read(path, lambda: onnx_session(path, threads=threads))
    text = session.get_modelmeta().custom_metadata_map.get("card")
    height = session.get_inputs()[0].shape[2] if text is not None else None
    return text, onnx_run(session), height if isinstance(height, int) else None


def _openvino(path: Path, threads: int | None) -> Loaded:
    require("openvino", extra="openvino", what="Running an OpenVINO file")
    weights = path.with_suffix(".bin")
    if not weights.is_file():
        raise UserError(
            f"The weights {weights} are missing beside {path.name}; keep the two files together, "
            "or export the detector again."
        )
    model = _read(path, lambda: openvino_model(path))
    text = str(model.get_rt_info("card").value) if model.has_rt_info("card") else None
    return text, _read(path, lambda: openvino_run(model, threads=threads)), None


def _read(path: Path, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except Exception as error:  # each runtime has its own kinds
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path} cannot be read ({first}); export the detector again.") from None
