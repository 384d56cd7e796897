from __future__ import annotations

import json
import logging
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from transfer_kit.errors import UserError
from transfer_kit.tracking import Tracking, open_tracking, redacted
from transfer_kit.tracking import location as location_module
from transfer_kit.tracking.links import experiment_page, run_page, ui_root
from transfer_kit.tracking.location import (
    artifact_root,
    checked_uri,
    prepare_sqlite,
    sqlite_uri,
    store_uri,
)
from transfer_kit.tracking.operations import (
    ArtifactFile,
    DatasetUsed,
    End,
    MetricValue,
    ParamValue,
    Start,
    TagValue,
    read_lines,
    to_line,
)
from transfer_kit.tracking.outbox import Outbox
from transfer_kit.tracking.run import flattened
from transfer_kit.tracking.store import newest_experiment, send_unsent

pytest_plugins = ["mlflow_stores"]

START = Start("", "1", "name", {"base": "breast"}, 5)


@pytest.fixture
def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")


def finished(tracking, run):
    return tracking.client.get_run(run.run_id)


def history(tracking, run_id, key):
    found = tracking.client.get_metric_history(run_id, key)
    return [(each.step, each.value) for each in sorted(found, key=lambda each: each.step)]


# --- a run, from start to end


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
    with tracking.start_run("study", tags={}) as parent:  # noqa: SIM117 - nested as it is used
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


# --- faults on the way


class Store:
    """Takes batches; fails while `down`, refuses what `refuse` says."""

    def __init__(self, *, down=0, refuse=lambda operation: False):
        self.down = down
        self.refuse = refuse
        self.got = []

    def send(self, batch):
        if self.down:
            self.down -= 1
            raise ConnectionError("https://ann:secret@lab refused")
        if any(self.refuse(operation) for operation in batch):
            raise ValueError("will never be taken")
        self.got.extend(batch)


def outbox(store, file, **settings):
    quick = {"seconds": 0.01, "retry_seconds": 0.02, "store": "http://lab", **settings}
    return Outbox(store.send, lambda: START, file, **quick)


def metrics(n):
    return [MetricValue("loss", float(step), step, 1000 + step) for step in range(n)]


def wait_for(true):
    deadline = time.monotonic() + 10
    while not true() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert true()


def test_what_could_not_be_sent_arrives_later_in_order(tmp_path, caplog):
    store = Store(down=3)
    box = outbox(store, tmp_path / "unsent.jsonl")
    operations = [ParamValue("a", "1"), *metrics(700), End("FINISHED", 9)]
    for operation in operations:
        box.put(operation)
    with caplog.at_level(logging.WARNING):
        box.open()
        wait_for(lambda: not len(box))
        assert box.close()
    assert store.got == operations
    assert not (tmp_path / "unsent.jsonl").exists()
    assert len(caplog.records) == 1
    said = caplog.records[0].getMessage()
    assert "the training goes on" in said
    assert "transfer-kit ui --send-unsent" in said
    assert "secret" not in said


def test_the_file_holds_what_was_unsent_at_the_end(tmp_path):
    file = tmp_path / "run" / "unsent.jsonl"
    box = outbox(Store(down=10**6), file)
    for operation in metrics(20):
        box.put(operation)
    box.open()
    assert not box.close()
    assert read_lines(file) == [START, *metrics(20)]


def test_the_next_process_sends_what_the_last_left(tmp_path):
    file = tmp_path / "unsent.jsonl"
    file.write_text("".join(f"{to_line(each)}\n" for each in [START, *metrics(3)]) + '{"what": "Me')
    store = Store()
    box = outbox(store, file)
    box.put(ParamValue("later", "1"))
    box.open()
    assert box.close()
    assert store.got == [*metrics(3), ParamValue("later", "1")]
    assert not file.exists()


def test_a_file_of_another_run_is_set_aside(tmp_path):
    file = tmp_path / "unsent.jsonl"
    other = [START._replace(run_id="abc"), *metrics(2)]
    file.write_text("".join(f"{to_line(each)}\n" for each in other))
    store = Store()
    box = outbox(store, file)
    box.open()
    box.close()
    assert store.got == []
    assert read_lines(tmp_path / "unsent-abc.jsonl") == other


def test_one_refused_record_does_not_hold_the_others(tmp_path, caplog):
    store = Store(refuse=lambda operation: operation == ParamValue("7", "x"))
    file = tmp_path / "unsent.jsonl"
    box = outbox(store, file)
    params = [ParamValue(str(n), "x") for n in range(20)]
    for operation in [*params, *metrics(5)]:
        box.put(operation)
    with caplog.at_level(logging.WARNING):
        box.open()
        assert box.close()
    assert store.got == [each for each in params if each.key != "7"] + metrics(5)
    assert read_lines(file) == [START, ParamValue("7", "x")]
    assert "refused ParamValue (will never be taken)" in caplog.records[0].getMessage()


