from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import Tensor, nn

from transfer_kit.errors import UserError
from transfer_kit.networks import KiNet, MicroNet, build_network

SHARED = ("input", "down1", "down2", "down3", "down4", "up1", "up2", "up3", "up4", "output")
BRANCH = (
    "region_down", "region_up1", "region_up2", "region_up3", "region_up4", "region_up5",
    "region_output",
)  # fmt: skip


def small(seed: int = 0, channels: int = 5, regions: int = 2, dropout: float = 0.5) -> KiNet:
    torch.manual_seed(seed)
    return KiNet(channels=channels, regions=regions, width=4, dropout=dropout)


def noise(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(7), dtype=dtype)


def gradients(network: KiNet, part: slice) -> set[str]:
    """Blocks with a parameter that the maps of `part` send a gradient other than zero."""
    network.zero_grad()
    network(noise(2, 3, 48, 48))[:, part].square().sum().backward()
    touched = [n for n, p in network.named_parameters() if p.grad is not None and p.grad.any()]
    return {name.split(".")[0] for name in touched}


@pytest.mark.parametrize(
    "size", [(1, 1), (3, 200), (31, 33), (32, 32), (63, 65), (75, 40), (200, 200)]
)
@pytest.mark.parametrize("regions", [0, 2])
def test_maps_are_as_large_as_the_image(size: tuple[int, int], regions: int) -> None:
    maps = small(regions=regions).eval()(noise(1, 3, *size))
    assert maps.shape == (1, 5, *size)
    assert torch.isfinite(maps).all()


@pytest.mark.parametrize("shape", [(2, 3, 1, 1), (1, 3, 64, 32), (2, 3, 37, 53)])
def test_the_smallest_sizes_can_be_trained_on(shape: tuple[int, ...]) -> None:
    small().train()(noise(*shape)).sum().backward()


def test_the_blocks_are_micronets_ten_then_the_branch() -> None:
    assert tuple(name for name, _ in small().blocks) == (*SHARED, *BRANCH)
    assert tuple(name for name, _ in small(regions=0).blocks) == SHARED
    assert tuple(name for name, _ in MicroNet(channels=1, width=4).blocks) == SHARED


def test_the_trunk_takes_the_weights_of_a_micronet() -> None:
    micronet, network = MicroNet(channels=1, width=4).state_dict(), small()
    trunk = {key: value for key, value in micronet.items() if not key.startswith("output.")}
    answer = network.load_state_dict(trunk, strict=False)
    assert answer.unexpected_keys == []
    assert {key.split(".")[0] for key in answer.missing_keys} == {"output", *BRANCH}


def test_every_parameter_and_buffer_belongs_to_exactly_one_block() -> None:
    network = small()
    for kind in ("named_parameters", "named_buffers"):
        held = Counter(
            id(value) for _, block in network.blocks for _, value in getattr(block, kind)()
        )
        assert set(held.values()) == {1}
        assert set(held) == {id(value) for _, value in getattr(network, kind)()}


def test_every_parameter_learns() -> None:
    network = small(dropout=0.0)
    network(noise(2, 3, 64, 64)).square().sum().backward()
    silent = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_the_two_tasks_meet_in_the_shared_blocks_alone() -> None:
    network = small(dropout=0.0)
    assert gradients(network, slice(0, 3)) == set(SHARED)
    assert gradients(network, slice(3, 5)) == {*SHARED[:5], *BRANCH}


def test_a_class_has_its_own_two_convolutions() -> None:
    network = small(dropout=0.0)
    network(noise(2, 3, 48, 48))[:, 1].square().sum().backward()
    for number, head in enumerate(network.output.of_class):
        convolutions = [m for m in head.modules() if isinstance(m, nn.Conv2d)]
        assert [m.kernel_size for m in convolutions] == [(3, 3), (3, 3)]
        learns = [m.weight.grad is not None and bool(m.weight.grad.any()) for m in convolutions]
        assert learns == [number == 1] * 2


@pytest.mark.parametrize(
    ("width", "regions", "millions"), [(16, 2, 3.5), (16, 0, 1.8), (32, 2, 13.5), (32, 0, 6.9)]
)
def test_the_number_of_parameters_is_as_documented(
    width: int, regions: int, millions: float
) -> None:
    network = KiNet(channels=3 + regions, regions=regions, width=width)
    count = sum(p.numel() for p in network.parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.05)


