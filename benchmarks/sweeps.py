"""What a sweep costs beside its trainings, and what a second worker gives.

    python benchmarks/sweeps.py [TRIALS]

Trainings of the embedded eye from the breast detector that ships, everything at its everyday size
but few steps. Seconds of orchestration are CPU time of a worker that is warm: all that it does in a
trial but the training itself. Each worker has one thread; trials per hour are counted from when all
workers are at work to the last trial that ends, so that the start of the processes is left out.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from transfer_kit.engines.outcome import Outcome
from transfer_kit.sweeps import trial as trials
from transfer_kit.sweeps.begin import begin
from transfer_kit.sweeps.conduct import conduct
from transfer_kit.sweeps.place import Place
from transfer_kit.sweeps.standing import standing_of
from transfer_kit.sweeps.sweep import Sweep

TRIALS = 12
STEPS = 12
FIELDS = {
    "base": "breast",
    "target": "eye",
    "train": {"steps": STEPS, "validate_every": STEPS},
    "evaluation.overlays": 0,
}


def asked(count: int, steps: int = STEPS) -> Sweep:
    """A sweep whose trials all cost the same."""
    fields = {**FIELDS, "train": {"steps": steps, "validate_every": steps}}
    search = {"train.optimizer.learning_rate": {"float": [1e-4, 1e-2], "log": True}}
    chosen = {"sampler": "tpe", "pruner": "none", "trials": count}
    return Sweep.of_fields({"set": fields, "search": search, **chosen})


def orchestration(folder: Path) -> float:
    """CPU seconds of a trial beside its training, the median of those after the first."""
    training: list[float] = []
    real = trials.train_plan

    def timed(*arguments, **options):  # noqa: ANN002, ANN003, ANN202 - passed on
        started = time.process_time()
        done = real(*arguments, **options)
        training.append(time.process_time() - started)
        return done

    whole: list[float] = []

    def start(turns, work, **_):  # noqa: ANN001, ANN003, ANN202 - called as run_all is
        for turn in turns:
            started = time.process_time()
            work(turn)
            whole.append(time.process_time() - started)
            yield Outcome(turn)

    trials.train_plan = timed
    try:
        opened = begin(asked(5, steps=2), Place("orchestration", folder / "orchestration"))
        list(conduct(opened, workers=1, engine=start))
    finally:
        trials.train_plan = real
    return statistics.median(w - t for w, t in zip(whole[1:], training[1:], strict=True))


def trials_per_hour(folder: Path, workers: int, count: int) -> float:
    """Of a sweep in processes of one thread each."""
    name = f"workers-{workers}"
    opened = begin(asked(count), Place(name, folder / name))
    ends = [time.perf_counter() for outcome in conduct(opened, workers=workers) if outcome]
    assert len(standing_of(opened).finished) == count
    first = workers - 1  # when all are at work
    return 3600 * (len(ends) - 1 - first) / (ends[-1] - ends[first])


def no_op(folder: Path) -> tuple[float, float]:
    """Seconds of calling a finished sweep again, and CPU seconds of it."""
    path = folder / "tiny.yaml"
    document = asked(2, steps=2).model_dump(mode="json", by_alias=True, exclude_defaults=True)
    path.write_text(json.dumps(document), encoding="utf-8")
    words = [sys.executable, "-m", "transfer_kit", "sweep", str(path), "--sweeps", str(folder)]
    subprocess.run(words, check=True, capture_output=True, cwd=folder)
    before, started = os.times(), time.perf_counter()
    subprocess.run(words, check=True, capture_output=True, cwd=folder)
    after = os.times()
    cpu = sum(after[2:4]) - sum(before[2:4])
    return time.perf_counter() - started, cpu


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else TRIALS
    with tempfile.TemporaryDirectory(prefix="transfer-kit-sweeps-") as made:
        folder = Path(made)
        _say("a trial beside its training", orchestration(folder), "CPU seconds", 2.0)
        seconds, cpu = no_op(folder)
        _say("a finished sweep again", seconds, "seconds", 5.0)
        _say("a finished sweep again", cpu, "CPU seconds", 5.0)
        one, two = (trials_per_hour(folder, workers, count) for workers in (1, 2))
        _say("trials per hour of 2 workers", two / one, "ratio to 1 worker", 1.6)


def _say(what: str, value: float, unit: str, goal: float) -> None:
    document = {"benchmark": f"sweeps: {what}", "value": round(value, 2), "unit": unit}
    print(json.dumps(document | {"goal": goal}), flush=True)


if __name__ == "__main__":
    main()
