"""Dealing cases to splits, folds and nested subsets, the same way on every machine."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from transfer_kit.data.card import SPLITS, SplitPlan
from transfer_kit.errors import UserError, nearest_hint

Unit = Literal["image", "case"]
_AMOUNT = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*(%?)\s*(?:(image|case)s?)?\s*$")


def permuted(names: Iterable[str], seed: int) -> list[str]:
    """The names in the one order that `seed` gives them.

    A name's place depends on itself and the seed alone, so that a new name moves no other two
    past each other, and neither NumPy's version nor the machine matters.
    """

    def key(name: str) -> tuple[bytes, str]:
        return hashlib.sha256(f"{seed}:{name}".encode()).digest(), name

    return sorted(set(names), key=key)


def split_cases(cases: Iterable[str], plan: SplitPlan) -> dict[str, str]:
    """The split of each case; a case that a listing plan does not name is left out."""
    known = set(cases)
    if plan.lists:
        return {
            case: name for name, listed in plan.lists.items() for case in listed if case in known
        }
    order = permuted(known, plan.seed)
    counts = share(len(order), plan.fractions)
    ends = [sum(counts[: i + 1]) for i in range(len(counts))]
    return {
        case: name
        for name, end, count in zip(SPLITS, ends, counts, strict=True)
        for case in order[end - count : end]
    }


def share(total: int, fractions: Sequence[float]) -> list[int]:
    """`total` dealt by `fractions` (largest remainder), at least one each where there are enough.

    With fewer items than non-zero fractions, training comes first, then test, then validation.

    Example:
        >>> share(6, (0.6, 0.2, 0.2)), share(2, (0.6, 0.2, 0.2))
        ([4, 1, 1], [1, 0, 1])
    """
    wanted = [i for i, fraction in enumerate(fractions) if fraction > 0]
    counts = [0] * len(fractions)
    for i in [i for i in (0, 2, 1) if i in wanted][:total]:
        counts[i] = 1
    target = round(total * min(1.0, sum(fractions)))
    while sum(counts) < target:
        lacking = max(wanted, key=lambda i: (total * fractions[i] - counts[i], -i))
        counts[lacking] += 1
    return counts


@dataclass(frozen=True)
class Amount:
    """How much of a dataset: "20%", "5" (images), "3 cases" or "20% cases"."""

    number: float
    percent: bool
    unit: Unit

    @classmethod
    def parse(cls, text: str | int) -> Amount:
        """The amount that `text` writes.

        Raises:
            UserError: it is not written as an amount, is nothing, or is over 100 %.
        """
        match = _AMOUNT.match(str(text))
        number = float(match[1]) if match else 0.0
        percent = bool(match and match[2])
        whole = percent or number == int(number)
        if match is None or number <= 0 or not whole or (percent and number > 100):
            raise UserError(
                f"{str(text)!r} is not an amount of labels; write a percentage of the images "
                "('20%'), a number of images ('5'), or of cases ('3 cases', '20% cases')."
            )
        return cls(number, percent, "case" if match[3] == "case" else "image")

    def of(self, total: int) -> int:
        """How many of `total` images or cases this is, at least one.

        Raises:
            UserError: more than there are.
        """
        if self.percent:
            return min(total, max(1, int(total * self.number / 100 + 0.5)))
        if self.number > total:
            raise UserError(
                f"{self.number:g} {self.unit}s were asked for, but only {total} are there; "
                "ask for fewer, or for '100%'."
            )
        return int(self.number)


def deal_folds(sizes: Mapping[str, int], k: int, seed: int) -> list[tuple[str, ...]]:
    """The groups in `sizes` dealt to `k` folds of nearly equal total size, each group once.

    Args:
        sizes: Images of each group (a case, or an image by itself).
        k: Number of folds, at least two.
        seed: Orders groups of equal size.

    Raises:
        UserError: fewer groups than folds.
    """
    if not 2 <= k <= len(sizes):
        raise UserError(
            f"{k} folds cannot be made of {len(sizes)} cases or images; "
            f"ask for 2 to {len(sizes)} folds."
        )
    folds: list[list[str]] = [[] for _ in range(k)]
    filled = [0] * k
    for group in sorted(permuted(sizes, seed), key=lambda name: -sizes[name]):
        smallest = filled.index(min(filled))
        folds[smallest].append(group)
        filled[smallest] += sizes[group]
    return [tuple(sorted(fold)) for fold in folds]


def parse_fractions(text: str) -> tuple[float, float, float]:
    """Training, validation and test, as in "0.6,0.2,0.2".

    Raises:
        UserError: these are not three fractions that add up to at most one.
    """
    try:
        train, validation, test = (float(part) for part in text.split(","))
    except ValueError:
        train = validation = test = -1.0
    if min(train, validation, test) < 0 or not 0 < train + validation + test <= 1 + 1e-9:
        raise UserError(
            f"{text!r} are not three fractions that add up to 1; write them as 0.6,0.2,0.2."
        )
    return train, validation, test


def explicit_plan(
    cases: Iterable[str],
    *,
    named: Mapping[str, Sequence[str]],
    fractions: Sequence[float],
    seed: int,
) -> SplitPlan:
    """A plan that lists every case: those in `named` where they are named, the others dealt.

    Raises:
        UserError: a named case does not exist, or is named for two splits.
    """
    known = set(cases)
    place: dict[str, str] = {}
    for split, listed in named.items():
        for case in listed:
            if case not in known:
                raise UserError(f"There is no case {case!r}. {nearest_hint(case, known)}")
            if place.setdefault(case, split) != split:
                raise UserError(
                    f"Case {case!r} is named for {place[case]} and {split}; choose one."
                )
    rest = permuted(known - set(place), seed)
    # What is named counts towards its split's share, the rest fills what is lacking.
    wanted = share(len(known), fractions)
    have = [sum(split == name for split in place.values()) for name in SPLITS]
    for case in rest:
        lacking = max(range(3), key=lambda i: (wanted[i] - have[i], -i))
        place[case] = SPLITS[lacking]
        have[lacking] += 1
    lists = {name: sorted(case for case in known if place[case] == name) for name in SPLITS}
    return SplitPlan(seed=seed, **lists)
