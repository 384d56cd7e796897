from __future__ import annotations

import base64
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from laboratory import BASE, SHORT, TARGET, transfer_kit

pytest_plugins = ["lab_fixtures"]

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


@pytest.fixture
def two_runs(lab):
    """Two short trainings that differ by what is frozen."""
    found = [transfer_kit(*FINETUNE, "--freeze", count).json for count in (0, 2)]
    return [document["run"] for document in found], found


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
