from __future__ import annotations

import re

import pytest
import yaml
from docs_pages import REPOSITORY

from transfer_kit.errors import UserError
from transfer_kit.stores.datasets import list_datasets
from transfer_kit.stores.recipes import find_recipe, list_recipes
from transfer_kit.sweeps.finding import find_sweep, list_sweeps
from transfer_kit.sweeps.space import check_space, first_values, own_values, recipe_of
from transfer_kit.sweeps.sweep import OBJECTIVES, PRUNERS, SAMPLERS, SearchedField, Sweep


@pytest.mark.parametrize("name", list_sweeps())
def test_a_shipped_sweep_opens_with_its_command_and_searches_what_is_there(name):
    path = find_sweep(name)
    head = f"# transfer-kit sweep recipes/sweeps/{name}.yaml"
    assert path.read_text(encoding="utf-8").startswith(head)
    sweep = Sweep.read(path)
    recipe = recipe_of(sweep)
    check_space(sweep, recipe)
    assert isinstance(own_values(sweep, recipe), dict)
    assert len(first_values(sweep, recipe)) == len(sweep.first)
    known = {stored.name for stored in list_datasets()}
    assert {recipe.target, *recipe.auxiliary.sources} <= known


def test_sweeps_are_no_recipes():
    assert {"eye", "kidney"} <= set(list_sweeps())
    assert not [name for name in list_recipes() if "sweeps" in name]
    with pytest.raises(UserError, match="There is no recipe 'sweeps/eye'"):
        find_recipe("sweeps/eye")


def page() -> str:
    return (REPOSITORY / "docs" / "sweeps.md").read_text(encoding="utf-8")


def test_the_page_tells_every_field_and_every_name():
    cells = " ".join(re.findall(r"^\| (`[^|]+`) \|", page(), re.MULTILINE))
    words = [info.alias or name for name, info in SearchedField.model_fields.items()]
    wanted = (*Sweep.model_fields, *words)
    assert [name for name in wanted if f"`{name}`" not in cells] == []
    text = page()
    assert [n for n in (*SAMPLERS, *PRUNERS, *OBJECTIVES) if f"`{n}`" not in text] == []


def test_the_sweep_on_the_page_is_valid():
    text = re.search(r"^```\n(# transfer-kit sweep.*?)^```$", page(), re.DOTALL | re.MULTILINE)[1]
    sweep = Sweep.of_fields(yaml.safe_load(text))
    check_space(sweep, recipe_of(sweep))
