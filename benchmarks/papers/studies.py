"""The studies of `studies.yaml`: which rows are compared, and with which recipes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from transfer_kit.recipe import Recipe
from transfer_kit.stores.recipes import find_recipe
from transfer_kit.yaml_faults import parse_yaml


@dataclass(frozen=True)
class Row:
    """One method of a study.

    Attributes:
        recipe: What the study's settings, and then its own, are laid over.
        decodes: Name of the row whose trained detector this one only decodes differently.
        regions_alone: Share of the crops that come from images without nuclei labels, which take
            part with their regions; 0 leaves them out.
        paper: Published figures, by the name of ours.
    """

    name: str
    label: str
    recipe: str
    set: Mapping[str, Any] = field(default_factory=dict)
    decodes: str | None = None
    regions_alone: float = 0.0
    paper: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Study:
    """Rows that are trained on the same parts with equal budgets, and measured alike.

    Attributes:
        measure: `detection`, `classes` or `segmentation`: the figures that its table shows.
        parts: Name of a function of `parts.py` that deals the data.
        notes: What was found, below the table: where rows stay behind the paper, and why.
        elsewhere: What data the paper's figures are of, where they are not of this: they are told
            in the table, but not drawn beside ours.
        data: Arguments of that function.
        settings: Laid over each row's recipe, below what the row sets itself.
        over: Laid over all, from the command line.
    """

    name: str
    title: str
    measure: str
    parts: str
    rows: Mapping[str, Row]
    notes: str = ""
    elsewhere: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    over: Mapping[str, Any] = field(default_factory=dict)

    def recipe_of(self, row: Row, seed: int) -> Recipe:
        """What `row` is trained with."""
        own = {"base": "none", "target": self.name, "seed": seed}
        fields = {**own, **self.settings, **row.set, **self.over}
        return Recipe.read(find_recipe(row.recipe), **fields)


@cache
def studies() -> dict[str, Study]:
    """All studies by name, in the order of the file."""
    document = parse_yaml(Path(__file__).with_name("studies.yaml"))
    return {name: _study(name, fields) for name, fields in document.items()}


def _study(name: str, fields: dict[str, Any]) -> Study:
    rows = {key: Row(name=key, **row) for key, row in fields.pop("rows").items()}
    return Study(name=name, rows=rows, **fields)
