from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from toy import MPP, toy_card, toy_detector, toy_image

from transfer_kit.detector import Detector
from transfer_kit.errors import UserError
from transfer_kit.settings import CodecSettings, NetworkSettings
from transfer_kit.weights_file import read_card, weights_hash


def random_detector(**fields) -> Detector:
    """A detector whose maps are not all near zero."""
    detector = toy_detector(**fields)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in detector.network.parameters():
            value.add_(torch.randn(value.shape, generator=generator) * 0.05)
    return detector


def test_a_saved_detector_predicts_the_same(tmp_path):
    detector = random_detector()
    image, _ = toy_image(1)
    path = detector.save(tmp_path / "d.safetensors")
    loaded = Detector.load(path)
    np.testing.assert_array_equal(detector.maps(image), loaded.maps(image))
    assert loaded.card == detector.card


def test_half_precision_halves_the_file_and_keeps_the_maps_close(tmp_path):
    detector = random_detector()
    whole = detector.save(tmp_path / "whole.safetensors")
    half = detector.save(tmp_path / "half.safetensors", half=True)
    assert half.stat().st_size < 0.75 * whole.stat().st_size
    image, _ = toy_image(1)
    maps = detector.maps(image)
    assert np.abs(Detector.load(half).maps(image) - maps).max() < 0.02 * np.abs(maps).max()


@pytest.mark.parametrize("size", [(96, 96), (70, 131), (257, 90)])
def test_tiles_give_the_maps_of_the_undivided_image(size):
    detector = random_detector()
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    whole = detector.maps(image, tile_px=4096)
    tiled = detector.maps(image, tile_px=32)
    np.testing.assert_allclose(tiled, whole, atol=1e-5 * np.abs(whole).max())


def test_an_image_of_another_scale_is_resampled_and_points_come_back_in_its_pixels():
    detector = random_detector()
    image, _ = toy_image(2)
    doubled = image.repeat(2, axis=0).repeat(2, axis=1)
    found = detector.candidates(image, MPP)
    again = detector.candidates(doubled, MPP / 2)
    assert len(found) == len(again) > 5
    np.testing.assert_allclose(np.sort(again.points, 0), np.sort(found.points, 0) * 2 + 0.5, atol=1)


def test_predict_keeps_what_reaches_the_threshold():
    detector = random_detector()
    image, _ = toy_image(2)
    everything = detector.candidates(image, MPP)
    middle = float(np.median(everything.scores))
    detector.card.threshold = middle
    assert len(detector.predict(image, MPP)) == (everything.scores >= middle).sum()
    assert len(detector.predict(image, MPP, threshold=0)) == len(everything)


def test_predict_leaves_the_training_mode_as_it_was():
    detector = toy_detector()
    detector.network.train()
    detector.predict(toy_image(0)[0], MPP)
    assert detector.network.training


@pytest.mark.parametrize("mpp", [0, -1, float("nan"), float("inf")])
def test_an_impossible_mpp_is_refused(mpp):
    with pytest.raises(UserError, match="mpp must be a positive number"):
        toy_detector().predict(toy_image(0)[0], mpp)


def test_a_file_that_is_no_safetensors_is_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    torch.save({"a": torch.zeros(1)}, path)
    with pytest.raises(UserError, match="is no safetensors file"):
        Detector.load(path)
    path.write_bytes(b"")
    with pytest.raises(UserError, match="is no safetensors file"):
        Detector.load(path)


def test_a_missing_file_is_explained(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        Detector.load(tmp_path / "none.safetensors")


def test_weights_without_a_card_are_refused(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "d.safetensors")
    with pytest.raises(UserError, match="has no transfer-kit card"):
        Detector.load(tmp_path / "d.safetensors")


def test_a_damaged_card_is_refused(tmp_path):
    for card in ("{", json.dumps({"name": "x"})):
        save_file({"a": torch.zeros(1)}, tmp_path / "d.safetensors", metadata={"card": card})
        with pytest.raises(UserError, match="cannot be read"):
            Detector.load(tmp_path / "d.safetensors")


def test_weights_of_another_architecture_are_refused(tmp_path):
    detector = toy_detector()
    card = detector.card.model_copy(deep=True)
    card.network.options["width"] = 8
    save_file(
        detector.network.state_dict(),
        tmp_path / "d.safetensors",
        metadata={"card": card.model_dump_json()},
    )
    with pytest.raises(UserError, match="are of another architecture than its card's micronet"):
        Detector.load(tmp_path / "d.safetensors")


def test_an_unknown_device_is_explained():
    with pytest.raises(UserError, match="cannot be used"):
        toy_detector().to("cuda:99")


def test_the_card_is_read_without_the_weights(tmp_path):
    path = toy_detector(organ="spleen").save(tmp_path / "d.safetensors")
    assert read_card(path).organ == "spleen"
    assert len(weights_hash(path)) == 64


def test_fresh_detectors_of_one_seed_are_equal_and_leave_the_global_state_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, two, other = toy_detector(seed=1), toy_detector(seed=1), toy_detector(seed=2)
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(
        one.network.down1.down.convolution.weight, two.network.down1.down.convolution.weight
    )
    assert not torch.equal(
        one.network.down1.down.convolution.weight, other.network.down1.down.convolution.weight
    )


def test_a_copy_shares_nothing():
    detector = toy_detector()
    copied = detector.copy()
    with torch.no_grad():
        copied.network.output.maps.weight.add_(1)
    copied.card.name = "other"
    assert not torch.equal(detector.network.output.maps.weight, copied.network.output.maps.weight)
    assert detector.card.name == "toy"


def test_a_branch_of_other_regions_than_the_codec_names_is_refused():
    card = toy_detector().card.model_copy(
        update={
            "classes": ("positive", "negative"),
            "network": NetworkSettings(name="kinet", options={"width": 4, "regions": 3}),
            "codec": CodecSettings(name="kinet", options={"regions": ["tumour", "other"]}),
        }
    )
    with pytest.raises(UserError, match=r"a branch for 3 regions, but the codec kinet names 2"):
        Detector.fresh(card, seed=0)


def region_detector() -> Detector:
    network = NetworkSettings(name="kinet", options={"width": 4, "regions": 2})
    codec = CodecSettings(name="kinet", options={"regions": ["tumour", "stroma"]})
    return Detector.fresh(toy_card(network=network, codec=codec), seed=0)


def test_regions_come_at_the_scale_of_the_image():
    detector = region_detector()
    image, _ = toy_image(0)
    likeliest = detector.maps(image)[-2:].argmax(axis=0) + 1
    np.testing.assert_array_equal(detector.regions(image, MPP), likeliest)
    assert len(np.unique(likeliest)) == 2
    assert detector.regions(image, MPP / 2).shape == (96, 96)


def test_a_detector_without_regions_says_so():
    with pytest.raises(UserError, match="tells no regions apart"):
        toy_detector(seed=0).regions(toy_image(0)[0], MPP)
