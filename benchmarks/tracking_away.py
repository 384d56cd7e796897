"""A training while the tracking server is away for a minute, beside one with the server there.

    python benchmarks/tracking_away.py [SECONDS] [TURNS]

Needs the extra [sweeps] and PostgreSQL's programs: the server is a real `mlflow server` on a
PostgreSQL that is made for the time. Each turn trains twice, the same few steps of the embedded eye
from the shipped breast detector: once with the server there, once with a server that is stopped a
third of the way through and started again after SECONDS (60). Then `transfer-kit runs sync` sends
what is left, and MLflow is asked for all that the run's folder says.

Prints one JSON object. Time is CPU time of the training's process, all its threads together, since
wall time tells more of what else the machine does; the wall time of the steps stands beside it.
Ends with 1 where a step was lost, a figure is missing or there twice, or the curve is another.
"""

from __future__ import annotations

import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import pandas as pd
from mlflow_stores import free_port
from postgresql import running

from transfer_kit import run as run_module
from transfer_kit.plan import make_plan
from transfer_kit.recipe import Recipe
from transfer_kit.tracking import server
from transfer_kit.tracking.store import open_client

STEPS, EVERY = 60, 5
RECIPE = {
    "base": "breast",
    "target": "eye",
    "labels": "8",
    "patches.size_px": 128,
    "train": {"steps": STEPS, "validate_every": EVERY, "batch_size": 4},
    "evaluation": {"figures": False, "overlays": 0},
}


class Switch:
    """A server that can be turned off and on again at one address."""

    def __init__(self, store: str) -> None:
        self.store, self.port = store, free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.seconds_away = 0.0
        self._running = ExitStack()
        self._back: threading.Thread | None = None

    def on(self) -> None:
        self._running.enter_context(server.serving(self.store, host="127.0.0.1", port=self.port))

    def off(self) -> None:
        self._running.close()

    def off_for(self, seconds: float) -> None:
        """Stop, and come back in a thread; how long it was away includes its start."""
        began = time.monotonic()
        self.off()

        def come_back() -> None:
            time.sleep(max(0.0, seconds - (time.monotonic() - began)))
            self.on()
            self.seconds_away = time.monotonic() - began

        self._back = threading.Thread(target=come_back)
        self._back.start()

    def wait(self) -> None:
        if self._back is not None:
            self._back.join()


@dataclass(frozen=True)
class Trained:
    """A training's folder, and what its steps took."""

    folder: Path
    run_id: str
    steps: int
    cpu_seconds: float
    seconds: float
    unsent: bool


def train(folder: Path, switch: Switch, away: float, steps: int = STEPS) -> Trained:
    """One training, during which the server is away for so many seconds."""
    real, cpu = run_module.train_plan, dict[str, float]()

    def timed(plan: Any, checkpoints: Path, *, record: Any, **options: Any) -> Any:
        def recording(point: dict[str, float], step: int) -> None:
            record(point, step)
            if away and step == steps // 3:
                switch.off_for(away)

        cpu["before"] = time.process_time()
        trained = real(plan, checkpoints, record=recording, **options)
        cpu["after"] = time.process_time()
        return trained

    recipe = Recipe(target="eye").replaced(**RECIPE).replaced(**{"train.steps": steps})
    run_module.train_plan = timed
    try:
        result = run_module.run_recipe(make_plan(recipe), folder, device="cpu")
    finally:
        run_module.train_plan = real
    unsent = (folder / "unsent.jsonl").is_file()
    switch.wait()
    return Trained(
        folder,
        json.loads((folder / "options.json").read_text())["mlflow_run_id"],
        result.trained.steps,
        cpu["after"] - cpu["before"],
        result.trained.seconds,
        unsent,
    )


def faults(trained: Trained, address: str) -> list[str]:
    """What of a run's folder is not in MLflow exactly once."""
    client = open_client(address)
    curves, found = pd.read_csv(trained.folder / "curves.csv"), []
    for name in curves.columns.drop(["training", "step"]):
        known = curves[curves[name].notna()]
        history = client.get_metric_history(trained.run_id, name)
        there = sorted((each.step, round(each.value, 9)) for each in history)
        if there != sorted(zip(known["step"], known[name].round(9), strict=True)):
            found.append(f"{name}: {len(history)} of {len(known)}")
    if client.get_run(trained.run_id).info.status != "FINISHED":
        found.append("not finished")
    return found


def sync(folder: Path, address: str) -> str:
    """What `transfer-kit runs sync` says."""
    words = [sys.executable, "-m", "transfer_kit", "runs", "sync"]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": address}
    said = subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    return said.stdout.strip() or said.stderr.strip()


def main(seconds: float, turns: int, folder: Path) -> None:
    logging.getLogger("transfer_kit").setLevel(logging.ERROR)
    server.START_SECONDS = 600.0  # it makes its tables first
    rows: list[tuple[Trained, Trained, float]] = []
    with running() as url:
        switch = Switch(url.replace("postgresql://", "postgresql+psycopg://"))
        switch.on()
        try:
            os.environ["MLFLOW_TRACKING_URI"] = switch.address
            train(folder / "runs" / "first", switch, 0.0, steps=EVERY)  # imports and caches
            for turn in range(turns):
                there = train(folder / "runs" / f"there-{turn}", switch, 0.0)
                away = train(folder / "runs" / f"away-{turn}", switch, seconds)
                rows.append((there, away, switch.seconds_away))
            for thread in threading.enumerate():  # a last attempt that no run's end waited for
                if thread.name == "mlflow-outbox":
                    thread.join(120)
            said = [sync(folder, switch.address), sync(folder, switch.address)]
            wrong = [
                fault for row in rows for each in row[:2] for fault in faults(each, switch.address)
            ]
        finally:
            switch.off()
    same = all(
        pd.read_csv(a.folder / "curves.csv").equals(pd.read_csv(b.folder / "curves.csv"))
        for a, b, _ in rows
    )
    lost = [each.steps for row in rows for each in row[:2] if each.steps != STEPS]
    document = {
        "benchmark": "training with the server away for a while / with it there",
        "cpu_ratio": round(statistics.median(b.cpu_seconds / a.cpu_seconds for a, b, _ in rows), 3),
        "wall_ratio": round(statistics.median(b.seconds / a.seconds for a, b, _ in rows), 3),
        "goal": 1.02,
        "cpu_seconds": [[round(a.cpu_seconds, 1), round(b.cpu_seconds, 1)] for a, b, _ in rows],
        "wall_seconds": [[round(a.seconds, 1), round(b.seconds, 1)] for a, b, _ in rows],
        "seconds_away": [round(away, 1) for _, _, away in rows],
        "unsent_at_the_end": sum(b.unsent for _, b, _ in rows),
        "steps": STEPS,
        "steps_lost": lost,
        "same_curve": same,
        "not_in_mlflow_once": wrong,
        "sync_said": said,
    }
    print(json.dumps(document, indent=1))
    if wrong or lost or not same:
        raise SystemExit(1)


if __name__ == "__main__":
    away_for = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    with tempfile.TemporaryDirectory(prefix="transfer-kit-away-") as made:
        main(away_for, int(sys.argv[2]) if len(sys.argv) > 2 else 1, Path(made))
