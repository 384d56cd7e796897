from __future__ import annotations

import pytest
import torch

from transfer_kit.errors import UserError
from transfer_kit.networks import build_network
from transfer_kit.transfer.freezing import (
    freeze_first_blocks,
    hold_frozen_statistics,
    summarise_blocks,
    trainable_parameters,
)


def network():
    torch.manual_seed(0)
    return build_network("micronet", channels=1, width=4)


def one_step(net):
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.1)
    net.train()
    hold_frozen_statistics(net)
    net(torch.randn(2, 3, 32, 32)).square().mean().backward()
    optimizer.step()


@pytest.mark.parametrize("count", range(10))
def test_frozen_blocks_are_byte_equal_after_a_step_and_the_others_are_not(count):
    net = network()
    freeze_first_blocks(net, count)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    one_step(net)
    after = net.state_dict()
    for position, (block, _) in enumerate(net.blocks):
        names = [name for name in before if name.startswith(f"{block}.")]
        equal = all(torch.equal(before[name], after[name]) for name in names)
        assert equal == (position < count), block


def test_frozen_batch_norms_would_drift_without_holding_them():
    net = network()
    freeze_first_blocks(net, 2)
    before = net.input.norm.running_mean.clone()
    net.train()
    net(torch.randn(2, 3, 32, 32))
    assert not torch.equal(before, net.input.norm.running_mean)


def test_frozen_blocks_get_no_gradient():
    net = network()
    freeze_first_blocks(net, 3)
    net(torch.randn(2, 3, 32, 32)).sum().backward()
    for position, (_, block) in enumerate(net.blocks):
        assert all((p.grad is None) == (position < 3) for p in block.parameters())


def test_unfreezing_lets_everything_learn_again():
    net = network()
    whole = trainable_parameters(net)
    freeze_first_blocks(net, 4)
    assert trainable_parameters(net) < whole
    freeze_first_blocks(net, 0)
    assert trainable_parameters(net) == whole


def test_the_summary_counts_every_parameter_once():
    net = network()
    freeze_first_blocks(net, 2)
    summary = summarise_blocks(net)
    assert [block.frozen for block in summary] == [True] * 2 + [False] * 8
    assert sum(block.parameters for block in summary) == sum(p.numel() for p in net.parameters())
    learning = sum(block.parameters for block in summary if not block.frozen)
    assert learning == trainable_parameters(net)


@pytest.mark.parametrize("count", [-1, 10, 99])
def test_a_freeze_beyond_the_last_block_is_refused_with_the_blocks(count):
    with pytest.raises(UserError, match=r"the network has 10 blocks \(input, down1.*choose 0 to 9"):
        freeze_first_blocks(network(), count)
