from __future__ import annotations

import http.server
import os
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from transfer_kit import diagnosis
from transfer_kit.diagnosis import imports, surroundings
from transfer_kit.diagnosis.check import Check, Probe, probe

pytest_plugins = ["mlflow_stores"]

TORCH = """
__version__ = "2.13.0+cpu"
def tensor(values): return values
"""


@pytest.fixture
def shadow(tmp_path, monkeypatch):
    """Modules and distributions that hide the installed ones from new Python processes."""
    folder = tmp_path / "shadow"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(folder))

    def plant(module, code="", **distributions):
        (folder / f"{module}.py").write_text(code)
        for name, version in distributions.items():
            info = folder / f"{name}-{version}.dist-info"
            info.mkdir()
            name = name.replace("_", "-")
            (info / "METADATA").write_text(
                f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            )

    return plant


def facts(**changed):
    seen = {
        "version": "2.15.0",
        "cuda_build": None,
        "rocm_build": None,
        "cuda_error": "",
        "devices": [],
        "mps": False,
        "threads": 2,
    }
    return Probe({}, {**seen, **changed})


def no_module(name):
    return f"raise ModuleNotFoundError(\"No module named '{name}'\")"


# --- the pair of torch and torchvision


def test_a_torchvision_of_another_torch_is_named_with_both_versions(shadow):
    shadow("torch", TORCH, torch="2.13.0")
    error = "operator torchvision::nms does not exist"
    shadow("torchvision", f"raise RuntimeError({error!r})", torchvision="0.28.0")
    found = imports.check_torchvision()
    assert found == Check(
        "torchvision",
        "failed",
        "torch 2.13.0 and torchvision 0.28.0 do not belong together (RuntimeError: operator "
        "torchvision::nms does not exist)",
        "pip install --upgrade torch torchvision, both in one command",
    )


def test_a_torchvision_whose_operators_fail_only_when_called_is_found(shadow):
    shadow("torch", TORCH, torch="2.13.0")
    code = "raise RuntimeError('Could not run torchvision::nms with arguments from the CPU')"
    ops = f"class ops:\n    @staticmethod\n    def nms(*_):\n        {code}\n"
    shadow("torchvision", ops, torchvision="0.28.0")
    found = imports.check_torchvision()
    assert found.status == "failed"
    assert "do not belong together" in found.message


def test_another_fault_of_torchvision_is_told_as_it_is(shadow):
    shadow("torch", TORCH, torch="2.13.0")
    shadow("torchvision", "import json\njson.loads('{')", torchvision="0.28.0")
    found = imports.check_torchvision()
    assert found.status == "failed"
    assert "JSONDecodeError" in found.message
    assert "--force-reinstall torch torchvision" in found.mend


def test_a_missing_torchvision_is_told(shadow):
    shadow("torch", TORCH)
    shadow("torchvision", no_module("torchvision"))
    found = imports.check_torchvision()
    assert (found.status, found.message, found.mend) == (
        "failed",
        "torchvision is not installed",
        "pip install torchvision",
    )


def test_a_missing_torch_fails_one_check_and_the_others_step_aside(shadow):
    shadow("torch", no_module("torch"))
    torch = imports.probe_torch()
    assert imports.check_torch(torch).mend == "pip install torch torchvision"
    others = (imports.check_torchvision(), imports.check_gpu(torch), imports.check_threads(torch))
    assert [each.status for each in others] == ["warning"] * 3


def test_a_torch_that_crashes_is_told_with_its_signal(shadow):
    shadow("torch", "import os, signal\nos.kill(os.getpid(), signal.SIGILL)", torch="2.13.0")
    found = imports.check_torch(imports.probe_torch())
    assert found.message == "torch 2.13.0 cannot be imported (the process was ended by SIGILL)"


# --- OpenCV


def test_an_opencv_without_libgl_is_named_with_the_mend(shadow):
    error = "libGL.so.1: cannot open shared object file: No such file or directory"
    shadow("cv2", f"raise ImportError({error!r})", opencv_python="4.9.0.80")
    found = imports.check_opencv()
    assert found.status == "failed"
    assert "OpenCV does not find libGL" in found.message
    assert "opencv-python 4.9.0.80" in found.message
    assert "pip uninstall -y opencv-python" in found.mend
    assert found.mend.endswith("&& pip install opencv-python-headless")


def test_two_builds_of_opencv_are_named(shadow):
    shadow("nothing", opencv_python="4.9.0.80")
    found = imports.check_opencv()
    assert found.status == "warning"
    assert "opencv-python 4.9.0.80 and opencv-python-headless" in found.message
    assert "pip uninstall -y opencv-python opencv-python-headless &&" in found.mend