def test_an_interrupted_end_still_writes_the_file(tmp_path, monkeypatch):
    file = tmp_path / "unsent.jsonl"
    box = outbox(Store(down=10**6), file, seconds=60)
    box.open()
    box.put(metrics(1)[0])

    def interrupted(timeout):
        raise KeyboardInterrupt

    monkeypatch.setattr(box._thread, "join", interrupted)
    with pytest.raises(KeyboardInterrupt):
        box.close()
    wait_for(lambda: file.exists())
    assert read_lines(file) == [START, *metrics(1)]


def test_a_folder_that_cannot_be_written_does_not_end_the_training(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    box = outbox(Store(down=10**6), tmp_path / "file" / "unsent.jsonl")
    box.put(metrics(1)[0])
    with caplog.at_level(logging.WARNING):
        box.open()
        assert not box.close()
    assert any("cannot be kept in a file" in each.getMessage() for each in caplog.records)


@pytest.mark.parametrize(
    "operation",
    [
        START,
        metrics(1)[0],
        ParamValue("a", "ä"),
        TagValue("a", "b"),
        DatasetUsed("eye", "0f", "training", "/x", 1, 2),
        ArtifactFile("/x/y", "figures"),
        End("KILLED", 3),
    ],
)
def test_a_line_gives_back_its_operation(operation, tmp_path):
    (tmp_path / "x").write_text(to_line(operation))
    assert read_lines(tmp_path / "x") == [operation]


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
    assert send_unsent(file, tracking.client, store=tracking.store) == 0
    assert not file.exists()
    (stored,) = tracking.client.search_runs([tracking.experiment_id])
    assert stored.info.status == "FINISHED"
    assert stored.info.run_name == "lost"
    assert stored.data.params == {"a": "1"}
    assert history(tracking, stored.info.run_id, "loss") == [(3, 0.5)]


def test_a_file_that_names_no_run_is_refused(tmp_path):
    (tmp_path / "unsent.jsonl").write_text(to_line(metrics(1)[0]))
    with pytest.raises(UserError, match="does not say which run it belongs to; delete it"):
        send_unsent(tmp_path / "unsent.jsonl", None, store="x")


# --- going on with a run


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


# --- opening a store


def test_the_default_store_lies_in_the_working_folder(tracking, working):
    assert tracking.store == f"sqlite:///{working}/mlflow.db"
    experiment = tracking.client.get_experiment(tracking.experiment_id)
    assert experiment.artifact_location == (working / "mlartifacts").as_uri()
    assert experiment.name == "eye"


def test_opening_twice_gives_the_same_experiment(tracking):
    assert open_tracking("eye").experiment_id == tracking.experiment_id
    assert open_tracking("brain").experiment_id != tracking.experiment_id


def test_the_environment_names_another_sqlite_file(working, monkeypatch):
    (working / "other").mkdir()
    (working / "mlflow.db").rename(working / "other" / "runs.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///other/runs.db")
    tracking = open_tracking("eye")
    assert tracking.store == f"sqlite:///{working}/other/runs.db"
    experiment = tracking.client.get_experiment(tracking.experiment_id)
    assert experiment.artifact_location == (working / "other" / "mlartifacts").as_uri()


def test_the_newest_run_tells_the_experiment_to_show(tracking):
    assert newest_experiment(tracking.client) is None
    other = open_tracking("brain")
    with tracking.start_run("a", tags={}):
        pass
    time.sleep(0.005)
    with other.start_run("b", tags={}):
        pass
    assert newest_experiment(tracking.client) == other.experiment_id


def test_a_dead_server_is_told_before_the_training_and_without_the_password(
    monkeypatch, closed_port, impatient
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ann:secret@127.0.0.1:{closed_port}")
    with pytest.raises(UserError) as told:
        open_tracking("eye")
    assert str(told.value) == (
        f"The MLflow server http://***@127.0.0.1:{closed_port} does not answer (Connection "
        "refused); start it, or unset MLFLOW_TRACKING_URI to store runs in mlflow.db of the "
        "working folder."
    )


def test_a_folder_of_files_is_refused_with_the_mend(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "file:///tmp/mlruns")
    with pytest.raises(UserError, match=r"no longer stores runs in a folder of files .* sqlite:"):
        open_tracking("eye")


def test_a_file_that_is_no_database_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "mlflow.db").write_text("not a database, for sure " * 100)
    with pytest.raises(UserError, match=r"mlflow.db cannot be opened .*\(file is not a database\)"):
        open_tracking("eye")


def test_a_store_of_another_mlflow_is_told_with_the_command(working):
    with sqlite3.connect("mlflow.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '451aebb31d03'")
    database.close()
    with pytest.raises(UserError, match=r"run `mlflow db upgrade sqlite:.*mlflow.db`"):
        open_tracking("eye")


def test_a_deleted_experiment_is_told_with_the_command(tracking):
    tracking.client.delete_experiment(tracking.experiment_id)
    mend = f"mlflow experiments restore --experiment-id {tracking.experiment_id}"
    with pytest.raises(UserError, match=mend):
        open_tracking("eye")


def test_making_the_store_is_announced_once_and_leaves_nothing_else(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(location_module, "_make_tables", lambda path, root: path.write_text("db"))
    for _ in range(2):
        prepare_sqlite(sqlite_uri(tmp_path / "mlflow.db"))
    assert capsys.readouterr().err == "preparing mlflow.db (once)\n"
    assert [each.name for each in tmp_path.iterdir()] == ["mlflow.db"]


def test_an_interrupted_making_leaves_no_half_store(tmp_path, monkeypatch):
    def interrupted(path, root):
        path.write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(location_module, "_make_tables", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare_sqlite(sqlite_uri(tmp_path / "mlflow.db"))
    assert list(tmp_path.iterdir()) == []


def test_of_two_processes_that_make_the_store_the_first_wins(tmp_path, monkeypatch):
    def slower(path, root):
        path.write_text("second")
        (tmp_path / "mlflow.db").write_text("first")

    monkeypatch.setattr(location_module, "_make_tables", slower)
    prepare_sqlite(sqlite_uri(tmp_path / "mlflow.db"))
    assert (tmp_path / "mlflow.db").read_text() == "first"


def test_a_folder_that_cannot_hold_a_store_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"Runs cannot be stored in .*; work in a folder that can"):
        prepare_sqlite(sqlite_uri(tmp_path / "file" / "mlflow.db"))


# --- addresses


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("sqlite:////home/ann/mlflow.db", "sqlite:////home/ann/mlflow.db"),
        ("http://lab:5000", "http://lab:5000"),
        ("http://ann:se@cret@lab:5000/x", "http://***@lab:5000/x"),
        ("postgresql://ann:pw@db/runs", "postgresql://***@db/runs"),
        ("mysql://db/runs?user=a&password=pw&x=1", "mysql://db/runs?user=a&password=***&x=1"),
        ("no answer of http://a:b@lab/x at all", "no answer of http://***@lab/x at all"),
    ],
)
def test_passwords_are_never_shown(text, shown):
    assert redacted(text) == shown


