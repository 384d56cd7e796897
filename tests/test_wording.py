from __future__ import annotations

import re
from pathlib import Path

import pytest

import transfer_kit
from transfer_kit.wording import counted

NUMBER = r"(len\(|sum\(|count\b|[\w.]*\bn_|errors\b|[\w.]*steps\b)[^{}!]*"
KIND = "test|training|validation|labelled|such"
NOUNS = "images|cases|nuclei|blocks|parameters|steps|crops|errors|warnings|records|models|recipes"
NUMBER_AND_PLURAL = re.compile(rf"\{{{NUMBER}\}} (({KIND}) )?({NOUNS})\b")


@pytest.mark.parametrize(
    ("count", "noun", "said"),
    [
        (0, "image", "0 images"),
        (1, "image", "1 image"),
        (2, "image", "2 images"),
        (1, "validation image", "1 validation image"),
        (3, "validation image", "3 validation images"),
        (1, "nucleus", "1 nucleus"),
        (12345, "nucleus", "12,345 nuclei"),
        (2, "annotated nucleus", "2 annotated nuclei"),
    ],
)
def test_one_is_singular_and_all_others_are_plural(count, noun, said):
    assert counted(count, noun) == said


@pytest.mark.parametrize(
    "text", ["{len(plan.test)} test images", "{scores.n_cases} cases;", "{errors} errors, "]
)
def test_a_plural_set_by_hand_is_seen(text):
    assert NUMBER_AND_PLURAL.search(f'f"{text}"')
    assert not NUMBER_AND_PLURAL.search('f"The encoder {self.name!r} takes images"')


def test_no_message_sets_a_plural_behind_a_number_by_itself():
    """`{len(images)} images` would say "1 images"; texts that hold two at least are named here."""
    always_more = {
        "instances.py": "{len(annotation)} nuclei do not fit a 16-bit label image",
        "cases.py": "{len(cases)} cases ({shown}) are",
        "freezing.py": "the network has {len(blocks)} blocks",
        "splits.py": "folds cannot be made of {len(sizes)} cases or images",
        "geojson_writer.py": "{len(annotation)} nuclei, but got {len(scores)} scores",
    }
    found = []
    for path in sorted(Path(transfer_kit.__file__).parent.rglob("*.py")):
        for line in path.read_text(encoding="utf-8").splitlines():
            excused = always_more.get(path.name)
            if NUMBER_AND_PLURAL.search(line) and not (excused and excused in line):
                found.append(f"{path.name}: {line.strip()}")
    assert found == []
