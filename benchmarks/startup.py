"""Seconds until `transfer-kit --help` has answered, beside Python's own start; and until all that
searches a slide is imported, beside torch alone."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

ROUNDS = 9


def seconds(*command: str) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def medians(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[float, float]:
    """Of two commands of Python by turns."""
    pairs = [[seconds(sys.executable, *each) for each in (first, second)] for _ in range(ROUNDS)]
    a, b = (statistics.median(each) for each in zip(*pairs, strict=True))
    return a, b


def main() -> None:
    helps, bare = medians(("-m", "transfer_kit", "--help"), ("-c", "pass"))
    print(
        json.dumps(
            {
                "benchmark": "transfer-kit --help",
                "seconds": round(helps, 3),
                "goal_seconds": 0.3,
                "ratio_to_python": round(helps / bare, 1),
            }
        )
    )
    search, torch = medians(("-c", "import transfer_kit.inference.predict"), ("-c", "import torch"))
    print(
        json.dumps(
            {
                "benchmark": "import of what searches a slide",
                "seconds": round(search, 3),
                "ratio_to_torch": round(search / torch, 2),
            }
        )
    )


if __name__ == "__main__":
    main()