def test_the_branch_goes_one_block_deeper_and_comes_back_in_five() -> None:
    def layers(network: KiNet, kind: type[nn.Module]) -> int:
        return sum(isinstance(module, kind) for module in network.modules())

    whole, without = small(channels=5, regions=2), small(channels=3, regions=0)
    more = {
        kind: layers(whole, kind) - layers(without, kind)
        for kind in (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d)
    }
    # Down 3; each of five up blocks two, and a transposed one; at the end two, one without norm.
    assert more == {nn.Conv2d: 3 + 10 + 2, nn.ConvTranspose2d: 5, nn.BatchNorm2d: 3 + 15 + 1}


def test_dropout_is_in_the_last_two_shared_down_blocks_alone() -> None:
    held = {
        name: [m.p for m in block.modules() if isinstance(m, nn.Dropout)]
        for name, block in small(dropout=0.3).blocks
    }
    assert {name: rates for name, rates in held.items() if rates} == {
        "down3": [0.3],
        "down4": [0.3],
    }


def test_maps_begin_near_zero() -> None:
    torch.manual_seed(0)
    maps = KiNet(channels=5, regions=2, width=16)(noise(2, 3, 64, 64))
    assert maps.abs().max() < 0.2


def reach_by_gradient(network: KiNet, channel: int, *, around: int) -> int:
    """The farthest that an input pixel lies which changes one of 32 neighbouring outputs."""
    image = noise(1, 3, 32, 2 * around, dtype=torch.float64).requires_grad_(True)
    maps = network(image)
    reach = 0
    for position in range(around - 16, around + 16):
        (gradient,) = torch.autograd.grad(
            maps[0, channel, 16, position], image, retain_graph=position < around + 15
        )
        seen = torch.nonzero(gradient.abs().sum(dim=(0, 1, 2))).flatten()
        reach = max(reach, position - int(seen.min()), int(seen.max()) - position)
    assert reach < around - 16
    return reach


def test_the_receptive_field_is_what_the_gradient_says() -> None:
    network = small().double().eval()
    nuclei = reach_by_gradient(network, 0, around=288)
    regions = reach_by_gradient(network, 4, around=288)
    assert network.receptive_field == 2 * regions + 1
    assert small(channels=3, regions=0).receptive_field == 2 * nuclei + 1


def test_shifting_the_image_by_the_stride_shifts_the_maps() -> None:
    network = small().eval()
    image = noise(1, 3, 32, 608)
    margin, stride = network.receptive_field // 2, network.stride
    first, second = network(image[..., :576]), network(image[..., stride:])
    assert 576 - stride - margin > margin
    assert torch.allclose(
        first[..., stride + margin : 576 - margin],
        second[..., margin : 576 - stride - margin],
        atol=1e-6,
    )


def test_maps_are_float32_under_autocast() -> None:
    network = small().eval()
    image = noise(1, 3, 64, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        maps = network(image)
    assert maps.dtype == torch.float32
    assert torch.allclose(maps, network(image), atol=0.02 * maps.abs().max().item() + 1e-3)


@pytest.mark.slow  # VOCA does the same in the fast tests
def test_it_exports_for_sizes_that_are_multiples_of_the_stride() -> None:
    network = small().eval()
    rows, columns = (torch.export.Dim(name, min=2, max=32) for name in ("rows", "columns"))
    program = torch.export.export(
        network, (noise(1, 3, 96, 64),), dynamic_shapes=({2: 32 * rows, 3: 32 * columns},)
    )
    image = noise(1, 3, 64, 128)
    assert torch.allclose(program.module()(image), network(image), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"regions": -1}, "'regions' .* whole number of at least 0, but got -1"),
        ({"regions": 2.0}, "'regions' .* but got 2.0"),
        ({"regions": True}, "'regions' .* but got True"),
        ({"regions": 5}, "5 maps, .* 'regions' is 5, which leaves none for nuclei; name the reg"),
        ({"width": 0}, "'width' .* whole number of at least 1, but got 0"),
        ({"dropout": 1.0}, r"'dropout' .* in \[0, 1\), but got 1.0"),
    ],
)
def test_a_wrong_value_is_refused_in_one_sentence(
    options: dict[str, object], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        build_network("kinet", channels=5, **options)
