"""Checks of the libraries that most often do not fit together."""

from __future__ import annotations

import os
from pathlib import Path

from transfer_kit.diagnosis.check import Check, Probe, probe
from transfer_kit.wording import counted

ALBUMENTATIONS = "2.0.8"
OPENCV = (
    "opencv-python",
    "opencv-contrib-python",
    "opencv-python-headless",
    "opencv-contrib-python-headless",
)
NVIDIA = "0x10de"

_TORCH = """
import torch
facts = {"version": torch.__version__, "cuda_build": torch.version.cuda, "devices": [],
         "rocm_build": getattr(torch.version, "hip", None), "cuda_error": "",
         "threads": torch.get_num_threads(),
         "mps": bool(torch.backends.mps.is_available())}
float((torch.ones(3, 3) @ torch.ones(3, 3)).sum())
if torch.cuda.is_available():
    for n in range(torch.cuda.device_count()):
        found = torch.cuda.get_device_properties(n)
        facts["devices"].append([found.name, found.total_memory / 2**30])
elif facts["cuda_build"]:
    try:
        torch.cuda.init()
    except Exception as error:
        facts["cuda_error"] = str(error).splitlines()[0]
print(json.dumps(facts))
"""
_TORCHVISION = """
import torch, torchvision
torchvision.ops.nms(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([1.0]), 0.5)
print(json.dumps({"version": torchvision.__version__}))
"""
_OPENCV = """
import cv2, numpy
cv2.distanceTransform(numpy.ones((8, 8), numpy.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
print(json.dumps({"version": cv2.__version__}))
"""
_ALBUMENTATIONS = """
import os
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
import albumentations
print(json.dumps({"version": albumentations.__version__}))
"""
_MLFLOW = """
import os
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
import mlflow
print(json.dumps({"version": mlflow.__version__}))
"""


def probe_torch() -> Probe:
    """Import torch and ask it what it sees; several checks read the answer."""
    return probe(_TORCH, ["torch", "torchvision"])


def check_torch(torch: Probe) -> Check:
    """Torch can be imported and multiplies."""
    if torch.facts is not None:
        return Check("torch", "ok", f"torch {torch.facts['version']}")
    if _is_missing(torch, "torch"):
        return Check("torch", "failed", "torch is not installed", "pip install torch torchvision")
    return Check(
        "torch",
        "failed",
        f"{torch.named('torch')} cannot be imported ({torch.error})",
        "pip install --upgrade --force-reinstall torch torchvision",
    )


def check_torchvision() -> Check:
    """Torchvision fits the torch beside it: each is built for one version of the other."""
    vision = probe(_TORCHVISION, ["torch", "torchvision"])
    name = "torchvision"
    if vision.facts is not None:
        return Check(name, "ok", f"torchvision {vision.facts['version']}, its operators run")
    if _is_missing(vision, "torch"):
        return Check(name, "warning", "not looked at, since torch is not installed")
    if _is_missing(vision, "torchvision"):
        return Check(name, "failed", "torchvision is not installed", "pip install torchvision")
    pair = f"{vision.named('torch')} and {vision.named('torchvision')}"
    signs = ("torchvision::", "undefined symbol", "custom C++ ops", "_C.so", "compiled with")
    if any(sign in vision.error for sign in signs):
        return Check(
            name,
            "failed",
            f"{pair} do not belong together ({vision.error})",
            "pip install --upgrade torch torchvision, both in one command",
        )
    return Check(
        name,
        "failed",
        f"torchvision cannot be imported with {pair} ({vision.error})",
        "pip install --upgrade --force-reinstall torch torchvision",
    )


def check_gpu(torch: Probe, pci: Path = Path("/sys/bus/pci/devices")) -> Check:
    """Whether trainings run on a graphics card, and why not."""
    if torch.facts is None:
        return Check("gpu", "warning", "not looked at, since torch cannot be imported")
    seen = torch.facts
    if seen["devices"]:
        cards = ", ".join(f"{name} with {memory:.0f} GiB" for name, memory in seen["devices"])
        return Check("gpu", "ok", cards)
    if seen["mps"]:
        return Check("gpu", "ok", "Apple GPU through MPS")
    if seen["cuda_build"]:
        why = f"torch is built for CUDA {seen['cuda_build']}, but {_no_driver(seen['cuda_error'])}"
    elif seen["rocm_build"]:
        why = f"torch is built for ROCm {seen['rocm_build']}, but no AMD card is seen"
    else:
        why = "torch is built for the CPU alone"
    if not has_nvidia_card(pci):
        return Check("gpu", "ok", f"none: {why}; trainings run on the CPU")
    mend = (
        "install or update the NVIDIA driver, then see that `nvidia-smi` lists the card"
        if seen["cuda_build"]
        else "install the CUDA build of torch and torchvision (see pytorch.org/get-started)"
    )
    return Check(
        "gpu", "warning", f"this machine has an NVIDIA card, but it is unused: {why}", mend
    )


