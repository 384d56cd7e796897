"""What tracking costs a training: with a server that is away or slow, and by itself.

    python benchmarks/tracking.py [TURNS]

Each training is the same few steps on the embedded eye, by turns: with a server that takes
everything at once, with one that is stopped before the first step, and with one that takes a second
for each answer. Wall time of the steps and CPU time of the whole run, medians; beside them the time
of the call that logs a round, as a share of a step.
"""

from __future__ import annotations

import json
import logging
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from transfer_kit.card import DetectorCard
from transfer_kit.data.synthetic import make_dataset
from transfer_kit.detector import Detector
from transfer_kit.plan import make_plan
from transfer_kit.recipe import Recipe
from transfer_kit.run import run_recipe
from transfer_kit.settings import CodecSettings, NetworkSettings
from transfer_kit.tracking import open_tracking

STEPS, LOGGED = 16, 2000
EXPERIMENT = {"experiment": {"experiment_id": "1", "name": "eye", "lifecycle_stage": "active"}}
RUN = {"run": {"info": {"run_id": "a" * 32, "run_uuid": "a" * 32, "experiment_id": "1"}}}


class Server(BaseHTTPRequestHandler):
    """Answers as MLflow does to what a run says, after `seconds`; slow only once it is told so."""

    seconds = 0.0

    def do_GET(self) -> None:
        self._answer(EXPERIMENT if "experiments" in self.path else RUN)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer({} if "search" in self.path else RUN)

    do_PUT = do_POST  # noqa: N815 - the library's name

    def _answer(self, document: object) -> None:
        time.sleep(self.seconds)
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def make_lab(folder: Path) -> None:
    """A target, and a base that knows nothing."""
    make_dataset("eye", folder / "eye", cases=6)
    card = DetectorCard(
        name="base",
        mpp=0.25,
        mean=(0.7, 0.5, 0.7),
        std=(0.2, 0.2, 0.2),
        network=NetworkSettings(options={"width": 8}),
        codec=CodecSettings(),
        threshold=0.5,
    )
    Detector.fresh(card, seed=0).save(folder / "base.safetensors")


def train(folder: Path, trouble: Callable[[ThreadingHTTPServer], None]) -> dict[str, float]:
    """Seconds of one training, where `trouble` begins before its first step."""
    Server.seconds = 0.0
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    os.environ["MLFLOW_TRACKING_URI"] = f"http://127.0.0.1:{server.server_port}"
    recipe = Recipe(
        base=str(folder / "base.safetensors"),
        target=str(folder / "eye"),
        patches={"size_px": 128},
        train={"steps": STEPS, "validate_every": 4, "batch_size": 4},
        evaluation={"figures": False, "overlays": 0},
    )
    plan = make_plan(recipe)
    trouble(server)
    run = folder / "runs" / str(time.time_ns())
    began, cpu = time.perf_counter(), time.process_time()
    result = run_recipe(plan, run, device="cpu")
    whole, cpu = time.perf_counter() - began, time.process_time() - cpu
    stops(server)  # also its thread, which would take time from the next training
    steps = result.trained.seconds
    return {"steps": steps, "before and after": whole - steps, "cpu": cpu}


def stops(server: ThreadingHTTPServer) -> None:
    """Nothing answers there any more."""
    server.shutdown()
    server.server_close()


def slows(server: ThreadingHTTPServer) -> None:
    """A second for each answer."""
    Server.seconds = 1.0


def per_call(folder: Path) -> float:
    """Seconds that a training spends on logging one round."""
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
    tracking = open_tracking("calls")
    with tracking.start_run("calls", tags={}, folder=folder / "calls") as run:
        began = time.perf_counter()
        for step in range(LOGGED):
            run.log_metrics({"train/loss": 0.1, "val/f1": 0.5, "learning_rate": 1e-3}, step)
        return (time.perf_counter() - began) / LOGGED


def main(turns: int) -> None:
    logging.getLogger("transfer_kit").setLevel(logging.ERROR)
    troubles = {"none": lambda server: None, "stopped": stops, "slow": slows}
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in troubles}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_lab(folder)
        train(folder, troubles["none"])  # imports and caches
        for _ in range(turns):
            for trouble, begin in troubles.items():
                rows[trouble].append(train(folder, begin))
        call = per_call(folder)

    def median(trouble: str, figure: str) -> float:
        return statistics.median(row[figure] for row in rows[trouble])

    usual = median("none", "steps")
    for trouble in ("stopped", "slow"):
        figures = {
            "benchmark": f"training with the server {trouble} / with one that answers",
            "ratio": round(median(trouble, "steps") / usual, 3),
            "goal": 1.02,
            "cpu_ratio": round(median(trouble, "cpu") / median("none", "cpu"), 3),
            "training_seconds": round(usual, 2),
            "seconds_before_and_after": {
                each: round(median(each, "before and after"), 2) for each in ("none", trouble)
            },
        }
        print(json.dumps(figures))
    print(
        json.dumps(
            {
                "benchmark": "logging a round / a step",
                "ratio": round(call / (usual / STEPS), 5),
                "goal": 0.01,
                "call_microseconds": round(1e6 * call, 1),
            }
        )
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
