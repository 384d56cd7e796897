from __future__ import annotations

import pytest
import torch
from torch import nn

from transfer_kit.codecs import build_codec
from transfer_kit.networks import SFCNOPI
from transfer_kit.networks.blocks import Upscore

TRUNK = ["input", "group1", "group2", "group3", "detection"]


def tiny(channels: int, **options: int) -> SFCNOPI:
    torch.manual_seed(0)
    return SFCNOPI(channels=channels, width=2, depth=2, **options).eval()


def test_one_map_needs_no_classification_branch():
    assert [name for name, _ in tiny(1).blocks] == TRUNK


def test_more_maps_have_a_branch_of_their_own():
    network = tiny(5)
    assert [name for name, _ in network.blocks] == [*TRUNK, "group4", "classification"]
    assert network.detection.up_half.out_channels == 1
    assert network.classification[-1].out_channels == 4


def untouched(network: SFCNOPI, loss: torch.Tensor) -> set[str]:
    """The blocks in which a loss has no gradient."""
    network.zero_grad(set_to_none=True)
    loss.backward(retain_graph=True)
    return {
        name
        for name, block in network.blocks
        if not any(p.grad is not None and p.grad.any() for p in block.parameters())
    }


def test_the_siblings_learn_apart_above_the_shared_groups():
    network = tiny(3, objectness=2)
    maps = network(torch.randn(1, 3, 32, 32))
    assert untouched(network, maps[:, :2].sum()) == {"group4", "classification"}
    assert untouched(network, maps[:, 2:].sum()) == {"detection"}


def test_its_maps_are_what_the_objectness_codec_reads():
    codec = build_codec("objectness", classes=["epithelial", "inflammatory"])
    network = tiny(codec.channels)
    assert network.detection.up_half.out_channels == 1
    assert network.classification[-1].out_channels == len(codec.classes)


@pytest.mark.parametrize(("depth", "convolutions"), [(9, 18), (2, 4)])
def test_a_group_is_of_so_many_units_of_two_convolutions(depth, convolutions):
    network = SFCNOPI(channels=1, width=1, depth=depth)
    kernels = [m.kernel_size for m in network.group2.modules() if isinstance(m, nn.Conv2d)]
    assert kernels.count((3, 3)) == convolutions
    assert kernels.count((1, 1)) == 1


def test_scores_are_doubled_bilinearly_at_first():
    up, scores = Upscore(2), torch.randn(1, 2, 5, 6)
    expected = nn.functional.interpolate(scores, scale_factor=2, mode="bilinear")
    assert torch.allclose(up(scores)[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1], atol=1e-6)
