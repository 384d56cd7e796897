from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from networks.tiny import tiny_options
from toy import toy_card

from transfer_kit import export
from transfer_kit.card import DetectorCard
from transfer_kit.detector import Detector
from transfer_kit.errors import UserError
from transfer_kit.networks import network_names
from transfer_kit.networks.base import needed_codec

SIZES = ((64, 64), (97, 140))
EXPORTABLE = tuple(name for name in network_names() if needed_codec(name) is None)


def tiny_detector(name: str, **options) -> Detector:
    """A tiny detector whose maps are not near zero."""
    network = {"name": name, "options": {**tiny_options(name), **options}}
    detector = Detector.fresh(toy_card(network=network), seed=0)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in detector.network.parameters():
            value.add_(torch.randn(value.shape, generator=generator) * 0.05)
    return detector


def noise(size: tuple[int, int]) -> torch.Tensor:
    return torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(7))


def largest_difference(run, detector: Detector) -> float:
    largest = 0.0
    for size in SIZES:
        with torch.no_grad():
            expected = detector.network(noise(size))
            assert expected.abs().max() > 1e-3
            largest = max(largest, float((run(noise(size)) - expected).abs().max()))
    return largest


@pytest.mark.parametrize("name", EXPORTABLE)
def test_every_network_exports_as_a_program_with_equal_maps(name, tmp_path):
    detector = tiny_detector(name)
    path = tmp_path / "network.pt2"
    said = export.export_program(detector, path)
    program = torch.export.load(path)
    assert largest_difference(program.module(), detector) <= 1e-4
    assert said <= 1e-4


@pytest.mark.parametrize("name", EXPORTABLE)
def test_every_network_exports_to_onnx_with_equal_maps(name, tmp_path):
    pytest.importorskip("onnxscript", reason="the extra `onnx` is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
    detector = tiny_detector(name)
    path = tmp_path / "network.onnx"
    said = export.export_onnx(detector, path)
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(images):
        return torch.from_numpy(session.run(["maps"], {"images": images.numpy()})[0])

    assert largest_difference(run, detector) <= 1e-4
    assert said is not None
    assert said <= 1e-4


@pytest.mark.parametrize("encoder", ["test_vit", "test_convnext"])
def test_a_transformer_and_a_convnext_export_too(encoder, tmp_path):
    detector = tiny_detector("timm_unet", encoder=encoder)
    export.export_program(detector, tmp_path / "network.pt2")
    program = torch.export.load(tmp_path / "network.pt2")
    assert largest_difference(program.module(), detector) <= 1e-4


def test_the_card_travels_inside_the_program(tmp_path):
    detector = tiny_detector("fcrn_a")
    export.export_program(detector, tmp_path / "network.pt2")
    files = {"card.json": ""}
    torch.export.load(tmp_path / "network.pt2", extra_files=files)
    assert DetectorCard.model_validate_json(files["card.json"]) == detector.card


def test_the_card_travels_inside_the_onnx_file(tmp_path):
    onnx = pytest.importorskip("onnx", reason="the extra `onnx` is not installed")
    pytest.importorskip("onnxscript", reason="the extra `onnx` is not installed")
    detector = tiny_detector("fcrn_a")
    export.export_onnx(detector, tmp_path / "network.onnx")
    model = onnx.load(tmp_path / "network.onnx")
    kept = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(kept["card"]) == detector.card.model_dump(mode="json")
    (images,), (maps,) = model.graph.input, model.graph.output
    assert (images.name, maps.name) == ("images", "maps")
    assert [d.dim_param for d in images.type.tensor_type.shape.dim[2:]] == ["height", "width"]


def test_exported_maps_of_a_standardised_image_are_the_detectors(tmp_path):
    detector = tiny_detector("unet")
    export.export_program(detector, tmp_path / "network.pt2")
    image = np.random.default_rng(0).integers(0, 256, (80, 96, 3), dtype=np.uint8)
    card = detector.card
    pixels = (image / 255 - np.array(card.mean)) / np.array(card.std)
    images = torch.from_numpy(pixels).float().permute(2, 0, 1)[None]
    with torch.no_grad():
        maps = torch.export.load(tmp_path / "network.pt2").module()(images)[0]
    np.testing.assert_allclose(maps.numpy(), detector.maps(image), atol=1e-4)


def test_exporting_leaves_the_detector_as_it_was(tmp_path):
    detector = tiny_detector("unet")
    detector.network.train()
    export.export_program(detector, tmp_path / "network.pt2")
    assert detector.network.training
    assert all(p.requires_grad for p in detector.network.parameters())


def test_a_program_that_gives_other_maps_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "TOLERANCE", -1.0)
    with pytest.raises(UserError, match=r"gives maps that differ by .* nothing was written"):
        export.export_program(tiny_detector("fcrn_a"), tmp_path / "network.pt2")
    assert list(tmp_path.iterdir()) == []


def test_weights_too_large_for_onnx_are_explained(tmp_path, monkeypatch):
    pytest.importorskip("onnxscript", reason="the extra `onnx` is not installed")
    monkeypatch.setattr(export, "LARGEST_ONNX_BYTES", 100)
    with pytest.raises(UserError, match="more than one ONNX file holds; export it with --torch"):
        export.export_onnx(tiny_detector("fcrn_a"), tmp_path / "network.onnx")


def test_a_missing_extra_is_explained(tmp_path, monkeypatch):
    monkeypatch.setattr(export.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"pip install 'transfer-kit\[onnx\]'"):
        export.export_onnx(tiny_detector("fcrn_a"), tmp_path / "network.onnx")
