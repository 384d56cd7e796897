from __future__ import annotations

import pytest

from transfer_kit.data.card import SplitPlan
from transfer_kit.data.splits import (
    Amount,
    deal_folds,
    explicit_plan,
    parse_fractions,
    permuted,
    share,
    split_cases,
)
from transfer_kit.errors import UserError

CASES = [f"case-{i:02d}" for i in range(20)]


def test_a_permutation_depends_on_names_and_seed_alone():
    assert permuted(CASES, 3) == permuted(reversed(CASES), 3)
    assert permuted(CASES, 3) != permuted(CASES, 4)
    assert sorted(permuted(CASES, 3)) == CASES


def test_a_new_name_moves_no_other_two_past_each_other():
    before = permuted(CASES, 0)
    after = [name for name in permuted([*CASES, "new"], 0) if name != "new"]
    assert after == before


@pytest.mark.parametrize(
    ("total", "expected"),
    [
        (1, [1, 0, 0]),
        (2, [1, 0, 1]),
        (3, [1, 1, 1]),
        (5, [3, 1, 1]),
        (6, [4, 1, 1]),
        (10, [6, 2, 2]),
        (11, [7, 2, 2]),
    ],
)
def test_cases_are_shared_by_largest_remainder_with_one_each(total, expected):
    assert share(total, (0.6, 0.2, 0.2)) == expected


def test_fractions_that_leave_some_out_leave_some_out():
    assert share(10, (0.3, 0.1, 0.1)) == [3, 1, 1]
    assert share(10, (0.8, 0.0, 0.2)) == [8, 0, 2]


def test_every_case_is_in_one_split_and_the_seed_decides_which():
    splits = split_cases(CASES, SplitPlan(seed=1))
    assert sorted(splits) == CASES
    assert [
        sum(s == name for s in splits.values()) for name in ("train", "validation", "test")
    ] == [
        12,
        4,
        4,
    ]
    assert splits == split_cases(CASES, SplitPlan(seed=1))
    assert splits != split_cases(CASES, SplitPlan(seed=2))


def test_listed_cases_go_where_they_are_listed_and_others_nowhere():
    plan = SplitPlan(train=["a"], validation=["b"], test=["c", "absent"])
    assert split_cases(["a", "b", "c", "d"], plan) == {"a": "train", "b": "validation", "c": "test"}


@pytest.mark.parametrize(
    ("text", "total", "expected"),
    [
        ("20%", 40, 8),
        ("5", 40, 5),
        (5, 40, 5),
        ("3 cases", 8, 3),
        ("20% cases", 8, 2),
        ("1%", 10, 1),
        ("100 %", 7, 7),
        ("1 case", 4, 1),
        ("2 images", 9, 2),
    ],
)
def test_an_amount_is_a_percentage_or_a_number(text, total, expected):
    assert Amount.parse(text).of(total) == expected


def test_an_amount_says_whether_it_counts_images_or_cases():
    assert Amount.parse("20%").unit == "image"
    assert Amount.parse("20% cases").unit == "case"


@pytest.mark.parametrize("text", ["", "many", "0", "120%", "-3", "2.5", "3 patients", "0%"])
def test_what_is_no_amount_is_refused_with_examples(text):
    with pytest.raises(
        UserError, match=r"is not an amount of labels; write a percentage .* \('20%'\)"
    ):
        Amount.parse(text)


def test_more_than_there_is_is_refused():
    with pytest.raises(
        UserError, match="9 cases were asked for, but only 4 are there; ask for fewer"
    ):
        Amount.parse("9 cases").of(4)


def test_each_group_is_in_one_fold_and_folds_are_of_nearly_equal_size():
    sizes = {f"c{i}": 1 + i % 4 for i in range(17)}
    folds = deal_folds(sizes, 5, seed=0)
    assert sorted(name for fold in folds for name in fold) == sorted(sizes)
    totals = [sum(sizes[name] for name in fold) for fold in folds]
    assert max(totals) - min(totals) <= 1
    assert folds == deal_folds(sizes, 5, seed=0)


def test_more_folds_than_groups_are_refused():
    with pytest.raises(
        UserError, match="6 folds cannot be made of 3 cases or images; ask for 2 to 3"
    ):
        deal_folds({"a": 1, "b": 1, "c": 1}, 6, seed=0)


def test_an_explicit_plan_keeps_named_cases_and_deals_the_others():
    named = {"train": [], "validation": ["case-00"], "test": ["case-01", "case-02"]}
    plan = explicit_plan(CASES, named=named, fractions=(0.6, 0.2, 0.2), seed=0)
    assert "case-00" in plan.lists["validation"]
    assert {"case-01", "case-02"} <= set(plan.lists["test"])
    assert {name: len(cases) for name, cases in plan.lists.items()} == {
        "train": 12,
        "validation": 4,
        "test": 4,
    }
    assert sorted(case for cases in plan.lists.values() for case in cases) == CASES


def test_an_unknown_case_is_refused_with_the_nearest():
    named = {"train": [], "validation": [], "test": ["case-9"]}
    with pytest.raises(UserError, match=r"There is no case 'case-9'\. Did you mean 'case-"):
        explicit_plan(CASES, named=named, fractions=(0.6, 0.2, 0.2), seed=0)


def test_a_case_named_twice_is_refused():
    named = {"train": ["case-00"], "validation": [], "test": ["case-00"]}
    with pytest.raises(UserError, match="'case-00' is named for train and test; choose one"):
        explicit_plan(CASES, named=named, fractions=(0.6, 0.2, 0.2), seed=0)


@pytest.mark.parametrize("text", ["0.6,0.2", "a,b,c", "0.8,0.2,0.2", "-1,1,1", "0,0,0"])
def test_bad_fractions_are_refused(text):
    with pytest.raises(UserError, match="are not three fractions that add up to 1"):
        parse_fractions(text)
