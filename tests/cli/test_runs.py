"""`transfer-kit runs`: list, show, compare, sync, clean."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from laboratory import TARGET, listing, transfer_kit
from scipy import stats

from transfer_kit.process_lock import ProcessLock
from transfer_kit.run_folder import LOCK
from transfer_kit.tracking.operations import End, MetricValue, Start, to_line

pytest_plugins = ["lab_fixtures", "mlflow_stores"]


@pytest.fixture
def two(finished, tmp_path, monkeypatch) -> list[Path]:
    """Copies of one run in runs/, the second of which found fewer nuclei."""
    monkeypatch.chdir(tmp_path)
    folders = [tmp_path / "runs" / name for name in ("first", "second")]
    for folder in folders:
        shutil.copytree(finished.run, folder)
    table = pd.read_csv(folders[1] / "test_images.csv")
    lost = np.minimum(table.n_true, [1 + n % 3 for n in range(len(table))])
    table.n_true -= lost
    table.n_missed += lost
    table.f1 = 2 * table.n_true / (2 * table.n_true + table.n_false + table.n_missed)
    table.to_csv(folders[1] / "test_images.csv", index=False)
    recipe = (folders[1] / "recipe.yaml").read_text()
    (folders[1] / "recipe.yaml").write_text(recipe.replace("freeze: 2", "freeze: 1"))
    return folders


def interrupted(folder: Path) -> None:
    (folder / "metrics.json").unlink()


def rows_of_first(folder: Path) -> pd.DataFrame:
    table = pd.read_csv(folder / "test_images.csv")
    return table[table["column"] == "finetuned"].set_index("image")


def test_a_list_says_which_are_finished_and_how_to_go_on_with_others(two):
    interrupted(two[1])
    rows = {row["name"]: row for row in transfer_kit("runs", "list", "--json").json}
    assert rows["first"]["state"] == "finished"
    assert rows["first"]["go_on"] == ""
    figures = json.loads((two[0] / "metrics.json").read_text())["finetuned"]["test"]
    assert rows["first"]["f1"] == figures["f1"]
    assert rows["second"]["state"] == "interrupted"
    assert rows["second"]["f1"] is None
    go_on = "transfer-kit finetune --resume runs/second"
    assert rows["second"]["go_on"] == go_on
    said = transfer_kit("runs", "list").out
    assert f"Go on with: {go_on}" in said
    assert "first" in said


def test_the_command_that_goes_on_is_quoted_where_the_name_needs_it(two):
    two[1].rename("runs/my run")
    interrupted(Path("runs/my run"))
    (row,) = [r for r in transfer_kit("runs", "list", "--json").json if r["name"] == "my run"]
    assert row["go_on"] == "transfer-kit finetune --resume 'runs/my run'"


def test_a_run_that_another_process_is_at_is_going_on_and_not_cleared(two):
    interrupted(two[1])
    lock = ProcessLock(two[1] / LOCK)
    assert lock.acquire()
    states = {row["name"]: row["state"] for row in transfer_kit("runs", "list", "--json").json}
    lock.release()
    assert states == {"first": "finished", "second": "going on"}


def test_a_folder_without_runs_says_how_to_make_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = transfer_kit("runs", "list").out
    assert said == "There are no runs in runs; `transfer-kit finetune` makes one.\n"
    assert transfer_kit("runs", "list", "--json").json == []


def test_one_run_is_shown_with_recipe_figures_data_and_environment(two):
    shown = transfer_kit("runs", "show", "first", "--json").json
    assert shown["recipe"]["target"] == TARGET
    assert shown["metrics"] == json.loads((two[0] / "metrics.json").read_text())
    assert set(shown["data"]) == {"training", "validation", "testing"}
    assert shown["environment"]["packages"]["torch"]
    said = transfer_kit("runs", "show", two[0]).out
    assert f"4 images of {TARGET}" in said
    assert "F1 base recalibrated" in said


def test_an_unknown_run_is_told_with_the_nearest(two):
    assert transfer_kit("runs", "show", "frist", code=2).error == (
        "There is no run 'frist' in runs. Did you mean 'first'?"
    )


def test_two_runs_are_tested_image_by_image(two):
    comparison = transfer_kit("runs", "compare", "first", "second", "--json").json
    (pair,) = comparison["paired"]
    a, b = (rows_of_first(folder) for folder in two)
    seen = (a.n_true + a.n_false + a.n_missed) > 0
    expected = stats.wilcoxon(b.f1[seen], a.f1[seen])
    assert pair["f1_by_image"]["p_value"] == pytest.approx(expected.pvalue)
    assert pair["n_images"] == seen.sum()

    def pooled(rows):
        true, others = rows.n_true.sum(), rows.n_false.sum() + rows.n_missed.sum()
        return 2 * true / (2 * true + others)

    assert pair["f1"]["difference"] == pytest.approx(pooled(b) - pooled(a))
    assert pair["f1"]["n_cases"] == a.case.nunique()
    assert comparison["recipe"] == {"freeze": ["2", "1"]}
    assert comparison["environment"] == {}
    assert len(set(comparison["data"]["testing"])) == 1


def test_a_comparison_reads_as_a_table_and_a_sentence(two):
    said = transfer_kit("runs", "compare", "first", "second").out
    assert "second against first on" in said
    assert "signed-rank test of each image's F1 p = " in said
    assert "freeze" in said


def test_a_run_compared_with_itself_differs_in_nothing(two):
    comparison = transfer_kit("runs", "compare", "first", "first", "--json").json
    assert comparison["paired"][0]["f1"]["difference"] == 0
    assert comparison["paired"][0]["f1_by_image"]["p_value"] == 1
    assert comparison["recipe"] == comparison["environment"] == {}


def test_runs_tested_on_other_data_are_not_paired(two):
    data = json.loads((two[1] / "data.json").read_text())
    for part in data:
        part["digest"] = "0" * 64
    (two[1] / "data.json").write_text(json.dumps(data))
    (pair,) = transfer_kit("runs", "compare", "first", "second", "--json").json["paired"]
    assert pair["f1"] is None
    assert pair["why_not"] == "they were tested on other images or annotations"
    assert "cannot be paired" in transfer_kit("runs", "compare", "first", "second").out


def test_a_run_of_an_older_version_is_compared_without_a_test(two):
    (two[1] / "test_images.csv").unlink()
    (pair,) = transfer_kit("runs", "compare", "first", "second", "--json").json["paired"]
    assert pair["why_not"] == "second keeps no figures of single test images"


def test_a_run_that_has_not_ended_is_not_compared(two):
    interrupted(two[1])
    error = transfer_kit("runs", "compare", "first", "second", code=2).error
    assert "is interrupted and has no figures; go on with: transfer-kit finetune" in error
    assert "compared, but got one" in transfer_kit("runs", "compare", "first", code=2).error


def test_clearing_asks_and_takes_checkpoints_of_finished_runs_alone(two):
    interrupted(two[1])
    before = listing(two[0])
    assert "add --yes" in transfer_kit("runs", "clean", code=2).error
    assert listing(two[0]) == before
    said = transfer_kit("runs", "clean", "--yes", "--json").json
    gone = {"runs/first/checkpoints", "runs/first/scratch/checkpoints"}
    assert {each["folder"] for each in said["leftovers"]} == gone
    after = listing(two[0])
    lost = set(before) - set(after)
    assert {name.split("/")[-1] for name in lost} == {"checkpoints", "last.ckpt"}
    assert (two[1] / "checkpoints" / "last.ckpt").is_file()
    assert "nothing to remove" in transfer_kit("runs", "clean", "--yes").out


def unsent_in(folder: Path, experiment_id: str) -> None:
    start = Start("", experiment_id, "lost", {}, 1000, key="k" * 32)
    operations = [start, MetricValue("f1", 0.5, 1, 2000), End("FINISHED", 3000)]
    folder.mkdir(parents=True)
    (folder / "unsent.jsonl").write_text("".join(f"{to_line(each)}\n" for each in operations))


def test_what_is_unsent_is_sent_once(lab):
    from transfer_kit.tracking import open_tracking

    tracking = open_tracking("eye")
    unsent_in(lab / "runs" / "lost", tracking.experiment_id)
    unsent_in(lab / ".work" / "studies" / "trainings" / "x", tracking.experiment_id)
    sent = transfer_kit("runs", "sync", "--json").json
    assert [each["n_sent"] for each in sent] == [2, 2]
    (run,) = tracking.client.search_runs([tracking.experiment_id])
    assert run.data.metrics == {"f1": 0.5}
    assert transfer_kit("runs", "sync").out == "Nothing is unsent.\n"


def test_what_cannot_be_sent_now_is_kept_and_the_command_fails(lab, closed_port, impatient):
    unsent_in(lab / "runs" / "lost", "1")
    before = (lab / "runs" / "lost" / "unsent.jsonl").read_text()
    store = f"http://ann:secret@127.0.0.1:{closed_port}"
    said = transfer_kit("runs", "sync", "--store", store, code=2)
    assert "does not answer (Connection refused); start it" in said.error
    assert "secret" not in said.out + said.err
    assert (lab / "runs" / "lost" / "unsent.jsonl").read_text() == before


def test_a_folder_that_is_not_there_is_told(lab):
    assert transfer_kit("runs", "sync", "nowhere", code=2).error == (
        "There is no folder nowhere; check the path."
    )
