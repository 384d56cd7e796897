"""A trained detector's card: what it learned from, how, and what it reached."""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from importlib.metadata import version

from transfer_kit.card import DetectorCard, Measurement, TrainingData
from transfer_kit.data.dataset import Dataset
from transfer_kit.data.sample import Sample
from transfer_kit.evaluation import DetectionScores
from transfer_kit.recipe import Recipe
from transfer_kit.transfer.mixing import AuxiliarySource

AUXILIARY = "auxiliary"
"""In a card, the split of what was learned from beside the target."""


def describe_data(
    targets: Sequence[Dataset], samples: Sequence[Sample], split: str
) -> list[TrainingData]:
    """The parts of `targets` that `samples` are, as a card records them."""
    wanted = set(samples)
    parts = []
    for target in targets:
        ours = [sample for sample in target if sample in wanted]
        if ours:
            parts.append(_describe(target, ours, split))
    return parts


def describe_auxiliary(sources: Sequence[AuxiliarySource]) -> list[TrainingData]:
    """What is learned from beside the target, as a card records it.

    Without what is replayed, which the base's card has.
    """
    return [
        part
        for source in sources
        if not source.is_replay
        for part in describe_data(source.datasets, source.samples, AUXILIARY)
    ]


def _describe(target: Dataset, samples: Sequence[Sample], split: str) -> TrainingData:
    return TrainingData(
        dataset=target.card.name,
        organ=target.card.organ,
        split=split,
        cases=sorted({sample.case for sample in samples}),
        n_images=len(samples),
        n_nuclei=sum(len(sample.annotation()) for sample in samples),
        licence=target.card.licence,
        synthetic=target.card.synthetic,
        digest=target.content_hash(),
    )


def complete_card(
    card: DetectorCard,
    recipe: Recipe,
    *,
    learned: Sequence[TrainingData],
    held_out: Sequence[TrainingData],
    base: DetectorCard | None,
    scores: DetectionScores | None,
) -> None:
    """Fill in what a training makes known: data, licence, recipe, versions and measurement.

    A fine-tuned detector inherits its base's data, and with it the base's licences. Where nothing
    could be measured, `scores` is None.
    """
    inherited = list(base.data) if base else []
    card.base = base.name if base else None
    card.data = [*inherited, *learned]
    card.held_out = list(held_out)
    card.licence = " + ".join(sorted({part.licence for part in card.data}))
    card.recipe = recipe.model_dump(mode="json")
    card.seed = recipe.seed
    card.created = time.strftime("%Y-%m-%d")
    card.versions = {"python": platform.python_version()} | {
        name: version(name) for name in ("transfer-kit", "torch", "numpy", "opencv-python-headless")
    }
    card.measured = []
    if scores is not None:
        figures = scores.as_dict()
        card.measured = [
            Measurement(dataset=recipe.target, organ=card.organ, split="test", scores=figures)
        ]
