"""Optuna's samplers and pruners by the names that sweeps call them."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from transfer_kit.errors import UserError
from transfer_kit.recipe import Recipe
from transfer_kit.sweeps.sweep import Sweep

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler


def sampler_of(sweep: Sweep, trial: int) -> BaseSampler:
    """The sampler of one trial.

    Each trial has a seed of its own, so that workers do not draw the same values side by side.

    Raises:
        UserError: it needs a package that is not installed.
    """
    from optuna import samplers

    seed = zlib.crc32(f"{sweep.seed} {trial}".encode())
    startup = sweep.startup_trials
    makers: dict[str, Callable[[], BaseSampler]] = {
        "random": lambda: samplers.RandomSampler(seed=seed),
        # Every value of a grid's trials is fixed when they are made.
        "grid": lambda: samplers.RandomSampler(seed=seed),
        "tpe": lambda: samplers.TPESampler(n_startup_trials=startup, constant_liar=True, seed=seed),
        "gp": lambda: samplers.GPSampler(
            n_startup_trials=startup, seed=seed, warn_independent_sampling=False
        ),
        "cma-es": lambda: samplers.CmaEsSampler(
            n_startup_trials=startup, seed=seed, warn_independent_sampling=False
        ),
    }
    if sweep.sampler == "cma-es":
        _refuse_absent_cmaes()
    return makers[sweep.sampler]()


def pruner_of(sweep: Sweep, recipe: Recipe) -> BasePruner:
    """The pruner of a sweep; steps are those of the optimizer."""
    from optuna import pruners

    if sweep.pruner == "median":
        return pruners.MedianPruner(
            n_startup_trials=sweep.startup_trials, n_warmup_steps=sweep.warm_up_steps
        )
    if sweep.pruner == "hyperband":
        most = _most_steps(sweep, recipe)
        least = max(recipe.train.validate_every, sweep.warm_up_steps)
        return pruners.HyperbandPruner(min_resource=min(least, most), max_resource=most)
    return pruners.NopPruner()


def _most_steps(sweep: Sweep, recipe: Recipe) -> int:
    field = sweep.search.get("train.steps")
    if field is None:
        return recipe.train.steps
    return int(max(field.choice or field.ends))


def _refuse_absent_cmaes() -> None:
    try:
        import cmaes  # noqa: F401 - whether it is there
    except ImportError:
        raise UserError(
            "The sampler cma-es needs the package cmaes; install it with "
            "pip install 'transfer-kit[sweeps]', or choose sampler: tpe."
        ) from None
