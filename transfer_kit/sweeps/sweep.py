"""Sweep: a recipe, and a space of its fields to be searched, as a validated YAML.

Knows neither torch nor Optuna.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, field_validator, model_validator

from transfer_kit.errors import nearest_hint
from transfer_kit.settings import Positive, Settings
from transfer_kit.studies.study import Fields, label_of, values_of
from transfer_kit.yaml_model import YamlModel

SAMPLERS = ("tpe", "gp", "cma-es", "grid", "random")
PRUNERS = ("none", "median", "hyperband")
OBJECTIVES = ("validation", "seconds", "labels")

_KINDS = ("float", "int", "choice")
_OF_A_RANGE = ("log", "step", "when")


def _one_kind(value: Any) -> Any:
    """Faults of a searched field in words: which words it may be written with."""
    if not isinstance(value, Mapping):
        raise ValueError("should be {float: [low, high]}, {int: [low, high]} or {choice: [...]}")
    for word in value:
        if word not in (*_KINDS, *_OF_A_RANGE):
            hint = nearest_hint(str(word), (*_KINDS, *_OF_A_RANGE)).rstrip(".")
            raise ValueError(f"there is no {word!r} ({hint})")
    if sum(kind in value for kind in _KINDS) != 1:
        raise ValueError("should have one of float, int and choice")
    return value


class SearchedField(Settings):
    """What one field of the recipe may be: a range of numbers, or one of some values."""

    model_config = ConfigDict(populate_by_name=True)

    float_range: tuple[float, float] | None = Field(
        None, alias="float", description="Lowest and highest of any number"
    )
    int_range: tuple[int, int] | None = Field(
        None, alias="int", description="Lowest and highest of a whole number"
    )
    choice: Annotated[tuple[Any, ...], Field(min_length=2)] | None = Field(
        None, description="Values of which one is taken"
    )
    log: bool = Field(False, description="Whether a range is searched on a logarithmic scale")
    step: Positive | None = Field(None, description="Distance of the values of a range")
    when: Fields = Field(
        {},
        description="Searched fields and their values: only with these is this field searched, and "
        "else it is as in the recipe; a list means any of its values",
    )

    @model_validator(mode="after")
    def _a_range(self) -> SearchedField:
        if self.choice is not None:
            labels = self.labels
            if len(set(labels)) < len(labels):
                raise ValueError("should have each value once")
            if self.log or self.step is not None:
                raise ValueError("has log and step of ranges alone")
            return self
        low, high = self.ends
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"should rise from {low:g} to a greater number")
        if self.log and low <= 0:
            raise ValueError("should be above 0 on a logarithmic scale")
        if self.log and self.step is not None:
            raise ValueError("has either log or step")
        if self.int_range is not None and self.step is not None and self.step % 1:
            raise ValueError("has a whole number for its step")
        return self

    @property
    def ends(self) -> tuple[float, float]:
        """Lowest and highest number of a range."""
        ends = self.int_range if self.float_range is None else self.float_range
        if ends is None:
            raise ValueError("a choice has no ends")
        return ends

    @property
    def labels(self) -> tuple[str, ...]:
        """The values of a choice as people read them, and as Optuna knows them."""
        return tuple(label_of(value) for value in self.choice or ())

    def value_of(self, stored: Any) -> Any:
        """What the recipe gets for a number, or for the label of a choice."""
        if self.choice is None:
            return stored
        return self.choice[self.labels.index(stored)]

    def holds(self, value: Any) -> bool:
        """Whether a recipe's value is one of those that are searched."""
        if self.choice is not None:
            return label_of(value) in self.labels
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        low, high = self.ends
        if not low <= value <= high or (self.int_range is not None and value % 1):
            return False
        steps = 0.0 if self.step is None else (value - low) / self.step
        return math.isclose(steps, round(steps), abs_tol=1e-9)

    def stored(self, value: Any) -> Any:
        """A recipe's value as Optuna knows it: a number, or the label of a choice."""
        if self.choice is not None:
            return label_of(value)
        return float(value) if self.int_range is None else int(value)