def has_nvidia_card(pci: Path) -> bool:
    """Whether the PCI bus holds an NVIDIA display or compute device."""
    return any(
        _first_word(vendor) == NVIDIA and _first_word(vendor.with_name("class")).startswith("0x03")
        for vendor in pci.glob("*/vendor")
    )


def _first_word(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:  # a device that went while it was looked at
        return ""


def check_threads(torch: Probe, n_cpus: int | None = None) -> Check:
    """Torch uses as many threads as this process has processors."""
    if torch.facts is None:
        return Check("threads", "warning", "not looked at, since torch cannot be imported")
    n_threads, usable = int(torch.facts["threads"]), n_cpus or usable_cpus()
    said = f"torch uses {counted(n_threads, 'thread')} on {counted(usable, 'usable processor')}"
    if n_threads > usable:
        mend = f"set OMP_NUM_THREADS={usable}: more threads than processors are slower"
        return Check("threads", "warning", said, mend)
    if n_threads == 1 and usable > 1 and os.environ.get("OMP_NUM_THREADS"):
        said += f" (OMP_NUM_THREADS={os.environ['OMP_NUM_THREADS']})"
        return Check("threads", "warning", said, "unset OMP_NUM_THREADS for a single training")
    return Check("threads", "ok", said)


def usable_cpus() -> int:
    """Processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_opencv() -> Check:
    """OpenCV can be imported, and only one build of it is installed."""
    opencv = probe(_OPENCV, OPENCV)
    installed = [name for name in OPENCV if opencv.versions.get(name)]
    builds = " and ".join(opencv.named(name) for name in installed) or "no opencv distribution"
    mend = (
        f"pip uninstall -y {' '.join(installed)} && pip install opencv-python-headless"
        if installed
        else "pip install opencv-python-headless"
    )
    if opencv.facts is None and "libGL" in opencv.error:
        message = (
            f"OpenCV does not find libGL ({opencv.error}): {builds} installed, and opencv-python "
            "needs a screen's libraries, which opencv-python-headless does without"
        )
        return Check("opencv", "failed", message, mend)
    if opencv.facts is None:
        message = f"OpenCV cannot be imported ({opencv.error}); {builds} installed"
        return Check("opencv", "failed", message, mend)
    if len(installed) > 1:
        message = f"{builds} are both installed and overwrite each other's files in cv2/"
        return Check("opencv", "warning", message, mend)
    return Check("opencv", "ok", f"OpenCV {opencv.facts['version']} ({builds})")


def check_albumentations() -> Check:
    """The release that augmentation was written and tested with."""
    found = probe(_ALBUMENTATIONS, ["albumentations"])
    mend = f"pip install albumentations=={ALBUMENTATIONS}"
    if found.facts is None:
        said = f"{found.named('albumentations')} cannot be imported ({found.error})"
        return Check("albumentations", "failed", said, mend)
    version = found.facts["version"]
    if version != ALBUMENTATIONS:
        said = f"albumentations {version} is installed; transfer-kit is tested with"
        return Check("albumentations", "warning", f"{said} {ALBUMENTATIONS}", mend)
    return Check("albumentations", "ok", f"albumentations {version}")


def check_mlflow() -> Check:
    """MLflow can be imported and is of the major version that is used here."""
    found = probe(_MLFLOW, ["mlflow"])
    mend = 'pip install "mlflow>=3.1,<4"'
    if found.facts is None:
        said = f"{found.named('mlflow')} cannot be imported ({found.error})"
        return Check("mlflow", "failed", said, mend)
    version = str(found.facts["version"])
    if not version.startswith("3."):
        return Check("mlflow", "warning", f"mlflow {version} is installed, 3 is needed", mend)
    return Check("mlflow", "ok", f"mlflow {version}")


def _is_missing(found: Probe, module: str) -> bool:
    return f"No module named '{module}'" in found.error


def _no_driver(error: str) -> str:
    if not error or "no NVIDIA driver" in error:
        return "no NVIDIA driver is loaded"
    return f"CUDA does not start ({error})"
