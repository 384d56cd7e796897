"""What `transfer-kit runs` tells a person: lists, one run, a comparison."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from transfer_kit.evaluation.statistics import Difference, SignedRank
from transfer_kit.run_data import digests_by_context, read_data
from transfer_kit.runs.comparison import Comparison, PairedTest
from transfer_kit.runs.finding import LEARNED, FoundRun
from transfer_kit.wording import counted

FIGURES = (
    ("F1", "f1"),
    ("precision", "precision"),
    ("recall", "recall"),
    ("distance, median µm", "distance_median"),
    ("threshold", "threshold"),
    ("test images", "n_images"),
)


def tell_list(runs: Sequence[FoundRun], console: Console) -> None:
    """A row a run, and below how to go on with what was interrupted and unsent."""
    name = Column("run", no_wrap=True)
    table = Table(name, "began", "base", "target", "state", "F1 (95 %)", box=None, pad_edge=False)
    for run in runs:
        unsent = f", {run.n_unsent} unsent" if run.n_unsent else ""
        base, target = run.recipe.base, run.recipe.target
        f1 = _with_interval(run.figures, "f1")
        table.add_row(run.name, _when(run), base, target, f"{run.state}{unsent}", f1)
    console.print(table)
    for run in runs:
        if run.go_on:
            console.print(f"Go on with: {run.go_on}", soft_wrap=True, highlight=False)
    if any(run.n_unsent for run in runs):
        console.print("Send what is unsent with: transfer-kit runs sync", highlight=False)


def shown(run: FoundRun) -> dict[str, Any]:
    """The object that `runs show --json` prints."""
    return {
        **run.as_dict(),
        "recipe": run.recipe.model_dump(mode="json"),
        "metrics": run.metrics,
        "data": digests_by_context(read_data(run.folder)),
        "environment": run.environment,
    }


def tell_run(run: FoundRun, console: Console) -> None:
    """State, figures of all columns, data and environment."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_row("run", str(run.folder))
    table.add_row("state", run.state)
    table.add_row("began", _when(run))
    table.add_row("base", run.recipe.base)
    table.add_row("target", run.recipe.target)
    for column in ("base", "base_recalibrated", *LEARNED):
        if run.metrics.get(column):
            figures = run.metrics[column]["test"]
            table.add_row(f"F1 {column}".replace("_", " "), _with_interval(figures, "f1"))
    for part in read_data(run.folder):
        images = counted(part.n_images, "image")
        table.add_row(part.context, f"{images} of {part.dataset} ({part.digest[:16]})")
    environment = run.environment
    for name in ("device", "commit", "host"):
        if environment.get(name):
            table.add_row(name, str(environment[name]))
    if run.options.get("mlflow_run_id"):
        table.add_row("MLflow run", str(run.options["mlflow_run_id"]))
    if run.n_unsent:
        table.add_row("unsent", f"{counted(run.n_unsent, 'record')}: transfer-kit runs sync")
    console.print(table, soft_wrap=True)
    for note in run.metrics.get("notes", ()):
        console.print(f"[yellow]Note:[/] {note}.")
    if run.go_on:
        console.print(f"Go on with: {run.go_on}", soft_wrap=True, highlight=False)


def tell_comparison(comparison: Comparison, console: Console) -> None:
    """Figures, paired tests, and where recipes, data and environments differ."""
    runs = comparison.runs
    rows: dict[str, Sequence[str]] = {
        title: [_with_interval(run.figures, name) for run in runs] for title, name in FIGURES
    }
    if any("segmentation" in run.metrics.get(run.column, {}) for run in runs):
        rows["AJI"] = [
            _with_interval(run.metrics.get(run.column, {}).get("segmentation", {}), "aji")
            for run in runs
        ]
    _print_rows("", rows, runs, console)
    for pair in comparison.pairs:
        console.print(in_words(pair), soft_wrap=True, highlight=False)
    _print_rows("recipe", comparison.apart.recipe, runs, console)
    data = {
        context: [digest or "unknown" for digest in digests]
        for context, digests in comparison.apart.data.items()
    }
    _print_rows("data (equal where the same)", data, runs, console)
    _print_rows("environment", comparison.apart.environment, runs, console)


def in_words(pair: PairedTest) -> str:
    """The outcome of a paired test in a sentence."""
    if pair.why_not:
        return f"{pair.second} and {pair.first} cannot be paired: {pair.why_not}."
    told = [_difference("F1", pair.f1), _signed_rank("F1", pair.f1_by_image)]
    if pair.aji is not None:
        told += [_difference("AJI", pair.aji), _signed_rank("AJI", pair.aji_by_image)]
    return (
        f"{pair.second} against {pair.first} on {counted(pair.n_images, 'test image')}: "
        f"{'; '.join(part for part in told if part)}."
    )


def _difference(name: str, found: Difference | None) -> str:
    if found is None:
        return ""
    if found.low is None or found.high is None:
        return f"{name} {found.difference:+.3f} (one case gives no interval)"
    return f"{name} {found.difference:+.3f} ({found.low:+.3f} to {found.high:+.3f})"


def _signed_rank(name: str, found: SignedRank | None) -> str:
    if found is None:
        return ""
    return (
        f"signed-rank test of each image's {name} p = {found.p_value:.2g} "
        f"({found.n_differing} differ)"
    )


def _print_rows(
    title: str, rows: Mapping[str, Sequence[str]], runs: Sequence[FoundRun], console: Console
) -> None:
    if not rows:
        return
    names = [Column(run.name, overflow="fold") for run in runs]
    table = Table(Column(title, no_wrap=True), *names, box=None, pad_edge=False)
    for name, values in rows.items():
        table.add_row(name, *values)
    console.print()
    console.print(table)


def _with_interval(figures: Mapping[str, Any], name: str) -> str:
    value = figures.get(name)
    if value is None:
        return "–"
    if isinstance(value, int):
        return str(value)
    low, high = figures.get(f"{name}_low"), figures.get(f"{name}_high")
    if low is None or high is None:
        return f"{value:.3f}"
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


def _when(run: FoundRun) -> str:
    began = run.options.get("began_ms")
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(began / 1000)) if began else "–"
