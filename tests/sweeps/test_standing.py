from __future__ import annotations

import numpy as np
import optuna
import pytest
from sweep_fields import finished_trial, sweep

from transfer_kit.sweeps.slots import slots_of
from transfer_kit.sweeps.space import recipe_of
from transfer_kit.sweeps.standing import Standing, figure_of


def standing(values, objectives=("validation",)):
    """Trials of these values, and Optuna's own study of them."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    directions = ["maximize", "minimize"][: len(objectives)]
    study = optuna.create_study(directions=directions)
    for number, each in enumerate(values):
        study.add_trial(finished_trial(number, list(each), {}))
    asked = sweep(objectives=list(objectives))
    return Standing(asked, recipe_of(asked), slots_of(study), len(values), None, None), study


def test_the_best_is_the_first_of_equals():
    found, study = standing([(0.5,), (0.9,), (0.9,)])
    assert found.best.number == 1 == study.best_trial.number
    assert figure_of(found.best) == 0.9
    assert [slot.number for slot in found.front] == [1]


@pytest.mark.parametrize("seed", range(5))
def test_the_front_is_optuna_s(seed):
    rng = np.random.default_rng(seed)
    values = np.round(rng.uniform(size=(30, 2)), 1)  # with equals
    found, study = standing(values, ("validation", "seconds"))
    assert [slot.number for slot in found.front] == [trial.number for trial in study.best_trials]


def test_without_a_complete_trial_there_is_no_best():
    found, _ = standing([])
    assert found.best is None
    assert found.front == []
