"""Slides with bytes changed, zeroed or cut off: nothing but a UserError may come out.

Three seconds a reader; `TRANSFER_KIT_FUZZ_SECONDS=60 pytest tests/data/slides/test_fuzzed.py` for a
minute each.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from data.slides import fuzzing

SECONDS = os.environ.get("TRANSFER_KIT_FUZZ_SECONDS", "3")
TESTS = Path(__file__).parents[2]


@pytest.mark.parametrize("reader", sorted(fuzzing.READERS))
def test_damaged_slides_give_a_sentence(tmp_path, reader):
    if reader == "openslide":
        pytest.importorskip("openslide", reason="needs the extra [slides]")
    command = [sys.executable, fuzzing.__file__, reader, SECONDS, "0", str(tmp_path)]
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=float(SECONDS) + 300,
    )
    last = done.stdout.splitlines()[-1:]
    crashed = signal.Signals(-done.returncode).name if done.returncode < 0 else ""
    assert done.returncode == 0, f"attempt {last} {crashed}: {done.stderr[-3000:]}"
    assert int(done.stdout.splitlines()[-1].split()[0]) > 5


def test_a_reader_that_raises_something_else_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(fuzzing, "open_slide", lambda path: 1 / 0)
    fuzzing.plain_images(tmp_path)
    with pytest.raises(ZeroDivisionError):
        fuzzing.attempt(tmp_path / "a.png", 0, 0)
