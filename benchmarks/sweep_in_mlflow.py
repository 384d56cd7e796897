"""A sweep of two hundred trials in MLflow, on PostgreSQL, looked at in a browser.

    python benchmarks/sweep_in_mlflow.py [--trials 200] [--workers 1] [--picture FILE.png]

Needs the extra [sweeps], PostgreSQL's programs and, for the picture, playwright with Debian's
/usr/bin/chromium. Every trial is a real training, of the embedded (drawn) eye beside the embedded
breast from the shipped breast detector, by γ and the learning rate at random; so short that its F1
says how the view looks and not how to train. Optuna and MLflow each have a database of their own in
a PostgreSQL that is made and started for the time.

Prints one JSON object; ends with 1 where MLflow lacks a trial, or has one twice.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import psycopg
import yaml
from mlflow_stores import free_port
from postgresql import running

from transfer_kit.sweeps.place import VARIABLE
from transfer_kit.tracking import server
from transfer_kit.tracking.store import open_client

NAME = "gamma"
GAMMA, F1 = "auxiliary.gamma", "best/validation"
TRAINING_VIEW = "workflowType=machine_learning"
SWEEP = {
    "question": "How much should the eye's own loss weigh beside the breast's?",
    "recipe": "everyday/mixing",
    "set": {
        "base": "breast",
        "target": "eye",
        "labels": "8",
        "auxiliary.sources": ["breast"],
        "patches.size_px": 64,
        "train": {"steps": 12, "validate_every": 12, "batch_size": 4},
        "evaluation.overlays": 0,
        "evaluation.figures": False,
    },
    "search": {
        GAMMA: {"float": [0.1, 12]},
        "train.optimizer.learning_rate": {"float": [1e-3, 4e-3], "log": True},
    },
    "sampler": "random",
    "pruner": "none",
}


def databases(url: str) -> tuple[str, str]:
    """The URL that Optuna gets, and that which MLflow gets."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE mlflow")
    of_mlflow = url.rpartition("/")[0] + "/mlflow"
    return url, of_mlflow.replace("postgresql://", "postgresql+psycopg://")


def sweep(folder: Path, *, trials: int, workers: int, storage: str, tracking: str) -> Any:
    """What the command says in the end."""
    path = folder / f"{NAME}.yaml"
    path.write_text(yaml.safe_dump({**SWEEP, "trials": trials}, sort_keys=False), encoding="utf-8")
    words = [sys.executable, "-m", "transfer_kit", "sweep", str(path), "--workers", str(workers)]
    environment = {**os.environ, VARIABLE: storage, "MLFLOW_TRACKING_URI": tracking}
    said = subprocess.run(
        [*words, "--json"], cwd=folder, env=environment, check=True, stdout=subprocess.PIPE
    )
    return json.loads(said.stdout)


def runs_in(tracking: str) -> tuple[str, list[Any]]:
    """The experiment and all runs nested in the sweep's run."""
    client = open_client(tracking)
    experiment = client.get_experiment_by_name(f"sweep {NAME}").experiment_id
    runs = client.search_runs([experiment], max_results=5000)
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    return experiment, [
        run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id
    ]


def look(tracking: str, experiment: str, runs: list[Any], picture: Path) -> tuple[int, float]:
    """MLflow's page that compares all runs, F1 against γ, as a picture.

    Gives how many runs its chart shows, and the seconds until it did.
    """
    from playwright.sync_api import sync_playwright

    chosen = quote(json.dumps([run.info.run_id for run in runs]))
    words = f"runs={chosen}&experiments={quote(json.dumps([experiment]))}&{TRAINING_VIEW}"
    with sync_playwright() as play:
        browser = play.chromium.launch(
            # Its points are drawn by WebGL.
            executable_path="/usr/bin/chromium",
            args=["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"],
        )
        page = browser.new_page(viewport={"width": 1100, "height": 640})
        page.set_default_timeout(600_000)
        began = time.perf_counter()
        page.goto(f"{tracking}/#/compare-runs?{words}")
        page.locator('[data-component-id="mlflow.assistant.chat_panel.close"]').click()
        page.get_by_role("tab", name="Scatter Plot").click()
        for axis, name in (("x", GAMMA), ("y", F1)):
            page.locator(f"#{axis}-axis-selector").click()
            page.get_by_role("option", name=name, exact=True).click()
        shown = page.wait_for_function(
            "() => document.querySelector('.js-plotly-plot')?.data?.[0]?.x?.length"
        ).json_value()
        seconds = time.perf_counter() - began
        page.wait_for_timeout(5000)
        page.screenshot(path=picture)
        browser.close()
    return int(shown), seconds


def main(asked: argparse.Namespace, folder: Path) -> None:
    server.START_SECONDS = 600.0  # it makes its tables first
    began = time.perf_counter()
    with running() as url:
        storage, store = databases(url)
        port = free_port()
        tracking = f"http://127.0.0.1:{port}"
        with server.serving(store, host="127.0.0.1", port=port):
            told = sweep(
                folder,
                trials=asked.trials,
                workers=asked.workers,
                storage=storage,
                tracking=tracking,
            )
            trained = time.perf_counter() - began
            experiment, runs = runs_in(tracking)
            names = {run.info.run_name for run in runs}
            complete = [r for r in runs if GAMMA in r.data.params and F1 in r.data.metrics]
            document = {
                "benchmark": "a sweep in MLflow",
                "trials": told["standing"]["finished"],
                "nested_runs": len(runs),
                "different": len(names),
                "with_gamma_and_f1": len(complete),
                "minutes": round(trained / 60, 1),
            }
            if asked.picture is not None:
                shown, seconds = look(tracking, experiment, complete, asked.picture)
                document |= {"shown": shown, "seconds_to_show": round(seconds, 1)}
            print(json.dumps(document))
    if not asked.trials == len(runs) == len(names) == len(complete):
        raise SystemExit(1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--picture", type=Path)
    with tempfile.TemporaryDirectory(prefix="transfer-kit-mlflow-") as made:
        main(parser.parse_args(), Path(made))
