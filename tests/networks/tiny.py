"""Options that make each registered network tiny, for tests that go through all of them."""

from __future__ import annotations

from typing import Any

import torch

from transfer_kit.networks import Network, build_network

TINY: dict[str, dict[str, Any]] = {
    "fcn16s": {"width": 2, "hidden": 8},
    "fcn32s": {"width": 2, "hidden": 8},
    "fcn8s": {"width": 2, "hidden": 8},
    "fcrn_a": {"width": 2},
    "fcrn_b": {"width": 2},
    "frcn": {"width": 2},
    "kinet": {"width": 2},
    "mask_rcnn": {"backbone": "resnet18", "width": 4, "features": 8},
    "micronet": {"width": 2},
    "sfcn_opi": {"width": 2, "depth": 2},
    "timm_unet": {"encoder": "test_resnet", "width": 4},
    "unet": {"n_feat": 2},
    "voca": {"width": 2, "units": 1},
}


def tiny_options(name: str) -> dict[str, Any]:
    """The tiny options of a registered network."""
    assert name in TINY, f"add tiny options of {name!r} to TINY in tests/networks/tiny.py"
    return TINY[name]


def tiny_network(name: str, *, channels: int = 1, seed: int = 0, **options: Any) -> Network:
    """A tiny network of a seed, in evaluation mode."""
    torch.manual_seed(seed)
    return build_network(name, channels=channels, **{**tiny_options(name), **options}).eval()
