from __future__ import annotations

import optuna
import pytest
from optuna.trial import TrialState

from transfer_kit.sweeps.slots import (
    ERROR,
    MOST_LOSSES,
    make_slots,
    replace_failed,
    replace_lost,
    slots_of,
    superseded,
    waiting,
)

SPACE = {"x": optuna.distributions.FloatDistribution(0, 1)}


@pytest.fixture
def study():
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study()


def states(study):
    return [slot.current.state.name if slot.current else "none" for slot in slots_of(study)]


def lose(study):
    """A worker takes the next trial, draws its values and dies."""
    trial = study.ask(SPACE)
    study.tell(trial.number, state=TrialState.FAIL)
    return trial


def test_slots_are_made_once_however_often_it_is_asked(study):
    make_slots(study, 2, [{"x": 0.5}])
    make_slots(study, 3, [{"x": 0.5}])
    make_slots(study, 2, [])
    assert [slot.number for slot in slots_of(study)] == [0, 1, 2]
    trials = [study.ask(SPACE) for _ in range(3)]
    assert trials[0].params["x"] == 0.5
    assert len(study.trials) == 3


def test_a_lost_trial_is_tried_again_with_its_values_and_counts_once(study):
    make_slots(study, 2, [])
    lost = lose(study)
    replace_lost(study)
    replace_lost(study)
    assert len(study.trials) == 3
    for _ in range(2):
        trial = study.ask(SPACE)
        study.tell(trial, 1.0)
    first, second = slots_of(study)
    assert first.is_finished
    assert second.is_finished
    assert first.current.params == lost.params
    assert (first.n_lost, second.n_lost) == (1, 0)


def test_a_trial_that_killed_every_worker_is_left_alone(study):
    make_slots(study, 1, [])
    for _ in range(MOST_LOSSES):
        lose(study)
        replace_lost(study)
    (slot,) = slots_of(study)
    assert slot.current is None
    assert slot.error == "3 workers died of it (is the memory enough?)"
    assert replace_failed(study) == 1
    assert waiting(slots_of(study))


def test_a_trial_that_failed_waits_until_it_is_asked_for_again(study):
    make_slots(study, 1, [{"x": 0.25}])
    trial = study.ask(SPACE)
    trial.set_user_attr(ERROR, "the disk is full")
    study.tell(trial, state=TrialState.FAIL)
    replace_lost(study)
    assert states(study) == ["none"]
    assert slots_of(study)[0].error == "the disk is full"
    assert replace_failed(study) == 1
    assert study.ask(SPACE).params == {"x": 0.25}
    assert replace_failed(study) == 0


def test_of_two_replacements_of_one_loss_only_the_first_is_ever_taken(study):
    make_slots(study, 1, [])
    lose(study)
    replace_lost(study)
    # As another machine would that read the trials at the same moment.
    study.add_trial(
        optuna.create_trial(
            state=TrialState.WAITING, user_attrs=slots_of(study)[0].current.user_attrs
        )
    )
    assert [each.number for each in waiting(slots_of(study))] == [1]
    assert [each.number for each in superseded(slots_of(study))] == [2]
