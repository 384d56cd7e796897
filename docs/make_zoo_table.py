"""Write the shipped detectors' measured figures, as their cards hold them, into README."""

from __future__ import annotations

from pathlib import Path

from transfer_kit.card import DetectorCard, Measurement
from transfer_kit.data.synthetic import ORGANS
from transfer_kit.detector import read_card
from transfer_kit.files import replacing
from transfer_kit.stores.models import StoredModel, list_models

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- zoo:begin -->", "<!-- zoo:end -->"


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


def main() -> None:
    """Put the table between README's markers."""
    text = README.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN)
    tail = rest.split(END)[1]
    with replacing(README) as temporary:
        temporary.write_text(f"{head}{BEGIN}\n{zoo_table()}\n{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
