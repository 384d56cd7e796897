"""A real `mlflow server` on a real PostgreSQL, stopped in the middle of a real training."""

from __future__ import annotations

import json
import threading
from contextlib import ExitStack

import pandas as pd
import pytest
from laboratory import BASE, TARGET, transfer_kit
from mlflow_stores import free_port
from postgresql import PASSWORD, running

from transfer_kit import run as run_module
from transfer_kit.plan import make_plan
from transfer_kit.recipe import Recipe
from transfer_kit.run import run_recipe
from transfer_kit.tracking import server
from transfer_kit.tracking.store import open_client

pytest_plugins = ["lab_fixtures", "mlflow_stores"]

TRAIN = {"steps": 24, "validate_every": 4, "batch_size": 2}


class Switch:
    """A server that can be turned on and off at one address."""

    def __init__(self, store: str) -> None:
        self.store, self.port = store, free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self._running = ExitStack()

    def on(self) -> None:
        serving = server.serving(self.store, host="127.0.0.1", port=self.port)
        self._running.enter_context(serving)

    def off(self) -> None:
        self._running.close()


@pytest.fixture
def switch(lab, monkeypatch):
    monkeypatch.setattr(server, "START_SECONDS", 600.0)  # it makes its tables first
    # A busy machine is no reason to begin without it.
    monkeypatch.setattr("transfer_kit.tracking.store.ANSWER_SECONDS", 120.0)
    with running() as database:
        switch = Switch(database.replace("postgresql://", "postgresql+psycopg://"))
        switch.on()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", switch.address)
        yield switch
        switch.off()


@pytest.mark.slow
def test_a_server_that_is_stopped_in_the_middle_costs_no_step_and_nothing_is_missing(
    lab, switch, monkeypatch, caplog
):
    recipe = Recipe(base=BASE, target=TARGET, freeze=2, patches={"size_px": 48}, train=TRAIN)
    train_plan = run_module.train_plan

    def stopped_in_the_middle(plan, checkpoints, *, record, **options):
        def recording(point, step):
            record(point, step)
            if step == 12:
                switch.off()

        return train_plan(plan, checkpoints, record=recording, **options)

    monkeypatch.setattr(run_module, "train_plan", stopped_in_the_middle)
    result = run_recipe(make_plan(recipe), lab / "runs" / "one", device="cpu")
    assert result.trained.steps == 24
    assert (lab / "runs" / "one" / "unsent.jsonl").is_file()
    (row,) = transfer_kit("runs", "list", "--json").json
    assert (row["state"], row["n_unsent"] > 0) == ("finished", True)

    switch.on()
    for thread in threading.enumerate():  # its last attempt, which the run's end does not wait for
        if thread.name == "mlflow-outbox":
            thread.join(120)
    said = transfer_kit("runs", "sync").out
    assert "sent" in said
    assert transfer_kit("runs", "sync").out == "Nothing is unsent.\n"
    run_id = json.loads((lab / "runs" / "one" / "options.json").read_text())["mlflow_run_id"]
    client = open_client(switch.address)
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    curves = pd.read_csv(lab / "runs" / "one" / "curves.csv")
    for name in ("train/loss", "val/f1", "learning_rate"):
        history = client.get_metric_history(run_id, name)
        known = curves[curves[name].notna()]
        assert len(history) == len(known)  # each point once
        assert {each.step: each.value for each in history} == pytest.approx(
            dict(zip(known.step, known[name], strict=True))
        )
    assert run.data.metrics["test/f1"] == pytest.approx(result.columns["finetuned"].scores.f1)
    assert run.data.params["freeze"] == "2"
    files = {each.path for each in client.list_artifacts(run_id)}
    assert {"recipe.yaml", "environment.json", "data.json", "metrics.json", "overlays"} <= files
    (output,) = run.outputs.model_outputs
    assert str(client.get_logged_model(output.model_id).status) == "READY"
    written = "".join(
        path.read_text(errors="replace") for path in (lab / "runs").rglob("*") if path.is_file()
    )
    assert PASSWORD not in written + caplog.text + said

    pushed = transfer_kit("models", "push", lab / "runs" / "one", "--as", "champion", "--json").json
    assert pushed["mlflow_run_id"] == run_id
    pulled = transfer_kit("models", "pull", f"{pushed['name']}@champion", "--json").json
    assert pulled["sha256"] == pushed["sha256"]
