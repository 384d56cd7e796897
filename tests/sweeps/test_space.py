from __future__ import annotations

import itertools

import pytest
from sweep_fields import RATE, sweep

from transfer_kit.errors import UserError
from transfer_kit.sweeps.space import (
    check_space,
    corners,
    fields_of,
    first_values,
    grid,
    own_values,
    recipe_of,
)

STAIN = {"choice": ["none", "jitter", "hestain"]}
HUE = {"float": [0, 10], "when": {"stain.augment": "jitter"}}
FACTOR = {"float": [0.1, 0.5], "when": {"stain.augment": ["jitter", "hestain"]}}


def fault(**fields) -> str:
    asked = sweep(**fields)
    with pytest.raises(UserError) as told:
        check_space(asked, recipe_of(asked))
    return str(told.value)


@pytest.mark.parametrize(
    ("search", "said"),
    [
        ({"freze": {"int": [0, 9]}}, "there is no field 'freze'. Did you mean 'freeze'?"),
        ({"train.stpes": {"int": [1, 9]}}, "there is no field 'train.stpes'. Did you mean 'steps'"),
        ({RATE: {"float": [0, 1]}}, f"{RATE}: input should be greater than 0, but got 0"),
        ({"train.steps": {"int": [0, 9]}}, "train.steps: input should be greater than or equal"),
        ({"train.steps": {"float": [1, 9]}}, "train.steps: input should be a valid integer"),
        ({"patches.size_px": {"int": [64, 9999]}}, "less than or equal to 4096, but got 9999"),
        ({"stain.augment": {"choice": ["none", "jiter"]}}, "'hestain', but got 'jiter'"),
        ({"freeze": {"choice": [0, {"0": 8, "a": 1}]}}, "freeze: the step 'a' of the schedule"),
        ({"target": {"choice": ["eye", "breast"]}}, "target cannot be searched (trials on other"),
        ({"evaluation.radius_um": {"float": [1, 9]}}, "evaluation.radius_um cannot be searched"),
        ({"base": {"choice": ["breast", "none"]}}, "base is set and searched"),
        ({"labels": {"choice": ["8", "12"]}}, "should say a validation_share above 0"),
    ],
)
def test_a_value_that_the_recipe_refuses_is_told_before_anything_runs(search, said):
    assert said in fault(search=search)


def test_all_faults_are_told_together():
    said = fault(search={"freze": {"int": [0, 9]}, "train.steps": {"int": [0, 9]}})
    assert "'freze'" in said
    assert "train.steps" in said


@pytest.mark.parametrize(
    ("search", "said"),
    [
        (
            {"stain.hue_degrees": HUE},
            "depends on stain.augment, which should be searched and stand",
        ),
        ({"stain.hue_degrees": HUE, "stain.augment": STAIN}, "should be searched and stand above"),
        (
            {
                "stain.augment": STAIN,
                "stain.factor": {**FACTOR, "when": {"stain.augment": "jitt"}},
            },
            "being jitt, which it cannot be (Did you mean 'jitter'?)",
        ),
    ],
)
def test_a_condition_that_cannot_hold_is_refused(search, said):
    assert said in fault(search=search)


def test_samplers_that_cannot_search_the_space_are_refused():
    assert "cma-es needs two ranges" in fault(sampler="cma-es", search={"stain.augment": STAIN})
    assert "cma-es needs a single objective" in fault(
        sampler="cma-es", objectives=["validation", "seconds"]
    )
    assert f"needs a step, or a choice in place of the range, for {RATE}" in fault(sampler="grid")


def test_a_grid_is_every_combination_once_without_values_that_do_nothing():
    search = {
        "freeze": {"int": [0, 4], "step": 2},
        "stain.augment": STAIN,
        "stain.hue_degrees": {"float": [0, 10], "step": 5, "when": {"stain.augment": "jitter"}},
    }
    asked = sweep(search=search, sampler="grid")
    by_hand = [
        {"freeze": freeze, "stain.augment": stain, **hue}
        for freeze, stain in itertools.product((0, 2, 4), STAIN["choice"])
        for hue in (
            [{"stain.hue_degrees": h} for h in (0.0, 5.0, 10.0)] if stain == "jitter" else [{}]
        )
    ]
    assert sorted(map(str, grid(asked))) == sorted(map(str, by_hand))
    assert grid(asked) == grid(asked)
    assert grid(asked) != grid(sweep(search=search, sampler="grid", seed=1))


def test_corners_show_every_choice_and_both_ends_of_every_range():
    search = {"freeze": {"int": [0, 9]}, "stain.augment": STAIN, "stain.factor": FACTOR}
    found = corners(sweep(search=search))
    assert {each["freeze"] for each in found} == {0, 9}
    assert {each["stain.augment"] for each in found} == set(STAIN["choice"])
    assert all(("stain.factor" in each) == (each["stain.augment"] != "none") for each in found)


def test_the_recipe_s_own_values_are_a_trial_where_they_are_searched():
    asked = sweep(
        search={"freeze": {"int": [0, 9]}, "stain.augment": STAIN, "stain.factor": FACTOR}
    )
    assert own_values(asked, recipe_of(asked)) == {"freeze": 0, "stain.augment": "none"}
    narrow = sweep(search={RATE: {"float": [1e-4, 1e-3]}})
    said = own_values(narrow, recipe_of(narrow))
    assert said == f"{RATE} of 0.002 is none of the values that are searched"


def test_first_trials_say_what_differs_from_the_recipe():
    asked = sweep(first=[{"freeze": 2}])
    assert first_values(asked, recipe_of(asked)) == [{"freeze": 2, RATE: 0.002}]
    for fields, said in (
        ({"freeze": 7}, "first, trial 1: freeze of 7 is none of the values"),
        ({"seed": 1}, "first, trial 1: seed is not searched"),
    ):
        wrong = sweep(first=[fields])
        with pytest.raises(UserError, match=said):
            first_values(wrong, recipe_of(wrong))


def test_labels_of_choices_become_the_recipe_s_values():
    asked = sweep(search={"freeze": {"choice": [0, ["input", "down*"]]}})
    recipe = recipe_of(asked).replaced(**fields_of(asked, {"freeze": "input,down*"}))
    assert recipe.freeze == ("input", "down*")
