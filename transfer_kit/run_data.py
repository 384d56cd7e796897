"""The data that a run uses, by content, so that "the same data?" has an answer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from transfer_kit.adaptation import AdaptationPlan
from transfer_kit.data.dataset import Dataset
from transfer_kit.data.sample import Sample
from transfer_kit.files import replacing
from transfer_kit.plan import Plan
from transfer_kit.training.record import AUXILIARY

DATA = "data.json"
TRAINING, VALIDATION, TESTING, REPLAY = "training", "validation", "testing", "replay"


@dataclass(frozen=True)
class DataPart:
    """Images of one dataset that were used for one thing.

    Attributes:
        context: training, validation, testing, auxiliary or replay.
        dataset: Its name.
        digest: SHA-256 of the identifiers, image files and annotation files of these images alone:
            equal where two runs used the same images with the same annotations.
        source: The folder.
    """

    context: str
    dataset: str
    digest: str
    source: str
    n_images: int
    n_nuclei: int


def data_of(plan: Plan) -> tuple[DataPart, ...]:
    """All data of a plan, each part with its own hash."""
    used = ((TRAINING, plan.train), (VALIDATION, plan.validation), (TESTING, plan.test))
    own = [part for context, samples in used for part in parts_of(plan.targets, samples, context)]
    if isinstance(plan, AdaptationPlan):
        own += parts_of(plan.unlabelled, plan.images, TRAINING)
    beside = [
        part
        for source in plan.auxiliary
        for part in parts_of(
            source.datasets, source.samples, REPLAY if source.is_replay else AUXILIARY
        )
    ]
    return (*own, *beside)


def parts_of(
    datasets: Iterable[Dataset], samples: Sequence[Sample], context: str
) -> list[DataPart]:
    """What of some datasets the samples are."""
    wanted = set(samples)
    parts = []
    for dataset in datasets:
        ours = tuple(sample for sample in dataset if sample in wanted)
        if ours:
            digest = replace(dataset, samples=ours).content_hash()
            n_nuclei = sum(len(sample.annotation()) for sample in ours)
            name, root = dataset.card.name, str(dataset.root)
            parts.append(DataPart(context, name, digest, root, len(ours), n_nuclei))
    return parts


def digests_by_context(parts: Iterable[DataPart]) -> dict[str, str]:
    """One hash of 16 characters for all that was used for one thing, by context."""
    digests: dict[str, list[str]] = {}
    for part in parts:
        digests.setdefault(part.context, []).append(part.digest)
    return {
        context: hashlib.sha256("\n".join(sorted(each)).encode()).hexdigest()[:16]
        for context, each in digests.items()
    }


def write_data(folder: Path, parts: Iterable[DataPart]) -> None:
    """Leave the parts in a run's folder as `data.json`."""
    with replacing(folder / DATA) as temporary:
        document = [asdict(part) for part in parts]
        temporary.write_text(json.dumps(document, indent=2), encoding="utf-8")


def read_data(folder: Path) -> tuple[DataPart, ...]:
    """The parts in a run's folder; none where an older version made it."""
    try:
        document = json.loads((folder / DATA).read_text(encoding="utf-8"))
        return tuple(DataPart(**part) for part in document)
    except (OSError, ValueError, TypeError):
        return ()
