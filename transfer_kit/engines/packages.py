"""The versions that figures depend on, here and on another machine."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping

NEEDED = ("transfer-kit", "torch", "torchvision", "lightning", "numpy", "scipy", "scikit-image",
          "opencv-python-headless", "albumentations", "timm")  # fmt: skip


def packages_here() -> dict[str, str]:
    """The version of each; "none" where it is not installed."""
    found = {}
    for name in NEEDED:
        try:
            # "+cpu" and the like say how a version was built, not what it computes.
            found[name] = importlib.metadata.version(name).split("+")[0]
        except importlib.metadata.PackageNotFoundError:
            found[name] = "none"
    return found


def differing_packages(there: Mapping[str, str]) -> list[str]:
    """What is of another version there than here, in words."""
    return [
        f"{name} {there.get(name, 'none')} instead of {version}"
        for name, version in packages_here().items()
        if there.get(name, "none") != version
    ]
