from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from transfer_kit import diagnosis
from transfer_kit.cli.doctor import doctor
from transfer_kit.diagnosis import Check

WELL = Check("python", "ok", "Python 3.11.7")
DOUBT = Check("gpu", "warning", "unused", "install the driver")
BROKEN = Check("opencv", "failed", "no libGL [1]", "pip install opencv-python-headless")


@pytest.fixture
def run(monkeypatch):
    """`transfer-kit doctor` on an installation with the given findings."""
    app = typer.Typer()
    app.command()(doctor)

    def run(checks, *arguments):
        monkeypatch.setattr(diagnosis, "diagnose", lambda: checks)
        return CliRunner().invoke(app, arguments)

    return run


def test_a_sound_installation_exits_with_0(run):
    result = run([WELL, DOUBT])
    assert result.exit_code == 0
    assert "2 checks; failed: 0, warnings: 1" in result.stdout


def test_a_failed_check_exits_with_1_and_says_the_mend(run):
    result = run([WELL, BROKEN])
    assert result.exit_code == 1
    assert "no libGL [1]" in result.stdout
    assert "Mend: pip install opencv-python-headless" in result.stdout


def test_json_is_one_object(run):
    result = run([WELL, BROKEN], "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {
        "ok": False,
        "checks": [
            {"name": "python", "status": "ok", "message": "Python 3.11.7", "mend": ""},
            {
                "name": "opencv",
                "status": "failed",
                "message": "no libGL [1]",
                "mend": "pip install opencv-python-headless",
            },
        ],
    }
    assert json.loads(run([WELL], "--json").stdout)["ok"] is True
