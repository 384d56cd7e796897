"""Seconds until `transfer-kit --help` has answered, beside Python's own start."""

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


def main() -> None:
    helps, bare = [], []
    for _ in range(ROUNDS):
        helps.append(seconds(sys.executable, "-m", "transfer_kit", "--help"))
        bare.append(seconds(sys.executable, "-c", "pass"))
    print(
        json.dumps(
            {
                "benchmark": "transfer-kit --help",
                "seconds": round(statistics.median(helps), 3),
                "goal_seconds": 0.3,
                "ratio_to_python": round(statistics.median(helps) / statistics.median(bare), 1),
            }
        )
    )


if __name__ == "__main__":
    main()
