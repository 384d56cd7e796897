"""Lightning's trainer as a recipe wants it: devices, precision, parts of steps."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any

import lightning
import torch
from lightning.pytorch.strategies import DDPStrategy

from transfer_kit.networks.precision import chosen_precision
from transfer_kit.settings import TrainSettings
from transfer_kit.training import processes
from transfer_kit.training.launch import group
from transfer_kit.training.module import DetectorModule


def make_trainer(
    settings: TrainSettings,
    module: DetectorModule,
    device: str,
    callbacks: Sequence[lightning.Callback],
) -> lightning.Trainer:
    """A trainer for the steps that are left, of this process and of those that it has met.

    Args:
        settings: Of the recipe, or with more parts a step.
        module: What it is to train.
        device: `auto`, `cpu`, `mps`, `cuda` or `cuda:1`; `auto` is a CUDA GPU where there is one.
        callbacks: Called in their order.
    """
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    kind, _, number = device.partition(":")
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "cpu"
    steps = settings.steps - module.start_step
    return lightning.Trainer(
        accelerator={"cuda": "gpu"}.get(kind, kind),
        max_steps=steps,
        max_epochs=math.ceil(steps / settings.validate_every),
        precision=chosen_precision(settings.precision, kind),
        gradient_clip_val=settings.gradient_clip,
        accumulate_grad_batches=settings.accumulate,
        callbacks=list(callbacks),
        enable_checkpointing=False,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,  # patches are numbered, and dealt out by their numbers
        **_placed(int(number) if number else None, module),
    )


def _placed(number: int | None, module: DetectorModule) -> dict[str, Any]:
    """On which devices: one alone, or one for each of the processes that have met."""
    together = processes.count()
    if together == 1:
        return {"devices": 1 if number is None else [number]}
    began = group()
    assert began is not None  # noqa: S101 - for the type checker
    strategy = DDPStrategy(
        cluster_environment=began.environment, find_unused_parameters=module.learns_unevenly
    )
    devices = began.n_processes // began.n_nodes
    return {"devices": devices, "num_nodes": began.n_nodes, "strategy": strategy}
