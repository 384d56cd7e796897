from __future__ import annotations

import pytest
import torch

from transfer_kit.networks import KiNet, MicroNet
from transfer_kit.networks.encoder_decoder import Levels
from transfer_kit.networks.residual_unet import MultiContextAggregation


def noise(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(7))


def test_micronet_and_kinet_of_the_same_weights_see_the_same():
    torch.manual_seed(0)
    micronet, kinet = MicroNet(channels=1, width=4).eval(), KiNet(channels=3, width=4).eval()
    trunk = {k: v for k, v in micronet.state_dict().items() if not k.startswith("output.")}
    kinet.load_state_dict(trunk, strict=False)
    image = noise(1, 3, 70, 45)
    for one, other in zip(micronet.padded_levels(image), kinet.padded_levels(image), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(("network", "smallest"), [(MicroNet, 16), (KiNet, 32)])
def test_only_images_smaller_than_the_stride_are_padded(network, smallest):
    trunk = network(channels=1, width=2).eval()
    for size in (1, smallest - 1, smallest, smallest + 5):
        full = trunk.padded_levels(noise(1, 3, size, 3)).full
        assert tuple(full.shape[-2:]) == (max(size, smallest), smallest)


def test_the_aggregation_lays_three_enlarged_maps_beside_the_last():
    aggregation = MultiContextAggregation(2, context=3)
    channels, sizes = (2, 4, 8, 16, 16, 2), (35, 17, 8, 4, 2, 35)
    levels = Levels(*(noise(1, c, size, size) for c, size in zip(channels, sizes, strict=True)))
    given = aggregation(levels)
    assert given.shape == (1, aggregation.outputs, 35, 35) == (1, 2 + 3 * 3, 35, 35)
    assert torch.equal(given[:, :2], levels.last)
    deeper = (levels.quarter, levels.eighth, levels.deepest)
    for k, (up, maps, stride) in enumerate(zip(aggregation, deeper, (4, 8, 16), strict=True)):
        part = given[0, 2 + 3 * k : 5 + 3 * k]
        for y, x in ((0, 0), (13, 30), (31, 7)):
            # Kernel = stride: each pixel of a deeper map makes a square of its own.
            pixel, kernel = (
                maps[0, :, y // stride, x // stride],
                up.weight[..., y % stride, x % stride],
            )
            expected = pixel @ kernel + up.bias
            assert torch.allclose(part[:, y, x], expected, atol=1e-5)
        assert not part[:, 32:].any()  # 35 is no multiple, and padded with zeros
