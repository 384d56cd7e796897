from __future__ import annotations

import pytest
from study_fields import study

from transfer_kit.errors import UserError
from transfer_kit.studies.study import TrainedBase
from transfer_kit.studies.trials import base_recipes, lies_in, only, trials_of, with_settings


def varied(**fields):
    return study(
        set={"target": "eye"},
        vary={
            "start": {"tuned": {"base": "breast", "freeze": 2}, "scratch": {"base": "none"}},
            "freeze": ["0..2"],
            "seed": [0, 1],
        },
        **fields,
    )


def test_every_combination_is_a_trial_and_later_axes_are_laid_over_earlier_ones():
    trials = trials_of(varied())
    assert len(trials) == 2 * 3 * 2
    assert len({trial.name for trial in trials}) == len(trials)
    first = trials[0]
    assert first.name == "start=tuned,freeze=0,seed=0"
    assert (first.recipe.base, first.recipe.freeze, first.recipe.seed) == ("breast", 0, 0)


def test_left_out_places_are_no_trials():
    trials = trials_of(varied(leave_out=[{"start": "scratch", "freeze": ["1..2"]}]))
    assert len(trials) == 2 * 3 * 2 - 2 * 2
    assert [t.name for t in trials if t.place["start"] == "scratch"] == [
        "start=scratch,freeze=0,seed=0",
        "start=scratch,freeze=0,seed=1",
    ]


def test_a_variant_may_name_other_axes_in_braces_and_another_recipe():
    asked = study(
        set={},
        vary={
            "organ": ["eye"],
            "way": {
                "part": {"target": "{organ}-part"},
                "kinet": {"target": "{organ}", "recipe": "everyday/kinet"},
            },
        },
        summary={"kind": "compare", "x": "way"},
    )
    asked = asked.model_copy(update={"vary": {**asked.vary, "organ": {"eye": {}}}})
    part, kinet = trials_of(asked)
    assert (part.recipe.target, part.recipe.name) == ("eye-part", "finetune")
    assert (kinet.recipe.target, kinet.recipe.network.name) == ("eye", "kinet")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"set": {"target": "{organ}"}}, "'{organ}' names something in braces that is no axis"),
        (
            {"set": {"target": "eye", "train.stepps": 3}},
            "The trial with start tuned, seed 0 is no recipe: .*no field 'train.stepps'",
        ),
        ({"recipe": "everyday/finetun"}, "Did you mean 'everyday/finetune'?"),
        ({"leave_out": [{"seed": 0}]}, "leaves out all of its trials"),
    ],
)
def test_a_trial_that_is_no_recipe_is_told_before_anything_runs(fields, said):
    with pytest.raises(UserError, match=said):
        trials_of(study(**fields))


def test_only_chooses_trials_by_a_glob_of_their_names():
    trials = trials_of(varied())
    assert {t.place["seed"] for t in only(trials, "*seed=1")} == {"1"}
    assert only(trials, None) == trials
    with pytest.raises(UserError, match="No trial's name matches --only 'seed=7'"):
        only(trials, "seed=7")


def test_set_reaches_every_trial_and_narrows_an_axis():
    claim = {"say": "x", "of": {"freeze": 2}, "against": {"freeze": 0}}
    asked = varied(finding=[claim], leave_out=[{"start": "scratch", "freeze": ["1..2"]}])
    narrow = with_settings(asked, ["seed=1", "train.steps=7", "start=scratch", "freeze=[0, 1]"])
    (trial,) = trials_of(narrow)
    assert trial.name == "start=scratch,freeze=0,seed=1"
    assert trial.recipe.train.steps == 7
    assert narrow.finding == ()  # its axis has no 2 any more
    with pytest.raises(UserError, match=r"no start 'scrach'\. Did you mean 'scratch'"):
        with_settings(asked, ["start=scrach"])


def test_a_value_lies_in_a_place_by_what_it_is_called():
    assert lies_in({"freeze": "2", "seed": "0"}, {"freeze": [1, 2]})
    assert lies_in({"freeze": "2"}, {"freeze": ["1..3"]})
    assert not lies_in({"freeze": "2"}, {"freeze": 1})
    assert not lies_in({"freeze": "2"}, {"start": "tuned"})


def test_snapshots_are_recipes_of_so_many_steps_in_order():
    base = TrainedBase(
        recipe="models/micronet-breast",
        set={"train.schedule": {"name": "constant"}},
        snapshots=(200, 100),
    )
    recipes = base_recipes("b", base)
    assert {name: r.train.steps for name, r in recipes.items()} == {"b@100": 100, "b@200": 200}
    assert list(recipes) == ["b@100", "b@200"]


def test_snapshots_of_a_schedule_that_depends_on_its_end_are_refused():
    base = TrainedBase(recipe="models/micronet-breast", snapshots=(100,))
    with pytest.raises(UserError, match=r"b has snapshots, but one_cycle .*constant"):
        base_recipes("b", base)
