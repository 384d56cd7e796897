from __future__ import annotations

import pytest

from transfer_kit.errors import UserError
from transfer_kit.freeze_forms import parse_freeze, schedule_of, write_freeze
from transfer_kit.recipe import Recipe

FORMS = [
    (2, 2),
    ("2", 2),
    ("down*", ("down*",)),
    ("input, down1", ("input", "down1")),
    (["input", "down1"], ("input", "down1")),
    ({0: 8, 500: 4, 1000: 0}, {0: 8, 500: 4, 1000: 0}),
    ("0:8,500:4,1000:0", {0: 8, 500: 4, 1000: 0}),
    ("{0: 8, 500: 4}", {0: 8, 500: 4}),
    ("0:input,down1,500:up*", {0: ("input", "down1"), 500: ("up*",)}),
    ({"500": ["input"], "0": 3}, {0: 3, 500: ("input",)}),
]


@pytest.mark.parametrize(("given", "expected"), FORMS)
def test_counts_names_and_schedules_are_read_from_yaml_and_from_the_command_line(given, expected):
    assert parse_freeze(given) == expected
    assert parse_freeze(write_freeze(expected)) == expected


def test_the_steps_of_a_schedule_are_in_order():
    assert list(schedule_of(parse_freeze({1000: 0, 0: 8, 500: 4}))) == [0, 500, 1000]


@pytest.mark.parametrize("freeze", [expected for _, expected in FORMS])
def test_a_recipe_keeps_every_form_through_its_file(freeze, tmp_path):
    recipe = Recipe(target="eye", freeze=freeze)
    recipe.write(tmp_path / "recipe.yaml")
    assert Recipe.read(tmp_path / "recipe.yaml").freeze == freeze


def test_a_count_is_written_as_ever():
    assert write_freeze(2) == "2"
    assert Recipe(target="eye", freeze=2).model_dump(mode="json")["freeze"] == 2


@pytest.mark.parametrize(
    ("freeze", "said"),
    [
        (-1, "freeze: -1 blocks cannot be frozen; write a count from 0 on"),
        (2.5, "freeze: write a count (2), names of blocks ('input,down*') or a schedule"),
        (True, "freeze: write a count (2)"),
        (None, "freeze: write a count (2)"),
        ([], "freeze: write a count (2)"),
        ([2], "freeze: write a count (2)"),
        ("2,3", "freeze: write a count (2)"),
        ("input,,down1", "freeze: write a count (2)"),
        ({}, "freeze: a schedule needs at least one step"),
        ({-5: 2}, "freeze: the step -5 of the schedule is no whole number from 0 on"),
        ({"soon": 2}, "freeze: the step 'soon' of the schedule is no whole number from 0 on"),
        ({1.5: 2}, "freeze: the step 1.5 of the schedule is no whole number from 0 on"),
        ("-5:2", "freeze: the step '-5' of the schedule is no whole number from 0 on"),
        ({0: -2}, "freeze: -2 blocks cannot be frozen"),
        ({0: {1: 2}}, "freeze: write a count (2)"),
        ("0:8,0:4", "freeze: the schedule names step 0 twice"),
        ("8,500:4", "freeze: '8' has no step; write a schedule as 0:8,500:4"),
    ],
)
def test_what_is_none_of_them_is_explained_in_one_sentence(freeze, said):
    with pytest.raises(UserError) as caught:
        Recipe(target="eye").replaced(freeze=freeze)
    message = str(caught.value)
    assert said in message
    assert message.endswith(f"but got {freeze!r}.")
