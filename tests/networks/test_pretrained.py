from __future__ import annotations

import pickle
import urllib.error

import pytest
import torch
from networks.tiny import tiny_network
from safetensors.torch import save_file
from toy import toy_detector, toy_recipe, toy_samples

from transfer_kit.errors import UserError
from transfer_kit.networks import FCN32s, build_network, load_pretrained


def equal(network, other) -> bool:
    own, theirs = network.state_dict(), other.state_dict()
    return all(torch.equal(own[name], theirs[name]) for name in own)


def test_a_saved_detectors_weights_start_a_fresh_network(tmp_path):
    detector = toy_detector(seed=1)
    path = detector.save(tmp_path / "detector.safetensors")
    network = build_network("micronet", channels=1, width=4, dropout=0.1)
    assert not equal(network, detector.network)
    assert load_pretrained(network, path) == ()
    assert equal(network, detector.network)


def test_another_codecs_maps_leave_the_output_fresh(tmp_path):
    start = tiny_network("unet", channels=1, seed=1)
    torch.save(start.state_dict(), tmp_path / "start.pt")
    network = tiny_network("unet", channels=4, seed=2)
    output = network.output.weight.clone()
    assert load_pretrained(network, tmp_path / "start.pt") == ("output",)
    assert torch.equal(network.output.weight, output)
    assert torch.equal(network.up4.up.weight, start.up4.up.weight)


def test_half_precision_becomes_the_networks_own(tmp_path):
    start = tiny_network("unet", seed=1).half()
    save_file(start.state_dict(), tmp_path / "start.safetensors")
    network = tiny_network("unet", seed=2)
    load_pretrained(network, tmp_path / "start.safetensors")
    assert network.input[0].convolution.weight.dtype == torch.float32
    assert torch.equal(
        network.input[0].convolution.weight, start.input[0].convolution.weight.float()
    )


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"teacher": {f"backbone.{name}": t for name, t in state.items()}},
        lambda state: {f"module.{name}": t for name, t in state.items()},
    ],
)
def test_what_training_programs_wrap_weights_in_is_taken_off(wrapped, tmp_path):
    start = tiny_network("unet", seed=1)
    torch.save(wrapped(start.state_dict()), tmp_path / "checkpoint.pth")
    network = tiny_network("unet", seed=2)
    assert load_pretrained(network, tmp_path / "checkpoint.pth") == ()
    assert equal(network, start)


def test_a_wider_network_is_refused_in_one_sentence(tmp_path):
    torch.save(tiny_network("unet", n_feat=4).state_dict(), tmp_path / "wide.pth")
    network = tiny_network("unet")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(
        UserError,
        match=r"wide.pth are of another architecture than this UNet \(\d+ tensors differ, first: "
        r"input.0.convolution.weight is \(4, 3, 3, 3\) instead of \(2, 3, 3, 3\)\)",
    ):
        load_pretrained(network, tmp_path / "wide.pth")
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


@pytest.mark.parametrize("name", ["unet", "fcn32s", "timm_unet"])
def test_another_networks_file_is_refused(name, tmp_path):
    torch.save(tiny_network("fcrn_a").state_dict(), tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"are of another architecture than this .* is missing"):
        load_pretrained(tiny_network(name), tmp_path / "other.pth")


def test_a_deeper_network_of_the_same_kind_is_refused(tmp_path):
    torch.save(tiny_network("sfcn_opi", depth=3).state_dict(), tmp_path / "deep.pth")
    with pytest.raises(UserError, match=r"first: group1\.2\..* is not part of it"):
        load_pretrained(tiny_network("sfcn_opi"), tmp_path / "deep.pth")


def test_a_missing_file_names_what_there_is(tmp_path):
    with pytest.raises(UserError, match=r"imagnet do not exist; give a file, or one of: imagenet"):
        load_pretrained(tiny_network("fcn32s"), "imagnet")


def test_a_network_without_published_weights_says_so():
    with pytest.raises(UserError, match="no weights named 'imagenet' for the network UNet"):
        load_pretrained(tiny_network("unet"), "imagenet")


