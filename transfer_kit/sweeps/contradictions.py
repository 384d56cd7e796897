"""What of a sweep does not go together: conditions, and samplers that cannot search its fields."""

from __future__ import annotations

from collections.abc import Iterator

from transfer_kit.errors import nearest_hint
from transfer_kit.studies.study import values_of
from transfer_kit.sweeps.sweep import Sweep


def contradictions(sweep: Sweep) -> Iterator[str]:
    """Each in words for people, with its mend."""
    if sweep.sampler == "cma-es":
        yield from _of_cma_es(sweep)
    if sweep.sampler == "grid":
        yield from _of_grid(sweep)
    above: list[str] = []
    for name in sweep.search:
        yield from _of_conditions(sweep, name, above)
        above.append(name)


def _of_cma_es(sweep: Sweep) -> Iterator[str]:
    ranges = [each for each in sweep.search.values() if each.choice is None and not each.when]
    if len(ranges) < 2:
        yield "the sampler cma-es needs two ranges without `when` (try tpe or gp)"
    if sweep.has_two_objectives:
        yield "the sampler cma-es needs a single objective (try tpe or gp)"


def _of_grid(sweep: Sweep) -> Iterator[str]:
    for name, field in sweep.search.items():
        if field.float_range is not None and field.step is None:
            yield f"the sampler grid needs a step, or a choice in place of the range, for {name}"


def _of_conditions(sweep: Sweep, name: str, above: list[str]) -> Iterator[str]:
    for other, wanted in sweep.search[name].when.items():
        if other not in above:
            yield f"{name} depends on {other}, which should be searched and stand above it"
            continue
        known = sweep.search[other]
        for value in values_of(wanted):
            if known.choice is not None and value not in known.labels:
                hint = nearest_hint(value, known.labels).rstrip(".")
                yield f"{name} depends on {other} being {value}, which it cannot be ({hint})"
