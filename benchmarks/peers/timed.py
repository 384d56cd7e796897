"""Runs detectors on the mosaic and writes what came of it; imported in every environment.

It needs NumPy alone, since each peer has an environment of its own.
"""

from __future__ import annotations

import argparse
import json
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

SIZES = (4000, 2000, 1000, 512)
MPP = 0.25


class Contestant(Protocol):
    """A detector with its own tiling and decoding.

    Attributes:
        name: As it appears in the table.
        weights: `shipped`, `published` or `random`.
        network_mpp: µm per pixel at which its network looks.
        note: What must be known to read its figures.
    """

    name: str
    weights: str
    network_mpp: float
    note: str
    parameters: int

    def ideal(self, labels: NDArray[np.int32]) -> Any:
        """What its network would give at best for an image with these nuclei; not timed."""

    def run(self, image: NDArray[np.uint8], ideal: Any) -> int:
        """Find the nuclei of `image`, decoding `ideal` where the weights are random; how many."""

    def network_seconds(self) -> float:
        """Of the network alone in the last run, tiles and all."""

    def macs(self) -> float:
        """Multiply-adds of its network in the last run."""


@dataclass(frozen=True)
class Line:
    """One line of the results."""

    name: str
    weights: str
    network_mpp: float
    note: str
    size_px: int
    threads: int
    budget_seconds: float
    seconds: float
    network_seconds: float
    mm2_per_second: float
    gmacs_per_mm2: float
    parameters: int
    nuclei: int
    labelled: int
    versions: dict[str, str]


def main(makers: Sequence[Callable[[], Contestant]], packages: Sequence[str]) -> None:
    """Time each of `makers` on the largest part of the mosaic that its budget allows."""
    parser = argparse.ArgumentParser()
    parser.add_argument("mosaic", type=Path)
    parser.add_argument("lines", type=Path, help="JSON lines, to append to")
    parser.add_argument("--peer", required=True, help="what the lines are written under")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--largest", type=int, default=SIZES[0])
    parser.add_argument("--budget", type=float, default=300.0, help="seconds of one run")
    parser.add_argument("--only", action="append", help="part of a name")
    options = parser.parse_args()
    with np.load(options.mosaic) as file:
        image, labels = file["image"], file["labels"]
    versions = {name: _version(name) for name in packages}
    for make in makers:
        name = " ".join([options.peer, *getattr(make, "args", ())])
        try:
            contestant = make()
            name = contestant.name
            if options.only and not any(one in name for one in options.only):
                continue
            line: dict[str, Any] = asdict(_timed(contestant, image, labels, options, versions))
        except Exception as error:  # one that fails must not keep the others from being measured
            traceback.print_exc()
            line = {"name": name, "failed": f"{type(error).__name__}: {error}"[:300]}
        with options.lines.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"peer": options.peer, **line}) + "\n")
        print(json.dumps(line), flush=True)


def _timed(
    contestant: Contestant,
    image: NDArray[np.uint8],
    labels: NDArray[np.int32],
    options: argparse.Namespace,
    versions: dict[str, str],
) -> Line:
    """The first run, on the smallest part, warms up; the second tells what the budget allows."""
    sizes = [size for size in SIZES if size <= options.largest]
    small = sizes[-1]
    ideal = contestant.ideal(labels[:small, :small])
    _once(contestant, image[:small, :small], ideal)
    seconds, nuclei = _once(contestant, image[:small, :small], ideal)
    size = next(s for s in sizes if s == small or seconds * (s / small) ** 2 <= options.budget)
    if size != small:
        ideal = contestant.ideal(labels[:size, :size])
        seconds, nuclei = _once(contestant, image[:size, :size], ideal)
    mm2 = (size * MPP / 1000) ** 2
    return Line(
        name=contestant.name,
        weights=contestant.weights,
        network_mpp=contestant.network_mpp,
        note=contestant.note,
        size_px=size,
        threads=options.threads,
        budget_seconds=options.budget,
        seconds=round(seconds, 3),
        network_seconds=round(contestant.network_seconds(), 3),
        mm2_per_second=mm2 / seconds,
        gmacs_per_mm2=contestant.macs() / 1e9 / mm2,
        parameters=contestant.parameters,
        nuclei=nuclei,
        labelled=int(len(np.unique(labels[:size, :size])) - 1),
        versions=versions,
    )


def _once(contestant: Contestant, image: NDArray[np.uint8], ideal: Any) -> tuple[float, int]:
    image = np.ascontiguousarray(image)
    started = time.perf_counter()
    nuclei = contestant.run(image, ideal)
    return time.perf_counter() - started, nuclei


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