def test_addresses_are_made_absolute_and_trimmed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert checked_uri("sqlite:///a.db") == f"sqlite:///{tmp_path}/a.db"
    assert checked_uri("http://lab:5000/") == "http://lab:5000"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    assert store_uri() == f"sqlite:///{tmp_path}/mlflow.db"
    assert artifact_root("http://lab") is None
    assert artifact_root("postgresql://db/x") == (tmp_path / "mlartifacts").as_uri()


def test_a_question_mark_in_the_folder_is_told(tmp_path):
    with pytest.raises(UserError, match="holds a question mark; work in another folder"):
        sqlite_uri(tmp_path / "what?" / "mlflow.db")


def test_links_open_the_table_of_trainings(tracking):
    number = tracking.experiment_id
    view = "workflowType=machine_learning"
    assert tracking.experiment_url(5057) == (
        f"http://127.0.0.1:5057/#/experiments/{number}/runs?{view}"
    )
    assert tracking.run_url("ab", 5057) == (
        f"http://127.0.0.1:5057/#/experiments/{number}/runs/ab?{view}"
    )


def test_links_to_a_server_hold_its_address_and_no_password():
    root = ui_root("https://ann:pw@lab:8080/mlflow/")
    assert experiment_page(root, "3").startswith("https://lab:8080/mlflow/#/experiments/3/runs?")
    assert run_page(ui_root("sqlite:///x", 80, "::1"), "1", "r").startswith("http://[::1]:80/#/")


def test_importing_tracking_imports_neither_mlflow_nor_torch():
    code = (
        "import sys, transfer_kit.tracking, transfer_kit.cli.ui, transfer_kit.cli.doctor\n"
        "assert not {'mlflow', 'torch', 'pandas', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])
