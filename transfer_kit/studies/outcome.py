"""What a study leaves: a table, a figure and one sentence."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transfer_kit.errors import UserError
from transfer_kit.files import replacing
from transfer_kit.studies import panels
from transfer_kit.studies.comparison import SEED
from transfer_kit.studies.found import Found
from transfer_kit.studies.kinds import KIND_OF
from transfer_kit.studies.rows import TARGET
from transfer_kit.studies.study import values_of
from transfer_kit.studies.tables import markdown, table_of
from transfer_kit.wording import counted


@dataclass(frozen=True)
class Written:
    """Where the outcome lies, and what it says."""

    sentence: str
    table: Path
    rows: Path
    figure: Path

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        paths = {"table": self.table, "rows": self.rows, "figure": self.figure}
        return {"sentence": self.sentence, **{name: str(path) for name, path in paths.items()}}


def sentence_of(found: Found) -> str:
    """What was found, with its uncertainty and of how much it was found."""
    own = KIND_OF[found.study.summary.kind].sentence(found)
    said = [*([own] if own else []), *found.compared()]
    begin = "; ".join(said) if said else "Too little has run to tell"
    return f"{begin[0].upper()}{begin[1:]} ({_extent(found)})."


def write_outcome(found: Found, folder: Path, name: str) -> Written:
    """Write `name`.md, .csv (every figure of every trial) and .png into `folder`.

    Raises:
        UserError: nothing has run yet, or the folder cannot be written.
    """
    if found.frame.empty:
        raise UserError(f"No trial of the study {name} has run yet, so there is nothing to write.")
    written = Written(
        sentence_of(found), folder / f"{name}.md", folder / f"{name}.csv", folder / f"{name}.png"
    )
    panels.save(KIND_OF[found.study.summary.kind].draw(found), written.figure)
    with replacing(written.rows) as temporary:
        found.frame.to_csv(temporary, index=False, float_format="%.5g")
    with replacing(written.table) as temporary:
        temporary.write_text(_page(found, written, name), encoding="utf-8")
    return written


def _page(found: Found, written: Written, name: str) -> str:
    parts = [
        f"## {found.study.question}",
        _wrapped(written.sentence),
        f"![{name}]({written.figure.name})",
        markdown(table_of(found)),
        f"`transfer-kit study {name}`",
    ]
    if found.study.notes:
        parts.insert(2, _wrapped(found.study.notes))
    return "\n\n".join(parts) + "\n"


def _extent(found: Found) -> str:
    """How many trials, seeds and test images the sentence is of."""
    frame = found.frame
    tested = frame[frame["tested_on"].isin(_asked_about(found))]
    one_of_each = tested.drop_duplicates(["n_images", "n_nuclei"])
    images, nuclei = int(one_of_each["n_images"].sum()), int(one_of_each["n_nuclei"].sum())
    seeds = frame[SEED].nunique() if SEED in frame else 1
    radius = ", ".join(f"{value:g}" for value in sorted(tested["radius_um"].unique()))
    done = f"{found.n_done} of {counted(found.n_trials, 'trial')}"
    return (
        f"{done}, {counted(seeds, 'seed')}; {counted(images, 'test image')} with "
        f"{counted(nuclei, 'nucleus')}, matched within {radius} µm"
    )


def _asked_about(found: Found) -> set[str]:
    """The sets of test images that the comparisons look at; without comparisons, all."""
    places = [place for claim in found.study.finding for place in (claim.of, claim.against)]
    if not places:
        return set(found.frame["tested_on"])
    return {name for place in places for name in values_of(place.get("tested_on", TARGET))}


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(" ".join(text.split()), 105, break_on_hyphens=False))
