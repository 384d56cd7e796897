"""A sweep on a real base and target, of which a worker or a whole machine is killed meanwhile.

    python benchmarks/sweep_with_a_kill.py postgresql [FOLDER]
    python benchmarks/sweep_with_a_kill.py ray [FOLDER]

Needs TRANSFER_KIT_DATA, the extras [sweeps] and [ray], and PostgreSQL's programs. The space is that
of recipes/sweeps/kidney.yaml (γ, freeze, learning rate; MoNuSeg's kidney), from the shipped
detector of brain, which finds few nuclei there, so that it takes some training to beat it. Steps
are so few and small that the figures tell nothing of kidneys: what is looked at is the machinery.
A database is made and started for the time.

With `postgresql`, two commands share the sweep as two machines would, each with a folder of its own
and one worker; the worker of the second gets SIGKILL in the middle of a training. With `ray`, one
command sends its trials to a cluster of two machines (two of Ray's nodes on this one), one of which
is killed. Then the winner's recipe is trained by `finetune`.

Prints one JSON object; ends with 1 where a trial is missing or there twice, or the winner's recipe
gives another F1.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import pandas as pd
import psutil
import yaml
from postgresql import PASSWORD, running
from ray_clusters import ray_cluster

from transfer_kit.sweeps.opened import open_sweep
from transfer_kit.sweeps.place import VARIABLE, Place
from transfer_kit.sweeps.standing import standing_of
from transfer_kit.sweeps.trial import SYSTEM

ROOT = Path(__file__).parents[1]
NAME = "kidney-kill"
TRIALS = 12
SMALL = {
    "base": "brain",
    "labels": "8",
    "patches.size_px": 96,
    "train.steps": 16,
    "train.validate_every": 8,
    "train.batch_size": 4,
    "evaluation.overlays": 0,
    "evaluation.figures": False,
}
LONGEST_SECONDS = 7200.0


@dataclass(frozen=True)
class Demonstration:
    """Where all of it lies.

    Attributes:
        url: Of the database that the trials share.
        begun: The commands, so that none outlives this one.
    """

    folder: Path
    url: str
    begun: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def here(self) -> Path:
        """The folder of sweeps of the command that begins this one."""
        return self.folder / "here"

    @property
    def there(self) -> Path:
        """The same of the command that joins."""
        return self.folder / "there"

    def place(self, sweeps: Path) -> Place:
        return Place(NAME, sweeps / NAME, self.url)

    def command(self, log: str, *words: str) -> subprocess.Popen[bytes]:
        """Begin a command; what it says is in `log`, the password is in its environment alone."""
        environment = {
            **os.environ,
            VARIABLE: self.url,
            "MLFLOW_TRACKING_URI": f"sqlite:///{self.folder}/mlflow.db",
        }
        with (self.folder / log).open("ab") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "transfer_kit", *words],
                cwd=self.folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=file,
            )
        self.begun.append(process)
        return process

    def end(self) -> None:
        """Kill what still runs, with its workers."""
        for process in self.begun:
            if process.poll() is None:
                for each in psutil.Process(process.pid).children(recursive=True):
                    each.kill()
                process.kill()

    def said_by(self, process: subprocess.Popen[bytes]) -> Any:
        """The object that a command printed.

        Raises:
            subprocess.CalledProcessError: it failed.
        """
        out, _ = process.communicate(timeout=LONGEST_SECONDS)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, process.args)
        return json.loads(out)


def write_sweep(folder: Path, count: int) -> Path:
    """The shipped sweep of the kidney with small trainings."""
    document = yaml.safe_load((ROOT / "recipes/sweeps/kidney.yaml").read_text(encoding="utf-8"))
    document["set"] |= SMALL
    document |= {"trials": count, "startup_trials": 4}
    path = folder / f"{NAME}.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return path


def until(ready: Callable[[], Any], what: str, command: subprocess.Popen[bytes]) -> Any:
    """What `ready` gives, as soon as it gives anything; the command must last so long."""
    deadline = time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < deadline:
        if found := ready():
            return found
        if command.poll() is not None:
            raise RuntimeError(f"the command ended before {what}; see its log")
        time.sleep(0.5)
    raise TimeoutError(what)


def in_training(sweeps: Path) -> list[int]:
    """Trials that wrote a checkpoint in this folder and have not ended: a round is done."""
    checkpoints = sweeps.glob(f"{NAME}/trials/*/checkpoints/*")
    begun = {path.parent.parent for path in checkpoints}
    return sorted(int(folder.name) for folder in begun if not (folder / SYSTEM).exists())


def worker_of(process: subprocess.Popen[bytes]) -> psutil.Process | None:
    """The process that a command has begun for its trainings."""
    children = psutil.Process(process.pid).children(recursive=True)
    return next((each for each in children if "spawn_main" in " ".join(each.cmdline())), None)


def on_postgresql(shown: Demonstration) -> dict[str, Any]:
    """Two commands of one worker each, of which one worker is killed."""
    path = write_sweep(shown.folder, TRIALS)
    first = shown.command("here.log", "sweep", str(path), "--sweeps", str(shown.here), "--json")
    until(lambda: in_training(shown.here), "the first worker's first round", first)
    second = shown.command(
        "there.log", "sweep", "--join", NAME, "--sweeps", str(shown.there), "--json"
    )
    begun = until(lambda: in_training(shown.there), "the second worker's first round", second)
    number = begun[-1]
    victim = worker_of(second)
    assert victim is not None
    victim.kill()
    killed = {"killed": f"worker process of the second command, in trial {number}"}
    shown.said_by(second)
    return killed | shown.said_by(first)


def on_ray(shown: Demonstration) -> dict[str, Any]:
    """One command and a cluster, of which a machine is killed."""
    path = write_sweep(shown.folder, TRIALS)
    with cluster(shown.url) as made:
        process = shown.command(
            "here.log", "sweep", str(path), "--sweeps", str(shown.here), "--workers", "2",
            "--engine", "ray", "--engine-set", f"address={made.address}", "--json",
        )  # fmt: skip
        until(lambda: len(in_training(shown.here)) >= 2, "a round of two trials", process)
        doomed = made.list_all_nodes()[-1]
        made.remove_node(doomed, allow_graceful=False)
        killed = {"killed": "one of two machines of the cluster"}
        logs = {"logs": [Path(made.head_node.get_session_dir_path())]}
        return killed | logs | shown.said_by(process)


WAYS = {"postgresql": on_postgresql, "ray": on_ray}


@contextmanager
def cluster(url: str) -> Iterator[Any]:
    """A head that takes no trials and two machines of one processor each."""
    os.environ[VARIABLE] = url  # as on machines where it is set before `ray start`
    with ray_cluster(lost_after_seconds=5) as made:
        for _ in range(2):
            made.add_node(num_cpus=1)
        made.wait_for_nodes()
        yield made


def trained_again(shown: Demonstration, recipe: str) -> dict[str, float]:
    """What `finetune` gives with the winner's recipe."""
    runs = str(shown.folder / "runs")
    words = ("finetune", "--recipe", recipe, "--runs", runs, "--json")
    told = shown.said_by(shown.command("finetune.log", *words))
    curve = pd.read_csv(shown.folder / told["run"] / "curves.csv")
    test = told["finetuned"]["test"]
    return {
        "validation": float(curve["val/f1"].max()),
        "best_step": int(curve["step"][curve["val/f1"].idxmax()]),
        "test_f1": test["f1"],
    }


