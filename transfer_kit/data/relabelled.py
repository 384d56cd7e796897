"""Datasets whose nuclei go by other names of classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.dataset import Dataset
from transfer_kit.data.sample import Sample


@dataclass(frozen=True)
class RelabelledSample(Sample):
    """A sample whose classes are renamed.

    Attributes:
        names: What classes are called in the annotation, and what they are called here; `""` is
            no class, and names that are not listed stay.
    """

    names: tuple[tuple[str, str], ...] = ()

    def annotation(self) -> Annotation:
        """What is known about the image, by the names used here.

        Raises:
            UserError: there is no annotation, or its file is damaged or does not fit the image.
        """
        found, table = super().annotation(), dict(self.names)
        return replace(found, classes=tuple(table.get(name, name) for name in found.classes))


def relabelled(dataset: Dataset, table: Mapping[str, str]) -> Dataset:
    """The dataset with its classes renamed; itself where the table is empty."""
    if not table:
        return dataset
    names = tuple(sorted(table.items()))
    samples = tuple(
        RelabelledSample(
            **{field.name: getattr(sample, field.name) for field in fields(Sample)}, names=names
        )
        for sample in dataset
    )
    classes = dict.fromkeys(table.get(name, name) for name in dataset.card.classes)
    card = dataset.card.model_copy(update={"classes": [name for name in classes if name]})
    return replace(dataset, card=card, samples=samples)
