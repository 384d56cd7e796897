"""Which fields mattered, and pictures of a sweep, drawn by Optuna."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer_kit.files import replacing
from transfer_kit.sweeps.opened import Opened
from transfer_kit.sweeps.standing import Standing, values_of

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

FEWEST_TO_COMPARE = 4
"""Complete trials from which on importances say anything."""


def importances_of(opened: Opened, standing: Standing) -> dict[str, float]:
    """The share of each field in how the validation figure varies, greatest first.

    Fields that are searched under a condition are left out, since not all trials have them; {}
    where too few trials are complete, or all are alike.
    """
    from optuna.importance import get_param_importances

    figures = {values_of(slot)[0] for slot in standing.complete}
    if len(standing.complete) < FEWEST_TO_COMPARE or len(figures) < 2:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = get_param_importances(opened.study, target=_validation)
    return {name: round(float(share), 4) for name, share in found.items()}


def draw(
    opened: Opened, standing: Standing, importances: Mapping[str, float], folder: Path
) -> dict[str, Path]:
    """Draw what can be drawn of the trials so far; gives the files by what they show."""
    if len(standing.complete) < 2:
        return {}
    import matplotlib.pyplot as plt
    from optuna.visualization import matplotlib as pictures

    plt.switch_backend("Agg")
    study = opened.study
    usual: dict[str, Any] = {"target": _validation, "target_name": f"validation {_word(standing)}"}
    makers: dict[str, Callable[[], Any]] = {
        "history": lambda: pictures.plot_optimization_history(study, **usual),
        "parallel": lambda: pictures.plot_parallel_coordinate(study, **usual),
    }
    pair = _pair(standing, importances)
    if pair:
        makers["contour"] = lambda: pictures.plot_contour(study, params=pair, **usual)
    if importances:
        makers["importances"] = lambda: pictures.plot_param_importances(study, **usual)
    if standing.sweep.has_two_objectives:
        names = list(standing.sweep.objectives)
        makers["pareto"] = lambda: pictures.plot_pareto_front(study, target_names=names)
    return {name: _saved(make, folder / f"{name}.png") for name, make in makers.items()}


def _pair(standing: Standing, importances: Mapping[str, float]) -> list[str]:
    """The two fields that matter most, of those that all trials have."""
    always = [name for name, field in standing.sweep.search.items() if not field.when]
    ordered = sorted(always, key=lambda name: -importances.get(name, 0.0))
    return ordered[:2] if len(ordered) > 1 else []


def _saved(make: Callable[[], Any], path: Path) -> Path:
    import matplotlib.pyplot as plt

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        drawn = make()
        figure = drawn.figure if hasattr(drawn, "figure") else drawn.flat[0].figure
        with replacing(path) as temporary:
            figure.savefig(temporary, dpi=120, bbox_inches="tight")
        plt.close(figure)
    return path


def _validation(trial: FrozenTrial) -> float:
    return float(trial.values[0])


def _word(standing: Standing) -> str:
    """What the judge goes by: F1, class F1 or AJI."""
    best = standing.best
    if best is None or best.current is None:
        return "F1"
    return str(best.current.user_attrs["result"]["criterion"])
