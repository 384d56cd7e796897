"""What every registered network promises, whoever wrote it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from networks.tiny import TINY, tiny_network
from torch import Tensor

from transfer_kit.errors import UserError
from transfer_kit.networks import Network, build_network, network_names
from transfer_kit.networks.base import needed_codec
from transfer_kit.networks.tiled import tiled_maps

EVERY = pytest.mark.parametrize("name", network_names())
DENSE_NAMES = tuple(name for name in network_names() if needed_codec(name) is None)
"""Those whose maps have a gradient; test_mask_rcnn.py has the same promises of the one other."""
DENSE = pytest.mark.parametrize("name", DENSE_NAMES)
TO_THE_PIXEL = tuple(name for name in DENSE_NAMES if name != "timm_unet")


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(7))


def awake(network: Network) -> Network:
    """The network with all its weights well away from zero."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in network.parameters():
            value.add_(torch.randn(value.shape, generator=generator) * 0.1)
    return network


def reach(network: Network) -> int:
    """How far from an input column output columns change, by what a NaN in it spoils."""
    network = awake(network).double()
    stride = network.stride
    half = network.receptive_field // 2 + stride
    middle = -(-half // stride) * stride
    images = noise(stride, 3, stride, 2 * middle + stride).double()
    for offset in range(stride):
        images[offset, :, :, middle + offset] = torch.nan
    with torch.no_grad():
        spoilt = network(images).isnan().any(dim=(1, 2))
    farthest = 0
    for offset in range(stride):
        columns = spoilt[offset].nonzero()
        position = middle + offset
        farthest = max(farthest, position - int(columns.min()), int(columns.max()) - position)
    assert farthest < middle, "the image is too small to see it all"
    return farthest


@EVERY
def test_maps_are_as_large_as_the_image(name):
    network = tiny_network(name, channels=3)
    for size in ((1, 1), (2, 70), (33, 31), (64, 96)):
        maps = network(noise(1, 3, *size))
        assert maps.shape == (1, 3, *size)
        assert maps.dtype == torch.float32
        assert torch.isfinite(maps).all()


@EVERY
def test_every_parameter_and_buffer_belongs_to_exactly_one_block(name):
    network = tiny_network(name, channels=3)
    names = [block for block, _ in network.blocks]
    assert len(set(names)) == len(names) > 2
    for kind in ("named_parameters", "named_buffers"):
        held = Counter(
            id(value) for _, block in network.blocks for _, value in getattr(block, kind)()
        )
        assert set(held.values()) <= {1}
        assert set(held) == {id(value) for _, value in getattr(network, kind)()}


@DENSE
def test_every_block_holds_parameters_that_learn(name):
    network = awake(tiny_network(name, channels=3)).train()
    network(noise(2, 3, 64, 64)).square().sum().backward()
    for block, part in network.blocks:
        gradients = [p.grad for p in part.parameters() if p.grad is not None]
        assert any(gradient.any() for gradient in gradients), block
    unused = [n for n, p in network.named_parameters() if p.grad is None]
    assert unused == []


@DENSE
def test_a_frozen_first_half_stays_as_it_is(name):
    from transfer_kit.transfer.freezing import freeze_first_blocks, hold_frozen_statistics

    network = tiny_network(name, channels=2)
    half = len(network.blocks) // 2
    before = {
        place: [value.clone() for value in (*block.parameters(), *block.buffers())]
        for place, (_, block) in enumerate(network.blocks)
    }
    freeze_first_blocks(network, half)
    network.train()
    hold_frozen_statistics(network)
    learning = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.SGD(learning, lr=1.0)
    network(noise(2, 3, 64, 64)).add(1).square().mean().backward()
    optimiser.step()
    for place, (_, block) in enumerate(network.blocks):
        now = [*block.parameters(), *block.buffers()]
        same = all(torch.equal(a, b) for a, b in zip(before[place], now, strict=True))
        if place < half:
            assert same, network.blocks[place][0]
    assert not same, "the last block learns"


@pytest.mark.parametrize("name", TO_THE_PIXEL)
def test_the_receptive_field_is_what_really_reaches_an_output(name):
    network = tiny_network(name, channels=3)
    assert network.receptive_field == 2 * reach(network) + 1


def test_a_timm_encoders_receptive_field_is_too_wide_by_less_than_its_stride():
    network = tiny_network("timm_unet")
    narrowest = 2 * reach(network) + 1
    assert narrowest <= network.receptive_field < narrowest + 2 * network.stride


@DENSE
def test_tiles_give_the_maps_of_the_whole_image(name):
    network = awake(tiny_network(name, channels=2))
    tile = 2 * network.stride
    length = 2 * (network.receptive_field // 2 + 2 * tile) + 5
    image = noise(3, 19, length)
    whole = tiled_maps(network, image, tile_px=10**5, channels=2)
    tiles = tiled_maps(network, image, tile_px=tile, channels=2)
    np.testing.assert_allclose(tiles, whole, atol=1e-5 * np.abs(whole).max())


@DENSE
def test_maps_are_float32_and_close_under_autocast(name):
    network = awake(tiny_network(name))
    image = noise(1, 3, 64, 64)
    with torch.no_grad():
        expected = network(image)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            maps = network(image)
    assert maps.dtype == torch.float32
    assert (maps - expected).abs().max() <= 0.1 * expected.abs().max()


@DENSE
def test_the_same_seed_gives_the_same_weights(name):
    first, same, other = (tiny_network(name, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[key], same[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@DENSE
def test_maps_begin_near_zero(name):
    assert tiny_network(name, channels=2)(noise(2, 3, 64, 64)).abs().max() < 1


@EVERY
def test_impossible_channels_are_refused(name):
    with pytest.raises(UserError, match=f"'channels' of the network '{name}' .* but got 0"):
        build_network(name, channels=0, **TINY[name])


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("unet", "n_feat", 0),
        ("fcrn_a", "width", 1.5),
        ("fcrn_b", "width", True),
        ("frcn", "width", "wide"),
        ("sfcn_opi", "depth", 0),
        ("sfcn_opi", "objectness", -1),
        ("fcn8s", "hidden", 0),
        ("timm_unet", "width", 0),
        ("timm_unet", "halo_px", 0),
    ],
)
def test_an_impossible_number_is_refused_in_one_sentence(name, option, value):
    with pytest.raises(UserError, match=f"'{option}' of the network '{name}' .* but got {value!r}"):
        build_network(name, channels=1, **{option: value})


@pytest.mark.parametrize("name", ["frcn", "fcn32s"])
def test_a_rate_of_dropout_above_one_is_refused(name):
    with pytest.raises(UserError, match=r"'dropout' of the network .* must lie in \[0, 1\)"):
        build_network(name, channels=1, **{**TINY[name], "dropout": 1.0})
