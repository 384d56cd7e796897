"""Runs beside each other: figures, paired tests on common test images, and what differs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from transfer_kit.errors import UserError
from transfer_kit.evaluation.statistics import (
    Difference,
    SignedRank,
    bootstrap_mean,
    paired_difference,
    wilcoxon_signed_rank,
)
from transfer_kit.image_figures import read_image_figures
from transfer_kit.recipe import Recipe
from transfer_kit.run_data import TESTING, digests_by_context, read_data
from transfer_kit.runs.finding import FINISHED, FoundRun
from transfer_kit.tracking.run import flattened

# The same for two runs of one recipe, or a name that has no say in the training.
_NOT_OF_THE_TRAINING = frozenset({"name", "description"})
_COUNTS = ["n_true", "n_false", "n_missed"]


@dataclass(frozen=True)
class PairedTest:
    """The second of two runs against the first, on the same test images.

    Attributes:
        why_not: Why the two cannot be paired; empty where they are, and then the figures are there.
        f1: Pooled F1 of the second less that of the first, with its interval over cases.
        f1_by_image: Wilcoxon's signed-rank test of the F1 of each image.
        aji: Mean AJI of the second less that of the first; None without whole nuclei.
        aji_by_image: The same test of the AJI of each image.
        n_images: That either found a nucleus in or that have one.
    """

    first: str
    second: str
    why_not: str = ""
    f1: Difference | None = None
    f1_by_image: SignedRank | None = None
    aji: Difference | None = None
    aji_by_image: SignedRank | None = None
    n_images: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Apart:
    """What differs between runs.

    Attributes:
        recipe: The fields in which the recipes differ, with each run's value.
        data: By context, the hash of each run's images and annotations; "" where unknown.
        environment: Versions, device and commit where they differ.
    """

    recipe: Mapping[str, tuple[str, ...]]
    data: Mapping[str, tuple[str, ...]]
    environment: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Comparison:
    """Runs beside each other.

    Attributes:
        runs: In the order that they were asked for.
        pairs: Each run but the first against the first.
        apart: What differs between them.
    """

    runs: tuple[FoundRun, ...]
    pairs: tuple[PairedTest, ...]
    apart: Apart

    def as_dict(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {
            "runs": [{**run.as_dict(), "test": run.figures} for run in self.runs],
            "paired": [pair.as_dict() for pair in self.pairs],
            "recipe": {name: list(values) for name, values in self.apart.recipe.items()},
            "data": {name: list(values) for name, values in self.apart.data.items()},
            "environment": {name: list(values) for name, values in self.apart.environment.items()},
        }


@dataclass(frozen=True)
class _Cases:
    """Summed counts of each case, for `paired_difference`."""

    case_counts: Mapping[str, tuple[int, int, int]]


def compare_runs(runs: Sequence[FoundRun]) -> Comparison:
    """Put finished runs beside each other; the first is what the others are tested against.

    Raises:
        UserError: fewer than two were given, or one has not ended.
    """
    if len(runs) < 2:
        raise UserError("Two runs or more are compared, but got one; name another.")
    for run in runs:
        refuse_unfinished(run)
    return Comparison(
        tuple(runs), tuple(paired_test(runs[0], run) for run in runs[1:]), apart(runs)
    )


def apart(runs: Sequence[FoundRun]) -> Apart:
    """What differs between runs: recipe, data and environment."""
    data = [digests_by_context(read_data(run.folder)) for run in runs]
    return Apart(
        recipes_apart([run.recipe for run in runs]),
        {name: tuple(each.get(name, "") for each in data) for name in _names(data)},
        differing([_told(run.environment) for run in runs]),
    )


def recipes_apart(recipes: Sequence[Recipe]) -> dict[str, tuple[str, ...]]:
    """The fields in which recipes differ, with each one's value."""
    flat = [flattened(recipe.model_dump(mode="json")) for recipe in recipes]
    return {
        name: values for name, values in differing(flat).items() if name not in _NOT_OF_THE_TRAINING
    }