def test_another_fault_of_opencv_is_told_as_it_is(shadow):
    shadow("cv2", "raise ImportError('numpy.core.multiarray failed to import')")
    found = imports.check_opencv()
    assert found.status == "failed"
    assert "numpy.core.multiarray failed to import" in found.message


def test_the_installed_opencv_is_well():
    assert imports.check_opencv().status == "ok"


# --- albumentations, MLflow


def test_another_albumentations_is_a_warning(shadow):
    shadow("albumentations", "__version__ = '2.1.0'")
    found = imports.check_albumentations()
    assert (found.status, found.mend) == ("warning", "pip install albumentations==2.0.8")


def test_a_broken_albumentations_fails(shadow):
    shadow("albumentations", "import no_such_module")
    found = imports.check_albumentations()
    assert found.status == "failed"
    assert "No module named 'no_such_module'" in found.message


def test_an_mlflow_of_another_major_version_is_a_warning(shadow):
    shadow("mlflow", "__version__ = '2.22.0'")
    found = imports.check_mlflow()
    assert (found.status, found.mend) == ("warning", 'pip install "mlflow>=3.1,<4"')


# --- graphics cards and threads


@pytest.fixture
def nvidia_card(tmp_path):
    device = tmp_path / "pci" / "0000:01:00.0"
    device.mkdir(parents=True)
    (device / "vendor").write_text("0x10de\n")
    (device / "class").write_text("0x030000\n")
    return device.parent


def test_the_cards_in_use_are_named(tmp_path):
    found = imports.check_gpu(facts(devices=[["H200", 139.8], ["H200", 139.8]]), tmp_path)
    assert (found.status, found.message) == ("ok", "H200 with 140 GiB, H200 with 140 GiB")


def test_a_machine_without_a_card_is_well_and_says_why_it_has_none(tmp_path):
    error = "Found no NVIDIA driver on your system. Please check"
    found = imports.check_gpu(facts(cuda_build="13.2", cuda_error=error), tmp_path)
    assert found.status == "ok"
    assert found.message == (
        "none: torch is built for CUDA 13.2, but no NVIDIA driver is loaded; "
        "trainings run on the CPU"
    )


def test_a_card_without_driver_is_a_warning(nvidia_card):
    found = imports.check_gpu(facts(cuda_build="13.2"), nvidia_card)
    assert found.status == "warning"
    assert "install or update the NVIDIA driver" in found.mend


def test_a_driver_that_is_too_old_is_told(nvidia_card):
    error = "The NVIDIA driver on your system is too old"
    found = imports.check_gpu(facts(cuda_build="13.2", cuda_error=error), nvidia_card)
    assert error in found.message


def test_a_cpu_build_on_a_machine_with_a_card_is_a_warning(nvidia_card):
    found = imports.check_gpu(facts(), nvidia_card)
    assert found.status == "warning"
    assert "torch is built for the CPU alone" in found.message
    assert "CUDA build of torch" in found.mend


def test_an_nvidia_sound_device_is_no_card(nvidia_card):
    (nvidia_card / "0000:01:00.0" / "class").write_text("0x040300\n")
    assert not imports.has_nvidia_card(nvidia_card)


def test_mps_is_a_gpu(tmp_path):
    assert imports.check_gpu(facts(mps=True), tmp_path).message == "Apple GPU through MPS"


def test_more_threads_than_processors_is_a_warning():
    found = imports.check_threads(facts(threads=64), n_cpus=2)
    assert found.status == "warning"
    assert found.mend.startswith("set OMP_NUM_THREADS=2")
    assert imports.check_threads(facts(threads=2), n_cpus=2).status == "ok"


def test_a_forgotten_thread_limit_is_a_warning(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    found = imports.check_threads(facts(threads=1), n_cpus=8)
    assert (found.status, found.mend) == ("warning", "unset OMP_NUM_THREADS for a single training")


# --- Python, folders, disk, shipped files


def test_an_old_python_fails():
    assert surroundings.check_python((3, 9, 18)).mend == "install Python 3.10 or newer"
    assert surroundings.check_python().status == "ok"


def test_a_folder_that_cannot_be_written_fails(tmp_path):
    (tmp_path / "file").write_text("")
    found = surroundings.check_writable("working folder", tmp_path / "file" / "x")
    assert found.status == "failed"
    assert "cannot be written (Not a directory)" in found.message


def test_a_folder_that_does_not_exist_yet_is_well_where_it_can_be_made(tmp_path):
    assert surroundings.check_writable("store folder", tmp_path / "a" / "b").status == "ok"
    assert list(tmp_path.iterdir()) == []


def test_the_store_folder_follows_its_variable(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TRANSFER_KIT_HOME", str(tmp_path / "file"))
    found = surroundings.check_store_folder()
    assert (found.status, found.mend) == (
        "failed",
        "set TRANSFER_KIT_HOME to a folder of your own",
    )


@pytest.mark.parametrize(("free_gb", "status"), [(0.1, "failed"), (3, "warning"), (50, "ok")])
def test_a_full_disk_is_told(tmp_path, monkeypatch, free_gb, status):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free_gb * 1e9))
    found = surroundings.check_disk(tmp_path)
    assert found.status == status
    assert bool(found.mend) == (status != "ok")


