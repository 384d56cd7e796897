from __future__ import annotations

import pytest
import torch

from transfer_kit.errors import UserError
from transfer_kit.networks import build_network
from transfer_kit.transfer.freezing import (
    Freezing,
    freeze_first_blocks,
    hold_frozen_statistics,
    is_frozen,
    trainable_parameters,
)
from transfer_kit.transfer.summary import summarise_blocks


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


def frozen_now(net):
    return [name for name, block in net.blocks if is_frozen(block)]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("down*",), ["down1", "down2", "down3", "down4"]),
        (("input", "down1"), ["input", "down1"]),
        (("up?", "output"), ["up1", "up2", "up3", "up4", "output"]),
        (("*[13]",), ["down1", "down3", "up1", "up3"]),
    ],
)
def test_names_with_globs_freeze_what_they_match(names, expected):
    net = network()
    Freezing(net, names).apply(0)
    assert frozen_now(net) == expected


def test_a_schedule_changes_at_its_exact_steps_and_can_freeze_again():
    net = network()
    freezing = Freezing(net, {2: 3, 5: ("input",), 7: 4})
    assert freezing.steps == (0, 2, 5, 7)
    counts = []
    for step in range(9):
        changed = freezing.apply(step)
        assert changed == (step in (0, 2, 5, 7))
        counts.append(len(frozen_now(net)))
    assert counts == [0, 0, 3, 3, 3, 1, 1, 4, 4]


def test_a_schedule_entered_in_the_middle_freezes_what_its_step_asks_for():
    net = network()
    Freezing(net, {0: 8, 500: 4}).apply(700)
    assert len(frozen_now(net)) == 4


def test_what_learns_at_some_step_is_known_from_the_start():
    net = network()
    ever = {id(p) for p in Freezing(net, {0: 8, 500: 2, 900: 5}).ever_learning()}
    expected = {id(p) for _, block in net.blocks[2:] for p in block.parameters()}
    assert ever == expected
    assert len(Freezing(net, {3: 8}).ever_learning()) == len(list(net.parameters()))


def test_only_what_may_learn_does_even_where_nothing_is_frozen():
    net = network()
    wanted = list(net.output.parameters())
    freezing = Freezing(net, 0, learnable=wanted)
    freezing.apply(0)
    assert trainable_parameters(net) == sum(p.numel() for p in wanted)
    assert frozen_now(net) == [name for name, _ in net.blocks[:-1]]


@pytest.mark.parametrize(
    ("freeze", "said"),
    [
        (("dwon1",), r"freeze: the network has no block 'dwon1'\. Did you mean 'down1'\?"),
        (("stage*",), r"the network has no block 'stage\*'\. Known are: down1, "),
        ({0: 2, 500: 12}, r"freeze: 12 from step 500 on is not possible: the network has 10 "),
        ({0: ("inputs",)}, r"has no block 'inputs' from step 0 on\. Did you mean 'input'\?"),
        (("*",), r"freeze: \* leaves nothing to learn; freeze less"),
        ({0: 0, 9: ("input", "down*", "up*", "out*")}, r"out\* from step 9 on leaves nothing to"),
    ],
)
def test_freezing_what_does_not_exist_or_everything_is_refused(freeze, said):
    with pytest.raises(UserError, match=said):
        Freezing(network(), freeze)
