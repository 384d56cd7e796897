"""Dataset: cases of one organ and stain, what is known about them, and splits by case."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from transfer_kit.data.card import CARD_NAME, SPLITS, DatasetCard
from transfer_kit.data.digest import content_hash
from transfer_kit.data.listing import list_samples
from transfer_kit.data.proposal import propose_card
from transfer_kit.data.sample import Sample
from transfer_kit.data.splits import Amount, Unit, deal_folds, permuted, split_cases
from transfer_kit.errors import UserError, nearest_hint
from transfer_kit.wording import counted


class Fold(NamedTuple):
    """One part of a cross-validation."""

    train: Dataset
    test: Dataset


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples with their card, or a part of them.

    Attributes:
        samples: Sorted by id.
        assignment: The split of each case of the whole dataset; a case may have none.
        root: Folder of the images.
        path: The yaml that the card was read from; None where it was inferred.
        part: Which part of the whole this is, in words.

    Example:
        >>> from transfer_kit.stores.datasets import find_dataset
        >>> few = find_dataset("eye").split("train").subset("20%", seed=0)  # doctest: +SKIP
    """

    card: DatasetCard
    samples: tuple[Sample, ...]
    assignment: Mapping[str, str]
    root: Path
    path: Path | None = None
    part: str = "all"

    @classmethod
    def open(cls, place: str | Path, *, root: str | Path | None = None) -> Dataset:
        """The dataset of a folder or of a `dataset.yaml`.

        Args:
            place: A folder of images, with or without `dataset.yaml`, or a yaml file.
            root: Folder of the images, instead of the one that the card names.

        Raises:
            UserError: nothing is there, the yaml has faults, or something must be asked.
        """
        place = Path(place).expanduser()
        if place.is_dir() and not (place / CARD_NAME).exists():
            return cls.of_card(_inferred_card(place), place)
        path = place / CARD_NAME if place.is_dir() else place
        if not path.exists():
            raise UserError(f"There is no dataset at {place}; check the path.")
        card = DatasetCard.read(path)
        images = Path(root) if root else path.parent / Path(card.root).expanduser()
        return cls.of_card(card, images, path)

    @classmethod
    def of_card(cls, card: DatasetCard, root: Path, path: Path | None = None) -> Dataset:
        """The dataset of a card whose images lie in `root`."""
        samples = list_samples(card, root)
        assignment = split_cases({sample.case for sample in samples}, card.splits)
        return cls(card, samples, assignment, root, path)

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]

    @property
    def name(self) -> str:
        """The card's name."""
        return self.card.name

    @cached_property
    def cases(self) -> tuple[str, ...]:
        """The cases of these samples, sorted."""
        return tuple(sorted({sample.case for sample in self.samples}))

    @cached_property
    def n_nuclei(self) -> int:
        """Annotated nuclei; reads every annotation once, and takes images without one for empty."""
        return sum(len(sample.annotation()) for sample in self.samples if sample.source)

    def content_hash(self) -> str:
        """SHA-256 of the images and annotations of these samples, as hexadecimal."""
        files = []
        for sample in self.samples:
            paths = sample.source.paths if sample.source else ()
            files += [(f"{sample.id}/{i}", path) for i, path in enumerate(paths)]
            files.append((sample.id, sample.image_path))
        return content_hash(files, self.root)

    def split_of(self, sample: Sample) -> str:
        """`train`, `validation` or `test`; empty for a case that no split lists."""
        return self.assignment.get(sample.case, "")

    def split(self, name: str) -> Dataset:
        """The samples whose cases are in the split `train`, `validation` or `test`.

        Raises:
            UserError: there is no such split, or no case is in it.
        """
        if name not in SPLITS:
            raise UserError(f"There is no split {name!r}. {nearest_hint(name, SPLITS)}")
        samples = tuple(sample for sample in self.samples if self.split_of(sample) == name)
        if not samples:
            count = len(self.cases)
            raise UserError(
                f"{self.name} has no {name} case ({counted(count, 'case')} in all); add "
                f"cases, or choose them with 'transfer-kit data split {self.name} --{name}-case …'."
            )
        return replace(self, samples=samples, part=name)

    def subset(self, amount: str | int, seed: int) -> Dataset:
        """A seeded part: "20%", "5" (images), "3 cases" or "20% cases".

        Of one seed, a smaller amount lies inside a larger one of the same unit.

        Raises:
            UserError: the amount cannot be read, or is more than there is.
        """
        wanted = Amount.parse(amount)
        groups = {sample: self._group(sample, wanted.unit) for sample in self.samples}
        order = permuted(groups.values(), seed)
        kept = set(order[: wanted.of(len(order))])
        samples = tuple(sample for sample in self.samples if groups[sample] in kept)
        return replace(self, samples=samples, part=f"{self.part}, {amount} (seed {seed})")

    def folds(self, k: int, seed: int, by: Unit = "case") -> tuple[Fold, ...]:
        """Cross-validation: each case (or image) is in the test part of exactly one fold.

        Raises:
            UserError: there are fewer cases (or images) than folds.
        """
        groups = {sample: self._group(sample, by) for sample in self.samples}
        dealt = deal_folds(Counter(groups.values()), k, seed)
        return tuple(
            Fold(
                self._where(
                    groups, set(groups.values()) - set(test), f"fold {i + 1} of {k}: train"
                ),
                self._where(groups, test, f"fold {i + 1} of {k}: test"),
            )
            for i, test in enumerate(dealt)
        )

    def _where(self, groups: Mapping[Sample, str], kept: Collection[str], part: str) -> Dataset:
        samples = tuple(sample for sample in self.samples if groups[sample] in kept)
        return replace(self, samples=samples, part=f"{self.part}, {part}")

    @staticmethod
    def _group(sample: Sample, unit: Unit) -> str:
        return sample.id if unit == "image" else sample.case


def _inferred_card(folder: Path) -> DatasetCard:
    proposal = propose_card(folder)
    if not proposal.questions:
        return DatasetCard.of_fields(proposal.fields)
    missing = [question.field for question in proposal.questions]
    raise UserError(
        f"{folder} has no {CARD_NAME}, and its {', '.join(missing)} cannot be read from the files; "
        f"run 'transfer-kit data add {folder} {' '.join(f'--{name} …' for name in missing)}'."
    )
