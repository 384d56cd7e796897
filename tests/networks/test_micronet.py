from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from transfer_kit.codecs import ProximityCodec
from transfer_kit.data.annotation import Annotation
from transfer_kit.networks import MicroNet

NAMES = ("input", "down1", "down2", "down3", "down4", "up1", "up2", "up3", "up4", "output")


def small(seed: int = 0, channels: int = 1, dropout: float = 0.5) -> MicroNet:
    torch.manual_seed(seed)
    return MicroNet(channels=channels, width=4, dropout=dropout)


def noise(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(7), dtype=dtype)


@pytest.mark.parametrize(
    "size", [(1, 1), (3, 200), (15, 17), (16, 16), (31, 33), (75, 40), (127, 127), (200, 200)]
)
def test_maps_are_as_large_as_the_image(size: tuple[int, int]) -> None:
    maps = small(channels=2).eval()(noise(1, 3, *size))
    assert maps.shape == (1, 2, *size)
    assert torch.isfinite(maps).all()


@pytest.mark.parametrize("shape", [(2, 3, 1, 1), (1, 3, 32, 16), (2, 3, 37, 53)])
def test_the_smallest_sizes_can_be_trained_on(shape: tuple[int, ...]) -> None:
    small().train()(noise(*shape)).sum().backward()


def test_the_blocks_are_ten_from_input_to_output() -> None:
    assert tuple(name for name, _ in small().blocks) == NAMES


def test_every_parameter_and_buffer_belongs_to_exactly_one_block() -> None:
    network = small()
    for kind in ("named_parameters", "named_buffers"):
        held = Counter(
            id(value) for _, block in network.blocks for _, value in getattr(block, kind)()
        )
        assert set(held.values()) == {1}
        assert set(held) == {id(value) for _, value in getattr(network, kind)()}


def test_state_dict_keys_begin_with_their_block() -> None:
    assert {key.split(".")[0] for key in small().state_dict()} == set(NAMES)


def test_every_parameter_learns() -> None:
    network = small(channels=2)
    network(noise(2, 3, 48, 48)).square().sum().backward()
    silent = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


@pytest.mark.parametrize(("width", "millions"), [(16, 1.8), (32, 6.8)])
def test_the_number_of_parameters_is_as_documented(width: int, millions: float) -> None:
    network = MicroNet(channels=1, width=width)
    count = sum(p.numel() for p in network.parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.06)


def test_filters_double_but_in_the_last_down_block() -> None:
    network = MicroNet(channels=1, width=32)
    outputs = [block.state_dict()["down.norm.weight"].numel() for _, block in network.blocks[1:5]]
    assert outputs == [64, 128, 256, 256]


def test_a_batch_norm_follows_every_convolution_but_the_last_and_the_contexts() -> None:
    kinds = Counter(type(module) for module in small().modules())
    assert kinds[nn.BatchNorm2d] == 26
    assert kinds[nn.Conv2d] == 22 + 1
    assert kinds[nn.ConvTranspose2d] == 4 + 3


def test_dropout_is_in_the_last_two_down_blocks_alone() -> None:
    held = {
        name: [m.p for m in block.modules() if isinstance(m, nn.Dropout)]
        for name, block in small(dropout=0.3).blocks
    }
    assert {name: rates for name, rates in held.items() if rates} == {
        "down3": [0.3],
        "down4": [0.3],
    }


def test_the_same_seed_gives_the_same_weights() -> None:
    first, same, other = small(1).state_dict(), small(1).state_dict(), small(2).state_dict()
    assert all(torch.equal(first[key], same[key]) for key in first)
    assert not torch.equal(first["input.convolution.weight"], other["input.convolution.weight"])


def test_maps_begin_near_zero() -> None:
    torch.manual_seed(0)
    maps = MicroNet(channels=1, width=16)(noise(2, 3, 64, 64))
    assert maps.abs().max() < 0.2


