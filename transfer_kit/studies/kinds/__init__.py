"""How the findings of a study are drawn and told: one kind a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from transfer_kit.studies.found import Found
from transfer_kit.studies.kinds import (
    base_choice,
    compare,
    heat_map,
    learning_curve,
    line,
    rank_order,
    scatter,
    steps,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Kind(Protocol):
    """What a kind's file offers."""

    def draw(self, found: Found) -> Figure:
        """The figure."""

    def sentence(self, found: Found) -> str:
        """What it shows beside the study's own comparisons, without a full stop; may be empty."""


KIND_OF: dict[str, Kind] = {
    "base_choice": base_choice,
    "compare": compare,
    "heat_map": heat_map,
    "learning_curve": learning_curve,
    "line": line,
    "rank_order": rank_order,
    "scatter": scatter,
    "steps": steps,
}

__all__ = ["KIND_OF", "Kind"]
