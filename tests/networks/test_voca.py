from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from transfer_kit.codecs import VotingCodec
from transfer_kit.data.annotation import Annotation
from transfer_kit.errors import UserError
from transfer_kit.networks import Voca, build_network

NAMES = ("down1", "down2", "down3", "down4", "up1", "up2", "up3", "up4", "heads")


def small(seed: int = 0, channels: int = 4, units: int = 1) -> Voca:
    torch.manual_seed(seed)
    return Voca(channels=channels, width=4, units=units)


def noise(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(7), dtype=dtype)


def loud(network: Voca) -> Voca:
    """The same with heads that are not near zero, so that a difference is not lost in them."""
    nn.init.normal_(network.heads.weight, std=0.5)
    return network


@pytest.mark.parametrize(
    "size", [(1, 1), (3, 200), (15, 17), (30, 31), (32, 33), (75, 40), (127, 127), (128, 143)]
)
def test_maps_are_as_large_as_the_image(size: tuple[int, int]) -> None:
    maps = small(channels=3).eval()(noise(1, 3, *size))
    assert maps.shape == (1, 3, *size)
    assert torch.isfinite(maps).all()


@pytest.mark.parametrize("shape", [(2, 3, 1, 1), (1, 3, 32, 16), (2, 3, 37, 53)])
def test_the_smallest_sizes_can_be_trained_on(shape: tuple[int, ...]) -> None:
    small(units=2).train()(noise(*shape)).sum().backward()


def test_127_pixels_halve_to_7_and_double_back_without_padding() -> None:
    sizes = []
    network = small(units=2).eval()
    for _, block in network.blocks[:-1]:
        block.register_forward_hook(lambda _, __, output: sizes.append(tuple(output.shape[2:])))
    network(noise(1, 3, 127, 127))
    assert sizes == [(n, n) for n in (63, 31, 15, 7, 15, 31, 63, 127)]


def test_the_blocks_are_four_down_four_up_and_the_heads() -> None:
    assert tuple(name for name, _ in small().blocks) == NAMES


def test_every_parameter_and_buffer_belongs_to_exactly_one_block() -> None:
    network = small(units=2)
    for kind in ("named_parameters", "named_buffers"):
        held = Counter(
            id(value) for _, block in network.blocks for _, value in getattr(block, kind)()
        )
        assert set(held.values()) == {1}
        assert set(held) == {id(value) for _, value in getattr(network, kind)()}


def test_state_dict_keys_begin_with_their_block() -> None:
    assert {key.split(".")[0] for key in small().state_dict()} == set(NAMES)


def test_every_parameter_learns() -> None:
    network = loud(small(units=2))
    network(noise(2, 3, 63, 63)).square().sum().backward()
    silent = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


@pytest.mark.parametrize(
    ("width", "units", "millions"), [(64, 2, 29.7), (32, 2, 7.4), (32, 1, 4.3)]
)
def test_the_number_of_parameters_is_as_documented(width: int, units: int, millions: float) -> None:
    network = Voca(channels=4, width=width, units=units)
    count = sum(p.numel() for p in network.parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.06)


def test_sizes_change_by_strided_convolutions_of_three_alone() -> None:
    strided = [
        m
        for m in small(units=2).modules()
        if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d)) and m.stride != (1, 1)
    ]
    assert {m.kernel_size for m in strided} == {(3, 3)}
    assert [isinstance(m, nn.ConvTranspose2d) for m in strided] == 8 * [False] + 8 * [True]
    assert not any(isinstance(m, (nn.MaxPool2d, nn.AvgPool2d)) for m in small().modules())


def test_transposed_convolutions_begin_without_a_chessboard() -> None:
    network = small().eval()
    for module in network.modules():
        if isinstance(module, nn.ConvTranspose2d):
            level = module(torch.ones(1, module.in_channels, 5, 5))[0, :, 2:-2, 2:-2]
            assert torch.allclose(level, level[:, :1, :1].expand_as(level), atol=1e-6)


def test_maps_begin_near_zero() -> None:
    torch.manual_seed(0)
    assert Voca(channels=4, width=16)(noise(2, 3, 63, 63)).abs().max() < 0.2


def test_the_same_seed_gives_the_same_weights() -> None:
    first, same, other = small(1).state_dict(), small(1).state_dict(), small(2).state_dict()
    assert all(torch.equal(first[key], same[key]) for key in first)
    assert not torch.equal(first["heads.weight"], other["heads.weight"])


