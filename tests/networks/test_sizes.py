"""The full and the small size of each baseline: docs/networks.md promises a quarter of the cost."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import yaml
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

import transfer_kit
from transfer_kit.networks import build_network
from transfer_kit.networks.timm_encoder import build_encoder

PAGE = Path(transfer_kit.__file__).parents[1] / "docs" / "networks.md"
ROW = re.compile(r"^\| `(\w+)` \| `(\{.*?\})` \| `(\{.*?\})` \| ([\d.]+) M / ([\d.]+) M \|", re.M)
SIZES = {row[0]: row[1:] for row in ROW.findall(PAGE.read_text(encoding="utf-8"))}


def cost(name: str, options: dict[str, object]) -> tuple[float, float]:
    """Floating point operations for 256 × 256 pixels, and parameters in millions."""
    with FakeTensorMode():
        network = build_network(name, channels=1, **options).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(torch.zeros(1, 3, 256, 256))
        return counter.get_total_flops(), sum(p.numel() for p in network.parameters()) / 1e6


def test_the_page_has_all_the_baselines():
    assert set(SIZES) == {
        *("unet", "fcn32s", "fcn16s", "fcn8s", "fcrn_a", "fcrn_b", "frcn", "sfcn_opi"),
        "timm_unet",
    }


@pytest.mark.parametrize("name", sorted(SIZES))
def test_the_small_size_costs_a_quarter_of_the_full_one(name):
    full, small, said_full, said_small = SIZES[name]
    cost_full, millions_full = cost(name, yaml.safe_load(full))
    cost_small, millions_small = cost(name, yaml.safe_load(small))
    assert 0.15 < cost_small / cost_full < 0.26
    assert millions_full == pytest.approx(float(said_full), rel=0.02)
    assert millions_small == pytest.approx(float(said_small), rel=0.02)


PUBLISHED = {
    "UNI": 303,
    "UNI2-h": 681,
    "Virchow": 631,
    "Virchow2": 631,
    "H-optimus-0": 1134,
    "Phikon": 86,
    "Phikon-v2": 303,
}
"""Millions of parameters on the models' cards."""

MODEL = re.compile(r"^\| ([\w-]+) \| `(vit_\w+)` \| (?:the same and )?`(.+?)` \|", re.M)


def foundation_models() -> dict[str, tuple[str, dict[str, object]]]:
    found: dict[str, tuple[str, dict[str, object]]] = {}
    for name, encoder, said in MODEL.findall(PAGE.read_text(encoding="utf-8")):
        options = yaml.safe_load(said if said.startswith("{") else f"{{{said}}}")
        before = found["Virchow"][1] if name == "Virchow2" else {}
        found[name] = encoder, {**before, **options}
    return found


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_a_foundation_model_of_the_page_has_its_published_size(name):
    encoder, options = foundation_models()[name]
    with torch.device("meta"):
        built = build_encoder(encoder, options)
    count = sum(p.numel() for p in built.parameters())
    assert count / 1e6 == pytest.approx(PUBLISHED[name], rel=0.01)
