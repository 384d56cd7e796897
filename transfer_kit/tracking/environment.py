"""Where a run was made: packages, commit, device, processor, threads."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import asdict, dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import transfer_kit
from transfer_kit.tracking.gpu import gpu_names

PACKAGES = (
    "transfer-kit",
    "torch",
    "torchvision",
    "lightning",
    "timm",
    "numpy",
    "scipy",
    "scikit-image",
    "opencv-python-headless",
    "albumentations",
    "mlflow",
)
"""Whose versions can change a figure, or how it is kept."""

GIT_SECONDS = 5.0


@dataclass(frozen=True)
class Environment:
    """What of a machine and its software can change a result or its cost.

    Attributes:
        packages: Versions by name, Python's too.
        commit: Of the git checkout that the working folder lies in; empty where it lies in none.
        changed: Whether that checkout has changes that are not committed.
        kit_commit: Of the checkout that transfer-kit itself runs from; empty where it is installed.
        device: Name of the device that computes: a GPU's, else the processor's.
        gpus: Names of all GPUs of the machine.
        visible_gpus: Those of them that this process may use, as `CUDA_VISIBLE_DEVICES` says; empty
            where it says nothing.
        cpu: Name of the processor.
        cores: Processor cores that this process may use.
        threads: Threads that torch computes with.
        system: Operating system.
        host: Name of the machine.
    """

    packages: dict[str, str]
    commit: str
    changed: bool
    kit_commit: str
    device: str
    gpus: tuple[str, ...]
    cpu: str
    cores: int
    threads: int
    system: str
    host: str
    visible_gpus: str = ""

    @classmethod
    def of_dict(cls, document: dict[str, Any]) -> Environment:
        """What `as_dict` gave, perhaps in a version with other fields."""
        known = {each.name: document[each.name] for each in fields(cls) if each.name in document}
        return cls(**{**known, "gpus": tuple(document["gpus"])})

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return asdict(self)

    def as_tags(self) -> dict[str, str]:
        """What runs are found and told apart by, as tags of an MLflow run."""
        tags = {
            "device": self.device,
            "visible_gpus": self.visible_gpus,
            "cpu": self.cpu,
            "threads": str(self.threads),
            "host": self.host,
            "python": self.packages["python"],
            "torch": self.packages.get("torch", ""),
            "mlflow.source.git.commit": self.commit or self.kit_commit,
            "uncommitted_changes": str(self.changed).lower() if self.commit else "",
        }
        return {name: value for name, value in tags.items() if value}


def describe_environment(device: str = "cpu") -> Environment:
    """The environment of this process.

    Args:
        device: That computes, as torch names it: `cpu`, `cuda:1` or `mps`.
    """
    torch = sys.modules.get("torch")
    cpu = _cpu_name()
    kit = Path(transfer_kit.__file__).parents[1]
    commit = git_commit(Path.cwd())
    return Environment(
        packages=_versions(torch),
        commit=commit,
        changed=bool(commit) and has_changes(Path.cwd()),
        kit_commit=git_commit(kit) if (kit / ".git").exists() else "",
        device=_device_name(torch, device) or cpu,
        gpus=gpu_names(),
        cpu=cpu,
        cores=_cores(),
        threads=torch.get_num_threads() if torch is not None else 0,
        system=platform.platform(),
        host=platform.node(),
        visible_gpus=os.environ.get("CUDA_VISIBLE_DEVICES", ""),
    )


def git_commit(folder: Path) -> str:
    """The commit of the checkout that a folder lies in; empty where there is none, or no git."""
    return _git(folder, "rev-parse", "HEAD")


def has_changes(folder: Path) -> bool:
    """Whether files that git knows were changed since the commit."""
    return bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))


def _git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), *words]
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(  # noqa: S603 - fixed words and a folder
            command,
            capture_output=True,
            text=True,
            timeout=GIT_SECONDS,
            check=True,
            env=environment,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _versions(torch: Any) -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    if torch is not None:  # which knows what it was built for
        found["torch"] = str(torch.__version__)
    return found


def _device_name(torch: Any, device: str) -> str:
    kind = device.partition(":")[0]
    if torch is not None and kind == "cuda":
        return str(torch.cuda.get_device_name(device))
    return {"cpu": "", "mps": "Apple GPU (mps)"}.get(kind, kind)


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:  # not Linux
        pass
    return platform.processor() or platform.machine()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
