from __future__ import annotations

import json

import pytest
import torch
from exporting.exported import card_text, skip_without
from laboratory import BASE, listing, tiny_base, transfer_kit

from transfer_kit.data.stain import find_reference
from transfer_kit.detector import Detector
from transfer_kit.exporting import describe_decoding, read_exported_card


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """A working folder that holds a tiny base."""
    monkeypatch.chdir(tmp_path)
    tiny_base(tmp_path / BASE)
    return tmp_path


def test_the_suffix_chooses_the_format_and_the_difference_is_told(lab):
    said = transfer_kit("models", "export", BASE, "-o", "base.pt").out
    assert "base.pt: its maps differ from the network's by 0 at most" in said
    images = torch.randn(2, 3, 81, 110, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = Detector.load(BASE).network(images)
        torch.testing.assert_close(torch.jit.load(lab / "base.pt")(images), expected)


def test_the_card_can_be_had_beside_the_file(lab):
    words = ("--format", "torchscript", "-o", "out/base.ts", "--card", "out/card.json")
    said = transfer_kit("models", "export", BASE, *words).out
    assert "out/card.json: the card, with how nuclei are found in the maps" in said
    beside = (lab / "out" / "card.json").read_text(encoding="utf-8")
    inside = card_text("torchscript", lab / "out" / "base.ts")
    assert json.loads(beside) == json.loads(inside)
    detector = Detector.load(BASE)
    assert read_exported_card(beside, "card.json") == (detector.card, describe_decoding(detector))
    assert sorted(listing(lab / "out")) == ["base.ts", "card.json"]


def test_the_way_formats_were_once_named_still_works(lab, monkeypatch):
    named = []
    monkeypatch.setattr(
        "transfer_kit.exporting.export_detector",
        lambda detector, path, **options: named.append(options["format"]) or 0.0,
    )
    for words in (("--torch", "-o", "a.pt2"), ("--onnx", "-o", "a.onnx"), ("-o", "a.xml")):
        transfer_kit("models", "export", BASE, *words)
    assert named == ["torch-export", "onnx", None]


def test_stain_normalisation_is_said_to_be_left_out(lab):
    reference = find_reference("tnbc")
    tiny_base(lab / "brought.safetensors", normalise="macenko", stain_reference=reference)
    said = transfer_kit("models", "export", "brought.safetensors", "-o", "b.pt").out
    assert "brought to the stain of its card by macenko" in " ".join(said.split())


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("-o", "a.onnx", "--format", "onx"), "There is no format 'onx'. Did you mean 'onnx'?"),
        (
            ("-o", "a.onnx", "--format", "torchscript"),
            "The suffix of a.onnx is not that of the format torchscript; write to a.pt, or choose "
            "another --format.",
        ),
        (
            ("-o", "a.onnx", "--torch"),
            "The suffix of a.onnx is not that of the format torch-e",
        ),
        (("-o", "a.zip"), "The suffix of a.zip means no format; let it be one of .onnx (onnx),"),
        (("-o", "a.pt", "--size", 128), "A fixed size is for ONNX files alone, but the format is"),
        (
            ("-o", "a.onnx", "--size", 12),
            "The fixed size of an ONNX file is 64 to 4096 px, but",
        ),
        (("-o", "base.safetensors/a.pt"), "base.safetensors is a file, not a folder; choose"),
    ],
)
def test_what_cannot_be_exported_so_is_told_and_nothing_is_written(lab, words, sentence):
    if "onnx" in str(words) and "--size" in words:
        skip_without("onnx")
    before = listing(lab)
    assert transfer_kit("models", "export", BASE, *words, code=2).error.startswith(sentence)
    assert listing(lab) == before


def test_an_unknown_model_is_told(lab):
    said = transfer_kit("models", "export", "micronet-brest", "-o", "a.pt", code=2).error
    assert "Did you mean 'micronet-breast'?" in said
