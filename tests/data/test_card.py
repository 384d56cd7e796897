from __future__ import annotations

import pytest
from dataset_folders import write_card

from transfer_kit.data.card import DatasetCard, SplitPlan, write_splits
from transfer_kit.errors import UserError

FIELDS = {"name": "mine", "organ": "eye", "stain": "H&E", "mpp": 0.25, "licence": "CC0-1.0"}


def test_a_card_is_read_back_as_it_was_written(tmp_path):
    card = DatasetCard.of_fields(
        {
            **FIELDS,
            "case_pattern": r"(P\d+)",
            "splits": {"train": ["a"], "validation": [], "test": []},
        }
    )
    card.write(tmp_path / "dataset.yaml")
    assert DatasetCard.read(tmp_path / "dataset.yaml") == card


def test_all_faults_are_told_at_once_with_their_lines(tmp_path):
    path = tmp_path / "dataset.yaml"
    path.write_text("name: mine\norgn: eye\nstain: H&E\nlicence: CC0\nmpp: -1\n")
    with pytest.raises(UserError) as caught:
        DatasetCard.read(path)
    message = str(caught.value)
    assert str(path) in message
    assert "has 3 faults" in message
    assert "organ is missing" in message
    assert "line 2: there is no field 'orgn'" in message
    assert "line 5: mpp" in message


def test_a_card_without_a_scale_is_refused_with_an_example():
    with pytest.raises(UserError, match=r"mpp: should be the µm per pixel, such as 'mpp: 0\.25'"):
        DatasetCard.of_fields({k: v for k, v in FIELDS.items() if k != "mpp"})


def test_the_scale_of_an_image_is_that_of_the_first_glob_that_fits():
    card = DatasetCard.of_fields({**FIELDS, "mpp_by_image": {"a*.png": 0.5, "deep/*": 0.4}})
    assert card.scale_of("images/a1.png") == 0.5
    assert card.scale_of("deep/b.png") == 0.4
    assert card.scale_of("images/b.png") == 0.25


@pytest.mark.parametrize(
    ("pattern", "wrong"), [("[", "regular expression"), ("abc", "should have a group in brackets")]
)
def test_a_case_pattern_must_be_a_regular_expression_with_a_group(pattern, wrong):
    with pytest.raises(UserError, match=wrong):
        DatasetCard.of_fields({**FIELDS, "case_pattern": pattern})


@pytest.mark.parametrize(
    ("splits", "wrong"),
    [
        ({"train": 0.9, "validation": 0.2, "test": 0.2}, "the fractions add up to 1.3"),
        ({"train": ["a"]}, "should be three fractions or three lists"),
        ({"train": ["a"], "validation": ["a"], "test": []}, "case 'a' should be in one split only"),
    ],
)
def test_inconsistent_splits_are_refused(splits, wrong):
    with pytest.raises(UserError, match=wrong):
        DatasetCard.of_fields({**FIELDS, "splits": splits})


def test_writing_splits_leaves_every_other_line_and_comment(tmp_path):
    path = tmp_path / "dataset.yaml"
    path.write_text(
        "# of our lab\nname: mine  # ours\nsplits:\n  train: 0.5\n  validation: 0.2\n  test: 0.3\n"
        "organ: eye\nstain: H&E\nmpp: 0.25\nlicence: CC0-1.0 # free"
    )
    plan = SplitPlan(train=["a", "01"], validation=["b"], test=["c"])
    write_splits(path, plan)
    text = path.read_text()
    assert text.startswith("# of our lab\nname: mine  # ours\nsplits:\n")
    assert text.endswith("organ: eye\nstain: H&E\nmpp: 0.25\nlicence: CC0-1.0 # free\n")
    assert DatasetCard.read(path).splits == plan


def test_splits_are_added_to_a_card_that_has_none(tmp_path):
    write_card(tmp_path)
    plan = SplitPlan(train=["a"], validation=["b"], test=["c"])
    write_splits(tmp_path / "dataset.yaml", plan)
    assert DatasetCard.read(tmp_path / "dataset.yaml").splits == plan
