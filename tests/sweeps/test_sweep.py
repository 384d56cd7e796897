from __future__ import annotations

import subprocess
import sys

import pytest
from sweep_fields import RATE, sweep

from transfer_kit.errors import UserError
from transfer_kit.sweeps.finding import find_sweep
from transfer_kit.sweeps.sweep import SearchedField, Sweep

HEAVY = ("torch", "optuna", "mlflow", "scipy", "pandas", "cv2")


def field(**words) -> SearchedField:
    return SearchedField.model_validate(words)


def test_one_objective_is_pruned_by_the_median_and_two_are_not_pruned():
    assert sweep(pruner="").pruner == "median"
    assert sweep(pruner="", objectives=["validation", "seconds"]).pruner == "none"


def test_a_sweep_reads_back_as_it_was_written(tmp_path):
    asked = sweep(search={"freeze": {"choice": [0, ["input", "down*"]]}}, first=[{"freeze": 0}])
    document = asked.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    assert Sweep.of_fields(document) == asked


@pytest.mark.parametrize(
    ("words", "inside", "outside"),
    [
        ({"int": [2, 8]}, [2, 5, 8], [1, 9, 2.5, "2", True, None]),
        ({"int": [2, 8], "step": 3}, [2, 5, 8], [3, 6]),
        ({"float": [0.1, 1.0]}, [0.1, 0.5, 1], [0.09, 1.01, "a"]),
        ({"float": [0, 1], "step": 0.1}, [0.3, 0.7], [0.35]),
        ({"choice": ["a", None, ["x", "y"], {0: 8, 50: 0}]}, ["a", None, ("x", "y")], ["b", 0]),
    ],
)
def test_a_field_holds_its_values_and_no_others(words, inside, outside):
    searched = field(**words)
    assert [value for value in inside if not searched.holds(value)] == []
    assert [value for value in outside if searched.holds(value)] == []


def test_a_choice_is_stored_by_its_label_and_comes_back_as_it_was():
    searched = field(choice=[2, ["input", "down*"], None, {"0": 8, "50": 0}])
    for value in searched.choice:
        assert searched.value_of(searched.stored(value)) == value


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"search": {}}, "search: "),
        ({"search": {"freeze": [0, 9]}}, "should be {float: [low, high]}"),
        ({"search": {"freeze": {"itn": [0, 9]}}}, "there is no 'itn' (Did you mean 'int'?)"),
        ({"search": {"freeze": {"int": [0, 9], "choice": [1, 2]}}}, "one of float, int and choice"),
        ({"search": {"freeze": {"int": [9, 0]}}}, "should rise from 9"),
        ({"search": {RATE: {"float": [0, 1], "log": True}}}, "above 0 on a logarithmic scale"),
        ({"search": {"freeze": {"choice": [1, 1]}}}, "each value once"),
        ({"sampler": "tep"}, "sampler: should be one of tpe, gp, cma-es, grid, random"),
        ({"pruner": "hyper"}, "pruner: should be one of none, median, hyperband"),
        ({"objectives": ["seconds"]}, "should be [validation]"),
        ({"objectives": ["validation", "f1"]}, "should be one of validation, seconds, labels"),
        (
            {"objectives": ["validation", "seconds"], "pruner": "median"},
            "pruner: median needs a single objective",
        ),
        ({"trials": 0}, "trials: input should be greater than or equal to 1"),
        ({"trails": 3}, "there is no field 'trails'. Did you mean 'trials'?"),
    ],
)
def test_what_is_no_sweep_is_said_in_words(fields, said):
    with pytest.raises(UserError) as told:
        sweep(**fields)
    assert said in str(told.value)


def test_a_fault_in_a_file_is_told_with_its_line(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("set: {target: eye}\nsearch:\n  freeze: {int: [3, 1]}\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"mine\.yaml: line 3: search\.freeze: should rise from 3"):
        Sweep.read(path)


def test_reading_a_sweep_needs_neither_torch_nor_optuna():
    code = (
        "import sys\n"
        f"for name in {HEAVY!r}: sys.modules[name] = None\n"
        "from transfer_kit.sweeps.finding import find_sweep\n"
        "from transfer_kit.sweeps.sweep import Sweep\n"
        "from transfer_kit.sweeps.space import check_space, recipe_of\n"
        "sweep = Sweep.read(find_sweep('eye'))\n"
        "check_space(sweep, recipe_of(sweep))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_sweep_that_is_not_there_is_told_with_the_nearest():
    with pytest.raises(UserError, match=r"There is no sweep 'eey'\. Did you mean 'eye'\?"):
        find_sweep("eey")
    with pytest.raises(UserError, match=r"There is no sweep file mine\.yaml; check the path"):
        find_sweep("mine.yaml")