@pytest.mark.parametrize(("units", "field"), [(1, 151), (2, 331)])
def test_the_receptive_field_is_what_the_gradient_says(units: int, field: int) -> None:
    network = loud(small(units=units)).double().eval()
    middle = 16 * (field // 32 + 1)
    image = noise(1, 3, 31, 2 * middle + 31, dtype=torch.float64).requires_grad_(True)
    maps = network(image)
    reach = 0
    for position in range(middle, middle + 16):
        (gradient,) = torch.autograd.grad(maps[0, :, :, position].sum(), image, retain_graph=True)
        seen = torch.nonzero(gradient.abs().sum(dim=(0, 1, 2))).flatten()
        reach = max(reach, position - int(seen.min()), int(seen.max()) - position)
    assert network.receptive_field == field == 2 * reach + 1


def test_shifting_the_image_by_the_stride_shifts_the_maps() -> None:
    network = loud(small()).eval()
    image = noise(1, 3, 32, 272)
    margin, stride = network.receptive_field // 2, network.stride
    first, second = network(image[..., :256]), network(image[..., stride:])
    kept = 256 - stride - margin
    assert torch.allclose(
        first[..., stride + margin : stride + kept], second[..., margin:kept], atol=1e-5
    )


def test_a_tile_with_half_the_receptive_field_equals_the_whole() -> None:
    network = loud(small()).eval()
    image = noise(1, 3, 205, 40)
    halo = 80
    assert halo >= network.receptive_field // 2
    whole, tile = network(image), network(image[..., 16:, :])
    assert torch.allclose(whole[..., 16 + halo :, :], tile[..., halo:, :], atol=1e-5)


def test_maps_are_float32_under_autocast() -> None:
    network = loud(small()).eval()
    image = noise(1, 3, 48, 48)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        maps = network(image)
    assert maps.dtype == torch.float32
    expected = network(image)
    assert (maps - expected).square().mean() < 1e-3 * expected.square().mean()


def test_channels_last_gives_the_same_maps() -> None:
    network = loud(small()).eval()
    image = noise(2, 3, 50, 37)
    expected = network(image)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    maps = network(image.contiguous(memory_format=torch.channels_last))
    assert torch.allclose(maps, expected, atol=1e-5)


def test_it_exports_for_sizes_that_are_multiples_of_the_stride() -> None:
    network = loud(small()).eval()
    rows, columns = (torch.export.Dim(name, min=2, max=64) for name in ("rows", "columns"))
    program = torch.export.export(
        network, (noise(1, 3, 48, 64),), dynamic_shapes=({2: 16 * rows, 3: 16 * columns},)
    )
    image = noise(1, 3, 96, 32)
    assert torch.allclose(program.module()(image), network(image), atol=1e-5)


@pytest.mark.parametrize("options", [{"width": 0}, {"units": 0}, {"units": 1.5}, {"width": True}])
def test_a_wrong_value_is_refused_in_one_sentence(options: dict[str, object]) -> None:
    (option,) = options
    with pytest.raises(UserError, match=f"{option!r} of the network 'voca' must be a whole number"):
        build_network("voca", channels=4, **options)


def test_it_learns_to_point_at_dots() -> None:
    rng = np.random.default_rng(0)
    centres = np.stack(np.meshgrid(np.arange(8, 63, 15), np.arange(8, 63, 15)), -1).reshape(-1, 2)
    centres = (centres + rng.integers(-3, 4, centres.shape)).astype(np.float32)
    rows, columns = np.indices((63, 63))
    image = np.zeros((63, 63), np.float32)
    for x, y in centres:
        image[(columns - x) ** 2 + (rows - y) ** 2 <= 9] = 1
    codec = VotingCodec(radius_um=3.0)
    target = torch.from_numpy(codec.encode(Annotation.of_points(centres), (63, 63), 0.5))[None]
    images = torch.from_numpy(image).expand(1, 3, 63, 63) + 0.1 * noise(1, 3, 63, 63)
    torch.manual_seed(0)
    network = Voca(channels=4, width=8, units=1)
    optimiser = torch.optim.AdamW(network.parameters(), lr=5e-3)
    losses = []
    for _ in range(120):
        loss = codec.loss(network(images), target, torch.ones(1, 1, 63, 63)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    with torch.no_grad():
        maps = network.eval()(images)[0].numpy()
    found = codec.decode(maps, 0.5, threshold=0.3).points
    apart = np.linalg.norm(centres[:, None] - found[None], axis=2)
    assert losses[-1] < 0.2 * losses[0]
    assert len(found) == len(centres)
    assert apart.min(axis=1).max() <= 1.5
