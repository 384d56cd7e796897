"""Whatever runs a detector's network over a slide, the nuclei are the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from exporting.exported import skip_without
from inference.test_search import DrawnSlide
from toy import lively_detector, toy_detector, toy_image

import transfer_kit as tk
from transfer_kit.data.synthetic import draw
from transfer_kit.data.tiles import Window
from transfer_kit.errors import UserError
from transfer_kit.inference.field import Field
from transfer_kit.inference.forward import forward_of
from transfer_kit.inference.search import search
from transfer_kit.stores.models import find_weights
from transfer_kit.weights_file import weights_hash

MODEL, MPP = "voca-colon", 0.5
RUNTIMES = ("onnx", "openvino")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Where exports are kept, so that each is made once."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def shipped(home, monkeypatch):
    """A detector that ships, and the hash of its weights."""
    monkeypatch.setenv("TRANSFER_KIT_HOME", str(home))
    return tk.load(MODEL), weights_hash(find_weights(MODEL))


def found_in(detector, image, forward=None, **options):
    field = Field.of(detector, DrawnSlide(image, mpp=MPP), MPP, forward=forward, **options)
    return search(field, threshold=detector.card.threshold, block_px=150)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_exported_network_finds_the_same_nuclei(shipped, runtime):
    skip_without(runtime)
    detector, weights = shipped
    image = draw("colon", case=0, size=256, seed=0)[0]
    forward = forward_of(detector, weights, runtime=runtime)
    expected, found = found_in(detector, image), found_in(detector, image, forward)
    assert len(expected) > 10
    assert len(found) == len(expected)
    assert np.abs(found.points - expected.points).max() < 0.05
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-3)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_image_smaller_than_an_exported_network_takes_has_its_maps_too(shipped, runtime):
    skip_without(runtime)
    detector, weights = shipped
    image, mpp = toy_image(0, 40, 4)[0], detector.card.mpp
    forward = forward_of(detector, weights, runtime=runtime)
    field = Field.of(detector, DrawnSlide(image, mpp=mpp), mpp, forward=forward)
    np.testing.assert_allclose(field.maps(Window(0, 0, 40, 40)), detector.maps(image), atol=1e-4)


def test_nuclei_of_batches_are_those_of_single_tiles():
    detector = lively_detector("proximity", threshold=0.3)
    image = toy_image(0, 240, 80)[0]
    single = found_in(detector, image, tile_px=48)
    together = found_in(detector, image, forward_of(detector, "", batch=5), tile_px=48)
    assert len(single) > 5
    np.testing.assert_allclose(together.points, single.points, atol=1e-5)
    np.testing.assert_allclose(together.scores, single.scores, atol=1e-5)


def test_16_bits_find_nearly_the_same_nuclei():
    detector = lively_detector("proximity", threshold=0.3)
    image = toy_image(0, 120, 20)[0]
    forward = forward_of(detector, "", precision="bf16-mixed")
    tile = np.random.default_rng(0).normal(size=(1, 3, 64, 64)).astype(np.float32)
    difference = np.abs(forward.run(tile) - detector.by_torch().run(tile)).max()
    assert 1e-6 < difference < 0.2
    assert_nearly_the_same(found_in(detector, image, forward), found_in(detector, image))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_a_gpu_finds_nearly_the_same_nuclei():
    detector = lively_detector("proximity", threshold=0.3)
    image = toy_image(0, 240, 80)[0]
    expected = found_in(detector, image)
    on_gpu = detector.copy().to("cuda")
    forward = forward_of(on_gpu, "", precision="auto")
    assert forward.at_once > 1
    assert_nearly_the_same(found_in(on_gpu, image, forward, tile_px=48), expected)


def assert_nearly_the_same(found, expected):
    assert len(expected) > 5
    assert abs(len(found) - len(expected)) <= 0.2 * len(expected)
    near = np.linalg.norm(expected.points[:, None] - found.points, axis=2).min(axis=1) < 1.5
    assert near.mean() > 0.8


def test_as_many_threads_as_pytorchs_run_an_exported_network(monkeypatch):
    asked = {}
    monkeypatch.setattr(
        "transfer_kit.exporting.kept.kept_runtime",
        lambda *_, threads: asked.update(threads=threads),
    )
    forward_of(toy_detector(), "", runtime="onnx")
    assert asked == {"threads": torch.get_num_threads()}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"runtime": "openvino", "precision": "bf16-mixed"},
            "--runtime openvino computes in 32 bits alone, but the precision is bf16-mixed; leave "
            "--precision out, or --runtime.",
        ),
        (
            {"precision": "16-mixed"},
            "A CPU does not compute in 16-mixed; give --precision bf16-mixed.",
        ),
        ({"batch": 0}, "At least one tile goes through the network at once, but got batch=0."),
    ],
)
def test_what_does_not_go_together_is_refused(options, said):
    with pytest.raises(UserError) as told:
        forward_of(toy_detector(), "", **options)
    assert str(told.value) == said


def test_another_device_than_the_cpu_is_refused_to_an_exported_network():
    detector = toy_detector()
    detector.network.to("meta")
    with pytest.raises(
        UserError, match=r"runs on the CPU alone, but .* meta; add --device cpu, or"
    ):
        forward_of(detector, "", runtime="onnx")


def test_a_network_that_cannot_be_exported_is_left_to_pytorch(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFER_KIT_HOME", str(tmp_path))
    options = {"backbone": "resnet18", "width": 4, "features": 8}
    detector = toy_detector(
        network={"name": "mask_rcnn", "options": options}, codec={"name": "boxes", "options": {}}
    )
    with pytest.raises(UserError, match=r"mask_rcnn cannot be exported, .*; --runtime torch does"):
        forward_of(detector, "b" * 64, runtime="openvino")
