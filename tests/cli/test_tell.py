from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from transfer_kit.cli.tell import verdicts
from transfer_kit.data.annotation import Annotation
from transfer_kit.data.nuclei import Nuclei
from transfer_kit.evaluation import Difference, Evaluated, evaluate, evaluate_segmentation
from transfer_kit.report import comparison_table


def scored(f1, segmentation=None):
    return SimpleNamespace(f1=f1, scores=SimpleNamespace(f1=f1), segmentation=segmentation)


def outlined(*sides):
    """Scores of images with one square nucleus of 10 px, found as squares of these sides."""
    images = []
    for number, side in enumerate(sides):
        truth, found = np.zeros((2, 16, 16), np.int32)
        truth[:10, :10], found[:side, :side] = 1, 1
        annotation = Annotation([[4.5, 4.5]], ("",), instances=truth)
        nuclei = Nuclei([[4.5, 4.5]], [0.9], ("",), found)
        images.append(Evaluated(f"i{number}", f"case {number}", 0.25, (16, 16), annotation, nuclei))
    return evaluate_segmentation(images, threshold=0.5)


def kept(dataset, before, after, *, stands_in=False, whole_before=None, whole_after=None):
    return SimpleNamespace(
        dataset=dataset,
        stands_in=stands_in,
        before=scored(before),
        after=scored(after),
        whole_before=whole_before,
        whole_after=whole_after,
    )


def result(difference=0.1, low=0.05, high=0.15, *, forgetting=(), base="breast", **columns):
    return SimpleNamespace(
        gain=None if base is None else Difference(difference, low, high, n_cases=4),
        forgetting=forgetting,
        plan=SimpleNamespace(base=base),
        columns={
            name: column if isinstance(column, SimpleNamespace) else scored(column)
            for name, column in {"finetuned": 0.8, **columns}.items()
        },
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
        kept("own", 0.8, 0.79),
        kept("drawn", 0.8, 0.7, stands_in=True),
    ]
    assert verdicts(result(forgetting=parts))[1:] == [
        "own (base's held-out): F1 0.800 before, 0.790 after (-0.010).",
        "drawn (embedded stand-in for the base's cases): F1 0.800 before, 0.700 after (-0.100, "
        "forgotten in part).",
    ]


# The found square lies inside the true one, so AJI is the share of its area: side² / 100.


def test_the_gain_in_whole_nuclei_is_told_beside_that_in_f1():
    base = scored(0.7, outlined(5, 7))
    gained = result(finetuned=scored(0.8, outlined(9, 9)), base_recalibrated=base)
    assert verdicts(gained)[1] == (
        "Whole nuclei are outlined better than by the recalibrated base: +0.440 AJI (95 % interval "
        "+0.320 to +0.560)."
    )
    doubtful = result(finetuned=scored(0.8, outlined(9, 5)), base_recalibrated=base)
    assert verdicts(doubtful)[1] == (
        "Whole nuclei are outlined better than by the recalibrated base: +0.160 AJI (95 % interval "
        "-0.240 to +0.560); too few test cases to be sure of it."
    )
    worse = result(finetuned=scored(0.8, outlined(5)), base_recalibrated=scored(0.7, outlined(7)))
    assert verdicts(worse)[1:] == [
        "Whole nuclei are outlined worse than by the recalibrated base: -0.240 AJI."
    ]


def test_where_one_detector_finds_centres_alone_nothing_is_said_of_whole_nuclei():
    for tuned, base in ((outlined(9), None), (None, outlined(9)), (None, None)):
        told = result(finetuned=scored(0.8, tuned), base_recalibrated=scored(0.7, base))
        assert len(verdicts(told)) == 1


def test_what_is_ahead_is_told_in_the_figures_in_which_it_is():
    tuned = scored(0.8, outlined(7))
    assert verdicts(result(finetuned=tuned, scratch=scored(0.7, outlined(9))))[1:] == [
        "Training from scratch with equal steps did better than fine-tuning: AJI 0.810 against "
        "0.490."
    ]
    ahead = result(finetuned=tuned)
    ahead.columns["base"] = scored(0.9, outlined(9))
    assert verdicts(ahead)[1].endswith(": F1 0.900 against 0.800, AJI 0.810 against 0.490.")


def test_forgetting_is_told_in_aji_where_whole_nuclei_are_found_before_and_after():
    part = kept("own", 0.8, 0.8, whole_before=outlined(9), whole_after=outlined(7))
    assert verdicts(result(forgetting=[part]))[1] == (
        "own (base's held-out): F1 0.800 before, 0.800 after (+0.000); AJI 0.810 before, 0.490 "
        "after (-0.320, forgotten in part)."
    )
    half = kept("own", 0.8, 0.8, whole_before=outlined(9))
    assert "AJI" not in verdicts(result(forgetting=[half]))[1]


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
