from __future__ import annotations

import pytest
import torch
from torch import nn

from transfer_kit.networks import FCRNA, FCRNB


def convolutions(network: nn.Module) -> list[tuple[int, int]]:
    return [
        (module.out_channels, module.kernel_size[0])
        for module in network.modules()
        if isinstance(module, nn.Conv2d)
    ]


def test_fcrn_a_has_the_papers_filters():
    filters = [(32, 3), (64, 3), (128, 3), (512, 3), (128, 3), (64, 3), (32, 3), (1, 1)]
    assert convolutions(FCRNA(channels=1)) == filters


def test_fcrn_b_has_the_papers_filters():
    filters = [(32, 3), (64, 3), (128, 3), (256, 3), (256, 5), (256, 5), (1, 5)]
    assert convolutions(FCRNB(channels=1)) == filters


@pytest.mark.parametrize(("network", "pools"), [(FCRNA, 3), (FCRNB, 2)])
def test_each_pooling_has_an_upsampling(network, pools):
    kinds = [type(module) for module in network(channels=1, width=2).modules()]
    assert kinds.count(nn.MaxPool2d) == kinds.count(nn.Upsample) == pools
    assert 2**pools == network.stride


def test_the_blocks_are_a_chain():
    network = FCRNA(channels=2, width=2).eval()
    x = image = torch.randn(1, 3, 32, 16)
    for _, block in network.blocks:
        x = block(x)
    assert torch.equal(x, network(image))
