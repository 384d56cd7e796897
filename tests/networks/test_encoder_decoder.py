from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from transfer_kit.networks import FRCN, KiNet, MicroNet, UNet
from transfer_kit.networks.encoder_decoder import EncoderDecoder

NAMES = ("input", "down1", "down2", "down3", "down4", "up1", "up2", "up3", "up4", "output")


class Joined(nn.Module):
    """The coarser map enlarged, ten times as much, beside the finer one."""

    def forward(self, x, skip):
        return 10 * functional.interpolate(x, scale_factor=2) + skip


class Sums(EncoderDecoder):
    """Blocks that add up what they are given, so that the maps tell the way."""

    receptive_field = 1

    def __init__(self):
        super().__init__()
        self.input = nn.Identity()
        for number in range(1, 5):
            setattr(self, f"down{number}", nn.LPPool2d(1, 2))  # the sum of four pixels
        for number in range(1, 5):
            setattr(self, f"up{number}", Joined())
        self.output = nn.Identity()


def test_each_up_block_joins_the_map_of_its_own_size():
    image = torch.zeros(1, 1, 32, 32)
    image[0, 0, 17, 3] = 1.0
    levels = Sums().levels(image)
    assert [maps.shape[-1] for maps in levels] == [32, 16, 8, 4, 2, 32]
    # A pixel of the last map has 10^k of each map k levels down whose pixel holds the dot.
    rows, columns = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    expected = sum(
        10**k * ((rows >> k == 17 >> k) & (columns >> k == 3 >> k)).float() for k in range(5)
    )
    assert torch.equal(levels.last[0, 0], expected)


def test_images_are_padded_with_zeros_to_multiples_of_sixteen_and_the_maps_cropped():
    image = torch.randn(1, 1, 21, 30, generator=torch.Generator().manual_seed(0))
    padded = functional.pad(image, (0, 2, 0, 11))
    maps = Sums()(image)
    assert maps.shape == image.shape
    assert torch.equal(maps, Sums().levels(padded).last[..., :21, :30])


def test_four_networks_go_this_way_in_blocks_of_the_same_names():
    networks = (
        UNet(channels=1, n_feat=2),
        FRCN(channels=1, width=2),
        MicroNet(channels=1, width=2),
        KiNet(channels=3, regions=1, width=2),
    )
    for network in networks:
        assert isinstance(network, EncoderDecoder)
        assert tuple(name for name, _ in network.blocks)[:10] == NAMES
