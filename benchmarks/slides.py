"""A drawn slide from its file to its nuclei: the same for all tiles, how right, how fast.

    python benchmarks/slides.py                       # 4,096² pixels, as far as it is tissue
    python benchmarks/slides.py --side 40960 --islands 5 --runtime openvino

The slide is a pyramidal TIFF of embedded (synthetic) tissue on glass, written and removed again:
one large piece in the middle, or islands of 2,048² pixels far from each other. Each tile size is
searched by a process of its own, whose peak memory is told; one of them is killed in the middle and
called again.
"""

from __future__ import annotations

import argparse
import json
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pyarrow.parquet as parquet
import tifffile
from numpy.typing import NDArray

from transfer_kit.data.synthetic import draw
from transfer_kit.evaluation import match_points
from transfer_kit.inference.forward import Runtime
from transfer_kit.inference.predict import SlideTask, predict_slide
from transfer_kit.stores.models import find_weights

MPP, PIECE, LEVELS, RADIUS_UM = 0.25, 512, 4, 2.0
ISLAND = 4  # pieces along its side
TILES = (512, 1000, 2048)
Pixels = NDArray[np.uint8]


class Drawn:
    """A square slide with some tissue, made of few pieces that come again and again."""

    def __init__(self, side: int, organ: str, islands: int) -> None:
        self.count = side // PIECE
        free = self.count - ISLAND - 2
        self.islands = [(1 + 37 * k % free, 1 + 53 * k % free) for k in range(1, islands + 1)]
        self.pieces = [draw(organ, case=case, size=PIECE, seed=case) for case in range(8)]
        self.glass = np.full((PIECE, PIECE, 3), 244, np.uint8)

    def is_tissue(self, row: int, column: int) -> bool:
        if self.islands:
            return any(
                0 <= row - top < ISLAND and 0 <= column - left < ISLAND
                for top, left in self.islands
            )
        rim = self.count // 8
        return rim <= min(row, column) and max(row, column) < self.count - rim

    def piece(self, row: int, column: int) -> Pixels:
        if not self.is_tissue(row, column):
            return self.glass
        return self.pieces[(3 * row + column) % len(self.pieces)][0]

    def truth(self) -> NDArray[np.float32]:
        found = [
            self.pieces[(3 * row + column) % len(self.pieces)][1].points
            + np.array([column, row], np.float32) * PIECE
            for row in range(self.count)
            for column in range(self.count)
            if self.is_tissue(row, column)
        ]
        return np.concatenate(found)

    def write(self, path: Path) -> None:
        """As a pyramid, a tile in memory at a time."""
        with tifffile.TiffWriter(path, bigtiff=True) as file:
            for level in range(LEVELS):
                side = self.count * PIECE >> level
                file.write(
                    self.tiles(level),
                    shape=(side, side, 3),
                    dtype=np.uint8,
                    tile=(PIECE >> level, PIECE >> level),
                    photometric="rgb",
                    compression="zlib",
                    subfiletype=int(level > 0),
                    resolution=(1e4 / MPP / 2**level, 1e4 / MPP / 2**level),
                    resolutionunit="CENTIMETER",
                    metadata=None,
                )

    def tiles(self, level: int) -> Iterator[Pixels]:
        side = PIECE >> level
        for row in range(self.count):
            for column in range(self.count):
                piece = self.piece(row, column)
                yield cv2.resize(piece, (side, side), interpolation=cv2.INTER_AREA)


def search(slide: str, output: str, model: str, runtime: Runtime, tile: str) -> None:
    """In a process of its own."""
    task = SlideTask(
        Path(slide),
        Path(output),
        find_weights(model),
        MPP,
        block_px=int(tile),
        runtime=runtime,
        write=("parquet",),
    )
    began = time.perf_counter()
    record = predict_slide(task)
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(
        json.dumps(
            {
                "nuclei": record.nuclei,
                "searched_mm2": record.searched_mm2,
                "seconds": time.perf_counter() - began,
                "cpu_seconds": used.ru_utime + used.ru_stime,
                "peak_mb": used.ru_maxrss / 1024,
            }
        )
    )


def started(
    slide: Path, output: Path, tile: int, options: argparse.Namespace
) -> subprocess.Popen[str]:
    words = [sys.executable, __file__, "--search", str(slide), str(output)]
    words += [options.model, options.runtime, str(tile)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def killed_in_the_middle(slide: Path, output: Path, tile: int, options: argparse.Namespace) -> int:
    """How many blocks were done when it was."""
    process = started(slide, output, tile, options)
    parts = output / ".parts" / slide.stem
    while process.poll() is None and len(list(parts.glob("*.parquet"))) < 2:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return len(list(parts.glob("*.parquet")))


def points_in(output: Path, slide: Path) -> NDArray[np.float64]:
    table = parquet.read_table(output / f"{slide.stem}.parquet")
    return np.stack([table["x"].to_numpy(), table["y"].to_numpy()], axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=4096, help="Of the slide, in pixels.")
    parser.add_argument("--organ", default="breast", help="Whose embedded tissue it shows.")
    parser.add_argument("--model", default="micronet-breast")
    parser.add_argument("--tile", type=int, action="append", help="512, 1000 and 2048 by default.")
    parser.add_argument("--islands", type=int, default=0, help="Of tissue; 0 is one in the middle.")
    parser.add_argument("--runtime", default="torch", choices=get_args(Runtime))
    parser.add_argument("--search", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.search:
        search(*options.search)
        return
    with tempfile.TemporaryDirectory() as folder:
        measure(options, Path(folder))


def measure(options: argparse.Namespace, folder: Path) -> None:
    slide, drawn = folder / "drawn.tif", Drawn(options.side, options.organ, options.islands)
    drawn.write(slide)
    truth, first = drawn.truth(), None
    tiles = options.tile or TILES
    for tile in tiles:
        output = folder / f"tile{tile}"
        process = started(slide, output, tile, options)
        told = json.loads(process.communicate()[0].splitlines()[-1])
        points = points_in(output, slide)
        hits = len(match_points(truth, points.astype(np.float32), RADIUS_UM / MPP))
        first = points if first is None else first
        same = len(points) == len(first) and bool(np.abs(points - first).max() < 0.01)
        f1 = 2 * hits / (len(truth) + len(points))
        rate = told["searched_mm2"] / told["seconds"]
        facts = {
            "side_px": options.side,
            "model": options.model,
            "runtime": options.runtime,
            "tile": tile,
            **told,
        }
        print(json.dumps({**facts, "mm2_per_second": rate, "f1": f1, "as_first": same}), flush=True)
    again = folder / "killed"
    done = killed_in_the_middle(slide, again, tiles[0], options)
    started(slide, again, tiles[0], options).communicate()
    whole = folder / f"tile{tiles[0]}" / f"{slide.stem}.parquet"
    same = whole.read_bytes() == (again / whole.name).read_bytes()
    print(json.dumps({"killed_after_blocks": done, "then_the_same": bool(same)}))


if __name__ == "__main__":
    main()
