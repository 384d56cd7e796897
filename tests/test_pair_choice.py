"""What a named pair fills in, and the pair that a recipe amounts to."""

from __future__ import annotations

import pytest
from laboratory import BASE, OWN, TARGET, tiny_base

from transfer_kit.errors import UserError
from transfer_kit.pair import Pair
from transfer_kit.pair_choice import pair_of, with_pair
from transfer_kit.plan import make_plan
from transfer_kit.recipe import Recipe
from transfer_kit.stores.datasets import find_dataset

pytest_plugins = ["lab_fixtures"]


@pytest.fixture
def pair(lab):
    """With all that a pair can say."""
    trains = find_dataset(TARGET).split("train").cases[0]
    said = Pair(
        name="mine",
        description="ours",
        base=BASE,
        target=TARGET,
        auxiliary=(OWN,),
        mpp={OWN: 0.3, TARGET: 0.26},
        held_out={TARGET: (trains,)},
    )
    said.write(lab / "home" / "pairs" / "mine.yaml")
    return said


def test_a_recipe_may_name_a_pair_in_place_of_base_and_target(lab, pair):
    plan = make_plan(Recipe(pair="mine", labels="4"))
    assert plan.base.card.name == "tiny-breast"
    assert [target.name for target in plan.targets] == [TARGET]
    (source,) = plan.auxiliary
    assert {sample.mpp for sample in source.samples} == {0.3}
    assert {sample.mpp for sample in plan.train} == {0.26}
    assert pair.held_out[TARGET][0] in {sample.case for sample in plan.test}
    assert plan.pair.name == "mine"
    assert plan.pair.description == "ours"


def test_the_settled_recipe_needs_the_pair_no_more(lab, pair):
    plan = make_plan(Recipe(pair="mine", labels="4"))
    (lab / "home" / "pairs" / "mine.yaml").unlink()
    again = make_plan(plan.recipe)
    assert again.recipe == plan.recipe
    assert again.pair.model_dump(exclude={"name", "description"}) == plan.pair.model_dump(
        exclude={"name", "description"}
    )


def test_a_file_may_be_named_from_anywhere_afterwards(lab, pair, monkeypatch):
    pair.model_copy(update={"base": str(lab / BASE)}).write(lab / "here.yaml")
    recipe = with_pair(Recipe(pair="here.yaml"))
    (lab / "elsewhere").mkdir()
    monkeypatch.chdir(lab / "elsewhere")
    assert recipe.pair == str(lab / "here.yaml")
    assert pair_of(recipe, recipe.target).title == "mine"


def test_what_the_recipe_says_itself_goes_before_the_pair_and_is_told(lab, pair):
    tiny_base(lab / "other.safetensors", name="tiny-other")
    recipe = Recipe(pair="mine", base="other.safetensors", auxiliary={"sources": []}, labels="4")
    plan = make_plan(recipe)
    assert plan.base.card.name == "tiny-other"
    assert plan.auxiliary == ()
    assert plan.recipe.auxiliary.mpp == {TARGET: 0.26}
    assert plan.pair.name == ""
    (note,) = (note for note in plan.notes if note.startswith("pair: "))
    assert "the recipe says base, auxiliary.sources, auxiliary.mpp itself, and not as mine" in note


def test_an_unknown_pair_names_the_nearest(lab, pair):
    with pytest.raises(UserError, match=r"no pair 'mime'\. Did you mean 'mine'\?"):
        make_plan(Recipe(pair="mime"))


def test_a_pair_without_a_name_is_what_base_target_and_sources_are(lab):
    auxiliary = {"sources": [f"./{OWN}"], "mpp": {f"./{OWN}": 0.3}}
    pair = make_plan(Recipe(base=BASE, target=TARGET, auxiliary=auxiliary)).pair
    assert pair == Pair(
        base=str(lab / BASE),
        target=TARGET,
        auxiliary=(str(lab / OWN),),
        mpp={str(lab / OWN): 0.3},
    )
    assert pair.title == f"{pair.base} → {TARGET}"


def test_a_recipe_with_neither_target_nor_pair_is_refused(lab):
    (lab / "recipe.yaml").write_text("base: breast\n")
    with pytest.raises(UserError, match="target is missing; add it"):
        Recipe.read("recipe.yaml")
