"""Nuclei in one large H&E image by this kit and by its peers: mm² a second, on the same machine.

    python benchmarks/peers                                  # all, and docs/results/peers.md
    python benchmarks/peers --peer stardist --largest 512    # a quick look at one
    python benchmarks/peers --table docs/results/peers.md    # the table again, of what ran

The image is laid together from MoNuSeg and not kept. Each peer is installed into an environment of
its own in `--folder`, since they need packages that exclude each other. One that cannot be
installed, fails, or takes too long is told with its reason, and the others go on.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from environments import python_of
from mosaic import write_mosaic
from table import write_table

HERE = Path(__file__).parent
# Name: the script that runs it.
PEERS = {
    "transfer-kit": "with_transfer_kit.py",
    "stardist": "with_stardist.py",
    "cellpose3": "with_cellpose3.py",
    "cellpose": "with_cellpose.py",
    "instanseg": "with_instanseg.py",
    "tiatoolbox": "with_tiatoolbox.py",
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer", action="append", choices=PEERS, help="may be repeated")
    parser.add_argument("--model", action="append", help="part of a model's name; may be repeated")
    parser.add_argument("--folder", type=Path, default=Path(".work/peers"))
    parser.add_argument("--environments", type=Path, help="of the peers; else inside the folder")
    parser.add_argument("--published", action="store_true", help="download the peers' weights")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--largest", type=int, default=4000, choices=(4000, 2000, 1000, 512))
    parser.add_argument("--budget", type=float, default=300, help="seconds of one run")
    parser.add_argument("--timeout", type=float, default=3000, help="seconds of one peer in all")
    parser.add_argument("--table", type=Path)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no peer runs on alone
    options.folder.mkdir(parents=True, exist_ok=True)
    lines = (options.folder / "lines.jsonl").resolve()
    table = options.table
    if table is None or options.peer:
        _measure_all(options, lines)
        table = table or Path("docs/results/peers.md")
    if options.largest == 4000 or options.table:
        write_table(lines, table)


def _measure_all(options: argparse.Namespace, lines: Path) -> None:
    mosaic = write_mosaic(options.folder / "mosaic.npz").resolve()
    environments = options.environments or options.folder / "environments"
    for peer in options.peer or PEERS:
        if not options.model:
            _forget(peer, lines)
        reason = _measure(peer, environments, mosaic, lines, options)
        if reason:
            print(f"{peer}: {reason}", flush=True)
            with lines.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"peer": peer, "name": peer, "failed": reason}) + "\n")


def _forget(peer: str, lines: Path) -> None:
    """Take out what an earlier measurement of `peer` left."""
    if lines.is_file():
        kept = [
            line
            for line in lines.read_text(encoding="utf-8").splitlines(keepends=True)
            if json.loads(line)["peer"] != peer
        ]
        lines.write_text("".join(kept), encoding="utf-8")


def _measure(
    peer: str, environments: Path, mosaic: Path, lines: Path, options: argparse.Namespace
) -> str:
    """Run one peer; the reason why there is nothing of it, or an empty one."""
    if peer == "transfer-kit":
        python = sys.executable
    else:
        python, reason = python_of(peer, environments)
        if reason:
            return reason
    command = [python, str(HERE / PEERS[peer]), str(mosaic), str(lines)]
    command += [
        "--peer",
        peer,
        "--threads",
        str(options.threads),
        "--largest",
        str(options.largest),
    ]
    command += ["--budget", str(options.budget)]
    command += [word for model in options.model or () for word in ("--only", model)]
    with subprocess.Popen(command, env=_variables(options), start_new_session=True) as process:
        try:
            code = process.wait(options.timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return f"not done after {options.timeout:.0f} s"
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return f"ended with code {code}" if code else ""


def _variables(options: argparse.Namespace) -> dict[str, str]:
    """Of the peers' processes: so many threads, no GPU, and nothing but what is asked for."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    own = dict.fromkeys(names, str(options.threads))
    own |= {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    own |= {"PEERS_PUBLISHED": "1"} if options.published else {}
    return {**os.environ, **own}


if __name__ == "__main__":
    main()
