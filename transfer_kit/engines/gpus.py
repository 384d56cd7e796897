"""Which GPUs the processes of this machine may compute on, each on one of them."""

from __future__ import annotations

import os

VISIBLE = "CUDA_VISIBLE_DEVICES"


def visible_gpus() -> tuple[str, ...]:
    """The GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` names them.

    Where the variable is set, its own words: numbers or identifiers, of which CUDA ignores all that
    follow a negative one.
    """
    named = os.environ.get(VISIBLE)
    if named is not None:
        found: list[str] = []
        for word in (part.strip() for part in named.split(",")):
            if not word or word.startswith("-"):
                break
            found.append(word)
        return tuple(found)
    import torch

    return tuple(str(number) for number in range(torch.cuda.device_count()))


def gpu_of_worker(number: int, gpus: tuple[str, ...]) -> str | None:
    """The GPU that a worker sees alone: of several, by turns; None is what this process sees."""
    return gpus[number % len(gpus)] if len(gpus) > 1 else None
