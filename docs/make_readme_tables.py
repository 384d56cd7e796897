"""Write measured figures into README: those in the detectors' cards and in docs/results."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from transfer_kit.card import DetectorCard, Measurement
from transfer_kit.data.synthetic import ORGANS
from transfer_kit.detector import read_card
from transfer_kit.files import replacing
from transfer_kit.stores.models import StoredModel, list_models

README = Path(__file__).parents[1] / "README.md"
TRANSFER = Path(__file__).with_name("results") / "transfer.csv"
TARGETS = {
    "gbm40": "brain (gbm40",
    "monuseg-kidney": "kidney (monuseg",
    "monuseg-prostate": "prostate (monuseg",
}
COLUMNS = {
    "base": "base as it is",
    "base_recalibrated": "base, recalibrated",
    "finetuned": "fine-tuned",
    "scratch": "from scratch",
}


def zoo_table() -> str:
    """Markdown: for each shipped detector, F1 on its own unseen cases and on other organs."""
    parts = [_of_model(model, read_card(model.weights)) for model in list_models() if model.ships]
    return "\n\n".join(parts)


def _of_model(model: StoredModel, card: DetectorCard) -> str:
    own, *others = card.measured
    size_mb = model.weights.stat().st_size / 1e6
    lines = [
        f"**{model.name}**: {card.network.name} {_options(card.network.options)} with "
        f"{card.codec.name} maps, {card.organ}, {card.stain}, {card.mpp:g} µm/px, "
        f"{size_mb:.1f} MB, "
        f"licence {card.licence}. Matched within {card.radius_um:g} µm at the one threshold "
        f"({card.threshold:.2f}) that was chosen on its own validation cases.",
        "",
        "| measured on (test cases) | organ | F1 | 95 % interval | images / cases / nuclei |",
        "|---|---|---|---|---|",
        *(_row(measured, bold=measured is own) for measured in [own, *others]),
    ]
    return "\n".join(lines)


def _row(measured: Measurement, *, bold: bool) -> str:
    scores = measured.scores
    f1 = f"{scores['f1']:.3f}"
    low, high = scores["f1_low"], scores["f1_high"]
    interval = "one case: none" if low is None else f"{low:.3f} to {high:.3f}"
    synthetic = " (synthetic)" if measured.dataset in ORGANS else ""
    counts = f"{scores['n_images']} / {scores['n_cases']} / {scores['n_nuclei']}"
    return (
        f"| {measured.dataset}{synthetic} | {measured.organ} | {f'**{f1}**' if bold else f1} | "
        f"{interval} | {counts} |"
    )


def _options(options: dict[str, object]) -> str:
    return "(" + ", ".join(f"{name} {value}" for name, value in options.items()) + ")"


def transfer_table() -> str:
    """Markdown: mean F1 of each column over the seeds, and its standard deviation."""
    runs = pd.read_csv(TRANSFER)
    lines = [f"| target | labelled images | {' | '.join(COLUMNS.values())} |", "|---" * 6 + "|"]
    for target, name in TARGETS.items():
        of_target = runs[runs.target == target]
        for labels, group in of_target.groupby("labels"):
            first = labels == of_target.labels.min()
            cases = group.n_cases.iloc[0]
            cells = [f"{name}, {cases} test patients)" if first else "", str(labels)]
            lines.append(f"| {' | '.join([*cells, *_means(group)])} |")
    return "\n".join(lines)


def _means(group: pd.DataFrame) -> list[str]:
    f1 = group.groupby("column").f1.agg(["mean", "std"]).loc[list(COLUMNS)].round(3)
    best = f1["mean"].max()
    cells = []
    for column, (mean, spread) in f1.iterrows():
        text = f"{mean:.3f}" if column == "base" else f"{mean:.3f} ± {spread:.3f}"
        cells.append(f"**{text}**" if mean == best else text)
    return cells


def with_tables(text: str) -> str:
    """`text` with each table between its markers."""
    for name, table in (("zoo", zoo_table), ("transfer", transfer_table)):
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        head, rest = text.split(begin)
        text = f"{head}{begin}\n{table()}\n{end}{rest.split(end)[1]}"
    return text


def main() -> None:
    """Put the tables between README's markers."""
    with replacing(README) as temporary:
        temporary.write_text(with_tables(README.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
