from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import webbrowser
from pathlib import Path

import pytest

from transfer_kit.cli.ui import ui
from transfer_kit.errors import UserError
from transfer_kit.tracking import server
from transfer_kit.tracking.operations import End, MetricValue, Start, to_line
from transfer_kit.tracking.unsent_file import unsent_lock

pytest_plugins = ["mlflow_stores"]

SERVER = """
import http.server, os, signal, subprocess, sys, time
worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open("pids", "w").write(f"{os.getpid()} {worker.pid}")
assert os.environ["MLFLOW_BACKEND_STORE_URI"].endswith("mlflow.db")
assert os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""
"""A stand-in that starts at once, with a worker as MLflow's server has one."""

COMMAND = f"""
import sys, typer
from transfer_kit.tracking import server
from transfer_kit.cli.ui import ui
server._command = lambda store, host, port: [sys.executable, "-c", {SERVER!r}, str(port)]
app = typer.Typer()
app.command()(ui)
app()
"""


@pytest.fixture
def port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def one_run(tracking):
    with tracking.start_run("first", tags={}):
        pass
    return tracking


@pytest.fixture
def no_server(monkeypatch):
    def refused(*arguments, **settings):
        raise AssertionError("no server should be started")

    monkeypatch.setattr(server, "serving", refused)


def page(port, experiment_id):
    return (
        f"http://127.0.0.1:{port}/#/experiments/{experiment_id}/runs?workflowType=machine_learning"
    )


def is_alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_ending_it_ends_the_server_and_its_workers(one_run, port, how):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "--port", str(port), "--no-browser"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        # A shell lets its background jobs, and so their children, ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert process.stdout.readline().strip() == page(port, one_run.experiment_id)
        pids = [int(each) for each in Path("pids").read_text().split()]
        assert all(is_alive(pid) for pid in pids)
        process.send_signal(how)
        _, said = process.communicate(timeout=240)
    finally:
        process.kill()
    assert process.returncode == 0, said
    assert said.endswith("Stopped.\n")
    deadline = time.monotonic() + 5
    while any(is_alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(is_alive(pid) for pid in pids)


def test_a_taken_port_is_told_with_a_free_one(one_run):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"Port {port} on 127.0.0.1 is taken") as told:
            ui(port=port, no_browser=True)
    free = int(re.search(r"use --port (\d+), which is free", str(told.value))[1])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", free))


def test_a_port_that_browsers_refuse_is_told(one_run):
    with pytest.raises(UserError, match=r"Browsers refuse to open port 5060; use --port 50(?!61)"):
        ui(port=5060, no_browser=True)


def test_an_unknown_host_is_told(one_run):
    with pytest.raises(UserError, match=r"There is no host 'no\.such\.host\.invalid'; use --host"):
        ui(host="no.such.host.invalid", no_browser=True)


def test_a_server_that_ends_at_once_is_told_with_its_last_words(one_run, port, monkeypatch):
    code = "print('Starting'); raise SystemExit('the schema is out of date')"
    monkeypatch.setattr(server, "_command", lambda *_: [sys.executable, "-c", code])
    with pytest.raises(UserError, match=r"ended at once: .*the schema is out of date"):
        ui(port=port, no_browser=True)


def test_a_folder_without_store_says_how_to_make_a_run_and_makes_no_store(
    tmp_path, monkeypatch, no_server
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(UserError) as told:
        ui()
    assert str(told.value) == (
        f"There are no runs in {tmp_path}/mlflow.db yet; `transfer-kit finetune --base breast "
        "--target eye` makes one here, and --store opens another store."
    )
    assert list(tmp_path.iterdir()) == []


def test_a_store_without_runs_says_how_to_make_one(working, no_server):
    with pytest.raises(UserError, match=r"There are no runs in sqlite:.*mlflow.db yet"):
        ui()


def test_another_store_is_opened_by_its_file(one_run, tmp_path_factory, monkeypatch, port):
    store = Path("mlflow.db").absolute()
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    seen = []
    monkeypatch.setattr(server, "_command", lambda store, *_: seen.append(store) or ["false"])
    with pytest.raises(UserError, match="ended at once"):
        ui(store=str(store), port=port, no_browser=True)
    assert seen == [f"sqlite:///{store}"]


@pytest.mark.parametrize(("display", "opened"), [("", 0), (":0", 1)])
def test_a_running_server_is_only_linked_to(
    one_run, monkeypatch, capsys, no_server, display, opened
):
    from transfer_kit.tracking import store

    pages = []
    monkeypatch.setattr(webbrowser, "open", pages.append)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr(store, "open_client", lambda uri: one_run.client)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://ann:secret@lab/mlflow")
    ui()
    link = f"https://lab/mlflow/#/experiments/{one_run.experiment_id}/runs"
    assert capsys.readouterr().out == f"{link}?workflowType=machine_learning\n"
    assert len(pages) == opened


def test_what_was_unsent_is_sent_first(tracking, monkeypatch, port, capsys):
    start = Start("", tracking.experiment_id, "lost", {}, 1000)
    ended = [start, MetricValue("f1", 0.5, 1, 2000), End("FINISHED", 3000)]
    for name, operations in (("ended", ended), ("going-on", ended[:2])):
        file = Path("runs") / name / "unsent.jsonl"
        file.parent.mkdir(parents=True)
        file.write_text("".join(f"{to_line(each)}\n" for each in operations))
    lock = unsent_lock(Path("runs/going-on/unsent.jsonl"))
    assert lock.acquire()
    monkeypatch.setattr(server, "_command", lambda *_: ["false"])
    with pytest.raises(UserError, match="ended at once"):
        ui(port=port, no_browser=True, unsent=True)
    (stored,) = tracking.client.search_runs([tracking.experiment_id])
    assert (stored.info.run_name, stored.data.metrics) == ("lost", {"f1": 0.5})
    assert not Path("runs/ended/unsent.jsonl").exists()
    assert Path("runs/going-on/unsent.jsonl").exists()
    lock.release()
    said = capsys.readouterr().err
    assert "runs/ended/unsent.jsonl: 2 records sent" in said
    assert "runs/going-on/unsent.jsonl: left to its run" in said


@pytest.mark.slow
def test_mlflows_own_server_shows_the_store(one_run, port):
    with server.serving(one_run.store, host="127.0.0.1", port=port) as process:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
            assert b"MLflow" in answer.read()
        address = f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/get-by-name"
        with urllib.request.urlopen(f"{address}?experiment_name=eye") as answer:
            assert one_run.experiment_id.encode() in answer.read()
    assert process.poll() is not None