def _known(word: str, names: tuple[str, ...]) -> str:
    if word not in names:
        raise ValueError(f"should be one of {', '.join(names)}")
    return word


class Sweep(YamlModel):
    """A recipe of which some fields are searched for the best validation figure.

    Example:
        >>> sweep = Sweep.of_fields({
        ...     "set": {"base": "breast", "target": "eye"},
        ...     "search": {"freeze": {"int": [0, 9]}},
        ... })
        >>> sweep.sampler, sweep.pruner, sweep.search["freeze"].ends
        ('tpe', 'median', (0, 9))
    """

    question: str = Field("", description="What the sweep is to find, for people")
    recipe: str = Field("everyday/finetune", description="What all trials start from")
    set: Fields = Field({}, description="Laid over the recipe in every trial")
    search: dict[str, Annotated[SearchedField, BeforeValidator(_one_kind)]] = Field(
        min_length=1, description="The fields of the recipe that are searched, and what they may be"
    )
    objectives: tuple[str, ...] = Field(
        ("validation",),
        description="validation: the figure by which the training's best round is chosen, on "
        "validation images; beside it seconds (of training) or labels (images), the fewer the "
        "better",
    )
    trials: Annotated[int, Field(ge=1)] = Field(
        20, description="Finished trials, pruned ones included"
    )
    first: tuple[Fields, ...] = Field(
        (), description="Trials that come after the recipe's own values; other fields are as there"
    )
    sampler: str = Field("tpe", description=f"One of {', '.join(SAMPLERS)}")
    startup_trials: Annotated[int, Field(ge=1)] = Field(
        8, description="Trials at random before the sampler, and those whole before the pruner"
    )
    pruner: str = Field("", description=f"One of {', '.join(PRUNERS)}; median for one objective")
    warm_up_steps: Annotated[int, Field(ge=0)] = Field(
        0, description="Steps of the optimizer before which no trial is pruned"
    )
    seed: Annotated[int, Field(ge=0)] = Field(0, description="Of the sampler")

    @field_validator("sampler")
    @classmethod
    def _known_sampler(cls, sampler: str) -> str:
        return _known(sampler, SAMPLERS)

    @field_validator("objectives")
    @classmethod
    def _known_objectives(cls, objectives: tuple[str, ...]) -> tuple[str, ...]:
        for objective in objectives:
            _known(objective, OBJECTIVES)
        if objectives[:1] != ("validation",) or len(objectives) > 2:
            raise ValueError("should be [validation], or validation and one of seconds and labels")
        if len(set(objectives)) < len(objectives):
            raise ValueError("should have each objective once")
        return objectives

    @model_validator(mode="before")
    @classmethod
    def _usual_pruner(cls, fields: Any) -> Any:
        """Two objectives cannot be pruned by."""
        if isinstance(fields, dict) and not fields.get("pruner"):
            several = len(fields.get("objectives") or ()) > 1
            return {**fields, "pruner": "none" if several else "median"}
        return fields

    @field_validator("pruner")
    @classmethod
    def _known_pruner(cls, pruner: str) -> str:
        return _known(pruner, PRUNERS)

    @model_validator(mode="after")
    def _agree(self) -> Sweep:
        if self.has_two_objectives and self.pruner != "none":
            raise ValueError(f"pruner: {self.pruner} needs a single objective; leave it out")
        return self

    @property
    def has_two_objectives(self) -> bool:
        """Whether a Pareto front is sought."""
        return len(self.objectives) > 1

    def is_searched(self, name: str, values: Mapping[str, Any]) -> bool:
        """Whether a field is searched where those above it have these values."""
        return all(
            other in values and label_of(values[other]) in values_of(wanted)
            for other, wanted in self.search[name].when.items()
        )
