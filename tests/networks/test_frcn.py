from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from transfer_kit.networks import FRCN
from transfer_kit.networks.frcn import ScaledResidual


def test_a_residual_is_scaled_before_it_is_added():
    torch.manual_seed(0)
    block, x = ScaledResidual(3, 3, dropout=0.5).eval(), torch.randn(1, 3, 6, 6)
    first = functional.conv2d(functional.elu(x), block.first.weight, block.first.bias, padding=1)
    second = functional.conv2d(
        functional.elu(first), block.second.weight, block.second.bias, padding=1
    )
    assert torch.allclose(block(x), x + 0.3 * second, atol=1e-6)


def test_the_input_of_a_residual_is_left_alone():
    block, x = ScaledResidual(2, 2, dropout=0.0), torch.randn(1, 2, 4, 4)
    before = x.clone()
    block(x)
    assert torch.equal(x, before)


def test_it_is_without_batch_norm_and_pools_by_means():
    kinds = [type(module) for module in FRCN(channels=1, width=2).modules()]
    assert nn.BatchNorm2d not in kinds
    assert nn.MaxPool2d not in kinds
    assert kinds.count(nn.AvgPool2d) == 4
    assert kinds.count(ScaledResidual) == 9


def test_there_are_ten_blocks_from_input_to_output():
    names = [name for name, _ in FRCN(channels=1, width=2).blocks]
    assert names == [
        *("input", "down1", "down2", "down3", "down4", "up1", "up2", "up3", "up4", "output")
    ]
