"""Runs and studies as entries of the page, and all entries on one page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from transfer_kit.compare_page.entry import Entry, Gathered, Point, Section, letters
from transfer_kit.errors import UserError
from transfer_kit.recipe import Recipe
from transfer_kit.runs.comparison import (
    PairedTest,
    apart,
    paired_test,
    recipes_apart,
    refuse_unfinished,
)
from transfer_kit.runs.finding import FoundRun
from transfer_kit.studies.cache import RESULT, read
from transfer_kit.studies.conduct import Prepared
from transfer_kit.studies.outcome import Written


def of_runs(runs: Sequence[FoundRun]) -> Gathered:
    """Finished runs, and what differs between them.

    Raises:
        UserError: one has not ended.
    """
    entries = tuple(of_run(refuse_unfinished(run)) for run in runs)
    if len(runs) == 1:
        return Gathered(entries)
    differs = apart(runs)
    tables = {
        "Recipe": differs.recipe,
        "Data (equal where the hash is the same)": {
            context: [digest[:16] or "unknown" for digest in digests]
            for context, digests in differs.data.items()
        },
        "Environment": differs.environment,
    }
    return Gathered(entries, (), tables)


def of_run(run: FoundRun) -> Entry:
    """A finished run."""
    return Entry(
        name=run.name,
        recipe=run.recipe,
        test=run.figures,
        whole=run.metrics.get(run.column, {}).get("segmentation") or {},
        curves=_curves(run.folder / "curves.csv"),
        detector=run.folder / "detector.safetensors",
        run=run,
        facts=_facts(run),
    )


def of_study(prepared: Prepared, written: Written, name: str) -> Gathered:
    """A study's trials that ran to their end, and what it found.

    Raises:
        UserError: it trains nothing.
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
    if not entries:
        raise UserError(
            f"The study {name} trains nothing; 'transfer-kit study {name} --table FOLDER' writes "
            "what it found."
        )
    section = Section(
        prepared.study.question,
        written.sentence,
        {name: written.figure},
        f"transfer-kit study {name}",
    )
    return Gathered(tuple(entries), (section,), {"Recipe": _recipes_apart(entries)})


def joined(parts: Sequence[Gathered], in_words: Callable[[PairedTest], str]) -> Gathered:
    """Several on one page, those that can be tested in pairs first; the tables of one alone stay.

    Args:
        parts: What was gathered, in the order that was asked for.
        in_words: What is said of a paired test.

    Raises:
        UserError: there is nothing to compare.
    """
    entries = [entry for part in parts for entry in part.entries]
    if len(entries) < 2:
        raise UserError("Two trainings or more are compared, but got one; name another.")
    if len(parts) > 1:
        entries.sort(key=lambda entry: entry.run is None)
    entries = _in_pairs(
        [
            replace(entry, letter=letter)
            for entry, letter in zip(entries, letters(len(entries)), strict=True)
        ],
        in_words,
    )
    paired_to = entries[0].letter if any(entry.against_first for entry in entries) else ""
    sections = tuple(section for part in parts for section in part.sections)
    tables = parts[0].tables if len(parts) == 1 else {"Recipe": _recipes_apart(entries)}
    return Gathered(tuple(entries), sections, tables, paired_to)


def _in_pairs(entries: Sequence[Entry], in_words: Callable[[PairedTest], str]) -> list[Entry]:
    """Each run but the first tested against the first, in words."""
    first, *others = entries
    tested = [first]
    for entry in others:
        said = ""
        if first.run is not None and entry.run is not None:
            pair = paired_test(first.run, entry.run)
            said = in_words(replace(pair, first=first.letter, second=entry.letter))
        tested.append(replace(entry, against_first=said))
    return tested


def _recipes_apart(entries: Sequence[Entry]) -> dict[str, tuple[str, ...]]:
    return recipes_apart([entry.recipe for entry in entries])


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
