from __future__ import annotations

import sys
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn
from toy import toy_recipe, toy_samples
from transfer.one_step import batch_of, module_of, take_step, tiny_detector

from transfer_kit.detector import Detector
from transfer_kit.errors import UserError
from transfer_kit.networks import Network, network_names
from transfer_kit.settings import AdapterSettings
from transfer_kit.training.train import train
from transfer_kit.transfer.adapters import add_adapters, merge_adapters

RANK = {"rank": 2, "alpha": 4.0}
ONLY = {**RANK, "last_block": False}


def test_without_peft_one_sentence_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(UserError, match=r"needs the library peft .* 'transfer-kit\[adapters\]'"):
        add_adapters(tiny_detector("micronet").network, AdapterSettings(**RANK))


class Pooling(Network):
    """Neither a convolution nor a linear layer."""

    stride: ClassVar[int] = 1
    receptive_field: ClassVar[int] = 1

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.BatchNorm2d(3)
        self.last = nn.BatchNorm2d(3)

    @property
    def blocks(self):
        return tuple(self.named_children())

    def forward(self, images):
        return self.last(self.first(images))


class Odd(Pooling):
    """Convolutions of kinds that adapters cannot be merged into."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv2d(4, 4, 3, groups=4),
            nn.Conv2d(4, 4, 3, dilation=2),
            nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
            nn.ConvTranspose2d(4, 4, 2),
        )


@pytest.mark.parametrize("network", [Pooling, Odd])
def test_a_network_without_convolutions_or_linear_layers_is_refused(network):
    pytest.importorskip("peft")
    with pytest.raises(UserError, match=r"train.adapter: the network \w+ has no convolution or li"):
        add_adapters(network(), AdapterSettings(**RANK))


def test_where_all_that_could_have_one_is_frozen_the_freezing_is_named():
    pytest.importorskip("peft")
    network = tiny_detector("micronet").network
    with pytest.raises(UserError, match=r"no convolution .* that freeze: 9 lets learn that an ad"):
        add_adapters(network, AdapterSettings(**RANK), freeze=9)


@pytest.mark.parametrize("name", network_names())
def test_only_adapters_learn_and_merged_they_give_the_same_maps(name):
    pytest.importorskip("peft")
    detector = tiny_detector(name)
    before = {key: value.clone() for key, value in detector.network.state_dict().items()}
    image = batch_of(detector)["image"]
    with torch.no_grad():
        start = detector.network.eval()(image)
    # Adam, since outputs that begin near zero give gradients that are lost beside the weights.
    module = module_of(detector, adapter=ONLY, optimizer={"learning_rate": 0.01})
    with torch.no_grad():
        torch.testing.assert_close(detector.network.eval()(image), start)
    for _ in range(2):
        take_step(module, batch_of(detector))
    adapted = {
        key.replace(".base_layer", ""): value
        for key, value in detector.network.state_dict().items()
        if ".lora_" not in key
    }
    assert adapted.keys() == before.keys()
    assert all(torch.equal(adapted[key], before[key]) for key in before)
    with torch.no_grad():
        unmerged = detector.network.eval()(image)
        module.finish()
        merged = detector.network.eval()(image)
    torch.testing.assert_close(merged, unmerged, rtol=1e-4, atol=1e-5)
    after = detector.network.state_dict()
    assert after.keys() == before.keys()
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed
    assert all(key.endswith("weight") for key in changed)


def test_the_low_rank_difference_is_that_of_b_times_a():
    pytest.importorskip("peft")
    network = tiny_detector("micronet").network
    before = network.down1.down.convolution.weight.detach().clone()
    add_adapters(network, AdapterSettings(rank=2, alpha=6.0))
    adapter = network.down1.down.convolution
    nn.init.normal_(adapter.lora_B["default"].weight)
    a, b = adapter.lora_A["default"].weight.detach(), adapter.lora_B["default"].weight.detach()
    merge_adapters(network)
    difference = network.down1.down.convolution.weight.detach() - before
    expected = 3.0 * torch.einsum("or,rihw->oihw", b[:, :, 0, 0], a)
    torch.testing.assert_close(difference, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("last_block", [True, False])
@pytest.mark.parametrize("norms", [True, False])
def test_norms_and_the_last_block_learn_where_they_are_asked_to(norms, last_block):
    pytest.importorskip("peft")
    network = tiny_detector("micronet").network
    settings = AdapterSettings(**RANK, norms=norms, last_block=last_block)
    learning = {id(p) for p in add_adapters(network, settings)}
    assert (id(network.input.norm.weight) in learning) == norms
    assert (id(network.output.maps.weight) in learning) == last_block
    assert id(network.input.convolution.base_layer.weight) not in learning
    assert any("lora" in name for name, _ in network.output.named_parameters()) != last_block


def test_frozen_blocks_get_no_adapter():
    pytest.importorskip("peft")
    network = tiny_detector("micronet").network
    add_adapters(network, AdapterSettings(**RANK), freeze=("input", "down*"))
    adapted = {name.split(".")[0] for name, _ in network.named_parameters() if "lora" in name}
    assert not adapted & {"input", "down1", "down2", "down3", "down4"}
    assert {"up1", "up2", "up3"} <= adapted


@pytest.mark.parametrize("norms", [True, False])
def test_statistics_move_only_where_norms_learn(norms):
    pytest.importorskip("peft")
    module = module_of(tiny_detector("micronet"), adapter={**RANK, "norms": norms})
    module.train()
    assert module.network.input.norm.training == norms


def trained(folder, steps=9, **fields):
    recipe = toy_recipe(
        base="toy",
        **{
            "train.steps": steps,
            "train.schedule": {"name": "constant"},
            "train.adapter": {**RANK, "dropout": 0.2},
            **fields,
        },
    )
    return train(tiny_detector("micronet"), toy_samples(3), [], recipe, folder=folder)


def test_a_trained_detector_is_an_ordinary_one_that_can_be_saved_and_loaded(tmp_path):
    pytest.importorskip("peft")
    detector = trained(tmp_path).detector
    loaded = Detector.load(detector.save(tmp_path / "detector.safetensors"))
    one, two = (each.network.state_dict() for each in (detector, loaded))
    assert one.keys() == two.keys() == tiny_detector("micronet").network.state_dict().keys()
    assert all(torch.equal(one[key], two[key]) for key in one)
    image = toy_samples(1)[0].image()
    np.testing.assert_allclose(loaded.maps(image), detector.maps(image), rtol=1e-4, atol=1e-5)


def test_a_resumed_training_of_adapters_equals_an_uninterrupted_one(tmp_path):
    pytest.importorskip("peft")
    whole = trained(tmp_path / "whole").detector.network.state_dict()
    trained(tmp_path / "parts", steps=6)
    resumed = trained(tmp_path / "parts").detector.network.state_dict()
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_a_schedule_freezes_and_lets_go_adapters_alone(tmp_path):
    pytest.importorskip("peft")
    before = tiny_detector("micronet").network.state_dict()
    after = trained(tmp_path, freeze={0: 9, 4: 5}).detector.network.state_dict()
    changed = {key.split(".")[0] for key in before if not torch.equal(before[key], after[key])}
    assert changed == {"up1", "up2", "up3", "up4", "output"}
