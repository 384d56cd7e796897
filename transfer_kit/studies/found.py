"""What a study has found so far: all that tables, figures and sentences are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from transfer_kit.studies.comparison import claims
from transfer_kit.studies.rows import chosen
from transfer_kit.studies.study import Study


@dataclass(frozen=True, eq=False)
class Found:
    """The rows of what has run; see `transfer_kit.studies.rows`.

    Attributes:
        curves: Validation F1 at each judged step.
        n_done: Trials that ran to their end, of `n_trials`.
    """

    study: Study
    frame: pd.DataFrame
    curves: pd.DataFrame
    n_done: int
    n_trials: int

    @property
    def axes(self) -> tuple[str, ...]:
        """The axes of the study."""
        return tuple(self.study.axes)

    @property
    def drawn(self) -> pd.DataFrame:
        """The rows that the figure shows."""
        return chosen(self.frame, self.study.summary.select)

    def compared(self) -> list[str]:
        """Each comparison of the study's finding, in words."""
        made = claims(self.frame, self.axes, self.study.finding)
        return [f"{say}: {compared.in_words()}" for say, compared in made]


def parts_of(frame: pd.DataFrame, axis: str | None) -> list[tuple[str, pd.DataFrame]]:
    """The rows of each value of an axis in the order in which they come; all under "" without."""
    if axis is None:
        return [("", frame)]
    return [(str(value), frame[frame[axis] == value]) for value in frame[axis].unique()]


def numbers_of(labels: Sequence[str]) -> list[float] | None:
    """The labels as numbers (of `20%` 20); None where one is none, or stands for several."""
    numbers = []
    for label in labels:
        try:
            numbers.append(float(label.strip().removesuffix("%")))
        except ValueError:
            return None
    return numbers
