from __future__ import annotations

from types import SimpleNamespace

import pytest

from transfer_kit.cli.tell import verdicts
from transfer_kit.data.annotation import Annotation
from transfer_kit.data.nuclei import Nuclei
from transfer_kit.evaluation import Difference, Evaluated, evaluate
from transfer_kit.report import comparison_table


def scored(f1):
    return SimpleNamespace(f1=f1, scores=SimpleNamespace(f1=f1))


def result(difference=0.1, low=0.05, high=0.15, *, forgetting=(), base="breast", **columns):
    return SimpleNamespace(
        gain=None if base is None else Difference(difference, low, high, n_cases=4),
        forgetting=forgetting,
        plan=SimpleNamespace(base=base),
        columns={name: scored(f1) for name, f1 in {"finetuned": 0.8, **columns}.items()},
    )


@pytest.mark.parametrize(
    ("difference", "low", "high", "sentence"),
    [
        (
            0.05,
            0.01,
            0.09,
            "Fine-tuning gained +0.050 F1 (95 % interval +0.010 to +0.090) over the recalibrated "
            "base.",
        ),
        (
            0.05,
            -0.01,
            0.1,
            "Fine-tuning against the recalibrated base: +0.050 F1 (95 % interval -0.010 to "
            "+0.100); too few test cases to be sure that it helps.",
        ),
        (
            0.05,
            None,
            None,
            "Fine-tuning against the recalibrated base: +0.050 F1; too few test cases to be sure "
            "that it helps.",
        ),
        (
            -0.02,
            None,
            None,
            "Fine-tuning made it worse than recalibrating the base alone: -0.020 F1. Keep the "
            "recalibrated base, or label more images.",
        ),
        (
            0.0,
            None,
            None,
            "Fine-tuning made it no better than recalibrating the base alone: +0.000 F1. Keep the "
            "recalibrated base, or label more images.",
        ),
    ],
)
def test_the_gain_is_said_plainly(difference, low, high, sentence):
    assert verdicts(result(difference, low, high)) == [sentence]


def test_a_base_or_a_scratch_training_that_is_ahead_is_named():
    assert verdicts(result(base_recalibrated=0.7, scratch=0.79)) == verdicts(result())
    said = verdicts(result(scratch=0.85))
    assert said[1] == (
        "Training from scratch with equal steps did better than fine-tuning: F1 0.850 against "
        "0.800."
    )
    ahead = result()
    ahead.columns["base"] = scored(0.9)
    assert verdicts(ahead)[1].startswith("The base as it is, with its own threshold, is ahead")


def test_without_a_base_there_is_no_verdict():
    assert verdicts(result(base=None)) == []


def test_forgetting_is_said_where_it_is_more_than_nothing():
    parts = [
        SimpleNamespace(dataset="own", stands_in=False, before=scored(0.8), after=scored(0.79)),
        SimpleNamespace(dataset="drawn", stands_in=True, before=scored(0.8), after=scored(0.7)),
    ]
    assert verdicts(result(forgetting=parts))[1:] == [
        "own (base's held-out): F1 0.800 before, 0.790 after (-0.010).",
        "drawn (embedded stand-in for the base's cases): F1 0.800 before, 0.700 after (-0.100, "
        "forgotten in part).",
    ]


@pytest.mark.parametrize(
    ("images", "title"),
    [
        (1, "1 test image of 1 case, 1 nucleus, matched within 2 µm"),
        (2, "2 test images of 2 cases, 2 nuclei, matched within 2 µm"),
    ],
)
def test_the_table_counts_what_was_tested(images, title):
    one = Annotation.of_points([[10, 10]]), Nuclei([[10, 10]], [0.9], ("",))
    examined = [Evaluated(str(n), f"case {n}", 0.25, (64, 64), *one) for n in range(images)]
    scores = evaluate(examined, radius_um=2, threshold=0.5)
    assert comparison_table({"trained": scores}, 2).title == title
