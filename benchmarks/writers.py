"""Writing the nuclei of a slide: seconds, and memory above what was there before.

    python benchmarks/writers.py [--nuclei 1000000] [--outlines 200000]

Points, and outlines of 44 corners, scattered over 80,000² pixels; each file is written by a process
of its own on one thread. `json.dump` in a loop over the nuclei, which streams too but makes no ids,
is the measure; the ratio is of seconds of the processor, which others on the machine disturb less.
Prints one JSON line a figure.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import shapely

from transfer_kit.inference.found import FoundNuclei, SlideFacts
from transfer_kit.inference.outlines import outlines_of
from transfer_kit.inference.outputs import write_geojson, write_parquet

SIDE = 80_000
FACTS = SlideFacts(
    "slide.svs", (SIDE, SIDE), 0.25, shapely.MultiPolygon([shapely.box(0, 0, SIDE, SIDE)]),
    "breast", 0.5, 3.0,
)  # fmt: skip
GOALS = {"geojson": (20.0, 500.0), "parquet": (2.0, None)}

Write = Callable[[Path, FoundNuclei, SlideFacts], object]


def dump_in_a_loop(path: Path, found: FoundNuclei, facts: SlideFacts) -> None:
    """What one would write without a library: a dictionary a nucleus, as JSON."""
    outlines = [None] * len(found) if found.outlines is None else found.outlines
    with path.open("w") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        for k, ((x, y), score, outline) in enumerate(
            zip(found.points.tolist(), found.scores.tolist(), outlines, strict=True)
        ):
            file.write(", " if k else "")
            geometry: dict[str, object] = {"type": "Point", "coordinates": [x + 0.5, y + 0.5]}
            if outline is not None:
                moved = shapely.transform(outline, lambda corners: corners + 0.5)
                geometry = moved.__geo_interface__
            properties = {
                "objectType": "detection",
                "classification": {"name": found.classes[0]},
                "measurements": {"Detection score": score},
            }
            json.dump({"type": "Feature", "geometry": geometry, "properties": properties}, file)
        file.write("]}")


WRITERS: dict[str, Write] = {
    "json.dump": dump_in_a_loop,
    "geojson": write_geojson,
    "parquet": write_parquet,
}


def scattered(count: int, *, outlined: bool) -> FoundNuclei:
    """Nuclei anywhere, with discs of 22 pixels as outlines."""
    rng = np.random.default_rng(0)
    points = rng.uniform(20, SIDE - 20, (count, 2)).astype(np.float32)
    scores = rng.uniform(0.5, 1, count).astype(np.float32)
    outlines = None
    if outlined:
        rows, columns = np.indices((23, 23)) - 11
        (disc,) = outlines_of((np.hypot(rows, columns) < 11).astype(np.int32), 1)
        corners = shapely.get_coordinates(disc)
        moved = corners + (np.rint(points) - 11)[:, None]
        outlines = np.empty(count, object)
        outlines[:] = shapely.polygons(moved).tolist()
    return FoundNuclei(points, scores, np.zeros(count, np.uint16), ("tumour",), outlines)


def measured(name: str, count: int, outlined: bool) -> dict[str, float]:
    """Seconds, and peak and file size in MB, of one format written once."""
    found, write = scattered(count, outlined=outlined), WRITERS[name]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a.{name}"
        write(path, found.take(np.arange(100)), FACTS)  # imports, and tables made once
        memory, ended = psutil.Process().memory_info, threading.Event()
        before, peak = memory().rss, [0]

        def watch() -> None:
            while not ended.wait(0.01):
                peak[0] = max(peak[0], memory().rss)

        watcher = threading.Thread(target=watch)
        watcher.start()
        started, busy = time.perf_counter(), time.process_time()
        write(path, found, FACTS)
        seconds, busy = time.perf_counter() - started, time.process_time() - busy
        ended.set()
        watcher.join()
        return {
            "seconds": round(seconds, 2),
            "cpu_seconds": round(busy, 2),
            "peak_mb": round(max(peak[0] - before, 0) / 1e6),
            "file_mb": round(path.stat().st_size / 1e6),
        }


def main() -> None:
    """Print a line for each format, of points and of outlines."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--nuclei", type=int, default=1_000_000)
    parser.add_argument("--outlines", type=int, default=200_000)
    given = parser.parse_args()
    fresh = multiprocessing.get_context("spawn")
    for what, count in (("points", given.nuclei), ("outlines", given.outlines)):
        plain = 0.0
        for name in WRITERS:
            with fresh.Pool(1) as pool:
                found = pool.apply(measured, (name, count, what == "outlines"))
            plain = plain or found["cpu_seconds"]
            figure = {
                "benchmark": "writers",
                "what": f"{name}, {what}",
                "nuclei": count,
                **found,
                "ratio_to_json_dump": round(plain / max(found["cpu_seconds"], 0.01), 1),
            }
            if name in GOALS and what == "points":
                figure["goal_seconds"], figure["goal_mb"] = GOALS[name]
            print(json.dumps(figure), flush=True)


if __name__ == "__main__":
    main()
