"""Write measured figures into README and zoo.md: those in the cards and in docs/results."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from transfer_kit.card import DetectorCard, Measurement, TrainingData
from transfer_kit.cli.licences import in_a_word
from transfer_kit.data.synthetic import ORGANS
from transfer_kit.files import replacing
from transfer_kit.stores.models import StoredModel, list_models
from transfer_kit.weights_file import read_card

PAGES = (Path(__file__).parents[1] / "README.md", Path(__file__).with_name("zoo.md"))
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
    """Markdown: each shipped detector, and F1 on the test cases of its own organ."""
    lines = [
        "| model | learned from | network, codec | µm/px | F1 on its own test cases (95 %) | AJI "
        "| images / cases / nuclei | within | size | licence |",
        "|---" * 10 + "|",
    ]
    return "\n".join([*lines, *(_of_model(model, card) for model, card in _zoo())])


def _zoo() -> list[tuple[StoredModel, DetectorCard]]:
    return [(model, read_card(model.weights)) for model in list_models() if model.ships]


def _of_model(model: StoredModel, card: DetectorCard) -> str:
    own = card.measured[0]
    aji = (own.segmentation or {}).get("aji")
    counts = (own.scores[f"n_{what}"] for what in ("images", "cases", "nuclei"))
    cells = [
        f"`{model.name}`",
        _learned_from(card),
        f"{card.network.name}, {card.codec.name}",
        f"{card.mpp:g}",
        _with_interval(own),
        "" if aji is None else f"{aji:.3f}",
        " / ".join(f"{count:,}" for count in counts),
        f"{own.scores['radius_um']:g} µm",
        f"{model.weights.stat().st_size / 1e6:.1f} MB",
        in_a_word(card.licence),
    ]
    return f"| {' | '.join(cells)} |"


def _learned_from(card: DetectorCard) -> str:
    return ", ".join(sorted({_organ(part) for part in card.data}))


def _organ(part: TrainingData) -> str:
    return f"{part.organ} (synthetic)" if part.synthetic else part.organ


def _with_interval(measured: Measurement) -> str:
    value, low, high = measured.interval("f1")
    ends = "one case" if low is None or high is None else f"{low:.3f} to {high:.3f}"
    return f"**{value:.3f}** ({ends})"


def organ_table() -> str:
    """Markdown: F1 of each shipped detector of all nuclei on each organ's test cases."""
    measured = {
        model.name: {part.dataset: part for part in card.measured} for model, card in _zoo()
    }
    models = [name for name, parts in measured.items() if len(parts) > 1]
    datasets = {d: part for name in models for d, part in measured[name].items() if " + " not in d}
    lines = [f"| measured on | images / cases / nuclei | {' | '.join(models)} |"]
    lines.append("|---" * (len(models) + 2) + "|")
    for dataset, part in sorted(datasets.items(), key=lambda item: (item[1].organ, item[0])):
        counts = " / ".join(f"{part.scores[f'n_{w}']:,}" for w in ("images", "cases", "nuclei"))
        name = f"{part.organ}: {dataset}{' (synthetic)' if dataset in ORGANS else ''}"
        cells = [_elsewhere(measured[model].get(dataset), dataset, model) for model in models]
        lines.append(f"| {name} | {counts} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _elsewhere(measured: Measurement | None, dataset: str, model: str) -> str:
    """F1, bold where the detector learned from other cases of the same dataset."""
    if measured is None:
        return ""
    card = read_card(next(m for m in list_models() if m.name == model).weights)
    own = dataset in {part.dataset for part in card.data}
    f1 = f"{measured.scores['f1']:.3f}"
    return f"**{f1}**" if own else f1


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


TABLES = {"zoo": zoo_table, "organs": organ_table, "transfer": transfer_table}


def with_tables(text: str) -> str:
    """`text` with each table between its markers, where it has them."""
    for name, table in TABLES.items():
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        if begin not in text:
            continue
        head, rest = text.split(begin)
        text = f"{head}{begin}\n{table()}\n{end}{rest.split(end)[1]}"
    return text


def main() -> None:
    """Put the tables between the pages' markers."""
    for page in PAGES:
        with replacing(page) as temporary:
            temporary.write_text(with_tables(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
