"""Every system of the papers, trained and measured on the same splits with equal budgets.

    python benchmarks/papers colon                            # all rows and parts of a study
    python benchmarks/papers colon --row voca --part fold0    # one; run several side by side
    python benchmarks/papers --table docs/results/papers      # of all records: .md, .csv, .png

What each training gave is a record in docs/results/papers, to be committed: what has one is not run
again, on whatever machine. Weights and checkpoints stay in .work/papers; what was killed goes on.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from collecting import collect
from parts import parts_of
from records import RECORDS, Records
from table import write_tables
from training import run

from studies import studies
from transfer_kit.recipe import parse_setting


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", nargs="?", choices=studies())
    parser.add_argument("--row", action="append", help="as in studies.yaml; may be repeated")
    parser.add_argument("--part", action="append", help="such as fold0; may be repeated")
    parser.add_argument("--folder", type=Path, default=Path(".work/papers"), help="of weights")
    parser.add_argument("--records", type=Path, default=RECORDS, help="what each training gave")
    parser.add_argument("--set", action="append", default=[], help="laid over each recipe, to try")
    parser.add_argument("--measure-again", action="store_true", help="what has weights at hand")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument(
        "--collect", type=Path, help="make records of a folder in which results lie beside weights"
    )
    parser.add_argument("--table", type=Path)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    records = Records(options.records)
    if options.collect:
        new = collect(options.collect, records)
        print(f"{len(new)} new in {records.folder}", *new, sep="\n")
    if options.study:
        train_all(options, records)
    if options.table:
        write_tables(records, options.table)


def train_all(options: argparse.Namespace, records: Records) -> None:
    study = studies()[options.study]
    study = replace(study, over=dict(parse_setting(setting) for setting in options.set))
    parts = parts_of(study.parts, dict(study.data))
    for part in parts:
        if options.part and part.name not in options.part:
            continue
        for row in study.rows.values():
            if options.row and row.name not in options.row:
                continue
            again = options.measure_again
            result = run(study, row, part, options.folder, records, measure_again=again)
            f1 = result["detection"]["f1"]
            whole = result["segmentation"]
            aji = f", AJI {whole['aji']:.3f}" if whole else ""
            minutes = result["cpu_seconds"] / 60
            print(f"{row.name} {part.name}: F1 {f1:.3f}{aji}, {minutes:.1f} min", flush=True)


if __name__ == "__main__":
    main()
