"""Sending later what could not be sent: all of it, once, whatever interrupts it."""

from __future__ import annotations

from pathlib import Path

import pytest

from transfer_kit.errors import UserError
from transfer_kit.process_lock import ProcessLock
from transfer_kit.tracking import Tracking, open_tracking
from transfer_kit.tracking.operations import MetricValue, Start, read_lines, to_line
from transfer_kit.tracking.sender import Sender
from transfer_kit.tracking.unsent import count_unsent, send_unsent, unsent_files
from transfer_kit.tracking.unsent_file import unsent_lock

pytest_plugins = ["mlflow_stores"]


class Killed(BaseException):
    """What a kill is to the code: nothing handles it."""


@pytest.fixture
def away(tracking, closed_port, impatient) -> Tracking:
    """The experiment on a server that is away, and was from the start."""
    from mlflow import MlflowClient

    dead = MlflowClient(tracking_uri=f"http://127.0.0.1:{closed_port}")
    return Tracking(dead, tracking.store, "eye", "")


def say_everything(run, folder: Path) -> None:
    run.log_params({"train": {"steps": 5}, "base": "breast"})
    for step in range(4):
        run.log_metrics({"val/f1": step / 4, "nan": float("nan")}, step)
    run.log_tags({"device": "CPU"})
    run.log_dataset("eye", "f" * 64, "training", source="/d", n_images=2, n_nuclei=9)
    run.log_artifact(folder / "recipe.yaml")


def left_by(away, folder: Path) -> Path:
    """The unsent file of a run that said everything to a server that was away."""
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text("base: breast\n")
    with away.start_run("lost", tags={"target": "eye"}, folder=folder) as run:
        say_everything(run, folder)
    return folder / "unsent.jsonl"


def all_of(tracking) -> list[dict]:
    """Everything that the store holds of each run, with each value of each figure."""
    client = tracking.client
    runs = client.search_runs([tracking.experiment_id])
    return [
        {
            "name": run.info.run_name,
            "status": run.info.status,
            "began": run.info.start_time,
            "params": run.data.params,
            "tags": {
                key: value for key, value in run.data.tags.items() if not key.startswith("mlflow.")
            },
            "history": {
                key: sorted(
                    (each.step, str(each.value), each.timestamp)
                    for each in client.get_metric_history(run.info.run_id, key)
                )
                for key in run.data.metrics
            },
            "inputs": sorted(each.dataset.digest for each in run.inputs.dataset_inputs),
            "files": sorted(each.path for each in client.list_artifacts(run.info.run_id)),
        }
        for run in runs
    ]


def synced(files, tracking):
    return list(send_unsent(files, tracking.client, store=tracking.store))


def test_all_that_a_run_said_to_a_server_that_was_away_arrives(away, tracking, working):
    file = left_by(away, working / "runs" / "lost")
    assert all_of(tracking) == []
    n_left = count_unsent(file.parent)
    (sent,) = synced([file], tracking)
    assert (sent.n_sent, sent.n_unsent, sent.n_refused, sent.why) == (n_left, 0, 0, "")
    assert [each.name for each in file.parent.iterdir()] == ["recipe.yaml"]
    (run,) = all_of(tracking)
    assert run["params"] == {"train.steps": "5", "base": "breast"}
    assert [(step, value) for step, value, _ in run["history"]["val/f1"]] == [
        (step, str(step / 4)) for step in range(4)
    ]
    assert run["history"]["nan"] != []
    assert run["inputs"] == [f"{'f' * 16}-training"]
    assert run["files"] == ["recipe.yaml"]
    assert run["status"] == "FINISHED"
    assert synced(unsent_files([working]), tracking) == []


def test_however_often_sending_is_killed_everything_is_there_once(
    away, tracking, working, monkeypatch
):
    """Killed after each request in turn, when it was carried out and not yet noted."""
    file = left_by(away, working / "runs" / "lost")
    send, kills = Sender.send, 0
    for after in range(1, 100):
        requests = []

        def killing(self, batch, after=after, requests=requests):
            send(self, batch)
            requests.append(batch)
            if len(requests) == after:
                raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(Sender, "send", killing)
            try:
                synced([file], tracking)
            except Killed:
                kills += 1
                continue
        break
    assert kills >= 6
    assert not file.exists()
    (run,) = all_of(tracking)
    assert len(run["history"]["val/f1"]) == len(run["history"]["nan"]) == 4
    assert len(run["inputs"]) == 1
    assert run["status"] == "FINISHED"


