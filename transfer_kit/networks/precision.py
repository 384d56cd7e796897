"""In how many bits a network computes, by the words of `train.precision`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch

from transfer_kit.settings.training import WantedPrecision

Precision = Literal["32-true", "16-mixed", "bf16-mixed"]

_TYPES = {"16-mixed": torch.float16, "bf16-mixed": torch.bfloat16}


def chosen_precision(wanted: WantedPrecision, kind: str) -> Precision:
    """What `auto` means on a device: 16 bits where it has instructions for them.

    Args:
        wanted: Anything but `auto` is taken as it is.
        kind: Of the device: `cpu`, `cuda` or `mps`.
    """
    if wanted != "auto":
        return wanted
    if kind == "cuda":
        return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"
    return "bf16-mixed" if kind == "cpu" and _multiplies_bf16() else "32-true"


def computing_in(precision: Precision, kind: str) -> AbstractContextManager[Any]:
    """A block in which a kind of device computes in a precision."""
    if precision == "32-true":
        return nullcontext()
    return torch.autocast(kind, dtype=_TYPES[precision])


def _multiplies_bf16() -> bool:
    """Whether the CPU has instructions for it; without, it is slower than single precision."""
    tell = getattr(torch.cpu, "get_capabilities", dict)  # torch 2.10 cannot tell
    has: Mapping[str, Any] = tell()
    return bool(has.get("avx512_bf16") or has.get("amx_bf16"))
