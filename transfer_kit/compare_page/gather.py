"""Runs and studies as entries of the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from transfer_kit.compare_page.entry import Entry, Gathered, Point, Section, letters
from transfer_kit.errors import UserError
from transfer_kit.recipe import Recipe
from transfer_kit.runs.comparison import PairedTest, compare_runs, differing, refuse_unfinished
from transfer_kit.runs.finding import FoundRun
from transfer_kit.studies.cache import RESULT, read
from transfer_kit.studies.conduct import Prepared
from transfer_kit.studies.outcome import Written
from transfer_kit.tracking.run import flattened


def of_runs(runs: Sequence[FoundRun], in_words: Callable[[PairedTest], str]) -> Gathered:
    """Finished runs, each tested against the first.

    Args:
        runs: Two or more, or one that stands beside studies.
        in_words: What is said of a paired test.

    Raises:
        UserError: one has not ended.
    """
    if len(runs) == 1:
        return Gathered((_of_run(refuse_unfinished(runs[0]), ""),))
    comparison = compare_runs(runs)
    first, *others = letters(len(runs))
    pairs = [
        replace(pair, first=first, second=other)
        for pair, other in zip(comparison.pairs, others, strict=True)
    ]
    entries = tuple(map(_of_run, comparison.runs, ["", *map(in_words, pairs)]))
    tables = {
        "Recipe": comparison.recipe,
        "Data (equal where the hash is the same)": {
            context: [digest[:16] or "unknown" for digest in digests]
            for context, digests in comparison.data.items()
        },
        "Environment": comparison.environment,
    }
    return Gathered(entries, (), tables, paired_to=first)


def _of_run(run: FoundRun, against_first: str) -> Entry:
    return Entry(
        name=run.name,
        recipe=run.recipe,
        test=run.figures,
        whole=run.metrics.get(run.column, {}).get("segmentation") or {},
        curves=_curves(run.folder / "curves.csv"),
        detector=run.folder / "detector.safetensors",
        against_first=against_first,
        facts=_facts(run),
    )


def of_study(prepared: Prepared, written: Written, name: str) -> Gathered:
    """A study's trials that ran to their end, and what it found.

    Raises:
        UserError: none has.
    """
    entries = []
    for task in prepared.tasks.trials:
        result = read(prepared.cache.training(task.key) / RESULT) if task.key else None
        if result is None:
            continue
        entries.append(
            Entry(
                name=task.name,
                recipe=Recipe.model_validate(result["recipe"]),
                test=result["test"],
                curves={"trained": result["curve"]},
                detector=prepared.cache.detector(task.key),
                facts={
                    "training images": str(result["n_train_images"]),
                    "seconds": f"{result['seconds']:.0f}",
                },
            )
        )
    section = Section(
        prepared.study.question,
        written.sentence,
        {name: written.figure},
        f"transfer-kit study {name}",
    )
    return Gathered(tuple(entries), (section,), {"Recipe": _recipes_apart(entries)})


def joined(parts: Sequence[Gathered]) -> Gathered:
    """Several on one page; tables that one of them has alone stay with it.

    Raises:
        UserError: there is nothing to show.
    """
    entries = [entry for part in parts for entry in part.entries]
    if len(entries) < 2:
        raise UserError("Two trainings or more are compared, but got one; name another.")
    entries = [
        replace(entry, letter=letter)
        for entry, letter in zip(entries, letters(len(entries)), strict=True)
    ]
    if len(parts) == 1:
        return replace(parts[0], entries=tuple(entries))
    return Gathered(
        tuple(entries),
        tuple(section for part in parts for section in part.sections),
        {"Recipe": _recipes_apart(entries)},
    )


def _recipes_apart(entries: Sequence[Entry]) -> dict[str, tuple[str, ...]]:
    recipes = [flattened(entry.recipe.model_dump(mode="json")) for entry in entries]
    return {
        name: values
        for name, values in differing(recipes).items()
        if name not in ("name", "description")
    }


def _curves(path: Path) -> dict[str, list[Point]]:
    if not path.is_file():
        return {}
    table = pd.read_csv(path)
    if "training" not in table:
        return {}
    return {
        str(title): [
            {str(name): float(value) for name, value in row.items() if pd.notna(value)}
            for row in rows.drop(columns="training").to_dict("records")
        ]
        for title, rows in table.groupby("training", sort=False)
    }


def _facts(run: FoundRun) -> dict[str, str]:
    metrics = run.metrics
    facts = {
        "training images": metrics.get("n_train_images"),
        "training nuclei": metrics.get("n_train_nuclei"),
        "parameters that learn": metrics.get("trainable_parameters"),
        "seconds": metrics.get("seconds"),
    }
    return {
        title: f"{value:,.0f}" if isinstance(value, int | float) else str(value)
        for title, value in facts.items()
        if value is not None
    }
