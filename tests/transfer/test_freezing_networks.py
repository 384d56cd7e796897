"""Frozen is frozen, in every network of the zoo."""

from __future__ import annotations

import pytest
from torch.nn.modules.batchnorm import _BatchNorm
from transfer.one_step import batch_of, module_of, same, take_step, tensors_of, tiny_detector

from transfer_kit.networks import network_names

EVERY = pytest.mark.parametrize("name", network_names())


def freezings(blocks):
    """A count, every second block by name, and all but the last."""
    names = [name for name, _ in blocks]
    return [len(blocks) // 2, tuple(names[:-1:2]), len(blocks) - 1]


@EVERY
@pytest.mark.parametrize("which", [0, 1, 2], ids=["half", "every second", "all but the last"])
def test_frozen_blocks_have_no_gradient_and_keep_parameters_and_buffers(name, which):
    detector = tiny_detector(name)
    blocks = detector.network.blocks
    module = module_of(detector, freeze=freezings(blocks)[which])
    before = {block: tensors_of(part) for block, part in blocks}
    take_step(module, batch_of(detector))
    frozen = module.freezing.frozen_at(0)
    assert frozen
    for block, part in detector.network.blocks:
        if block in frozen:
            assert all(p.grad is None for p in part.parameters()), block
            assert same(before[block], tensors_of(part)), block
    last, part = detector.network.blocks[-1]
    assert not same(before[last], tensors_of(part))


@EVERY
def test_batch_norms_of_frozen_blocks_stay_in_evaluation_after_every_switch_to_training(name):
    detector = tiny_detector(name)
    module = module_of(detector, freeze=len(detector.network.blocks) // 2)
    for _ in range(2):
        module.train()
        frozen = module.freezing.frozen_at(0)
        for block, part in detector.network.blocks:
            norms = [layer for layer in part.modules() if isinstance(layer, _BatchNorm)]
            assert all(norm.training == (block not in frozen) for norm in norms), block
        module.eval()


@EVERY
def test_without_freezing_batch_norms_move_and_would_move_in_the_first_block(name):
    detector = tiny_detector(name)
    norms = {k: v.clone() for k, v in detector.network.named_buffers() if "running" in k}
    if not norms:
        pytest.skip(f"{name} has no batch norm")
    take_step(module_of(detector), batch_of(detector))
    after = dict(detector.network.named_buffers())
    assert all(not (norms[key] == after[key]).all() for key in norms)
