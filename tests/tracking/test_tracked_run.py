from __future__ import annotations

import json
import logging
import threading
import time

import pytest

from transfer_kit.errors import UserError
from transfer_kit.tracking import Tracking
from transfer_kit.tracking.operations import (
    MetricValue,
    to_line,
)
from transfer_kit.tracking.run import flattened
from transfer_kit.tracking.unsent import send_unsent

pytest_plugins = ["mlflow_stores"]


def history(tracking, run_id, key):
    found = tracking.client.get_metric_history(run_id, key)
    return [(each.step, each.value) for each in sorted(found, key=lambda each: each.step)]


def finished(tracking, run):
    return tracking.client.get_run(run.run_id)


def test_what_a_run_says_arrives_in_mlflow(tracking):
    tags = {"base": "breast", "target": "eye", "freeze": "2"}
    with tracking.start_run("first", tags=tags) as run:
        run.log_params({"train": {"steps": 500, "crops": [200, 200]}, "base": None})
        for step in range(1200):
            run.log_metrics({"val/f1": step / 1200, "train/loss": 1.0}, step)
        run.log_tags({"note": "x"})
    stored = finished(tracking, run)
    assert stored.info.status == "FINISHED"
    assert stored.info.run_name == "first"
    assert stored.data.params == {
        "train.steps": "500",
        "train.crops": "[200, 200]",
        "base": "null",
    }
    assert tags.items() <= stored.data.tags.items()
    assert stored.data.tags["note"] == "x"
    expected = [(step, step / 1200) for step in range(1200)]
    assert history(tracking, run.run_id, "val/f1") == expected
    assert run.n_unsent == 0
    assert not run.folder.exists()


def test_metrics_go_in_batches(tracking, monkeypatch):
    sizes = []
    log_batch = tracking.client.log_batch
    monkeypatch.setattr(
        type(tracking.client),
        "log_batch",
        lambda self, run_id, **what: (
            sizes.append(len(what["metrics"])),
            log_batch(run_id, **what),
        ),
    )
    with tracking.start_run("many", tags={}) as run:
        for step in range(3000):
            run.log_metrics({"loss": 1.0}, step)
    assert sum(sizes) == 3000
    assert len(sizes) <= 12


def test_a_slow_store_does_not_hold_the_training(tracking, monkeypatch):
    release = threading.Event()
    log_batch = tracking.client.log_batch

    def slow(self, run_id, **what):
        release.wait(20)
        log_batch(run_id, **what)

    monkeypatch.setattr(type(tracking.client), "log_batch", slow)
    with tracking.start_run("slow", tags={}) as run:
        began = time.perf_counter()
        for step in range(2000):
            run.log_metrics({"loss": 1.0}, step)
        took = time.perf_counter() - began
        release.set()
    assert took < 5
    assert len(history(tracking, run.run_id, "loss")) == 2000


def test_datasets_are_inputs_with_their_contexts_even_when_parts_share_a_digest(tracking):
    with tracking.start_run("data", tags={}) as run:
        for context, n_images in (("training", 4), ("validation", 2), ("testing", 6)):
            run.log_dataset(
                "eye", "f" * 64, context, source="/data/eye", n_images=n_images, n_nuclei=90
            )
        run.log_dataset("breast", "0", "base", source="https://x.org/b", n_images=1, n_nuclei=2)
    inputs = finished(tracking, run).inputs.dataset_inputs
    found = {each.tags[0].value: each.dataset for each in inputs}
    assert set(found) == {"training", "validation", "testing", "base"}
    assert json.loads(found["testing"].profile) == {"num_images": 6, "num_nuclei": 90}
    assert json.loads(found["training"].source) == {"uri": "/data/eye"}
    assert found["base"].source_type == "http"
    assert all(len(each.digest) <= 36 for each in found.values())


def test_files_and_figures_become_artifacts(tracking, working):
    from matplotlib.figure import Figure

    figure = Figure()
    figure.subplots().plot([1, 2])
    (working / "recipe.yaml").write_text("base: breast\n")
    with tracking.start_run("files", tags={}, folder=working / "runs" / "a") as run:
        run.log_artifact("recipe.yaml", "given")
        written = run.log_figure(figure, "figures/pr_curve.png")
    assert written == working / "runs" / "a" / "figures" / "pr_curve.png"
    listed = {each.path for each in tracking.client.list_artifacts(run.run_id, "figures")}
    assert listed == {"figures/pr_curve.png"}
    kept = working / "mlartifacts" / run.run_id / "artifacts" / "given" / "recipe.yaml"
    assert kept.read_text() == "base: breast\n"


