from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from transfer_kit.process_lock import ProcessLock, is_held

HOLDS = """
import sys, time
from pathlib import Path
from transfer_kit.process_lock import ProcessLock
lock = ProcessLock(Path(sys.argv[1]))
assert lock.acquire()
print("held", flush=True)
time.sleep(600)
"""


def test_one_at_a_time_has_it_and_it_leaves_nothing(tmp_path):
    path = tmp_path / "new" / ".lock"
    first, second = ProcessLock(path), ProcessLock(path)
    assert not is_held(path)
    assert first.acquire()
    assert first.acquire()
    assert not second.acquire()
    assert is_held(path)
    first.release()
    assert not path.exists()
    assert second.acquire()
    second.release()
    second.release()
    assert list(path.parent.iterdir()) == []


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    path = tmp_path / ".lock"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", HOLDS, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout.readline() == "held\n"
        assert is_held(path)
        assert not ProcessLock(path).acquire()
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not is_held(path)
    lock = ProcessLock(path)
    assert lock.acquire()
    lock.release()
