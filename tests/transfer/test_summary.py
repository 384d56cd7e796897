from __future__ import annotations

import pytest
import torch
from toy import toy_recipe
from transfer.one_step import tiny_detector

from transfer_kit.transfer.summary import summarise_training


def summary(freeze=0, **fields):
    network = tiny_detector("micronet").network
    recipe = toy_recipe(**{f"train.{name}": value for name, value in fields.items()})
    return {block.name: block for block in summarise_training(network, freeze, recipe.train)}


def test_each_block_says_its_parameters_and_its_highest_rate():
    network = tiny_detector("micronet").network
    blocks = summary(2, optimizer={"learning_rate": 0.01, "block_decay": 0.5})
    assert list(blocks) == [name for name, _ in network.blocks]
    for name, part in network.blocks:
        assert blocks[name].parameters == sum(p.numel() for p in part.parameters())
    assert (blocks["input"].frozen, blocks["input"].learning) == (True, 0)
    assert blocks["input"].learning_rate == 0
    assert blocks["up3"].learning_rate == pytest.approx(0.0025)
    assert blocks["output"].learning_rate == 0.01


def test_a_schedule_says_when_a_block_changes():
    blocks = summary({0: 8, 500: 4, 1000: 5})
    assert blocks["input"].changes == ()
    assert blocks["down4"].changes == ((500, False), (1000, True))
    assert blocks["up1"].changes == ((500, False),)
    assert blocks["up1"].frozen
    assert blocks["up1"].learning == blocks["up1"].parameters
    assert blocks["output"].changes == ()


def test_looking_changes_nothing_of_the_network():
    network = tiny_detector("micronet").network
    before = {name: p.requires_grad for name, p in network.named_parameters()}
    summarise_training(network, 5, toy_recipe().train)
    assert {name: p.requires_grad for name, p in network.named_parameters()} == before


def test_adapters_are_counted_as_what_learns():
    pytest.importorskip("peft")
    blocks = summary(3, adapter={"rank": 1, "last_block": False})
    convolution = tiny_detector("micronet").network.down3.down.convolution
    rows, columns = convolution.weight.shape[:2]
    assert blocks["down2"].learning == 0
    assert 0 < blocks["down3"].learning < blocks["down3"].parameters
    assert blocks["down3"].learning >= 9 * columns + rows
    assert torch.is_tensor(convolution.weight)
