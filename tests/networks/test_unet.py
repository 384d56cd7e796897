from __future__ import annotations

from collections import Counter

import torch
from torch import nn

from transfer_kit.networks import UNet

NAMES = ("input", "down1", "down2", "down3", "down4", "up1", "up2", "up3", "up4", "output")


def test_filters_double_at_each_depth_as_ronneberger_has_them():
    network = UNet(channels=1, n_feat=4)
    assert tuple(name for name, _ in network.blocks) == NAMES
    outputs = [
        [module.out_channels for module in block.modules() if isinstance(module, nn.Conv2d)]
        for _, block in network.blocks
    ]
    assert outputs[:5] == [[4, 4], [8, 8], [16, 16], [32, 32], [64, 64]]
    assert outputs[5:] == [[32, 32], [16, 16], [8, 8], [4, 4], [1]]


def test_a_batch_norm_follows_every_convolution_but_the_last():
    kinds = Counter(type(module) for module in UNet(channels=1, n_feat=2).modules())
    assert kinds[nn.BatchNorm2d] == 18
    assert kinds[nn.Conv2d] == 18
    assert kinds[nn.ConvTranspose2d] == 4


def test_an_upsampled_map_lies_beside_the_skip_of_its_size():
    network = UNet(channels=1, n_feat=2)
    joined = network.up4.convolutions[0].convolution.in_channels
    assert joined == 2 + 2
    seen = {}
    network.up4.convolutions.register_forward_hook(lambda _, x, __: seen.update(shape=x[0].shape))
    network(torch.zeros(1, 3, 33, 17))
    assert seen["shape"] == (1, 4, 48, 32)
