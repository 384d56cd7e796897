"""A pair with all its names found: the base's card, the target, the auxiliary sources."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from transfer_kit.card import DetectorCard
from transfer_kit.data.dataset import Dataset
from transfer_kit.data.sample import Sample
from transfer_kit.errors import UserError, nearest_hint
from transfer_kit.pair import Pair
from transfer_kit.stores.datasets import find_dataset
from transfer_kit.stores.models import find_weights
from transfer_kit.weights_file import read_card


@dataclass(frozen=True)
class PairMembers:
    """What a pair names.

    Attributes:
        weights: The base's weights file; None where the pair's base is `none`.
        base: The base's card; None likewise.
        target: With the pair's mpp, and the pair's held-out cases in its test split.
        auxiliary: In the pair's order, with its mpp and without its held-out cases.
    """

    pair: Pair
    weights: Path | None
    base: DetectorCard | None
    target: Dataset
    auxiliary: tuple[Dataset, ...]


def find_members(pair: Pair) -> PairMembers:
    """Find what a pair names; reads cards and lists images, and annotations for a table of classes.

    Raises:
        UserError: all of it at once: a name is unknown (the nearest is named), images are not on
            this machine, an auxiliary source is the target, the target has no test case, a held-out
            case or a class is not there.
    """
    faults: list[str] = []
    weights = card = target = None
    auxiliary: list[Dataset] = []
    if pair.base != "none":
        with _told(faults, "base"):
            weights = find_weights(pair.base)
            card = read_card(weights)
    with _told(faults, "target"):
        target = _target(pair)
    for name in pair.auxiliary:
        with _told(faults, "auxiliary"):
            auxiliary.append(_auxiliary(pair, name, target))
    if target is None or faults:
        raise UserError(f"Pair {pair.title}: {' '.join(faults)}")
    members = PairMembers(pair, weights, card, target, tuple(auxiliary))
    for name, source in zip(pair.sources, (target, *auxiliary), strict=True):
        with _told(faults, "classes"):
            _refuse_classes(members, name, source)
    if faults:
        raise UserError(f"Pair {pair.title}: {' '.join(faults)}")
    return members


def learned_samples(card: DetectorCard) -> tuple[dict[str, list[Sample]], tuple[str, ...]]:
    """What a base learned from: its samples by dataset, and the datasets that are not here."""
    samples: dict[str, list[Sample]] = {}
    absent: list[str] = []
    for part in card.data:
        try:
            dataset = find_dataset(part.dataset)
        except UserError:
            absent.append(part.dataset)
            continue
        cases = set(part.cases)
        found = (sample for sample in dataset if sample.case in cases)
        samples.setdefault(part.dataset, []).extend(found)
    return samples, tuple(dict.fromkeys(absent))


@contextmanager
def _told(faults: list[str], field: str) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        faults.append(f"{field}: {error}")


def _target(pair: Pair) -> Dataset:
    target = _rescaled(pair, pair.target)
    held_out = _held_out(pair, pair.target, target)
    assignment = {**target.assignment, **dict.fromkeys(held_out, "test")}
    target = replace(target, assignment=assignment)
    target.split("test")  # refuses a target that nothing could be judged on
    return target


def _auxiliary(pair: Pair, name: str, target: Dataset | None) -> Dataset:
    source = _rescaled(pair, name)
    if target is not None and _is_same(source, target):
        raise UserError(
            f"{name} is the target {pair.target} itself, whose test cases would leak into the "
            "training; leave it out."
        )
    held_out = _held_out(pair, name, source)
    samples = tuple(sample for sample in source if sample.case not in held_out)
    if not samples:
        raise UserError(f"{name} has no case left that is not held out; leave it out.")
    part = f"{source.part}, without {', '.join(held_out)}" if held_out else source.part
    return replace(source, samples=samples, part=part)


def _rescaled(pair: Pair, name: str) -> Dataset:
    """The dataset of a source, its images at the mpp that the pair says."""
    dataset = find_dataset(name)
    mpp = pair.mpp.get(name)
    if mpp is None:
        return dataset
    card = dataset.card.model_copy(update={"mpp": mpp, "mpp_by_image": {}})
    samples = tuple(replace(sample, mpp=mpp) for sample in dataset)
    return replace(dataset, card=card, samples=samples)


def _is_same(one: Dataset, other: Dataset) -> bool:
    """Whether two names lead to one dataset, or to cards of the same images."""
    images = [{sample.image_path.resolve() for sample in dataset} for dataset in (one, other)]
    return images[0] == images[1]


def _held_out(pair: Pair, name: str, dataset: Dataset) -> tuple[str, ...]:
    cases = pair.held_out.get(name, ())
    for case in cases:
        if case not in dataset.cases:
            hint = nearest_hint(case, dataset.cases)
            raise UserError(f"held_out: there is no case {case!r} in {name}. {hint}")
    return cases


def _refuse_classes(members: PairMembers, name: str, source: Dataset) -> None:
    """Refuse a table that names classes the source does not have, or that nothing here tells."""
    table = members.pair.classes.get(name)
    if not table:
        return
    there = classes_of(source)
    for old in table:
        if old not in there:
            raise UserError(f"there is no class {old!r} in {name}. {nearest_hint(old, there)}")
    told = _told_classes(members)
    if told is None and source is members.target:
        return  # the target's own table says what its classes are called
    known = _target_classes(members) if told is None else told
    for new in table.values():
        if new and new not in known:
            whose = f"the target {members.pair.target}" if told is None else "the base"
            raise UserError(
                f"{name} maps to {new!r}, which is no class of {whose}. {nearest_hint(new, known)}"
            )


def classes_of(dataset: Dataset) -> tuple[str, ...]:
    """The classes that the card of a dataset names, else those of its annotations, sorted."""
    if dataset.card.classes:
        return tuple(sorted(dataset.card.classes))
    annotations = (sample.annotation() for sample in dataset if sample.source)
    return tuple(sorted({name for found in annotations for name in found.classes if name}))


def _told_classes(members: PairMembers) -> Sequence[str] | None:
    """The classes that the base tells apart; None where it tells none, or there is no base."""
    named = [name for name in members.base.classes if name] if members.base else []
    return named or None


def _target_classes(members: PairMembers) -> list[str]:
    """The target's classes as the pair calls them."""
    table = members.pair.classes.get(members.pair.target, {})
    names = (table.get(name, name) for name in classes_of(members.target))
    return sorted({name for name in names if name})
