"""The comparison of speed measures what its budget allows, and tells what did not run."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

PEERS = Path(__file__).parents[2] / "benchmarks" / "peers"
NAMES = ("timed", "tallied", "table", "environments")


@pytest.fixture(scope="module")
def peers():
    """The modules of the comparison; their plain names are taken by others elsewhere."""
    before = {name: sys.modules.pop(name) for name in NAMES if name in sys.modules}
    sys.path.insert(0, str(PEERS))
    try:
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in NAMES})
    finally:
        sys.path.remove(str(PEERS))
        for name in NAMES:
            sys.modules.pop(name, None)
        sys.modules.update(before)


class Counted:
    """Finds as many nuclei as its maps have; remembers the sides of its images."""

    name, weights, network_mpp, note, parameters = "counted", "random", 0.25, "", 7

    def __init__(self) -> None:
        self.sides: list[int] = []

    def ideal(self, labels):
        return int(labels.max())

    def run(self, image, ideal):
        self.sides.append(image.shape[0])
        return ideal

    def network_seconds(self) -> float:
        return 0.0

    def macs(self) -> float:
        return 4e9


@pytest.mark.parametrize(("budget", "side"), [(1e-9, 512), (1e9, 1000)])
def test_the_largest_part_that_the_budget_allows_is_run_after_warming_up(peers, budget, side):
    labels = np.zeros((1000, 1000), np.int32)
    labels[5, 5], labels[900, 900] = 1, 2
    options = SimpleNamespace(largest=1000, budget=budget, threads=1)
    counted = Counted()
    image = np.zeros((1000, 1000, 3), np.uint8)
    line = peers.timed._timed(counted, image, labels, options, {})
    assert counted.sides == [512, 512, *([1000] if side == 1000 else [])]
    assert line.size_px == side
    assert line.nuclei == line.labelled == (2 if side == 1000 else 1)
    mm2 = (side * 0.25e-3) ** 2
    assert line.gmacs_per_mm2 == pytest.approx(4 / mm2)


def test_multiply_adds_are_those_worked_by_hand(peers):
    import torch

    network = torch.nn.Conv2d(3, 5, 3, padding=1)
    tally = peers.tallied.Tally(network)
    for batch in (2, 1):
        network(torch.zeros(batch, 3, 10, 20))
    assert tally.macs() == 3 * (10 * 20) * 3 * 5 * 3 * 3
    assert tally.seconds > 0
    assert tally.parameters == 3 * 5 * 9 + 5


def test_the_table_names_the_fastest_first_and_what_did_not_run(peers, tmp_path, capsys):
    def ran(name, speed):
        return {
            "peer": name, "name": name, "weights": "random", "network_mpp": 0.5, "note": "of it",
            "size_px": 1000, "threads": 2, "budget_seconds": 300,
            "seconds": 2.0, "network_seconds": 1.0,
            "mm2_per_second": speed, "gmacs_per_mm2": 100.0, "parameters": 10, "nuclei": 3,
            "labelled": 4, "versions": {"one": "1.0"},
        }  # fmt: skip

    lines = [ran("slow", 0.1), ran("fast", 0.2), ran("slow", 0.3), ran("fast", 0.4)]
    lines.append({"peer": "lost", "name": "lost", "failed": "cannot be installed: no"})
    path = tmp_path / "lines.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    peers.table.write_table(path, tmp_path / "peers.md")
    text = (tmp_path / "peers.md").read_text(encoding="utf-8")
    rows = [row.split(" | ")[0] for row in text.splitlines() if row.startswith("| ")][2:]
    assert rows == ["| fast", "| slow"]
    assert "**0.4**" in text
    assert "**0.1**" not in text
    assert "lost did not run: cannot be installed: no" in text


def test_a_peer_that_cannot_be_installed_has_a_reason(peers, tmp_path, monkeypatch):
    failed = SimpleNamespace(returncode=1, stderr="noise\nERROR: No matching distribution\n")
    monkeypatch.setattr(peers.environments.subprocess, "run", lambda *_, **__: failed)
    python, reason = peers.environments.python_of("stardist", tmp_path)
    assert (python, reason) == ("", "cannot be installed: ERROR: No matching distribution")
