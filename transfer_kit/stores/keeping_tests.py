"""Splits of a dataset that is added, or added again: what was tested on stays in the test."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from transfer_kit.data.card import SPLITS, SplitPlan
from transfer_kit.data.check.duplicates import Fingerprints
from transfer_kit.data.check.shared_images import SharedImage, find_shared_images
from transfer_kit.data.dataset import Dataset
from transfer_kit.data.patients import patient_of
from transfer_kit.data.splits import explicit_plan, split_cases
from transfer_kit.errors import UserError, nearest_hint
from transfer_kit.stores.named_cards import named_cards
from transfer_kit.stores.tested import Tested, pictures_of, recall, remember, tested_on
from transfer_kit.wording import counted

Note = Callable[[str], None]

_FRACTIONS = (0.6, 0.2, 0.2)  # of new cases, where the card lists the old ones


class Settled(NamedTuple):
    """The splits that a dataset needs; None where those of its card will do."""

    plan: SplitPlan | None
    pictures: Fingerprints


def settle_splits(dataset: Dataset, *, test_cases: Sequence[str], note: Note) -> Settled:
    """Splits by which no test case is learned from; reads every image once.

    A case of the dataset's former self keeps its split, unless the card lists cases: then the lists
    count, but no former test case may be listed for training or validation, and cases that are new
    are dealt. What shows a picture of
    a test, its own former one or that of another dataset of the lab, must be in the test; so must a
    patient of such a test whom both datasets name.

    Args:
        dataset: With the splits that its card gives.
        test_cases: What the user puts into the test.
        note: Is told what stays in the test, and what could not be compared.

    Raises:
        UserError: there is no such test case, or a case would be learned from that a dataset of the
            lab is tested on.
    """
    for case in test_cases:
        if case not in dataset.cases:
            raise UserError(
                f"There is no case {case!r} in {dataset.name}. {nearest_hint(case, dataset.cases)}"
            )
    pictures = pictures_of(dataset)
    former = _former_self(dataset.name, note)
    own = _reasons(dataset, pictures, former, former.splits) if former else {}
    plan = _planned(dataset, former, [*test_cases, *own], test_cases)
    splits = split_cases(dataset.cases, plan)
    card = dataset.path or "the card"
    _refuse_learning(dataset, own, splits, f"list it for the test again in {card}")
    foreign: dict[str, str] = {}
    for tested in _tests_of_others(dataset.name, note):
        foreign = {**_foreign_reasons(dataset, pictures, tested), **foreign}
    _refuse_learning(dataset, foreign, splits, "add --test-case CASES, or leave it out")
    for case, why in own.items():
        if dataset.assignment.get(case) != "test":
            note(f"Case {case} stays in the test: {why}.")
    new = [f"{c} in {splits[c]}" for c in splits if former and c not in former.splits]
    if new:
        note(f"New cases: {', '.join(new)}.")
    return Settled(plan if splits != dataset.assignment else None, pictures)


def remember_tests(dataset: Dataset, pictures: Fingerprints | None = None) -> None:
    """Note what a dataset of the lab is tested on from now on.

    What it was tested on before, and does not hold any more, stays noted.
    """
    former = recall(dataset.name)
    now = tested_on(dataset, pictures or pictures_of(dataset))
    remember(now if former is None else now.with_absent(former, dataset.cases))


def _planned(
    dataset: Dataset, former: Tested | None, tested: Sequence[str], chosen: Sequence[str]
) -> SplitPlan:
    """The card's plan, or lists: of what must be where it is, what is chosen, and what is new."""
    plan = dataset.card.splits
    if plan.lists:
        return _with_new_cases(dataset, former, chosen)
    before = former.splits if former else {}
    fixed = {case: before[case] for case in dataset.cases if before.get(case)}
    fixed |= dict.fromkeys(tested, "test")
    if all(dataset.assignment.get(case) == split for case, split in fixed.items()):
        return plan
    named = {split: [case for case in fixed if fixed[case] == split] for split in SPLITS}
    return explicit_plan(dataset.cases, named=named, fractions=plan.fractions, seed=plan.seed)


