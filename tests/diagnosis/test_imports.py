from __future__ import annotations

import pytest

from transfer_kit.diagnosis import imports
from transfer_kit.diagnosis.check import Check, Probe

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