def refuse_unfinished(run: FoundRun) -> FoundRun:
    """The run, where it has ended.

    Raises:
        UserError: it has not; with how to go on.
    """
    if run.state != FINISHED:
        mend = f"go on with: {run.go_on}" if run.go_on else "wait until it has ended"
        raise UserError(f"The run {run.folder} is {run.state} and has no figures; {mend}.")
    return run


def differing(documents: Sequence[Mapping[str, str]]) -> dict[str, tuple[str, ...]]:
    """The fields whose value is not the same in all, with each one's value; "–" for none."""
    rows = {name: tuple(each.get(name, "–") for each in documents) for name in _names(documents)}
    return {name: values for name, values in rows.items() if len(set(values)) > 1}


def paired_test(first: FoundRun, second: FoundRun) -> PairedTest:
    """The second run against the first, where both were tested on the same images."""
    tables = [read_image_figures(run.folder, run.column) for run in (first, second)]
    a, b = tables
    why_not = _why_not(first, second, a, b)
    if why_not or a is None or b is None:
        return PairedTest(first.name, second.name, why_not)
    b = b.loc[a.index]
    seen = (a[_COUNTS].sum(axis=1) > 0) | (b[_COUNTS].sum(axis=1) > 0)
    a, b, cases_a, cases_b = a[seen], b[seen], _cases(a), _cases(b)
    if not len(a):
        return PairedTest(first.name, second.name, "no test image has a nucleus or a detection")
    whole = a["aji"].notna().all() and b["aji"].notna().all()
    return PairedTest(
        first.name,
        second.name,
        f1=paired_difference(cases_b, cases_a),
        f1_by_image=wilcoxon_signed_rank(b["f1"].to_list(), a["f1"].to_list()),
        aji=_aji_difference(b, a) if whole else None,
        aji_by_image=(
            wilcoxon_signed_rank(b["aji"].to_list(), a["aji"].to_list()) if whole else None
        ),
        n_images=len(a),
    )


def _why_not(
    first: FoundRun, second: FoundRun, a: pd.DataFrame | None, b: pd.DataFrame | None
) -> str:
    for run, table in ((first, a), (second, b)):
        if table is None:
            return f"{run.name} keeps no figures of single test images"
    radii = [run.figures.get("radius_um") for run in (first, second)]
    if radii[0] != radii[1]:
        return f"nuclei were matched within {radii[0]:g} µm in one and {radii[1]:g} µm in the other"
    tested = [digests_by_context(read_data(run.folder)).get(TESTING) for run in (first, second)]
    same_images = a is not None and b is not None and set(a.index) == set(b.index)
    if tested[0] != tested[1] or not same_images:
        return "they were tested on other images or annotations"
    return ""


def _cases(table: pd.DataFrame) -> _Cases:
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for case, *counts in table[["case", *_COUNTS]].itertuples(index=False):
        sums[str(case)] = [have + int(n) for have, n in zip(sums[str(case)], counts, strict=True)]
    return _Cases({case: (n[0], n[1], n[2]) for case, n in sums.items()})


def _aji_difference(first: pd.DataFrame, second: pd.DataFrame) -> Difference:
    """As `aji_difference`, from the figures in the run folders."""
    differences = first["aji"] - second["aji"]
    by_case = [group.to_list() for _, group in differences.groupby(first["case"])]
    return Difference(float(np.mean(differences)), *bootstrap_mean(by_case), len(by_case))


def _names(documents: Sequence[Mapping[str, str]]) -> list[str]:
    return list(dict.fromkeys(name for each in documents for name in each))


def _told(environment: Mapping[str, Any]) -> dict[str, str]:
    """Versions and what else can change a figure or its cost, flat."""
    told = {name: str(value) for name, value in environment.get("packages", {}).items()}
    for name in ("device", "cpu", "threads", "commit", "kit_commit"):
        if name in environment:
            told[name] = str(environment[name])
    return told
