from __future__ import annotations

from pathlib import Path

import pytest

from transfer_kit import diagnosis
from transfer_kit.diagnosis import imports, surroundings
from transfer_kit.diagnosis.check import Check, Probe, probe

pytest_plugins = ["mlflow_stores"]


def test_a_probe_does_not_import_from_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("colorsys.py").write_text("raise RuntimeError('of the working folder')")
    found = probe("import colorsys\nprint(json.dumps({'file': colorsys.__file__}))", ["numpy"])
    assert found.error == ""
    assert str(tmp_path) not in found.facts["file"]
    assert found.versions["numpy"]


def test_a_check_that_breaks_is_a_finding(working, monkeypatch):
    well = Check("x", "ok", "")

    def broken():
        raise ImportError("platformdirs is broken")

    for name in ("check_torchvision", "check_opencv", "check_mlflow", "check_albumentations"):
        monkeypatch.setattr(imports, name, lambda: well)
    monkeypatch.setattr(imports, "probe_torch", lambda: Probe({}, None))
    monkeypatch.setattr(surroundings, "check_store_folder", broken)
    found = {each.name: each for each in diagnosis.diagnose()}
    assert found["store folder"].status == "failed"
    assert "ImportError: platformdirs is broken" in found["store folder"].message
    assert found["python"].status == "ok"


@pytest.mark.slow
def test_this_installation_can_import_what_it_needs(working):
    found = {each.name: each for each in diagnosis.diagnose()}
    for name in ("python", "torch", "torchvision", "opencv", "mlflow", "albumentations"):
        assert found[name].status == "ok", found[name]