def test_a_nested_run_names_its_parent(tracking):
    with tracking.start_run("study", tags={}) as parent:
        with tracking.start_run("part", tags={}, parent_run_id=parent.run_id) as part:
            pass
    assert finished(tracking, part).data.tags["mlflow.parentRunId"] == parent.run_id


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ValueError("x"), "FAILED"),
        (KeyboardInterrupt(), "KILLED"),
        (SystemExit(143), "KILLED"),
        (SystemExit(0), "FINISHED"),
        (SystemExit(2), "FAILED"),
    ],
)
def test_a_run_ends_as_its_block_does_and_what_it_said_is_kept(tracking, error, status):
    run = tracking.start_run("ends", tags={})

    def training():
        with run:
            run.log_metrics({"loss": 2.0}, 7)
            raise error

    with pytest.raises(type(error)):
        training()
    assert finished(tracking, run).info.status == status
    assert history(tracking, run.run_id, "loss") == [(7, 2.0)]


def test_a_status_that_was_set_wins(tracking):
    with tracking.start_run("diverged", tags={}) as run:
        run.set_status("FAILED")
    assert finished(tracking, run).info.status == "FAILED"
    with pytest.raises(ValueError, match="must be FINISHED"):
        run.set_status("done")


def test_long_values_are_cut_to_what_mlflow_takes(tracking):
    with tracking.start_run("long", tags={}) as run:
        run.log_params({"short": "a" * 6000, "long": "b" * 6001})
    params = finished(tracking, run).data.params
    assert params["short"] == "a" * 6000
    assert len(params["long"]) == 6000
    assert params["long"].endswith("b … (cut)")


def test_names_that_mlflow_refuses_are_cleaned(tracking):
    with tracking.start_run("names", tags={}) as run:
        run.log_metrics({"f1@2µm (test)": 1, "/a//b/../c/": 2, "": 3})
    assert finished(tracking, run).data.metrics == {"f1_2µm _test_": 1, "a/b/c": 2, "_": 3}


def test_values_that_are_not_finite_are_stored(tracking):
    with tracking.start_run("nan", tags={}) as run:
        run.log_metrics({"nan": float("nan"), "inf": float("inf")}, 1)
    metrics = finished(tracking, run).data.metrics
    assert metrics["nan"] != metrics["nan"]
    assert metrics["inf"] > 1e300


def test_flattened_keeps_empty_mappings():
    assert flattened({"a": {}, "b": {"c": {"d": True}}}) == {"a": "{}", "b.c.d": "true"}


def test_an_interrupted_run_goes_on_as_the_same_run(tracking):
    with tracking.start_run("resumed", tags={}) as run:
        run.log_params({"a": 1})
        run.log_metrics({"loss": 3.0}, 1)
        run.set_status("KILLED")
    with tracking.start_run("resumed", tags={}, run_id=run.run_id) as again:
        assert finished(tracking, again).info.status == "RUNNING"
        again.log_params({"a": 1})
        again.log_metrics({"loss": 2.0}, 2)
    assert again.run_id == run.run_id
    assert history(tracking, run.run_id, "loss") == [(1, 3.0), (2, 2.0)]
    assert finished(tracking, again).info.status == "FINISHED"


def test_a_run_that_was_deleted_meanwhile_goes_on_as_a_new_one(tracking, caplog):
    with caplog.at_level(logging.WARNING), tracking.start_run("x", tags={}, run_id="0" * 32) as run:
        pass
    assert run.run_id not in ("", "0" * 32)
    assert finished(tracking, run).info.status == "FINISHED"
    assert "is no longer in the store; a new one goes on" in caplog.text


def test_a_server_that_dies_during_the_run_costs_nothing_but_a_file(
    tracking, working, monkeypatch, caplog, closed_port, impatient
):
    from mlflow import MlflowClient

    dead = MlflowClient(tracking_uri=f"http://ann:secret@127.0.0.1:{closed_port}")
    down = Tracking(dead, "http://ann:secret@127.0.0.1", "eye", tracking.experiment_id)
    with (
        caplog.at_level(logging.WARNING),
        down.start_run("lost", tags={"base": "breast"}, folder=working / "runs" / "lost") as run,
    ):
        run.log_params({"a": 1})
        run.log_metrics({"loss": 0.5}, 3)
    assert run.run_id == ""
    warnings = [each.getMessage() for each in caplog.records if "MLflow store" in each.getMessage()]
    assert len(warnings) == 1
    assert "Connection refused" in warnings[0]
    assert "secret" not in caplog.text

    file = working / "runs" / "lost" / "unsent.jsonl"
    (sent,) = send_unsent([file], tracking.client, store=tracking.store, anywhere=True)
    assert (sent.n_unsent, sent.why) == (0, "")
    assert not file.exists()
    (stored,) = tracking.client.search_runs([tracking.experiment_id])
    assert stored.info.status == "FINISHED"
    assert stored.info.run_name == "lost"
    assert stored.data.params == {"a": "1"}
    assert history(tracking, stored.info.run_id, "loss") == [(3, 0.5)]


def test_a_file_that_names_no_run_is_refused(tmp_path):
    (tmp_path / "unsent.jsonl").write_text(to_line(MetricValue("loss", 1.0, 1, 1)))
    with pytest.raises(UserError, match="does not say which run it belongs to; delete it"):
        list(send_unsent([tmp_path / "unsent.jsonl"], None, store="x"))
