from __future__ import annotations

import logging
import time

import pytest

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
from transfer_kit.tracking.unsent_file import unsent_lock

START = Start("", "1", "name", {"base": "breast"}, 5)


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
    assert "transfer-kit runs sync" in said
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


def test_a_file_that_another_process_is_sending_is_left_to_it(tmp_path):
    file = tmp_path / "unsent.jsonl"
    left = [START, *metrics(2)]
    file.write_text("".join(f"{to_line(each)}\n" for each in left))
    theirs = unsent_lock(file)
    assert theirs.acquire()
    box = outbox(Store(down=10**6), file)
    box.put(ParamValue("later", "1"))
    box.open()
    assert not box.close()
    theirs.release()
    assert read_lines(file) == left
    (own,) = set(tmp_path.glob("unsent-*.jsonl"))
    assert read_lines(own) == [START, ParamValue("later", "1")]


@pytest.mark.parametrize("seconds", [0.6, 60.0])
def test_a_slow_store_is_not_waited_for_when_the_run_has_ended(tmp_path, seconds):
    class Slow(Store):
        def send(self, batch):
            time.sleep(seconds)
            super().send(batch)

    box = outbox(Slow(), tmp_path / "unsent.jsonl")
    for n in range(50):  # alternating kinds: a request each
        box.put(ParamValue(str(n), "x"))
        box.put(metrics(1)[0])
    box.open()
    time.sleep(1.0)
    began = time.monotonic()
    assert not box.close(timeout_seconds=30.0, patience_seconds=1.0)
    assert time.monotonic() - began < 15
    assert len(read_lines(tmp_path / "unsent.jsonl")) > 50


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
