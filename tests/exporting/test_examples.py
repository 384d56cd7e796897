"""The examples in which other programs decode."""

from __future__ import annotations

import importlib.util
import json
import sys
import types
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from exporting.exported import tiny_detector
from toy import toy_image

from transfer_kit.exporting import export_detector

EXAMPLES = Path(__file__).parents[2] / "examples" / "exported"


class FakeModel(torch.nn.Module):
    """What TIAToolbox's ModelABC keeps of a model."""

    def __init__(self):
        super().__init__()
        self.preproc_func, self.postproc_func = self.preproc, self.postproc


@dataclass
class FakeConfig:
    input_resolutions: list
    output_resolutions: list
    patch_input_shape: tuple
    patch_output_shape: tuple
    stride_shape: tuple
    save_resolution: dict


@pytest.fixture
def example(monkeypatch):
    """The example of TIAToolbox, in the place of which stand the two classes that it builds on."""
    for name in ("tiatoolbox", "tiatoolbox.models", "tiatoolbox.models.engine"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    for name, field, value in (
        ("tiatoolbox.models.models_abc", "ModelABC", FakeModel),
        ("tiatoolbox.models.engine.io_config", "IOSegmentorConfig", FakeConfig),
    ):
        module = types.ModuleType(name)
        setattr(module, field, value)
        monkeypatch.setitem(sys.modules, name, module)
    place = EXAMPLES / "in_tiatoolbox.py"
    spec = importlib.util.spec_from_file_location("in_tiatoolbox", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def model(example, tmp_path):
    detector = tiny_detector("fcrn_a")
    detector.card.threshold = 0.01
    maps = detector.maps(toy_image(3, 128, 30)[0])
    with torch.no_grad():  # its plain with holes becomes one with hills
        *_, weight, bias = detector.network.parameters()
        weight.div_(-maps.std())
        bias.sub_(float(np.median(maps))).div_(-maps.std())
    export_detector(detector, tmp_path / "tiny.pt")
    return detector, example.ExportedDetector(tmp_path / "tiny.pt", whole_patches=True)


def as_the_engine_would(model, image):
    batch = torch.from_numpy(model.preproc_func(image))[None]
    return model.infer_batch(model, batch, device="cpu")[0]


def test_tiatoolbox_finds_the_detectors_nuclei(model):
    detector, wrapped = model
    image, _ = toy_image(3, 128, 30)
    found = wrapped.postproc_func(as_the_engine_would(wrapped, image), min_distance=None)
    rows, columns, classes = np.nonzero(found)
    wanted = detector.predict(image, detector.card.mpp)
    assert len(wanted) > 5
    order = np.lexsort(wanted.points.T)
    np.testing.assert_array_equal(np.column_stack([columns, rows]), wanted.points[order])
    np.testing.assert_allclose(found[rows, columns, classes], wanted.scores[order], atol=1e-4)


def test_tiatoolbox_keeps_the_nuclei_of_a_tile_apart_from_those_of_its_neighbours(model):
    _, wrapped = model
    image, _ = toy_image(3, 128, 30)
    maps = as_the_engine_would(wrapped, image)
    whole, inner = wrapped.postproc_func(maps), wrapped.postproc_func(maps, depth_h=30, depth_w=20)
    assert np.count_nonzero(inner[:30]) == np.count_nonzero(inner[:, -20:]) == 0
    np.testing.assert_array_equal(inner[30:-30, 20:-20], whole[30:-30, 20:-20])


def test_tiatoolbox_cuts_the_context_of_a_patch_off(example, model, tmp_path):
    detector, whole = model
    part = example.ExportedDetector(tmp_path / "tiny.pt")
    config = part.ioconfig()
    margin = (config.patch_input_shape[0] - config.patch_output_shape[0]) // 2
    assert margin >= detector.network.receptive_field // 2
    image, _ = toy_image(3, 128 + 2 * margin, 30)
    np.testing.assert_array_equal(
        as_the_engine_would(part, image),
        as_the_engine_would(whole, image)[margin:-margin, margin:-margin],
    )


def test_tiatoolbox_refuses_what_it_does_not_decode(example, tmp_path):
    export_detector(tiny_detector("fcrn_a", codec="distance"), tmp_path / "other.pt")
    with pytest.raises(SystemExit, match=r"other\.pt is decoded by distance, which is not"):
        example.ExportedDetector(tmp_path / "other.pt")


def test_the_qupath_script_reads_fields_that_a_card_has():
    script = (EXAMPLES / "in_qupath.groovy").read_text(encoding="utf-8")
    from transfer_kit.exporting import exported_card

    card = json.loads(exported_card(tiny_detector("fcrn_a")))
    for holder, names in {
        "card": ("mpp", "mean", "std", "normalise"),
        "decoding": ("codec", "maps", "numbers", "stride_px", "context_px"),
        "numbers": ("window_px", "threshold", "reference"),
    }.items():
        known = card["decoding"]["numbers"] if holder == "numbers" else card.get(holder, card)
        for name in names:
            assert f"{holder}.{name}" in script
            assert name in known
