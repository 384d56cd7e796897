"""From breast to brain, kidney and prostate with 2, 5 and 10 labelled images: four columns.

    python benchmarks/transfer_pairs.py                # all runs that are not there yet
    python benchmarks/transfer_pairs.py --only gbm40   # one target; run several side by side
    python benchmarks/transfer_pairs.py --summary docs/results/transfer

The base as it is, the base recalibrated on the same few labels, fine-tuned with the first two
blocks frozen, and trained from scratch with equal steps; the same test tiles for all, mean of three
seeds.
A run that was killed goes on; a finished one is not repeated.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

import pandas as pd
import torch

from transfer_kit.files import replacing
from transfer_kit.plan import make_plan
from transfer_kit.recipe import Recipe, parse_setting
from transfer_kit.run import COLUMNS, run_recipe
from transfer_kit.stores.recipes import find_recipe

BASE = "breast"
TARGETS = ("gbm40", "monuseg-kidney", "monuseg-prostate")
LABELS = (2, 5, 10)
SEEDS = (0, 1, 2)


def run_pair(target: str, labels: int, seed: int, options: argparse.Namespace) -> None:
    folder = options.folder / f"{target}-{labels}-seed{seed}"
    if (folder / "metrics.json").is_file():
        return
    fields = dict(parse_setting(setting) for setting in options.set)
    recipe = Recipe.read(
        find_recipe("everyday/finetune"),
        base=options.base,
        target=target,
        labels=str(labels),
        seed=seed,
        freeze=2,
        **{"evaluation.figures": False, **fields},
    )
    result = run_recipe(make_plan(recipe), folder, compare_scratch=not options.no_scratch)
    f1 = {name: round(column.scores.f1, 4) for name, column in result.columns.items()}
    print(json.dumps({"target": target, "labels": labels, "seed": seed, **f1}), flush=True)


def gathered(folder: Path) -> pd.DataFrame:
    """One row a run and column."""
    rows = [row for path in sorted(folder.glob("*/metrics.json")) for row in _rows(path)]
    return pd.DataFrame(rows)


def _rows(path: Path) -> list[dict[str, object]]:
    metrics = json.loads(path.read_text())
    target, labels, seed = path.parent.name.rsplit("-", 2)
    run = {"target": target, "labels": int(labels), "seed": int(seed.removeprefix("seed"))}
    return [
        {**run, "column": name, "seconds": metrics["seconds"], **metrics[name]["test"]}
        for name in COLUMNS
        if metrics.get(name)
    ]


def summarise(folder: Path, output: Path) -> None:
    """Markdown and CSV: mean and standard deviation over seeds of each column's F1."""
    table = gathered(folder)
    plain = table.drop(columns=["classes"], errors="ignore")
    with replacing(output.with_suffix(".csv")) as temporary:
        plain.to_csv(temporary, index=False)
    lines = [
        "| target | labelled images | base as it is | base, recalibrated | fine-tuned | "
        "from scratch | fine-tuned, median distance | test images / nuclei | seeds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for (target, labels), group in table.groupby(["target", "labels"]):
        cells = [_mean(group[group.column == name].f1) for name in COLUMNS]
        tuned = group[group.column == "finetuned"]
        lines.append(
            f"| {target} | {labels} | {' | '.join(cells)} | "
            f"{tuned.distance_median.mean():.2f} µm | "
            f"{tuned.n_images.iloc[0]} / {tuned.n_nuclei.iloc[0]} | {tuned.seed.nunique()} |"
        )
    with replacing(output.with_suffix(".md")) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def _mean(values: pd.Series[float]) -> str:
    if values.empty:
        return "–"
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{values.mean():.3f} ± {spread:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(".work/pairs"))
    parser.add_argument("--base", default=BASE)
    parser.add_argument("--only", choices=TARGETS)
    parser.add_argument("--labels", type=int, nargs="+", default=list(LABELS))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--no-scratch", action="store_true")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--summary", type=Path)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.summary:
        summarise(options.folder, options.summary)
        return
    for labels in options.labels:
        for seed in options.seeds:
            for target in [options.only] if options.only else TARGETS:
                run_pair(target, labels, seed, options)


if __name__ == "__main__":
    main()
