"""How sure a difference between trials is: paired over everything else that they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from transfer_kit.errors import UserError
from transfer_kit.evaluation import SeedMean, mean_over_seeds
from transfer_kit.studies.rows import chosen
from transfer_kit.studies.study import BESIDE_AXES, Claim, Place, values_of
from transfer_kit.wording import counted

SEED = "seed"


@dataclass(frozen=True)
class Compared:
    """F1 of one place less that of another.

    Attributes:
        of: Mean F1 of the first.
        against: Mean F1 of the second.
        difference: Mean of the paired differences, with Student's interval over `unit`.
        unit: What the interval is over: seeds, or pairs where there is one seed.
        ahead: Groups (such as targets) in which the first is ahead, of `n_groups`.
        group: What the groups are, such as `target`; empty where there is one.
        n_pairs: Pairs of trials.
    """

    of: float
    against: float
    difference: SeedMean
    unit: str
    ahead: int
    n_groups: int
    group: str
    n_pairs: int

    def in_words(self) -> str:
        """Such as `F1 +0.031 (95 % interval +0.010 to +0.052 over 3 seeds), …`."""
        said = f"F1 {self.of:.3f} against {self.against:.3f}, {self.difference.mean:+.3f}"
        over = f"over {counted(self.difference.n_seeds, self.unit)}"
        low, high = self.difference.low, self.difference.high
        if low is None or high is None:
            said += f" ({counted(self.n_pairs, 'pair')} {over}: no interval)"
        else:
            said += f" (95 % interval {low:+.3f} to {high:+.3f} {over})"
        if self.n_groups > 1:
            said += f", ahead on {self.ahead} of {counted(self.n_groups, self.group)}"
        return said


def compare(frame: pd.DataFrame, axes: Sequence[str], of: Place, against: Place) -> Compared:
    """Compare two places of a study, paired over all axes that neither of them fixes.

    Each seed's differences are averaged first, so that the interval is over trainings that differ
    in their seed alone, on the same test images; with one seed it is over the pairs.

    Raises:
        UserError: nothing of one of them has run on what the other has.
    """
    shared = [axis for axis in axes if axis not in of and axis not in against]
    first, second = (_means(frame, place, shared) for place in (of, against))
    both = first.join(second, how="inner", lsuffix="_of", rsuffix="_against").dropna()
    if both.empty:
        raise UserError(f"Nothing has run yet of which {of} and {against} could be compared.")
    differences = both["f1_of"] - both["f1_against"]
    groups = [axis for axis in shared if axis != SEED]
    unit, units = _units(differences, shared)
    by_group = differences.groupby(level=groups).mean() if groups else differences.mean()
    each = np.atleast_1d(np.asarray(by_group))
    return Compared(
        of=float(both["f1_of"].mean()),
        against=float(both["f1_against"].mean()),
        difference=mean_over_seeds(units),
        unit=unit,
        ahead=int((each > 0).sum()),
        n_groups=len(each),
        group=groups[0] if len(groups) == 1 else "setting",
        n_pairs=len(both),
    )


def _means(frame: pd.DataFrame, place: Place, shared: Sequence[str]) -> pd.DataFrame:
    rows = chosen(frame, place)
    if not shared:
        return pd.DataFrame({"f1": [rows["f1"].mean()]})
    means: pd.DataFrame = rows.groupby(list(shared), sort=False)[["f1"]].mean()
    return means


def _units(differences: pd.Series[float], shared: Sequence[str]) -> tuple[str, list[float]]:
    if SEED in shared:
        by_seed = differences.groupby(level=SEED).mean()
        if len(by_seed) > 1:
            return SEED, by_seed.tolist()
    rest = [axis for axis in shared if axis != SEED]
    if len(rest) == 1:
        return rest[0], differences.groupby(level=rest[0]).mean().tolist()
    return "pair", differences.tolist()


def claims(
    frame: pd.DataFrame, axes: Sequence[str], finding: Sequence[Claim]
) -> list[tuple[str, Compared]]:
    """Each comparison that can be made of what has run, with its words."""
    made = []
    for claim in finding:
        for say, of in _places(frame, claim):
            try:
                made.append((say, compare(frame, axes, of, claim.against)))
            except UserError:
                continue  # not all has run yet
    return made


def _places(frame: pd.DataFrame, claim: Claim) -> list[tuple[str, Place]]:
    if claim.each is None:
        return [(claim.say, claim.of)]
    against = values_of(claim.against.get(claim.each))
    values = [value for value in frame[claim.each].unique() if value not in against]
    return [(f"{value} {claim.say}", {**claim.of, claim.each: value}) for value in values]


def over_seeds(rows: pd.DataFrame, by: Sequence[str], figure: str = "f1") -> pd.DataFrame:
    """Mean, standard deviation and Student's interval over seeds of each group of rows.

    Rows that differ in more than the seed (targets, say) are averaged within each seed first.
    Gives the columns of `by` and mean, sd, low, high, n_seeds.
    """
    told = []
    for values, group in rows.groupby(list(by), sort=False):
        if SEED in group:
            units = group.groupby(SEED)[figure].mean().dropna()
        else:
            units = pd.Series([group[figure].mean()]).dropna()
        if len(units):
            mean = mean_over_seeds(units.tolist())
            told.append({**dict(zip(by, values, strict=True)), **vars(mean)})
    return pd.DataFrame(told, columns=[*by, "mean", "sd", "low", "high", "n_seeds"])


def settings_of(frame: pd.DataFrame, axes: Sequence[str]) -> list[str]:
    """All that tells rows apart but the seed: axes, column and test images."""
    return [name for name in (*axes, *BESIDE_AXES) if name != SEED]
