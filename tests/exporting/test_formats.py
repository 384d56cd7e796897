from __future__ import annotations

import pytest

from transfer_kit.errors import UserError
from transfer_kit.exporting import chosen_format, export_detector


@pytest.mark.parametrize(
    ("file", "name", "format"),
    [
        ("a.onnx", None, "onnx"),
        ("a.xml", None, "openvino"),
        ("a.pt2", None, "torch-export"),
        ("a.pt", None, "torchscript"),
        ("folder.v2/a.b.ts", None, "torchscript"),
        ("a.pt", "torchscript", "torchscript"),
        ("a.onnx", "onnx", "onnx"),
    ],
)
def test_the_suffix_means_the_format(file, name, format):
    assert chosen_format(file, name) == format


@pytest.mark.parametrize(
    ("file", "name", "sentence"),
    [
        ("a.onnx", "onxx", "There is no format 'onxx'. Did you mean 'onnx'?"),
        ("a.onnx", "torch", "There is no format 'torch'. Did you mean 'torchscript'?"),
        ("a.onnx", "keras", "There is no format 'keras'. Known are: onnx, openvino, torch-export"),
        (
            "a.onnx",
            "openvino",
            "The suffix of a.onnx is not that of the format openvino; write to a.xml, or choose "
            "another --format.",
        ),
        ("a", "onnx", "The suffix of a is not that of the format onnx; write to a.onnx, or"),
        ("a.h5", None, "The suffix of a.h5 means no format; let it be one of .onnx (onnx), .xml"),
    ],
)
def test_a_format_that_is_none_or_contradicts_the_suffix_is_refused(file, name, sentence):
    with pytest.raises(UserError) as said:
        chosen_format(file, name)
    assert str(said.value).startswith(sentence)


def test_a_fixed_size_is_for_onnx_alone():
    with pytest.raises(UserError, match=r"fixed size is for ONNX files alone, .* leave --size out"):
        export_detector(None, "a.pt", size_px=128)
