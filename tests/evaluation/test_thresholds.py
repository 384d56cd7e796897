from __future__ import annotations

import numpy as np
import pytest
from scattered_nuclei import evaluated, found_at, scattered

from transfer_kit.errors import UserError
from transfer_kit.evaluation import best_threshold, cross_validated_f1, evaluate
from transfer_kit.evaluation.statistics import pooled_f1


def separable():
    """Four nuclei found at .9 to .6, four mistakes at .3 to .15: a plateau from .3 to .6."""
    nuclei = [[20, 20], [60, 20], [20, 60], [60, 60]]
    mistakes = [[120, 120], [160, 120], [120, 160], [160, 160]]
    scores = [0.9, 0.8, 0.7, 0.6, 0.3, 0.25, 0.2, 0.15]
    return evaluated(nuclei, found_at(nuclei + mistakes, scores))


def test_the_threshold_is_the_middle_of_the_best_plateau():
    chosen = best_threshold([separable()], radius_um=4)
    assert chosen.value == pytest.approx(0.45)
    assert chosen.f1 == 1


def test_the_f1_is_that_of_evaluating_at_the_threshold():
    pairs = [scattered(seed) for seed in range(4)]
    chosen = best_threshold(pairs, radius_um=4)
    assert evaluate(pairs, radius_um=4, threshold=chosen.value).f1 == pytest.approx(chosen.f1)


def test_the_f1_lies_within_a_standard_error_of_the_best_of_all_thresholds():
    for seed in range(20):
        pair = scattered(seed, count=30)
        chosen = best_threshold([pair], radius_um=4)
        every = [
            evaluate([pair], radius_um=4, threshold=t).f1 for t in np.unique(pair.found.scores)
        ]
        assert max(every) == pytest.approx(chosen.curve.f1.max())
        assert chosen.f1 >= max(every) - np.sqrt(max(every) * (1 - max(every)) / 30) - 1e-9


def test_with_many_labels_the_threshold_comes_close_to_the_best():
    pairs = [scattered(seed, count=500, side=700, levels=1000) for seed in range(8)]
    chosen = best_threshold(pairs, radius_um=4)
    assert chosen.f1 == pytest.approx(chosen.curve.f1.max(), abs=0.005)


def test_between_two_neighbouring_floats_the_higher_is_taken():
    low = np.float32(0.5)
    high = np.nextafter(low, np.float32(1))
    pair = evaluated([[20, 20]], found_at([[20, 20], [90, 90]], [high, low]))
    chosen = best_threshold([pair], radius_um=4)
    assert chosen.f1 == evaluate([pair], radius_um=4, threshold=chosen.value).f1 == 1


def test_given_candidates_the_middle_one_of_the_plateau_is_taken():
    candidates = [0.1, 0.35, 0.4, 0.5, 0.75]
    assert best_threshold([separable()], radius_um=4, candidates=candidates).value == 0.4


def test_a_detector_that_found_nothing_still_gets_a_threshold():
    chosen = best_threshold([evaluated([[5, 5]], found_at([]))], radius_um=4)
    assert (chosen.value, chosen.f1) == (0, 0)


def test_without_a_labelled_nucleus_no_threshold_can_be_chosen():
    with pytest.raises(UserError, match="no nucleus is annotated in these images; label some"):
        best_threshold([evaluated([], found_at([[5, 5]]))], radius_um=4)


def test_cross_validation_scores_each_case_at_the_threshold_of_the_others():
    pairs = [scattered(seed, case=f"patient {seed // 2}") for seed in range(8)]
    outcome = cross_validated_f1(pairs, radius_um=4)
    counts = []
    for case, threshold in outcome.thresholds.items():
        others = [pair for pair in pairs if pair.case != case]
        assert threshold == best_threshold(others, radius_um=4).value
        own = [pair for pair in pairs if pair.case == case]
        counts += evaluate(own, radius_um=4, threshold=threshold).case_counts.values()
    assert len(outcome.thresholds) == 4
    assert outcome.f1 == pytest.approx(pooled_f1(counts))


def test_cross_validation_of_a_single_case_is_refused():
    with pytest.raises(UserError, match="needs at least two cases, but got 1; label another case"):
        cross_validated_f1([scattered(0), scattered(0)], radius_um=4)
