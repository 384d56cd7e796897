from __future__ import annotations

import pytest

from transfer_kit.errors import UserError
from transfer_kit.gamma_forms import gamma_at, parse_gamma, write_gamma
from transfer_kit.recipe import Recipe


@pytest.mark.parametrize(
    ("written", "gamma"),
    [
        ("5", 5.0),
        (0.5, 0.5),
        ("0:20,500:5", {0: 20.0, 500: 5.0}),
        ("{500: 5, 0: 20}", {0: 20.0, 500: 5.0}),
        ({500: 5, 0: 20}, {0: 20.0, 500: 5.0}),
    ],
)
def test_numbers_and_schedules_are_read_and_written_alike(written, gamma):
    assert parse_gamma(written) == gamma
    assert parse_gamma(write_gamma(parse_gamma(written))) == gamma


def test_each_weight_counts_from_its_step_on_and_before_the_first_it_is_1():
    schedule = {3: 20.0, 5: 2.0}
    assert [gamma_at(schedule, step) for step in range(7)] == [1, 1, 1, 20, 20, 2, 2]
    assert gamma_at(4.0, 10**6) == 4.0


@pytest.mark.parametrize(
    "written", [0, -1, "-0.5", "nan", float("inf"), "inf", True, "many", {0: 0}, {0: 5, 9: -2}]
)
def test_a_weight_that_is_not_above_0_or_not_finite_is_refused(written):
    with pytest.raises(UserError) as caught:
        Recipe(target="eye").replaced(**{"auxiliary.gamma": written})
    said = str(caught.value)
    assert said.startswith("The recipe: auxiliary.gamma: the target's loss needs a finite weight")
    assert said.endswith(f"but got {written!r}.")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({}, "a schedule needs at least one step"),
        ({-1: 5}, "the step -1 of the schedule is no whole number"),
        ({0.5: 5}, "the step 0.5 of the schedule is no whole number"),
        ("x:5", "the step 'x' of the schedule"),
        ("0:5,3", "write a schedule as 0:20,500:5"),
        ("0:5,0:3", "names a step twice"),
    ],
)
def test_a_schedule_that_is_none_is_refused(written, said):
    with pytest.raises(UserError, match=f"auxiliary.gamma: .*{said}"):
        Recipe(target="eye").replaced(**{"auxiliary.gamma": written})


def test_a_schedule_in_a_recipe_reads_back_equal(tmp_path):
    recipe = Recipe(target="eye", auxiliary={"gamma": "500:5,0:20"})
    recipe.write(tmp_path / "recipe.yaml")
    assert Recipe.read(tmp_path / "recipe.yaml") == recipe
    assert recipe.auxiliary.gamma == {0: 20.0, 500: 5.0}
