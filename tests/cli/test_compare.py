from __future__ import annotations

import atexit
import base64
import re
import shutil
import tempfile
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from laboratory import BASE, SHORT, TARGET, furnished, transfer_kit, working_in
from sweep_fields import in_this_process

FINETUNE = ("finetune", "--base", BASE, "--target", TARGET, *SHORT, "--json")


class Page(HTMLParser):
    """Text, pictures and addresses of a page."""

    def __init__(self, text):
        super().__init__()
        self.words, self.images, self.addresses, self.scripts = [], [], [], 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        told = dict(attrs)
        self.scripts += tag == "script"
        if tag == "img":
            self.images.append(told["src"])
        self.addresses += [told[name] for name in ("src", "href", "xlink:href") if name in told]

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.words))


SWEEP = f"""
question: How is the tiny base best tuned?
set:
  base: {BASE}
  target: {TARGET}
  patches.size_px: 48
  train: {{steps: 4, validate_every: 2, batch_size: 2}}
search:
  freeze: {{choice: [0, 2, 3]}}
sampler: grid
pruner: none
"""


@cache
def trained():
    """A lab with two runs that differ by what is frozen and a finished sweep; to be copied.

    Trial 0 of the sweep has the recipe's own values. Beside the folder, what the commands said.
    """
    folder = Path(tempfile.mkdtemp(prefix="transfer-kit-compare-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    shutil.copytree(furnished(), folder, dirs_exist_ok=True)
    with working_in(folder), pytest.MonkeyPatch.context() as patch:
        patch.setattr("transfer_kit.engines.choose.run_all", in_this_process)
        patch.delenv("TRANSFER_KIT_STORAGE", raising=False)
        runs = [transfer_kit(*FINETUNE, "--freeze", count).json for count in (0, 2)]
        (folder / "mine.yaml").write_text(SWEEP, encoding="utf-8")
        return folder, runs, transfer_kit("sweep", "mine.yaml", "--json").json


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """A copy of it as the working folder."""
    monkeypatch.setattr("transfer_kit.engines.choose.run_all", in_this_process)
    monkeypatch.delenv("TRANSFER_KIT_STORAGE", raising=False)
    folder = shutil.copytree(trained()[0], tmp_path / "lab")
    with working_in(folder):
        yield folder


@pytest.fixture
def two_runs(lab):
    _, found, _ = trained()
    return [document["run"] for document in found], found


@pytest.fixture
def swept(lab):
    return trained()[2]


def compared(*words):
    return Page(Path(transfer_kit("compare", *words, "--json").json["page"]).read_text())


def test_the_page_holds_all_that_it_shows(two_runs):
    page = compared(*two_runs[0], "--images", 2)
    assert page.scripts == 0
    assert all(address.startswith(("data:", "#")) for address in page.addresses)


def test_figures_tests_and_differences_are_those_of_the_runs(two_runs):
    runs, documents = two_runs
    text = compared(*runs, "--images", 0).text
    for run, document in zip(runs, documents, strict=True):
        assert Path(run).name in text
        test = document["finetuned"]["test"]
        assert f"{test['f1']:.3f} {test['f1_low']:.3f} to {test['f1_high']:.3f}" in text
    assert re.search(r"B against A on \d test images: F1 [+-]\d\.\d{3}", text)
    assert "freeze 0 2" in text  # what differs, and nothing else of the recipe
    assert "learning_rate" not in text


def test_each_image_is_shown_once_a_run_as_its_detector_sees_it(two_runs):
    page = compared(*two_runs[0], "--images", 3)
    assert len(page.images) == 3 * 2
    decoded = [
        cv2.imdecode(np.frombuffer(base64.b64decode(src.split(",")[1]), np.uint8), 1)
        for src in page.images
    ]
    assert all(image is not None and image.std() > 5 for image in decoded)
    counts = re.findall(r"F1 ([\d.]+): (\d+) true, (\d+) false, (\d+) missed", page.text)
    assert len(counts) == 6
    for f1, true, false, missed in counts:
        true, wrong = int(true), int(false) + int(missed)
        # Nothing found of nothing there is not among the tiny images.
        assert float(f1) == pytest.approx(2 * true / (2 * true + wrong), abs=6e-4)


def test_the_page_is_shown_without_pictures_where_the_images_are_gone(two_runs, lab):
    shutil.rmtree(lab / TARGET)
    said = transfer_kit("compare", *two_runs[0], "--out", "page.html")
    assert "Without pictures: The target's images are not on this machine" in said.out
    assert "No pictures." in Page((lab / "page.html").read_text()).text


def test_a_name_with_markup_stays_a_name(two_runs, lab):
    evil = lab / "runs" / "<b onclick=alert(1)>"
    shutil.copytree(two_runs[0][0], evil)
    said = transfer_kit("compare", evil, two_runs[0][1], "--images", 0, "--out", "page.html")
    assert said.code == 0
    assert "<b onclick" not in (lab / "page.html").read_text()


def test_one_run_is_not_compared(two_runs):
    said = transfer_kit("compare", two_runs[0][0], code=2)
    assert said.error == "Two trainings or more are compared, but got one; name another."


def test_an_unknown_run_is_told_with_its_nearest(two_runs):
    said = transfer_kit("compare", "no-such", two_runs[0][0], code=2)
    assert "There is no run 'no-such'" in said.error


def test_many_entries_are_numbered_and_tables_turned():
    from transfer_kit.compare_page.entry import letters

    assert letters(3) == ["A", "B", "C"]
    assert letters(27)[-1] == "27"


def entries(*words):
    told = transfer_kit("compare", *words, "--json").json
    return told["entries"], Page(Path(told["page"]).read_text())


def test_a_sweep_is_shown_by_its_trials_of_which_the_winner_is_tested(swept, lab):
    names, page = entries("mine", "--images", 1)
    best, test = swept["best"], swept["test"]["test"]
    assert names[0].startswith(f"mine, trial {best['trial']}")
    assert names[0].endswith(", the winner")
    assert len(names) == 3
    assert sum("(own values)" in name for name in names) == 1
    rows = pd.read_csv(swept["files"]["trials"])[1:]
    for name in names[1:]:
        number = re.search(r"trial (\d+)", name)[1]
        (row,) = rows[rows["trial"] == number].itertuples()
        assert re.search(rf"trial {number}( \(own values\))? .*?{row.validation:.3f}", page.text)
    # Of all trials the winner alone has figures on test images and a detector to show.
    assert page.text.count(" to ") >= 1
    assert f"{test['f1']:.3f} {test['f1_low']:.3f} to {test['f1_high']:.3f}" in page.text
    assert len(re.findall(r"F1 [\d.]+: \d+ true", page.text)) == 1
    assert "3 of 3 trials finished" in page.text
    assert f"for trial {best['trial']}: F1 {test['f1']:.3f}" in page.text
    assert "freeze" in page.text
    assert len(page.images) == 1 + 2  # one test image, the history and the parallel coordinates


def test_winners_and_runs_are_tested_against_each_other(swept, lab):
    run = trained()[1][1]["run"]
    names, page = entries(".work/sweeps/mine", run, "--images", 0, "--trials", 1)
    assert names[0] == Path(run).name
    assert names[1].endswith(", the winner")
    assert "(own values)" in names[-1]  # shown in any case
    assert re.search(r"B against A on \d test images: F1 [+-]\d\.\d{3}", page.text)


def test_a_sweep_that_goes_on_says_that_no_test_image_was_looked_at(lab, swept):
    transfer_kit("sweep", "mine.yaml", "--name", "other", "--timeout", "0s")
    assert (
        "No trial of the sweep other is complete yet"
        in transfer_kit("compare", "other", code=2).error
    )
    transfer_kit("sweep", "--join", "other")
    names, page = entries("other", "--images", 0)
    assert len(names) == 3
    assert "No test image was looked at yet" in page.text
    assert "winner" not in " ".join(names)


def test_a_sweep_in_a_database_is_found_with_its_storage(lab, swept, monkeypatch):
    url = f"sqlite:///{lab / 'sweeps.db'}"
    transfer_kit("sweep", "mine.yaml", "--name", "shared", "--storage", url)
    said = transfer_kit("compare", "shared", code=2).error
    assert "lie in a database; say --storage URL, or set TRANSFER_KIT_STORAGE" in said
    assert len(entries("shared", "--storage", url, "--images", 0)[0]) == 3
    # Also where another machine began it: then the winner's run is not here, but its figures are.
    shutil.rmtree(lab / ".work/sweeps/shared")
    monkeypatch.setenv("TRANSFER_KIT_STORAGE", url)
    names, page = entries("shared", "mine", "--images", 0)
    assert len(names) == 6
    assert "looked at once, for trial" in page.text


def test_a_shipped_sweep_that_was_not_begun_is_told(lab):
    said = transfer_kit("compare", "eye", "kidney", code=2).error
    assert said.startswith("The sweep eye was not begun in .work/sweeps; begin it with")


def test_long_numbers_are_rounded_where_they_stay_apart():
    from transfer_kit.compare_page.page import _short

    shown = _short({
        "gamma": ["1.2246683195", "5"],
        "rate": ["0.00200000001", "0.00200000002"],
        "version": ["2.10.0+cpu.long", "a.b"],
    })  # fmt: skip
    assert shown["gamma"] == ["1.2247", "5"]
    assert shown["rate"] == ["0.00200000001", "0.00200000002"]
    assert shown["version"] == ["2.10.0+cpu.long", "a.b"]
