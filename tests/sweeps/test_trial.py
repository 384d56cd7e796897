from __future__ import annotations

import pytest
from sweep_fields import RATE, carried_out, in_this_process, sweep

from transfer_kit.errors import UserError
from transfer_kit.sweeps import conduct as conduct_module
from transfer_kit.sweeps import trial
from transfer_kit.sweeps.begin import begin
from transfer_kit.sweeps.claims import claimed
from transfer_kit.sweeps.conduct import conduct
from transfer_kit.sweeps.place import Place
from transfer_kit.sweeps.slots import RESULT
from transfer_kit.sweeps.standing import standing_of, state_of, values_of

pytest_plugins = ["lab_fixtures"]


def result_of(slot):
    return slot.current.user_attrs[RESULT]


def test_a_trial_is_worth_what_the_judge_s_best_round_found(lab):
    opened, standing = carried_out(sweep(trials=3), lab / "sweeps")
    assert [state_of(slot) for slot in standing.slots] == ["complete"] * 3
    for slot in standing.slots:
        curve = result_of(slot)["curve"]
        assert [point["step"] for point in curve] == [0, 2, 4]
        assert values_of(slot) == [max(point["val/f1"] for point in curve)]
        assert slot.current.intermediate_values == {p["step"]: p["val/f1"] for p in curve}
    assert standing.slots[0].current.params == {"freeze": 0, RATE: 0.002}  # the recipe's own
    assert len({str(slot.current.params) for slot in standing.slots}) == 3
    assert 0 <= standing.base["validation"] <= 1
    left = [slot.number for slot in standing.slots if _has_checkpoint(opened, slot)]
    assert left == [standing.best.number]
    assert list(conduct(opened, workers=1, engine=in_this_process)) == []


def _has_checkpoint(opened, slot):
    return (opened.place.trial(slot.number) / trial.CHECKPOINTS).is_dir()


def test_trials_of_a_database_are_trained_as_those_of_a_journal(lab):
    asked = sweep(trials=3, first=[{"freeze": 2}])  # two whose values are fixed, one drawn
    _, in_journal = carried_out(asked, lab / "journal")
    url = f"sqlite:///{lab / 'sweeps.db'}"
    opened = begin(asked, Place("tiny", lab / "database" / "tiny", url))
    # Each by a worker that has seen none before.
    for _ in range(3):
        conduct_module._opened.cache_clear()
        turn = conduct_module.Turn(0)
        conduct_module.take_turn(turn, opened.place)
    in_database = standing_of(opened)
    assert in_database.is_over
    assert list(map(in_database.row, in_database.slots)) == [
        {**in_journal.row(slot), "seconds": in_database.row(other)["seconds"]}
        for slot, other in zip(in_journal.slots, in_database.slots, strict=True)
    ]


def test_a_trial_that_was_interrupted_goes_on_as_if_nothing_had_happened(lab, monkeypatch):
    one = sweep(trials=1)
    _, whole = carried_out(one, lab / "whole")
    opened = begin(one, Place("tiny", lab / "killed"))
    real = trial.train_plan
    steps = []

    def killed_after_two_steps(*arguments, **options):
        record = options.pop("record")

        def stop(point, step):
            steps.append(step)
            record(point, step)
            if step == 4 and steps.count(4) == 1:
                raise KeyboardInterrupt

        return real(*arguments, record=stop, **options)

    monkeypatch.setattr(trial, "train_plan", killed_after_two_steps)
    with pytest.raises(KeyboardInterrupt):
        list(conduct(opened, workers=1, engine=in_this_process))
    assert list(conduct(opened, workers=1, engine=in_this_process))
    standing = standing_of(opened)
    (slot,) = standing.slots
    assert slot.n_lost == 1
    assert len(slot.attempts) == 2
    assert result_of(slot)["curve"] == result_of(whole.slots[0])["curve"]
    assert steps == [0, 2, 4, 0, 2, 4]  # the first two of the second time are of the checkpoint


def test_a_trial_behind_the_others_is_pruned_and_counts_as_finished(lab, monkeypatch):
    import optuna

    asks = []

    def never_again(self):
        asks.append(self.number)
        return self.number == 1

    monkeypatch.setattr(optuna.Trial, "should_prune", never_again)
    _, standing = carried_out(sweep(trials=2), lab / "sweeps")
    assert [state_of(slot) for slot in standing.slots] == ["complete", "pruned"]
    assert asks.count(1) == 1
    assert len(result_of(standing.slots[1])["curve"]) == 1
    assert standing.is_over


def test_a_training_that_diverges_is_an_outcome_and_not_a_failure(lab):
    search = {RATE: {"choice": [0.002, 1e30]}}
    _, standing = carried_out(sweep(search=search, sampler="grid"), lab / "sweeps")
    states = {slot.current.params[RATE]: state_of(slot) for slot in standing.slots}
    assert states == {"0.002": "complete", "1e+30": "diverged"}
    assert standing.is_over
    assert not standing.failed


def test_a_trial_that_fails_is_told_and_the_others_go_on(lab, monkeypatch):
    real = trial.make_plan

    def full_disk_at_the_second(recipe):
        if recipe.freeze == 1:
            raise UserError("No space is left; free some.")
        return real(recipe)

    asked = sweep(search={"freeze": {"int": [0, 2]}}, sampler="grid", trials=3)
    opened = begin(asked, Place("tiny", lab / "sweeps"))
    monkeypatch.setattr(trial, "make_plan", full_disk_at_the_second)
    errors = [each.error for each in conduct(opened, workers=1, engine=in_this_process) if each]
    assert sorted(errors) == ["", "", "No space is left; free some."]
    standing = standing_of(opened)
    assert list(standing.failed.values()) == ["No space is left; free some."]
    assert len(standing.finished) == 2


def test_two_objectives_are_told_and_labels_are_judged_on_one_set_of_images(lab):
    asked = sweep(
        set={**sweep().set, "validation_share": 0.34},
        search={"labels": {"choice": ["4", "9"]}},
        objectives=["validation", "labels"],
        sampler="grid",
    )
    _, standing = carried_out(asked, lab / "sweeps")
    told = {slot.current.params["labels"]: slot for slot in standing.complete}
    assert values_of(told["4"])[1] == 4
    assert values_of(told["9"])[1] == 9
    counts = {result_of(slot)["n_validation_images"] for slot in standing.complete}
    assert counts == {4}


def test_without_a_validation_image_nothing_can_be_chosen(lab):
    few = sweep(set={**sweep().set, "labels": "3"})
    with pytest.raises(UserError, match="chooses by validation images, of which there is none"):
        begin(few, Place("tiny", lab / "sweeps"))
    assert not (lab / "sweeps" / "tiny" / "sweep.yaml").exists()


def test_a_worker_taken_for_dead_stops_when_it_notices(lab, monkeypatch):
    from transfer_kit.sweeps.claims import fail

    opened = begin(sweep(trials=1), Place("tiny", lab / "sweeps"))
    real = trial.train_plan

    def forgotten(*arguments, **options):
        fail(opened.study, opened.study.trials[0])
        return real(*arguments, **options)

    monkeypatch.setattr(trial, "train_plan", forgotten)
    with claimed(opened.study, opened.place) as taken:
        with pytest.raises(trial.TakenAwayError, match="was given to another"):
            trial.carry_out(opened, taken)
    assert opened.study.trials[0].state.name == "FAIL"