class Harmful:
    def __reduce__(self):
        return (print, ("code ran",))


def test_no_code_in_a_file_is_run(tmp_path, capsys):
    (tmp_path / "harmful.pth").write_bytes(pickle.dumps({"weight": Harmful()}, 2))
    torch.save({"weight": Harmful()}, tmp_path / "torch.pth")
    for name in ("harmful.pth", "torch.pth"):
        with pytest.raises(UserError, match="cannot be read without running code"):
            load_pretrained(tiny_network("unet"), tmp_path / name)
    assert "code ran" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["broken.pth", "broken.safetensors"])
def test_a_broken_file_is_explained(name, tmp_path):
    (tmp_path / name).write_bytes(b"not weights")
    with pytest.raises(UserError, match=f"{name} cannot be read without running code"):
        load_pretrained(tiny_network("unet"), tmp_path / name)


def test_a_file_without_tensors_is_explained(tmp_path):
    torch.save([1, 2, 3], tmp_path / "list.pth")
    with pytest.raises(UserError, match="hold no named tensors"):
        load_pretrained(tiny_network("unet"), tmp_path / "list.pth")


def test_imagenets_vgg16_comes_through_torchvision(monkeypatch):
    start = FCN32s(channels=1, hidden=4)
    published = {
        f"features.{place}.{kind}": start.state_dict()[f"conv{layer}.{kind}"] + 1
        for place, layer in zip(
            (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
            (
                "1.0",
                "1.2",
                "2.0",
                "2.2",
                "3.0",
                "3.2",
                "3.4",
                "4.0",
                "4.2",
                "4.4",
                "5.0",
                "5.2",
                "5.4",
            ),
            strict=True,
        )
        for kind in ("weight", "bias")
    }
    asked = []
    monkeypatch.setattr(
        "torchvision.models._api.load_state_dict_from_url",
        lambda url, *_, **__: asked.append(url) or published,
    )
    network = FCN32s(channels=1, hidden=4)
    load_pretrained(network, "imagenet")
    assert asked == ["https://download.pytorch.org/models/vgg16-397923af.pth"]
    assert torch.equal(network.conv5[4].weight, published["features.28.weight"])


def test_no_connection_says_what_to_do(monkeypatch):
    def unreachable(*_, **__):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", unreachable)
    with pytest.raises(UserError, match=r"cannot be had .*no route to host.* give the file"):
        load_pretrained(tiny_network("fcn32s"), "imagenet")


class Target:
    """The one thing that a fresh detector asks of a dataset: its card."""

    class card:  # noqa: N801
        organ, stain = "toy", "H&E"


def test_a_recipe_names_what_a_training_starts_from(tmp_path):
    from transfer_kit.start import start_detector

    start = toy_detector(seed=1)
    start.save(tmp_path / "start.safetensors")
    network = {"name": "micronet", "options": {"width": 4, "dropout": 0.1}}
    fresh = toy_recipe(network=network)
    begun = fresh.replaced(**{"network.pretrained": str(tmp_path / "start.safetensors")})
    samples = toy_samples(1)
    assert not equal(start_detector(fresh, None, [Target], samples).network, start.network)
    assert equal(start_detector(begun, None, [Target], samples).network, start.network)


def test_a_recipe_with_a_base_cannot_name_other_weights(tmp_path):
    from transfer_kit.start import start_detector

    recipe = toy_recipe(network={"name": "micronet", "pretrained": "imagenet"})
    with pytest.raises(UserError, match=r"leave network.pretrained out, or train with --base none"):
        start_detector(recipe, toy_detector(), [Target], toy_samples(1))


def test_loading_a_saved_detector_needs_its_starting_weights_no_more(tmp_path):
    from transfer_kit.detector import Detector

    network = {
        "name": "micronet",
        "options": {"width": 4},
        "pretrained": str(tmp_path / "gone.pth"),
    }
    detector = toy_detector(network=network)
    path = detector.save(tmp_path / "detector.safetensors")
    assert equal(Detector.load(path).network, detector.network)
