from __future__ import annotations

import pytest
from scipy import stats
from study_fields import rows

from transfer_kit.errors import UserError
from transfer_kit.studies.comparison import claims, compare, over_seeds
from transfer_kit.studies.study import Claim

AXES = ("start", "target", "seed")
TUNED = {("eye", "0"): 0.80, ("eye", "1"): 0.84, ("eye", "2"): 0.82,
         ("bone", "0"): 0.60, ("bone", "1"): 0.58, ("bone", "2"): 0.63}  # fmt: skip
SCRATCH = {("eye", "0"): 0.75, ("eye", "1"): 0.75, ("eye", "2"): 0.78,
           ("bone", "0"): 0.61, ("bone", "1"): 0.60, ("bone", "2"): 0.62}  # fmt: skip


def frame(**more):
    told = [("tuned", *key, f1) for key, f1 in TUNED.items()]
    told += [("scratch", *key, f1) for key, f1 in SCRATCH.items()]
    start, target, seed, f1 = zip(*told, strict=True)
    return rows(start=start, target=target, seed=seed, f1=f1, **more)


def test_differences_are_paired_and_averaged_within_a_seed():
    compared = compare(frame(), AXES, {"start": "tuned"}, {"start": "scratch"})
    by_seed = [
        sum(TUNED[t, s] - SCRATCH[t, s] for t in ("eye", "bone")) / 2 for s in ("0", "1", "2")
    ]
    expected = stats.ttest_1samp(by_seed, 0).confidence_interval(0.95)
    assert compared.difference.mean == pytest.approx(sum(by_seed) / 3)
    assert (compared.difference.low, compared.difference.high) == pytest.approx(expected)
    assert (compared.ahead, compared.n_groups, compared.n_pairs) == (1, 2, 6)
    assert compared.in_words().startswith("F1 0.712 against 0.685, +0.027 (95 % interval ")
    assert compared.in_words().endswith("over 3 seeds), ahead on 1 of 2 targets")


def test_with_one_seed_the_interval_is_over_the_targets():
    one = frame()[frame()["seed"] == "0"]
    compared = compare(one, AXES, {"start": "tuned"}, {"start": "scratch"})
    assert (compared.unit, compared.difference.n_seeds) == ("target", 2)
    assert compared.difference.mean == pytest.approx((0.05 - 0.01) / 2)


def test_what_one_side_lacks_is_left_out_of_both():
    some = frame().drop(index=0)  # tuned on eye with seed 0
    compared = compare(some, AXES, {"start": "tuned"}, {"start": "scratch"})
    assert compared.n_pairs == 5


def test_several_values_of_a_place_are_averaged_before_they_are_paired():
    compared = compare(
        frame(), AXES, {"target": ["eye", "bone"], "start": "tuned"}, {"start": "scratch"}
    )
    assert compared.of == pytest.approx(sum(TUNED.values()) / 6)


def test_nothing_to_compare_is_said():
    with pytest.raises(UserError, match="Nothing has run yet"):
        compare(frame(), AXES, {"start": "tuned"}, {"start": "other"})


@pytest.mark.parametrize("bone", ["bone", ["bone"]])
def test_each_makes_a_comparison_of_every_other_value(bone):
    claim = Claim(say="against bone", of={"start": "tuned"}, against={"target": bone},
                  each="target")  # fmt: skip
    ((say, compared),) = claims(frame(), AXES, [claim])
    assert say == "eye against bone"
    assert compared.of == pytest.approx((0.80 + 0.84 + 0.82) / 3)


def test_means_over_seeds_have_students_interval():
    (row,) = over_seeds(frame()[:3], ["start", "target"]).to_dict("records")
    expected = stats.ttest_1samp([0.80, 0.84, 0.82], 0).confidence_interval(0.95)
    assert (row["low"], row["high"]) == pytest.approx(expected)
    assert (row["start"], row["target"], row["n_seeds"]) == ("tuned", "eye", 3)
