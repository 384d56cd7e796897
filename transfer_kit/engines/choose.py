"""An engine by its name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from transfer_kit.engines.local import run_all
from transfer_kit.engines.options import RayOptions, SlurmOptions, options_of
from transfer_kit.engines.outcome import Outcome

Engine = Callable[..., Iterator[Outcome[Any]]]
"""Called with tasks, the work to do on each, and by name `workers` and `log`; see `run_all`."""


def engine_of(name: str, settings: Sequence[str], home: Path) -> Engine:
    """Where tasks are to be carried out.

    Args:
        name: `local`, `ray` or `slurm`.
        settings: `name=value`, of its options.
        home: The folder that the work writes to.

    Raises:
        UserError: the engine or one of the settings is not known.
    """
    options = options_of(name, settings)
    if isinstance(options, RayOptions):
        from transfer_kit.engines.on_ray import run_on_ray

        return partial(run_on_ray, options=options, home=home.absolute())
    if isinstance(options, SlurmOptions):
        from transfer_kit.engines.on_slurm import run_on_slurm

        return partial(run_on_slurm, options=options, home=home.absolute())
    return run_all
