from __future__ import annotations

import re

import pytest
import yaml
from docs_pages import REPOSITORY

from transfer_kit.errors import UserError
from transfer_kit.pair_choice import targets_of
from transfer_kit.stores.datasets import list_datasets
from transfer_kit.stores.recipes import list_recipes
from transfer_kit.studies import Study, find_study, list_studies, trials_of
from transfer_kit.studies.kinds import KIND_OF
from transfer_kit.studies.study import KINDS
from transfer_kit.studies.trials import base_recipes

NAMES = list_studies()


def test_the_studies_of_the_paper_and_more_ship():
    assert {"matrix", "labels", "early", "freezing", "auxiliary", "gamma", "lambda"} <= set(NAMES)
    assert {"stain", "bases", "adaptation", "forgetting", "regions", "rank"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_trial_of_a_shipped_study_is_a_recipe_of_known_names(name):
    study = Study.read(find_study(name))
    trials = trials_of(study)
    bases = [base for key, each in study.bases.items() for base in base_recipes(key, each)]
    organs = [recipe.removeprefix("models/micronet-") for recipe in list_recipes()]
    models = [recipe.removeprefix("models/") for recipe in list_recipes()]
    data = {*(stored.name for stored in list_datasets()), *study.data}
    for trial in trials:
        assert trial.recipe.base in ("none", *bases, *organs, *models)
        named = {*targets_of(trial.recipe), *trial.recipe.auxiliary.sources, *study.test_also}
        assert named <= data, trial.name
        assert not {*targets_of(trial.recipe)} & {*trial.recipe.auxiliary.sources}
    assert {made.of for made in study.data.values()} <= data


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_study_opens_with_its_command_and_repeats_over_three_seeds(name):
    path = find_study(name)
    assert path.read_text(encoding="utf-8").startswith(f"# transfer-kit study {name}\n")
    assert Study.read(path).axes["seed"] == ("0", "1", "2")


def test_a_study_that_is_not_there_is_told_with_the_nearest():
    with pytest.raises(UserError, match=r"There is no study 'freezin'\. Did you mean 'freezing'\?"):
        find_study("freezin")
    with pytest.raises(UserError, match=r"There is no study file mine\.yaml; check the path"):
        find_study("mine.yaml")


def test_every_kind_of_figure_has_a_file():
    assert set(KIND_OF) == set(KINDS)


def page() -> str:
    return (REPOSITORY / "docs" / "studies.md").read_text(encoding="utf-8")


def test_the_page_tells_every_study_with_its_question():
    told = dict(re.findall(r"^\| `(\w+)` \| (.+?\?) \|", page(), re.MULTILINE))
    assert told == {name: Study.read(find_study(name)).question for name in NAMES}


def test_the_page_tells_every_field_and_kind():
    cells = " ".join(re.findall(r"^\| (`[\w`, ]+) \|", page(), re.MULTILINE))
    assert [name for name in (*Study.model_fields, *KINDS) if f"`{name}`" not in cells] == []


def test_the_study_on_the_page_is_valid():
    text = re.search(r"^```\n(# transfer-kit study.*?)^```$", page(), re.DOTALL | re.MULTILINE)[1]
    assert len(trials_of(Study.of_fields(yaml.safe_load(text)))) == (3 * 3 - 1) * 3
