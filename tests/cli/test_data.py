from __future__ import annotations

import json

import numpy as np
import pytest
from dataset_folders import write_card, write_csv, write_folder
from PIL import Image
from typer.testing import CliRunner

from transfer_kit.cli.data import app
from transfer_kit.data.card import DatasetCard
from transfer_kit.errors import UserError
from transfer_kit.stores.datasets import find_dataset

DESCRIBED = ["--organ", "eye", "--stain", "H&E", "--mpp", "0.25", "--licence", "private"]


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFER_KIT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TRANSFER_KIT_DATA", "")
    monkeypatch.setenv("COLUMNS", "160")


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "tiny", cases=5, per_case=1)


@pytest.fixture
def bare(tmp_path):
    return write_folder(tmp_path / "mine", cases=4, per_case=1, card=False)


def run(*words, code=0):
    result = CliRunner().invoke(app, [str(word) for word in words])
    if isinstance(result.exception, UserError):
        raise result.exception
    assert result.exit_code == code, result.output + str(result.exception)
    return result.stdout


def run_json(*words, code=0):
    return json.loads(run(*words, "--json", code=code))


def test_the_list_has_embedded_added_and_shipped_datasets(bare):
    run("add", bare, *DESCRIBED)
    rows = {row["name"]: row for row in run_json("list")}
    assert rows["breast"]["origin"] == "embedded"
    assert rows["mine"]["origin"] == "added"
    assert rows["mine"]["images"] == str(bare.resolve())
    assert rows["tnbc"]["images"] == "not on this machine"
    assert rows["tnbc"]["licence"] == "CC BY 4.0"


def test_in_80_columns_the_list_has_a_line_for_each_shipped_and_embedded_dataset(bare, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    run("add", bare, *DESCRIBED)
    header, *lines = [line.split("  ") for line in run("list").splitlines()]
    rows = run_json("list")
    assert [cell.strip() for cell in header if cell.strip()] == [
        *("dataset", "organ", "stain", "licence", "images")
    ]
    cells = [[cell.strip() for cell in line if cell.strip()] for line in lines[: len(rows)]]
    assert [line[:3] for line in cells] == [[r["name"], r["organ"], r["stain"]] for r in rows]
    told = {line[0]: line[3:] for line in cells}
    assert told["breast"] == ["open", "synthetic"]
    assert told["mine"] == ["private", "here"]
    assert told["monuseg-kidney"] == ["non-commercial", "not here"]
    assert told["vgg-cells"] == ["unstated", "not here"]
    assert "data show NAME" in "  ".join(lines[-1])


def test_show_counts_images_cases_and_nuclei_by_split(folder, tmp_path):
    sheet = tmp_path / "sheet.png"
    document = run_json("show", folder, "--sheet", sheet)
    dataset = find_dataset(folder)
    assert document["nuclei"] == dataset.n_nuclei
    assert document["mpp"] == [0.25]
    assert document["splits"]["train"]["cases"] == list(dataset.split("train").cases)
    assert sum(split["nuclei"] for split in document["splits"].values()) == dataset.n_nuclei
    assert document["card"]["organ"] == "breast"
    assert Image.open(sheet).size[0] > 320
    text = run("show", folder)
    assert "validation" in text
    assert str(dataset.n_nuclei) in text


def test_check_of_a_sound_folder_exits_with_0(folder):
    assert run_json("check", folder)["findings"] == []
    assert "0 errors, 0 warnings" in run("check", folder)


def test_check_exits_with_1_where_there_is_an_error(folder, tmp_path):
    write_csv(folder / "annotations" / "c00_0.csv", [(999, 5)] * 2)
    document = run_json("check", folder, "--sheet", tmp_path / "s.png", code=1)
    assert document["errors"] == 1
    codes = [finding["code"] for finding in document["findings"]]
    assert codes == ["outside", "duplicate-points"]
    assert (tmp_path / "s.png").is_file()
    text = run("check", folder, code=1)
    assert "1 error, 1 warning" in text
    assert run_json("check", folder, "--ignore", "outside")["errors"] == 0


def test_warnings_alone_exit_with_0(folder):
    (folder / "annotations" / "c00_0.csv").unlink()
    assert [f["severity"] for f in run_json("check", folder)["findings"]] == ["warning"]


def test_add_writes_the_card_and_knows_the_name(bare):
    document = run_json("add", bare, *DESCRIBED, "--case-pattern", r"(c\d+)_", "--species", "human")
    assert document["name"] == "mine"
    card = DatasetCard.read(bare / "dataset.yaml")
    assert (card.organ, card.mpp, card.species, card.licence) == ("eye", 0.25, "human", "private")
    assert find_dataset("mine").cases == ("c00", "c01", "c02", "c03")


def test_add_without_a_terminal_names_the_options_that_are_missing(bare):
    with pytest.raises(UserError, match=r"do not tell stain, mpp; add --stain … --mpp …"):
        run("add", bare, "--organ", "eye", "--licence", "private")
    assert not (bare / "dataset.yaml").exists()


def test_add_asks_what_is_missing_on_a_terminal(bare, monkeypatch):
    answers = {"organ": "eye", "mpp": 0.5}
    monkeypatch.setattr("transfer_kit.cli.data_add._at_a_terminal", lambda: True)
    monkeypatch.setattr(
        "typer.prompt", lambda text, **_: answers["organ" if "organ" in text else "mpp"]
    )
    run("add", bare, "--stain", "H&E", "--licence", "private")
    card = DatasetCard.read(bare / "dataset.yaml")
    assert (card.organ, card.mpp) == ("eye", 0.5)


def test_add_registers_a_folder_that_has_a_card(folder):
    assert run_json("add", folder)["name"] == "tiny"
    assert len(find_dataset("tiny")) == 5


def test_add_reads_the_scale_from_the_files(tmp_path):
    folder = write_folder(tmp_path / "scaled", cases=3, per_case=1, card=False)
    for path in (folder / "images").iterdir():
        Image.open(path).save(path, dpi=(25400 / 0.25, 25400 / 0.25))
    document = run_json("add", folder, "--organ", "eye", "--stain", "H&E", "--licence", "private")
    assert document["card"]["mpp"] == pytest.approx(0.25, rel=1e-3)


def test_add_of_a_folder_without_annotations_is_refused(tmp_path):
    folder = tmp_path / "images-only"
    (folder / "images").mkdir(parents=True)
    Image.fromarray(np.full((50, 50, 3), 200, np.uint8)).save(folder / "images" / "a.png")
    with pytest.raises(UserError, match="has 1 image, but no annotation for any;"):
        run("add", folder, *DESCRIBED)


def test_add_of_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="nowhere is no folder; check the path"):
        run("add", tmp_path / "nowhere", *DESCRIBED)