def examined(shown: Demonstration, told: dict[str, Any]) -> dict[str, Any]:
    """What is in the database, and whether it is as it should be."""
    opened = open_sweep(shown.place(shown.here))
    standing = standing_of(opened)
    finished = [
        sum(each.state.name in ("COMPLETE", "PRUNED") for each in slot.attempts)
        for slot in standing.slots
    ]
    again = trained_again(shown, told["files"]["best"])
    best, test = told["best"]["validation"], told["test"]["test"]["f1"]
    return {
        "asked": standing.n_asked,
        "finished": len(standing.finished),
        "complete": len(standing.complete),
        "finished_twice": sum(count > 1 for count in finished),
        "attempts": sum(len(slot.attempts) for slot in standing.slots),
        "workers_lost": {s.number: s.n_lost for s in standing.slots if s.n_lost},
        "base_validation": told["base"]["validation"],
        "best": told["best"],
        "test_f1": test,
        "finetune": again,
        "same_f1": again["test_f1"] == test and again["validation"] == best,
        "files_with_the_password": [
            path for place in (shown.folder, *told.get("logs", ())) for path in with_password(place)
        ],
    }


def with_password(folder: Path) -> list[str]:
    """Files below the folder that hold the database's password."""
    every = (path for path in folder.rglob("*") if path.is_file())
    return [str(path) for path in every if PASSWORD.encode() in path.read_bytes()]


def main(where: str, folder: Path) -> None:
    began = time.perf_counter()
    with running() as url:
        shown = Demonstration(folder, url)
        try:
            told = WAYS[where](shown)
            found = examined(shown, told)
        finally:
            shown.end()
    document = {"benchmark": f"sweep with a kill, {where}", "killed": told["killed"], **found}
    document["minutes"] = round((time.perf_counter() - began) / 60, 1)
    print(json.dumps(document, indent=1))
    lost = sum(found["workers_lost"].values())
    right = found["finished"] == found["asked"] == TRIALS and not found["finished_twice"]
    if not (right and lost and found["same_f1"] and not found["files_with_the_password"]):
        raise SystemExit(1)


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in WAYS:
        raise SystemExit(__doc__)
    if len(sys.argv) > 2:
        chosen = Path(sys.argv[2]).absolute()
        chosen.mkdir(parents=True, exist_ok=True)
        main(sys.argv[1], chosen)
    else:
        with tempfile.TemporaryDirectory(prefix="transfer-kit-kill-") as made:
            main(sys.argv[1], Path(made))
