"""The comparison with the papers: its rows can be trained, and its table says what was measured."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

PAPERS = Path(__file__).parents[2] / "benchmarks" / "papers"
RECORDS = Path("docs") / "results" / "papers"

BUILD_ALL = """
import json, torch
from studies import studies
from transfer_kit.codecs import build_codec
from transfer_kit.networks import build_network
built = {}
with torch.device("meta"):
    for study in studies().values():
        for row in study.rows.values():
            recipe = study.recipe_of(row, 0)
            codec = build_codec(recipe.codec.name, classes=recipe.classes, **recipe.codec.options)
            network = recipe.network
            build_network(network.name, channels=codec.channels, **network.options)
            train = recipe.train.model_dump_json(), recipe.patches.model_dump_json()
            built[f"{study.name}/{row.name}"] = [study.name, row.decodes, *train]
print(json.dumps(built))
"""


def python(*arguments: str, cwd: Path = PAPERS) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def rows() -> dict[str, list]:
    return json.loads(python("-c", BUILD_ALL).splitlines()[-1])


def test_every_row_has_a_network_and_a_codec_that_can_be_built(rows):
    assert len(rows) > 15


def test_the_rows_of_a_study_have_equal_budgets(rows):
    budgets: dict[str, set] = {}
    for study, _, train, patches in rows.values():
        budgets.setdefault(study, set()).add((train, patches))
    assert {study: len(seen) for study, seen in budgets.items()} == dict.fromkeys(budgets, 1)


def test_a_row_that_only_decodes_names_another_of_its_study(rows):
    for study, decodes, *_ in rows.values():
        assert decodes is None or rows[f"{study}/{decodes}"][1] is None


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("papers")
    train = (str(PAPERS), "algorithm1", "--row", "raw", "--part", "seed0", "--part", "seed1",
             "--folder", "work", "--set", "train.steps=2", "--threads", "1")  # fmt: skip
    first = python(*train, cwd=folder)
    result = folder / RECORDS / "algorithm1" / "raw" / "seed0.json"
    written = result.stat().st_mtime_ns
    assert python(*train, cwd=folder) == first
    assert result.stat().st_mtime_ns == written, "what ran is not run again"
    python(str(PAPERS), "--table", "out", cwd=folder)
    return folder


@pytest.mark.slow  # three commands, two of which train
def test_the_table_holds_the_mean_of_the_seeds(ran):
    files = (ran / RECORDS / "algorithm1" / "raw").glob("seed*.json")
    aji = [json.loads(path.read_text())["segmentation"]["aji"] for path in files]
    assert len(aji) == 2
    with (ran / "out.csv").open() as file:
        (line,) = csv.DictReader(file)
    assert float(line["aji"]) == pytest.approx(sum(aji) / 2, rel=1e-4)
    assert (line["parts"], line["parts_wanted"], line["interval_over"]) == ("2", "3", "seeds")
    table = (ran / "out.md").read_text()
    assert f"**{sum(aji) / 2:.3f}**" in table
    assert "2 of 3" in table


@pytest.mark.slow
def test_the_figure_is_a_picture(ran):
    assert (ran / "out.png").read_bytes().startswith(b"\x89PNG")
