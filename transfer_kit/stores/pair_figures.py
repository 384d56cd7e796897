"""The organs of a pair side by side: their images, their figures, and how far they are apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transfer_kit.card import DetectorCard
from transfer_kit.data.dataset import Dataset
from transfer_kit.data.organ_figures import (
    OrganDistance,
    OrganFigures,
    measure_organ,
    organ_distance,
)
from transfer_kit.data.sample import Sample
from transfer_kit.errors import UserError
from transfer_kit.stores.datasets import find_dataset
from transfer_kit.stores.pair_members import PairMembers, learned_samples


@dataclass(frozen=True)
class PairOrgan:
    """One organ of a pair with its images.

    Attributes:
        role: `base`, `target` or `auxiliary`.
        note: Whose images these are where that is not plain; empty where it is.
    """

    role: str
    name: str
    organ: str
    stain: str
    samples: tuple[Sample, ...]
    note: str = ""


@dataclass(frozen=True)
class MeasuredOrgan:
    """One organ of a pair with its figures; the target has no distance."""

    role: str
    figures: OrganFigures
    distance: OrganDistance | None

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        distance = self.distance.as_dict() if self.distance else None
        return {"role": self.role, **self.figures.as_dict(), "to_target": distance}


def pair_organs(members: PairMembers) -> tuple[PairOrgan, ...]:
    """The base's organ where there is a base, the target, and the auxiliary sources.

    The base's images are those that it learned from, as far as they are on this machine, else
    those of the embedded organ.

    Raises:
        UserError: neither the base's images nor an embedded organ of its name are there.
    """
    named = zip(members.pair.auxiliary, members.auxiliary, strict=True)
    return (
        *([_base_organ(members.base)] if members.base else []),
        _organ("target", members.pair.target, members.target),
        *(_organ("auxiliary", name, source) for name, source in named),
    )


def measure_pair(organs: Sequence[PairOrgan]) -> tuple[MeasuredOrgan, ...]:
    """The figures of each organ and how far it is from the target; reads each image once.

    Raises:
        UserError: an image or annotation is damaged.
    """
    figures = [measure_organ(each.name, each.organ, each.stain, each.samples) for each in organs]
    (target,) = (f for each, f in zip(organs, figures, strict=True) if each.role == "target")
    return tuple(
        MeasuredOrgan(each.role, f, None if f is target else organ_distance(f, target))
        for each, f in zip(organs, figures, strict=True)
    )


def _organ(role: str, name: str, dataset: Dataset) -> PairOrgan:
    card = dataset.card
    return PairOrgan(role, name, card.organ, card.stain, dataset.samples)


def _base_organ(card: DetectorCard) -> PairOrgan:
    by_dataset, absent = learned_samples(card)
    samples = tuple(sample for found in by_dataset.values() for sample in found)
    if samples:
        note = f"without {', '.join(absent)}, which are not on this machine" if absent else ""
        return PairOrgan("base", card.name, card.organ, card.stain, samples, note)
    try:
        stand_in = find_dataset(card.organ)
    except UserError:
        raise UserError(
            f"The images that the base {card.name} learned from are not on this machine, and no "
            f"embedded organ {card.organ!r} can stand in for them; set TRANSFER_KIT_DATA to the "
            "folder that holds them."
        ) from None
    note = (
        f"the embedded {card.organ}, since the images that the base learned from are not on this "
        "machine"
    )
    return PairOrgan("base", card.name, card.organ, card.stain, stand_in.samples, note)