def test_data_folders_that_do_not_exist_fail(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFER_KIT_DATA", os.pathsep.join([str(tmp_path), "/no/such/folder"]))
    found = surroundings.check_data_folders()
    assert found.status == "failed"
    assert found.message == "TRANSFER_KIT_DATA names what is no folder: /no/such/folder"
    monkeypatch.setenv("TRANSFER_KIT_DATA", str(tmp_path))
    assert surroundings.check_data_folders().status == "ok"
    monkeypatch.delenv("TRANSFER_KIT_DATA")
    assert surroundings.check_data_folders().status == "ok"


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """An installation of one recipe and one model."""
    from transfer_kit.stores import locations

    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "everyday.yaml").write_text("")
    model = tmp_path / "models" / "micronet-breast"
    model.mkdir(parents=True)
    (model / "card.yaml").write_text("")
    (model / "detector.safetensors").write_bytes(b"x" * 2000)
    monkeypatch.setattr(locations, "shipped", lambda kind: tmp_path / kind)
    return model


def test_recipes_and_models_that_ship_are_counted(shipped):
    found = surroundings.check_shipped()
    assert (found.status, found.message) == ("ok", "1 recipes, 1 models")


def test_weights_that_were_not_fetched_are_told(shipped):
    (shipped / "detector.safetensors").write_text("version https://git-lfs.github.com/spec/v1")
    found = surroundings.check_shipped()
    assert found.message == "the weights of micronet-breast are missing or empty"


def test_an_installation_without_models_is_told(shipped):
    shutil.rmtree(shipped)
    assert surroundings.check_shipped().status == "failed"


# --- the MLflow store


@pytest.fixture
def server():
    """A web server on this machine that answers every page with its `status`."""

    class Answer(http.server.BaseHTTPRequestHandler):
        status = 200

        def do_GET(self):
            self.send_response(self.status)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield SimpleNamespace(port=running.server_port, answer=Answer)
        running.shutdown()
        thread.join()


def test_a_store_that_is_there_is_well(working):
    found = surroundings.check_tracking_store()
    assert (found.status, found.message) == ("ok", f"{working / 'mlflow.db'} with 0 runs")


def test_a_store_that_will_be_made_is_well(working):
    (working / "mlflow.db").unlink()
    found = surroundings.check_tracking_store()
    assert (found.status, found.message) == (
        "ok",
        f"{working / 'mlflow.db'} will be made by the first run",
    )
    assert not (working / "mlflow.db").exists()


def test_a_broken_store_fails(working):
    (working / "mlflow.db").write_text("broken " * 1000)
    found = surroundings.check_tracking_store()
    assert found.status == "failed"
    assert "is no MLflow store (file is not a database)" in found.message
    assert found.mend.startswith("move it away")


def test_a_server_that_answers_is_well_and_its_password_unseen(server, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ann:secret@127.0.0.1:{server.port}")
    found = surroundings.check_tracking_store()
    assert found.status == "ok"
    assert found.message == f"the MLflow server http://***@127.0.0.1:{server.port} answers"


@pytest.mark.parametrize(("status", "verdict"), [(401, "ok"), (404, "failed"), (502, "failed")])
def test_a_server_is_judged_by_its_answer(server, monkeypatch, status, verdict):
    server.answer.status = status
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.port}")
    assert surroundings.check_tracking_store().status == verdict


def test_a_server_that_is_down_fails(server, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ann:secret@127.0.0.1:1")
    found = surroundings.check_tracking_store()
    assert found.status == "failed"
    assert "Connection refused" in found.message
    assert "secret" not in found.message
    assert found.mend.startswith("start it, or unset MLFLOW_TRACKING_URI")


def test_a_database_that_is_down_fails_without_its_password(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nosuchdatabase://ann:secret@127.0.0.1:1/x")
    found = surroundings.check_tracking_store()
    assert found.status == "failed"
    assert "secret" not in found.message + found.mend


def test_a_folder_of_files_as_store_fails_with_the_mend(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "./mlruns")
    found = surroundings.check_tracking_store()
    assert found.status == "failed"
    assert found.mend.startswith("set MLFLOW_TRACKING_URI to a server")


# --- all together


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
    monkeypatch.setattr(imports, "probe_torch", facts)
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
