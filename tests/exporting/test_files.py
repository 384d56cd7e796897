"""Files of all four formats, of one tiny network."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from exporting.exported import (
    SUFFIXES,
    card_text,
    largest_difference,
    opened,
    skip_without,
    tiny_detector,
)

from transfer_kit.errors import UserError
from transfer_kit.exporting import (
    describe_decoding,
    equality,
    export_detector,
    onnx_file,
    packages,
    read_exported_card,
)

pytest_plugins = ["exporting.exported_files"]

FORMATS = tuple(SUFFIXES)


@pytest.mark.parametrize("format", FORMATS)
def test_its_maps_are_the_networks_at_odd_sizes_and_in_batches(format, files, detector):
    path, said = files(format)
    assert said <= 1e-4
    assert largest_difference(opened(format, path), detector) <= 1e-4


@pytest.mark.parametrize("format", FORMATS)
def test_the_card_and_its_decoding_travel_inside(format, files, detector):
    path, _ = files(format)
    text = card_text(format, path)
    assert read_exported_card(text, path) == (detector.card, describe_decoding(detector))
    assert json.loads(text)["decoding"]["numbers"]["reference"] == 5.0


def test_maps_of_a_standardised_image_are_the_detectors(files, detector):
    path, _ = files("torchscript")
    image = np.random.default_rng(0).integers(0, 256, (80, 96, 3), dtype=np.uint8)
    card = detector.card
    pixels = (image / 255 - np.array(card.mean)) / np.array(card.std)
    images = pixels.astype(np.float32).transpose(2, 0, 1)[None]
    np.testing.assert_allclose(
        opened("torchscript", path)(images)[0], detector.maps(image), atol=1e-4
    )


def test_an_onnx_file_names_its_ends_and_leaves_its_sizes_open(files):
    path, _ = files("onnx")
    import onnx

    graph = onnx.load(path).graph
    (images,), (maps,) = graph.input, graph.output
    assert (images.name, maps.name) == ("images", "maps")
    batch, channels, height, width = images.type.tensor_type.shape.dim
    assert (batch.dim_param, height.dim_param, width.dim_param) == ("batch", "height", "width")
    assert channels.dim_value == 3


def test_openvino_weights_keep_their_precision(files):
    path, _ = files("openvino")
    assert 'element_type="f16"' not in path.read_text(encoding="utf-8")
    assert path.with_suffix(".bin").stat().st_size > 0


def test_exporting_leaves_the_detector_as_it_was(tmp_path):
    detector = tiny_detector("fcrn_a")
    detector.network.train()
    export_detector(detector, tmp_path / "tiny.pt")
    assert detector.network.training
    assert all(p.requires_grad for p in detector.network.parameters())


@pytest.mark.parametrize("format", ["openvino", "torchscript"])
def test_a_file_that_gives_other_maps_is_not_written(format, detector, tmp_path, monkeypatch):
    skip_without(format)
    monkeypatch.setattr(equality, "TOLERANCE", -1.0)
    path = tmp_path / f"tiny{SUFFIXES[format]}"
    path.write_text("as before")
    with pytest.raises(UserError, match=r"gives maps that differ by .* nothing was written"):
        export_detector(detector, path)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    assert path.read_text() == "as before"


def test_maps_that_are_no_numbers_are_refused(detector):
    def broken(images):
        return np.full_like(images[:, :1], np.nan)

    with pytest.raises(UserError, match="differ by nan"):
        equality.refuse_other_maps(broken, detector.network)


def test_maps_of_another_size_are_refused(detector):
    with pytest.raises(UserError, match="differ by inf from its own at 64 x 96 px"):
        equality.refuse_other_maps(lambda images: images[:, :1, 1:], detector.network)


@pytest.mark.parametrize("format", FORMATS)
def test_a_folder_that_is_a_file_is_told_before_the_network_is_traced(
    format, detector, tmp_path, monkeypatch
):
    skip_without(format)
    monkeypatch.setattr(torch.jit, "trace", None)
    monkeypatch.setattr(torch.export, "export", None)
    (tmp_path / "taken").write_text("")
    path = tmp_path / "taken" / f"tiny{SUFFIXES[format]}"
    with pytest.raises(UserError, match="taken is a file, not a folder; choose another place"):
        export_detector(detector, path)


def test_a_folder_that_cannot_be_written_is_told(detector, tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "touch", refuse)  # whoever runs the tests may write everywhere
    with pytest.raises(UserError, match=r"cannot be written .* choose another folder"):
        export_detector(detector, tmp_path / "tiny.pt")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("format", "extra"), [("onnx", "onnx"), ("openvino", "openvino")], ids=["onnx", "openvino"]
)
def test_a_missing_package_is_named_with_its_extra(format, extra, detector, tmp_path, monkeypatch):
    monkeypatch.setattr(packages.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=rf"pip install 'transfer-kit\[{extra}\]'"):
        export_detector(detector, tmp_path / f"tiny{SUFFIXES[format]}")
    assert list(tmp_path.iterdir()) == []


def test_weights_too_large_for_onnx_are_explained(detector, tmp_path, monkeypatch):
    skip_without("onnx")
    monkeypatch.setattr(onnx_file, "LARGEST_ONNX_BYTES", 100)
    with pytest.raises(UserError, match="export it with --format torch-export"):
        export_detector(detector, tmp_path / "tiny.onnx")


def test_a_network_that_cannot_be_traced_is_named(detector, tmp_path, monkeypatch):
    broken = tiny_detector("fcrn_a")

    def forward(images):
        raise RuntimeError("no graph of this\nand more")

    monkeypatch.setattr(broken.network, "forward", forward)
    monkeypatch.setattr(type(broken), "copy", lambda self: self)
    for suffix in (".pt", ".pt2"):
        with pytest.raises(UserError, match=r"FCRNA? cannot be exported .*\(.*\); choose another"):
            export_detector(broken, tmp_path / f"tiny{suffix}")
    assert list(tmp_path.iterdir()) == []
