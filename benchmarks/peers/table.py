"""The results as Markdown."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any

from transfer_kit.files import replacing

HEAD = (
    "|  | mm² a second | seconds | network, % | GMAC per mm² | network at µm/px | parameters "
    "| weights | on | decoded / labelled nuclei |"
)
TEXT = """\
# Speed beside other detectors

Nuclei of one H&E image at 0.25 µm/px, {threads} threads of one machine ({machine}), each detector
as its own documentation calls it, from pixels in memory to nuclei.

{table}

- *GMAC per mm²*: multiply-adds of the network, with the overlap of tiles as it ran (StarDist:
  without). They do not depend on the machine.
- *Weights random*: published weights could not be had where this ran. The network runs with random
  weights, which takes as long, and the detector's own decoding then works on the maps that its
  training aims at for the labelled nuclei of the image, so that it has as much to decode as with
  weights. Of these no F1 can be told.
- *On*: side of the part of the image that was run; smaller ones where the whole would take more
  than {budget:g} s by the time of a small one.
{notes}
Made by `python benchmarks/peers --budget {budget:g}`.
"""


def write_table(lines: Path, output: Path) -> None:
    """`output` of the last line of each detector in `lines`."""
    if not lines.is_file():
        raise SystemExit(f"Nothing has run yet: {lines} is not there.")
    last: dict[str, dict[str, Any]] = {}
    for text in lines.read_text(encoding="utf-8").splitlines():
        line = json.loads(text)
        last[line["name"]] = line
    ran = [line for line in last.values() if "failed" not in line]
    failed = [line for line in last.values() if "failed" in line]
    if not ran:
        raise SystemExit(f"Nothing in {lines} has run to its end.")
    ran.sort(key=lambda line: -line["mm2_per_second"])
    rows = [HEAD, "|" + " --- |" * (HEAD.count("|") - 1), *(_row(line) for line in ran)]
    notes = [f"- {line['name']}: {line['note']}." for line in ran if line["note"]]
    notes += [f"- {line['name']} did not run: {line['failed']}" for line in failed]
    text = TEXT.format(
        threads=ran[0]["threads"],
        budget=ran[0]["budget_seconds"],
        machine=f"{os.cpu_count()} cores, {platform.machine()}",
        table="\n".join(rows),
        notes="".join(f"{note}\n" for note in notes),
    )
    with replacing(output) as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(text)


def _row(line: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in line["versions"].items())
    cells = (
        line["name"],
        f"**{line['mm2_per_second']:.3g}**",
        f"{line['seconds']:.1f}",
        f"{100 * line['network_seconds'] / line['seconds']:.0f}",
        f"{line['gmacs_per_mm2']:,.0f}",
        f"{line['network_mpp']:g}",
        f"{line['parameters'] / 1e6:.2f} M",
        f"{line['weights']} ({versions})",
        f"{line['size_px']:,}²",
        f"{line['nuclei']:,} / {line['labelled']:,}",
    )
    return "| " + " | ".join(cells) + " |"