def test_split_lists_the_cases_in_the_card(folder):
    document = run_json("split", folder, "--test-case", "c01", "--validation-case", "c02")
    assert document["splits"]["test"]["cases"] == ["c01"]
    assert document["splits"]["validation"]["cases"] == ["c02"]
    assert find_dataset(folder).split("train").cases == ("c00", "c03", "c04")
    again = run_json("split", folder, "--fractions", "0.4,0.2,0.4", "--seed", 7)
    assert [len(again["splits"][s]["cases"]) for s in ("train", "validation", "test")] == [2, 1, 2]


@pytest.mark.parametrize("format", ["geojson", "csv", "coco"])
def test_a_converted_dataset_has_the_same_nuclei_and_splits(folder, tmp_path, format):
    write_card(
        folder,
        case_pattern=r"(c\d+)_",
        splits={"train": ["c00", "c01", "c02"], "validation": ["c03"], "test": ["c04"]},
    )
    document = run_json("convert", folder, "-o", tmp_path / "out", "--format", format)
    assert document["images"] == 5
    before, after = find_dataset(folder), find_dataset(tmp_path / "out")
    assert [sample.id for sample in after] == [sample.id for sample in before]
    assert [sample.case for sample in after] == [sample.case for sample in before]
    assert after.assignment == before.assignment
    for old, new in zip(before, after, strict=True):
        assert np.array_equal(old.image(), new.image())
        assert np.allclose(old.annotation().points, new.annotation().points, atol=1e-3)


def test_centres_alone_cannot_become_instances(folder, tmp_path):
    with pytest.raises(
        UserError,
        match=r"out/annotations/c00_0_label\.png: some nuclei have a centre but no outline",
    ):
        run("convert", folder, "-o", tmp_path / "out", "--format", "instances")
    assert not (tmp_path / "out").exists()


def test_an_existing_folder_is_not_overwritten(folder, tmp_path):
    with pytest.raises(UserError, match="is there already; choose a new folder"):
        run("convert", folder, "-o", tmp_path, "--format", "csv")


def test_an_unknown_format_names_the_nearest(folder, tmp_path):
    with pytest.raises(UserError, match=r"There is no writer of 'geojsn'\. Did you mean 'geojson'"):
        run("convert", folder, "-o", tmp_path / "out", "--format", "geojsn")
