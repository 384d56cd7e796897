"""The formats by name, and the one that a file's suffix means."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from transfer_kit.detector import Detector
from transfer_kit.errors import UserError, nearest_hint
from transfer_kit.exporting.onnx_file import export_onnx
from transfer_kit.exporting.openvino_file import export_openvino
from transfer_kit.exporting.torch_program import export_program
from transfer_kit.exporting.torchscript_file import export_torchscript

FORMATS: dict[str, tuple[str, ...]] = {
    "onnx": (".onnx",),
    "openvino": (".xml",),
    "torch-export": (".pt2",),
    "torchscript": (".pt", ".ts"),
}
"""Suffixes of each format, the usual one first."""

_WRITERS: dict[str, Callable[..., float]] = {
    "onnx": export_onnx,
    "openvino": export_openvino,
    "torch-export": export_program,
    "torchscript": export_torchscript,
}


def chosen_format(path: str | Path, name: str | None = None) -> str:
    """The format of a file to be written.

    Args:
        path: Its suffix tells the format.
        name: The format as well, where the user named it.

    Raises:
        UserError: there is no such format; the two contradict each other; the suffix tells none.
    """
    path = Path(path)
    if name is not None and name not in FORMATS:
        raise UserError(f"There is no format {name!r}. {nearest_hint(name, FORMATS)}")
    by_suffix = next((each for each, known in FORMATS.items() if path.suffix in known), None)
    if by_suffix is None or by_suffix != (name or by_suffix):
        raise _other_suffix(path, name)
    return by_suffix


def export_detector(
    detector: Detector, path: str | Path, *, format: str | None = None, size_px: int | None = None
) -> float:
    """Write a detector's network in the format that is named or that the suffix means.

    Args:
        detector: To be exported.
        path: The file.
        format: One of `FORMATS`.
        size_px: Of `export_onnx`.

    Returns:
        The largest difference between the exported network's maps and the network's own.

    Raises:
        UserError: the format is none, or takes no fixed size; the network cannot be exported.
    """
    chosen = chosen_format(path, format)
    options: dict[str, Any] = {}
    if size_px is not None:
        if chosen != "onnx":
            raise UserError(
                f"A fixed size is for ONNX files alone, but the format is {chosen}, whose files "
                "take images of any size; leave --size out."
            )
        options["size_px"] = size_px
    return _WRITERS[chosen](detector, path, **options)


def _other_suffix(path: Path, name: str | None) -> UserError:
    if name is None:
        known = ", ".join(f"{each[0]} ({format})" for format, each in FORMATS.items())
        return UserError(f"The suffix of {path} means no format; let it be one of {known}.")
    wanted = FORMATS[name][0]
    return UserError(
        f"The suffix of {path} is not that of the format {name}; write to "
        f"{path.with_suffix(wanted)}, or choose another --format."
    )