def test_a_resumed_training_that_records_its_rounds_again_has_each_once(tracking):
    with tracking.start_run("resumed", tags={}) as run:
        run.log_metrics({"val/f1": 0.5}, 3)
        run.log_metrics({"val/f1": 0.6}, 6)
    with tracking.start_run("resumed", tags={}, key=run.key) as again:
        for step, f1 in ((3, 0.5), (6, 0.6), (9, 0.7)):
            again.log_metrics({"val/f1": f1}, step)
    assert again.run_id == run.run_id
    history = tracking.client.get_metric_history(run.run_id, "val/f1")
    assert sorted((each.step, each.value) for each in history) == [(3, 0.5), (6, 0.6), (9, 0.7)]


def test_a_run_that_was_made_without_our_hearing_of_it_is_found_by_its_key(tracking):
    """The answer was lost: the next attempt makes no second run."""
    start = Start("", tracking.experiment_id, "once", {}, 1000, key="k" * 32)
    for _ in range(2):
        Sender(tracking.client, tracking.store).send([start])
    assert len(tracking.client.search_runs([tracking.experiment_id])) == 1


def test_runs_that_belong_together_find_each_other_in_whatever_order_they_are_sent(
    away, tracking, working
):
    with away.start_run("study", tags={}, folder=working / "z-study") as whole:
        with away.start_run(
            "part", tags={}, parent_key=whole.key, folder=working / "a-part"
        ) as part:
            part.log_link("compared_with", whole)
            whole.log_link("compared_with", part)
    sent = synced(unsent_files([working]), tracking)
    assert [each.why for each in sent if each.n_unsent] == []
    assert unsent_files([working]) == []
    runs = {each.info.run_name: each for each in tracking.client.search_runs(["1"])}
    whole_id, part_id = runs["study"].info.run_id, runs["part"].info.run_id
    assert runs["part"].data.tags["mlflow.parentRunId"] == whole_id
    assert runs["part"].data.tags["compared_with"] == whole_id
    assert runs["study"].data.tags["compared_with"] == part_id


def test_what_its_training_still_looks_after_is_left_to_it(away, tracking, working):
    file = left_by(away, working / "runs" / "lost")
    lock = unsent_lock(file)
    assert lock.acquire()
    (sent,) = synced([file], tracking)
    assert sent.why == "left to its run, which is still going on"
    lock.release()
    (sent,) = synced([file], tracking)
    assert sent.why == ""


def test_a_run_of_another_store_is_left_with_the_address_to_set(tracking, working):
    file = working / "unsent.jsonl"
    start = Start("0" * 32, "1", "x", {}, 1, store="http://lab:5000")
    lines = [to_line(each) for each in (start, MetricValue("loss", 1.0, 1, 1))]
    file.write_text("\n".join(lines))
    (sent,) = synced([file], tracking)
    assert sent.why == (
        f"its run is not in {tracking.store}; set MLFLOW_TRACKING_URI to http://lab:5000"
    )
    assert len(read_lines(file)) == 2
    file.write_text("\n".join([to_line(start._replace(run_id="")), *lines[1:]]))
    (sent,) = synced([file], tracking)
    assert sent.why.startswith("it began with http://lab:5000, not sqlite:")
    assert all_of(tracking) == []


def test_unsent_files_hold_no_password(closed_port, impatient, monkeypatch, working, caplog):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ann:s3cret@127.0.0.1:{closed_port}")
    tracking = open_tracking("eye")
    with tracking.start_run("lost", tags={}, folder=working / "runs" / "lost") as run:
        run.log_metrics({"loss": 1.0})
    text = (working / "runs" / "lost" / "unsent.jsonl").read_text()
    assert "http://***@127.0.0.1" in text
    assert "s3cret" not in text + caplog.text


def test_a_file_of_nothing_known_is_refused_with_the_mend(tmp_path):
    (tmp_path / "unsent.jsonl").write_text(to_line(MetricValue("loss", 1.0, 1, 1)))
    with pytest.raises(UserError, match="does not say which run it belongs to; delete it"):
        list(send_unsent([tmp_path / "unsent.jsonl"], None, store="x"))
    assert ProcessLock(tmp_path / ".unsent.lock").acquire()