def test_the_receptive_field_is_what_the_gradient_says() -> None:
    network = small().double().eval()
    width = 304
    image = noise(1, 3, 16, width, dtype=torch.float64).requires_grad_(True)
    maps = network(image)
    reach = 0
    for position in range(144, 160):
        (gradient,) = torch.autograd.grad(maps[0, 0, 8, position], image, retain_graph=True)
        seen = torch.nonzero(gradient.abs().sum(dim=(0, 1, 2))).flatten()
        reach = max(reach, position - int(seen.min()), int(seen.max()) - position)
    assert reach < 144
    assert network.receptive_field == 2 * reach + 1


def test_shifting_the_image_by_the_stride_shifts_the_maps() -> None:
    network = small().eval()
    image = noise(1, 3, 32, 336)
    margin, stride = network.receptive_field // 2, network.stride
    first, second = network(image[..., :320]), network(image[..., stride:])
    kept = 320 - stride - margin
    assert torch.allclose(
        first[..., stride + margin : stride + kept], second[..., margin:kept], atol=1e-6
    )


def test_a_tile_with_half_the_receptive_field_equals_the_whole() -> None:
    network = small().eval()
    image = noise(1, 3, 305, 40)
    halo = 128
    assert halo >= network.receptive_field // 2
    whole, tile = network(image), network(image[..., 16:, :])
    assert torch.allclose(whole[..., 16 + halo :, :], tile[..., halo:, :], atol=1e-6)


def test_maps_are_float32_under_autocast() -> None:
    network = small().eval()
    image = noise(1, 3, 48, 48)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        maps = network(image)
    assert maps.dtype == torch.float32
    assert torch.allclose(maps, network(image), atol=0.02 * maps.abs().max().item() + 1e-3)


def test_channels_last_gives_the_same_maps() -> None:
    network = small().eval()
    image = noise(2, 3, 50, 37)
    expected = network(image)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    maps = network(image.contiguous(memory_format=torch.channels_last))
    assert torch.allclose(maps, expected, atol=1e-6)


@pytest.mark.slow  # VOCA does the same in the fast tests
def test_it_exports_for_sizes_that_are_multiples_of_the_stride() -> None:
    network = small().eval()
    rows, columns = (torch.export.Dim(name, min=2, max=64) for name in ("rows", "columns"))
    program = torch.export.export(
        network, (noise(1, 3, 48, 64),), dynamic_shapes=({2: 16 * rows, 3: 16 * columns},)
    )
    image = noise(1, 3, 96, 32)
    assert torch.allclose(program.module()(image), network(image), atol=1e-6)


def test_it_learns_to_find_dots() -> None:
    rng = np.random.default_rng(0)
    centres = np.stack(np.meshgrid(np.arange(8, 64, 16), np.arange(8, 64, 16)), -1).reshape(-1, 2)
    centres = (centres + rng.integers(-3, 4, centres.shape)).astype(np.float32)
    rows, columns = np.indices((64, 64))
    image = np.zeros((64, 64), np.float32)
    for x, y in centres:
        image[(columns - x) ** 2 + (rows - y) ** 2 <= 9] = 1
    codec = ProximityCodec(radius_um=2.0)
    target = torch.from_numpy(codec.encode(Annotation.of_points(centres), (64, 64), 0.25))[None]
    images = torch.from_numpy(image).expand(1, 3, 64, 64) + 0.1 * noise(1, 3, 64, 64)
    torch.manual_seed(0)
    network = MicroNet(channels=1, width=8)
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for _ in range(80):
        loss = codec.loss(network(images), target, torch.ones(1, 1, 64, 64)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        maps = network.eval()(images)[0].numpy()
    found = codec.decode(maps, 0.25, threshold=0.5).points
    apart = np.linalg.norm(centres[:, None] - found[None], axis=2)
    assert len(found) == len(centres)
    assert apart.min(axis=1).max() <= 1.5
