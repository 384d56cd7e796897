from __future__ import annotations

import numpy as np
import pytest
from laboratory import BASE, OWN, TARGET, part_of, tiny_base, transfer_kit
from PIL import Image

from transfer_kit.pair import Pair
from transfer_kit.stores.datasets import find_dataset

pytest_plugins = ["lab_fixtures"]


@pytest.fixture
def pair(lab):
    Pair(name="mine", base=BASE, target=TARGET, auxiliary=(OWN,)).write(lab / "mine.yaml")
    return "mine.yaml"


def test_the_list_has_shipped_pairs_and_says_what_is_not_here(lab):
    rows = {row["name"]: row for row in transfer_kit("pairs", "list", "--json").json}
    assert rows["breast-eye"]["target"] == "eye"
    assert rows["breast-eye"]["not_here"] == []
    assert "gbm40" in rows["breast-gbm40"]["not_here"]
    assert all(row["ships"] for row in rows.values())


def test_in_80_columns_the_list_has_a_line_for_each_pair(lab, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    rows = {row["name"]: row for row in transfer_kit("pairs", "list", "--json").json}
    header, *lines = transfer_kit("pairs", "list").out.splitlines()
    assert header.split() == ["pair", "base", "target", "images"]
    cells = {line.split()[0]: line.split()[1:] for line in lines[: len(rows)]}
    assert set(cells) == set(rows)
    assert cells["breast-eye"] == ["breast", "eye", "here"]
    assert cells["breast-gbm40"] == ["breast", "gbm40", "not", "here"]


def test_an_added_pair_is_found_by_its_name(lab):
    words = ("--base", f"./{BASE}", "--target", f"./{TARGET}", "--name", "mine")
    said = transfer_kit("pairs", "add", *words, "--json").json
    assert said["path"] == str(lab / "home" / "pairs" / "mine.yaml")
    assert Pair.read(said["path"]).target == str(lab / TARGET)
    assert transfer_kit("pairs", "check", "mine", "--json").json["errors"] == 0


def test_add_takes_a_file_and_says_what_is_next(lab, pair):
    said = transfer_kit("pairs", "add", pair)
    assert "mine is known now" in said.out
    assert "transfer-kit pairs check mine" in said.out
    taken = transfer_kit("pairs", "add", pair, code=2)
    assert "A pair mine is there already" in taken.error


def test_add_refuses_a_leak_with_the_ids_and_keeps_nothing(lab):
    case = find_dataset(TARGET).split("test").cases[0]
    tiny_base(lab / "leaky.safetensors", data=[part_of(TARGET, "train", case)])
    words = ("--base", "leaky.safetensors", "--target", TARGET, "--name", "leaky")
    error = transfer_kit("pairs", "add", *words, code=2).error
    assert f"learns from the patient {case} that {TARGET} is tested on" in error
    assert not (lab / "home" / "pairs").exists()


def test_add_refuses_the_target_as_auxiliary_source(lab):
    words = ("--base", BASE, "--target", TARGET, "--auxiliary", TARGET)
    error = transfer_kit("pairs", "add", *words, code=2).error
    assert f"should not name the target {TARGET} itself, whose test cases would leak" in error


def test_an_unknown_base_names_the_nearest(lab):
    words = ("--base", "brest", "--target", TARGET)
    assert "Did you mean 'breast'?" in transfer_kit("pairs", "add", *words, code=2).error


def test_check_exits_with_0_where_nothing_leaks(lab, pair):
    assert transfer_kit("pairs", "check", pair, "--json").json["findings"] == []
    assert "0 leaks, 0 warnings" in transfer_kit("pairs", "check", pair).out


def test_check_exits_with_1_and_names_the_pictures(lab, pair):
    tested = find_dataset(TARGET).split("test")[0].image_path
    Image.open(tested).save(lab / OWN / "images" / "c02_0.png")
    said = transfer_kit("pairs", "check", pair, "--json", code=1).json
    assert (said["errors"], said["test_images"]) == (1, 4)
    (finding,) = said["findings"]
    assert finding["code"] == "same-image"
    assert "c02_0.png" in finding["message"]
    assert tested.name in finding["message"]
    assert "1 leak, 0 warnings" in transfer_kit("pairs", "check", pair, code=1).out


def test_show_gives_the_figures_of_each_organ(lab, pair):
    document = transfer_kit("pairs", "show", pair, "--json").json
    base, target, auxiliary = document["organs"]
    assert (base["role"], target["role"], auxiliary["role"]) == ("base", "target", "auxiliary")
    dataset = find_dataset(TARGET)
    assert target["n_nuclei"] == dataset.n_nuclei
    assert target["nuclei_per_mm2"] == pytest.approx(
        dataset.n_nuclei / (len(dataset) * (112 * 0.25) ** 2) * 1e6
    )
    assert target["to_target"] is None
    assert base["to_target"]["stain"] < 0.1
    told = transfer_kit("pairs", "show", pair).out
    assert f"{target['nuclei_per_mm2']:,.0f}" in told
    assert "tiny-breast (breast, 0.5 µm/px)" in told


def test_the_sheet_shows_all_organs_at_one_scale(lab, pair):
    transfer_kit("pairs", "show", pair, "--sheet", "pair.png")
    sheet = np.asarray(Image.open("pair.png").convert("RGB"))
    third = sheet.shape[1] // 3
    # Tissue is pink, the paper white: each organ's first field is there.
    for column in range(3):
        field = sheet[100:300, column * third + 10 : column * third + 200]
        assert field.mean(axis=(0, 1)).max() < 235
    # The base has one image only, so that its second field is empty.
    assert (sheet[100:300, 262 : third - 20] == 255).all()


def test_show_of_a_pair_that_is_not_there_names_the_nearest(lab):
    error = transfer_kit("pairs", "show", "breast-ey", code=2).error
    assert error.startswith("There is no pair 'breast-ey'. Did you mean 'breast-eye'?")
