"""A Detector's network as a file that other programs run, with its card inside.

Every file takes `images`, float32 `(B, 3, H, W)` at the detector's own mpp, standardised with the
card's mean and std (`(pixel / 255 - mean) / std`), and gives `maps`, float32 `(B, channels, H, W)`.
The card inside says under `decoding` how nuclei are found in them. Where the card has `normalise`,
images must be brought to its `stain_reference` first, which no file does.
"""

from __future__ import annotations

from transfer_kit.exporting.card_inside import exported_card, read_exported_card
from transfer_kit.exporting.decoding import Decoding, MapMeaning, describe_decoding
from transfer_kit.exporting.formats import FORMATS, chosen_format, export_detector
from transfer_kit.exporting.onnx_file import export_onnx
from transfer_kit.exporting.openvino_file import export_openvino
from transfer_kit.exporting.runtime import Runtime, load_runtime
from transfer_kit.exporting.torch_program import export_program
from transfer_kit.exporting.torchscript_file import export_torchscript

__all__ = [
    "FORMATS",
    "Decoding",
    "MapMeaning",
    "Runtime",
    "chosen_format",
    "describe_decoding",
    "export_detector",
    "export_onnx",
    "export_openvino",
    "export_program",
    "export_torchscript",
    "exported_card",
    "load_runtime",
    "read_exported_card",
]