def _with_new_cases(dataset: Dataset, former: Tested | None, chosen: Sequence[str]) -> SplitPlan:
    """Lists stay as they are, but for cases chosen for the test; cases never seen are dealt."""
    plan = dataset.card.splits
    lists = {
        split: [case for case in cases if case not in chosen] for split, cases in plan.lists.items()
    }
    lists["test"] = sorted({*lists["test"], *chosen})
    listed = {case for cases in lists.values() for case in cases}
    new = [c for c in dataset.cases if former and c not in former.splits and c not in listed]
    if new:
        present = {s: [c for c in cases if c in dataset.cases] for s, cases in lists.items()}
        known = {*new, *(case for cases in present.values() for case in cases)}
        dealt = explicit_plan(known, named=present, fractions=_FRACTIONS, seed=plan.seed).lists
        lists = {split: sorted({*lists[split], *dealt[split]}) for split in SPLITS}
    return SplitPlan(seed=plan.seed, **lists)


def _former_self(name: str, note: Note) -> Tested | None:
    origin, _ = named_cards().get(name, ("shipped", None))
    return _tests_of(name, note) if origin == "added" else recall(name)


def _tests_of_others(name: str, note: Note) -> list[Tested]:
    others = [other for other, (origin, _) in named_cards().items() if origin == "added"]
    return [t for other in others if other != name and (t := _tests_of(other, note)) is not None]


def _tests_of(name: str, note: Note) -> Tested | None:
    """What a dataset of the lab is tested on; looked up now where it was added long ago."""
    known = recall(name)
    if known is not None:
        return known
    _, path = named_cards()[name]
    try:
        dataset = Dataset.open(path)
    except UserError as error:
        note(f"The test images of {name} could not be compared: {error}")
        return None
    known = tested_on(dataset, pictures_of(s for s in dataset if dataset.split_of(s) == "test"))
    remember(known)
    return known


def _reasons(
    dataset: Dataset, pictures: Fingerprints, tested: Tested, names: Mapping[str, str]
) -> dict[str, str]:
    """Why cases belong to the test: by their names, or by what their images show."""
    reasons = {
        case: f"{tested.dataset} is tested on it"
        for case in dataset.cases
        if names.get(case) == "test"
    }
    for shared in find_shared_images(pictures, tested.pictures):
        reasons.setdefault(shared.one.case, _told(shared, tested.dataset))
    return reasons


def _foreign_reasons(dataset: Dataset, pictures: Fingerprints, tested: Tested) -> dict[str, str]:
    """As `_reasons`; names of cases mean the same patients only where a picture is shared, too."""
    patients = {
        patient_of(tested.dataset, s.case, s.image_path.name) for s in tested.pictures.samples
    }
    reasons = {
        sample.case: f"{tested.dataset} is tested on this patient"
        for sample in dataset
        if patient_of(dataset.name, sample.case, sample.image_path.name) in patients
    }
    by_picture = _reasons(dataset, pictures, tested, {})
    alike = _reasons(dataset, pictures, tested, tested.splits) if by_picture else {}
    return {**alike, **by_picture, **reasons}


def _told(shared: SharedImage, name: str) -> str:
    nearly = "" if shared.same else "nearly "
    likeness = "" if shared.same else f" (correlation {shared.correlation:.2f})"
    return (
        f"{shared.one.image_path} is {nearly}the picture of {shared.other.image_path}{likeness}, "
        f"on which {name} is tested"
    )


def _refuse_learning(
    dataset: Dataset, reasons: Mapping[str, str], splits: Mapping[str, str], mend: str
) -> None:
    learned = [case for case in reasons if splits.get(case) in ("train", "validation")]
    if not learned:
        return
    whose = ", ".join(learned)
    what = f"case {whose}" if len(learned) == 1 else f"{counted(len(learned), 'case')} ({whose})"
    mend = mend.replace("CASES", " --test-case ".join(learned))
    raise UserError(
        f"{dataset.name} would learn from {what}, which must stay in the test: "
        f"{reasons[learned[0]]}; {mend}."
    )
