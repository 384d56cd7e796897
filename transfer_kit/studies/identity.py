"""By what a training is known: its recipe, and the content of all that it learns from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from transfer_kit import __version__
from transfer_kit.data.dataset import Dataset
from transfer_kit.pair_choice import targets_of
from transfer_kit.recipe import Recipe
from transfer_kit.stores.datasets import find_dataset
from transfer_kit.stores.models import find_weights
from transfer_kit.studies.study import MadeData, TrainedBase
from transfer_kit.studies.trials import base_recipes
from transfer_kit.weights_file import weights_hash

_WITHOUT_EFFECT: dict[str, Any] = {
    "name": True,
    "description": True,
    "base": True,
    "target": True,
    "train": {"workers"},
    "evaluation": {"figures", "overlays"},
}
"""What weights, threshold and scores do not depend on, such as how base and target are called."""

_OF_THE_BASE = ("network", "codec", "classes", "mpp", "stain")
"""Where a recipe leaves these open, the base decides: whether they are said makes a difference."""

_OF_WEIGHTS: dict[str, Any] = {
    "freeze": 0,
    "train.batch_norm": "train",
    "train.l2_sp": 0.0,
    "train.adapter": {},
    "train.optimizer.block_decay": 1.0,
    "auxiliary.replay": None,
}
"""What only weights that are there can give: a training from scratch is the same without."""


class Identities:
    """The identity of data, bases and trainings of one study; each is looked up once.

    Args:
        bases: Those that the study trains itself.
        data: Those that the study makes itself.

    Raises:
        UserError: a base of the study has no valid recipe.
    """

    def __init__(
        self,
        bases: Mapping[str, TrainedBase] | None = None,
        data: Mapping[str, MadeData] | None = None,
    ) -> None:
        self.trained_bases = {
            name: alone(recipe)
            for base, settings in (bases or {}).items()
            for name, recipe in base_recipes(base, settings).items()
        }
        self.made_data = dict(data or {})
        self._known: dict[tuple[str, str], str] = {}

    def of_data(self, name: str) -> str:
        """Of a dataset: images, annotations, cases, scales and splits.

        Raises:
            UserError: nothing goes by that name, or its images are not here.
        """
        return self._once("data", name, self._of_data)

    def of_base(self, name: str) -> str:
        """Of a base: its weights and card, or the training that makes it.

        Raises:
            UserError: nothing goes by that name.
        """
        return self._once("base", name, self._of_base)

    def of_training(self, recipe: Recipe) -> str:
        """Of a training: equal for recipes that give the same weights and threshold.

        Fields that are as by default are left out, so that a new one makes no training new.

        Raises:
            UserError: its base or its data are not known here.
        """
        document = recipe.model_dump(mode="json", exclude=_WITHOUT_EFFECT, exclude_defaults=True)
        said = {} if recipe.base == "none" else recipe.model_dump(mode="json", exclude_unset=True)
        return digest(
            {
                "version": __version__,
                "recipe": document,
                "said": {name: said[name] for name in _OF_THE_BASE if name in said},
                "base": "none" if recipe.base == "none" else self.of_base(recipe.base),
                "target": [self.of_data(name) for name in targets_of(recipe)],
                "others": {name: self.of_data(name) for name in other_data_of(recipe)},
            }
        )

    def _once(self, kind: str, name: str, look_up: Any) -> str:
        if (kind, name) not in self._known:
            self._known[kind, name] = look_up(name)
        return self._known[kind, name]

    def _of_data(self, name: str) -> str:
        made = self.made_data.get(name)
        if made is None:
            return identity_of(find_dataset(name))
        base = None if made.base is None else self.of_base(made.base)
        return digest([made.model_dump(exclude={"base"}), self.of_data(made.of), base])

    def _of_base(self, name: str) -> str:
        recipe = self.trained_bases.get(name)
        if recipe is None:
            return weights_hash(find_weights(name))
        return self.of_training(recipe)


def alone(recipe: Recipe) -> Recipe:
    """The recipe without what has no effect where it starts from nothing."""
    if recipe.starts_from_weights:
        return recipe
    return recipe.replaced(**_OF_WEIGHTS)


def other_data_of(recipe: Recipe) -> list[str]:
    """Datasets that a recipe learns from, or takes its stains from, beside the target."""
    return list(dict.fromkeys([*recipe.stain.sources, *recipe.auxiliary.sources]))


def identity_of(dataset: Dataset) -> str:
    """Of a dataset as it is now: a changed annotation, split or scale changes it."""
    samples = [
        [each.id, each.case, each.mpp, each.window, dataset.split_of(each)] for each in dataset
    ]
    return digest([dataset.content_hash(), samples])


def digest(document: Any) -> str:
    """A short hash of what JSON can hold."""
    text = json.dumps(document, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:20]
