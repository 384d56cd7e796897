from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from transfer_kit.errors import UserError
from transfer_kit.recipe import Recipe, parse_setting
from transfer_kit.stores.recipes import find_recipe, list_recipes


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_written_recipe_reads_back_equal(tmp_path):
    recipe = Recipe(base="breast", target="eye", freeze=2, labels="20%")
    recipe.write(tmp_path / "recipe.yaml")
    assert Recipe.read(tmp_path / "recipe.yaml") == recipe


def test_fields_laid_over_a_file_win_and_reach_nested_ones(tmp_path):
    path = write(tmp_path / "r.yaml", "target: eye\ntrain: {steps: 100}\n")
    recipe = Recipe.read(path, **{"train.steps": 7, "train.optimizer.learning_rate": 0.5})
    assert (recipe.train.steps, recipe.train.optimizer.learning_rate) == (7, 0.5)


def test_all_faults_of_a_file_are_told_at_once_with_their_lines(tmp_path):
    path = write(tmp_path / "r.yaml", "target: eye\nfreez: 2\ntrain:\n  steps: -3\nmpp: big\n")
    with pytest.raises(UserError) as caught:
        Recipe.read(path)
    said = str(caught.value)
    assert "3 faults" in said
    assert "line 2: there is no field 'freez'. Did you mean 'freeze'?" in said
    assert "line 4: train.steps: input should be greater than or equal to 1, but got -3" in said
    assert "line 5: mpp" in said


def test_an_unknown_nested_field_names_the_nearest():
    with pytest.raises(UserError, match=r"'train.stepz'. Did you mean 'steps'\?"):
        Recipe(target="eye").replaced(**{"train.stepz": 3})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("target: [eye\n", "line 2 is not valid YAML"),
        ("- eye\n", "holds a list, not fields"),
        ("base: breast\n", "target is missing; add it"),
        ("target: eye\nfreeze: 2.5\n", "line 2: freeze: write a count (2), names of blocks"),
        ("target: eye\nfreeze:\n  0: 8\n  -9: 4\n", "line 2: freeze: the step -9 of the schedule"),
        ("target: eye\ntrain: 5\n", "line 2: train"),
    ],
)
def test_a_malformed_file_is_explained(tmp_path, text, said):
    with pytest.raises(UserError) as caught:
        Recipe.read(write(tmp_path / "r.yaml", text))
    assert said in str(caught.value)


def test_a_missing_file_is_explained(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        Recipe.read(tmp_path / "none.yaml")


def test_yaml_that_would_run_code_is_refused(tmp_path):
    path = write(tmp_path / "r.yaml", "target: !!python/object/apply:os.system ['true']\n")
    with pytest.raises(UserError, match="not valid YAML"):
        Recipe.read(path)


def test_base_none_is_written_in_any_case():
    assert Recipe(base="None", target="eye").base == "none"
    assert Recipe(base="", target="eye").base == "none"


def test_settings_are_read_as_yaml():
    assert parse_setting("train.steps=500") == ("train.steps", 500)
    assert parse_setting("augment.scale=[0.9, 1.1]") == ("augment.scale", [0.9, 1.1])
    with pytest.raises(UserError, match="has no value"):
        parse_setting("train.steps")


def test_every_shipped_recipe_is_valid():
    assert "everyday/finetune" in list_recipes()
    for name in list_recipes():
        Recipe.read(find_recipe(name), target="eye")


def test_an_unknown_recipe_names_the_nearest():
    with pytest.raises(UserError, match="Did you mean 'everyday/finetune'"):
        find_recipe("everyday/finetun")


def test_importing_the_recipe_imports_no_torch():
    code = "import sys, transfer_kit.recipe; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
