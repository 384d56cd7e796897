"""Every network that can be exported, in every format."""

from __future__ import annotations

import pytest
from exporting.exported import (
    EXPORTABLE,
    SUFFIXES,
    largest_difference,
    opened,
    skip_without,
    tiny_detector,
)

from transfer_kit.errors import UserError
from transfer_kit.exporting import export_detector

TRANSFORMERS = ("test_vit", "test_convnext")


def exported_equals(detector, format, folder):
    skip_without(format)
    path = folder / f"tiny{SUFFIXES[format]}"
    assert export_detector(detector, path) <= 1e-4
    return largest_difference(opened(format, path), detector) <= 1e-4


@pytest.mark.parametrize("name", EXPORTABLE)
def test_every_network_exports_to_torchscript(name, tmp_path):
    assert exported_equals(tiny_detector(name), "torchscript", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPORTABLE)
@pytest.mark.parametrize("format", ["onnx", "openvino", "torch-export"])
def test_every_network_exports_to_every_format(name, format, tmp_path):
    assert exported_equals(tiny_detector(name), format, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("encoder", TRANSFORMERS)
@pytest.mark.parametrize("format", SUFFIXES)
def test_a_transformer_and_a_convnext_export_too(encoder, format, tmp_path):
    assert exported_equals(tiny_detector("timm_unet", encoder=encoder), format, tmp_path)


@pytest.mark.parametrize("format", SUFFIXES)
def test_a_network_that_judges_itself_is_refused(format, tmp_path):
    detector = tiny_detector("mask_rcnn", codec="boxes")
    with pytest.raises(UserError, match=r"mask_rcnn cannot be exported, .* codec boxes"):
        export_detector(detector, tmp_path / f"tiny{SUFFIXES[format]}")
    assert list(tmp_path.iterdir()) == []
