from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from toy import MPP, ToySample, toy_detector, toy_samples

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.patches import normalise
from transfer_kit.errors import UserError
from transfer_kit.evaluation import best_threshold, evaluate, examine, pooled_f1
from transfer_kit.transfer.choosing import (
    PREDICTORS,
    OwnOrgan,
    lead_over,
    ordered,
    score_base,
)
from transfer_kit.transfer.cross_validation import cross_validation_unit, recalibrated_f1

RADIUS_UM = 2.0


class Recoloured(ToySample):
    """A toy image in another stain."""

    def image(self):
        return super().image()[..., ::-1] // 2


class Empty(ToySample):
    """A toy image whose nuclei nobody marked, as there are none."""

    def annotation(self):
        return Annotation.of_points(np.zeros((0, 2)))


@cache
def trained():
    """A base that learned from other images of the toy organ."""
    torch.manual_seed(0)
    detector = toy_detector(seed=1, name="trained")
    samples = [ToySample(number) for number in range(50, 52)]
    card, network = detector.card, detector.network
    images = torch.from_numpy(
        np.stack([normalise(sample.image(), card.mean, card.std) for sample in samples])
    )
    targets = torch.from_numpy(
        np.stack([detector.codec.encode(s.annotation(), (96, 96), MPP) for s in samples])
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    network.train()
    for _ in range(40):
        optimizer.zero_grad()
        detector.codec.loss(network(images), targets, torch.ones(2, 1, 96, 96)).mean().backward()
        optimizer.step()
    network.eval()
    return detector


@cache
def scored(name, organ=None):
    """The trained or an untrained base on four images, its organ that of other toy images."""
    detector = trained() if name == "trained" else toy_detector(seed=1, name=name)
    samples = {
        None: None,
        "same": OwnOrgan("same", tuple(ToySample(number) for number in range(70, 73))),
        "other": OwnOrgan("other", tuple(Recoloured(number) for number in range(70, 73)), True),
    }[organ]
    options = {"name": name, "unit": "case", "radius_um": RADIUS_UM}
    return score_base(detector, toy_samples(4), samples, **options)


@pytest.mark.parametrize("by", ["recalibrated", "as-is", "logme", "h-score"])
def test_a_base_that_learned_the_organ_is_ahead_of_one_that_learned_nothing(by):
    first, second = ordered([scored("untrained"), scored("trained")], by)
    assert (first.name, second.name) == ("trained", "untrained")
    assert PREDICTORS[by](first) > PREDICTORS[by](second)


def test_a_base_whose_own_organ_looks_alike_is_nearer_in_features_and_stain():
    near, far = scored("trained", "same"), scored("trained", "other")
    assert 0 <= near.feature_distance < 0.2 < far.feature_distance
    assert 0 <= near.stain_distance < 0.05 < far.stain_distance
    for by in ("features", "stain"):
        assert ordered([far, near], by)[0] is near
    assert (near.own_organ, near.own_organ_stands_in) == ("same", False)
    assert (far.own_organ, far.own_organ_stands_in) == ("other", True)
    assert near.logme == far.logme


def test_a_base_whose_own_organ_is_not_there_comes_last_by_distance_and_not_by_f1():
    without, untrained = scored("trained"), toy_detector(seed=1)
    assert (without.feature_distance, without.stain_distance, without.own_organ) == (None, None, "")
    own = OwnOrgan("same", (ToySample(70),))
    untrained = score_base(
        untrained, toy_samples(4), own, name="poor", unit="case", radius_um=RADIUS_UM
    )
    assert [base.name for base in ordered([without, untrained], "features")] == ["poor", "trained"]
    assert [base.name for base in ordered([untrained, without])] == ["trained", "poor"]


def test_the_figures_as_it_is_are_those_of_its_own_threshold():
    pairs = examine(trained(), toy_samples(4))
    assert scored("trained").as_is == evaluate(pairs, radius_um=RADIUS_UM, threshold=0.5)


@pytest.mark.parametrize("unit", ["case", "image"])
def test_each_case_is_scored_at_the_threshold_chosen_on_the_others(unit):
    samples = toy_samples(4)
    for number, sample in enumerate(samples):
        sample.case = f"case-{number % 2}"
    pairs = examine(trained(), samples)
    found = recalibrated_f1(pairs, unit=unit, radius_um=RADIUS_UM)
    counts = {}
    for key in {getattr(pair, "id" if unit == "image" else "case") for pair in pairs}:
        held = [pair for pair in pairs if key in (pair.id, pair.case)]
        others = [pair for pair in pairs if key not in (pair.id, pair.case)]
        threshold = best_threshold(others, radius_um=RADIUS_UM).value
        scores = evaluate(held, radius_um=RADIUS_UM, threshold=threshold)
        counts[key] = scores.n_true, scores.n_false, scores.n_missed
    assert found.case_counts == counts
    assert len(counts) == (4 if unit == "image" else 2)
    assert found.f1 == pytest.approx(pooled_f1(list(counts.values())))
    assert found.low <= found.f1 <= found.high


def test_the_lead_over_another_base_is_over_the_same_cases():
    first, second = scored("trained"), scored("untrained")
    lead = lead_over(first, second)
    assert lead.difference == pytest.approx(first.recalibrated.f1 - second.recalibrated.f1)
    assert lead.n_cases == 4
    assert lead.low > 0
    assert lead_over(first, first).difference == 0


def test_cases_are_held_out_where_there_are_two_with_nuclei_and_images_where_not():
    assert cross_validation_unit(toy_samples(2)) == "case"
    of_one = toy_samples(3)
    for sample in of_one:
        sample.case = "same"
    assert cross_validation_unit(of_one) == "image"
    assert cross_validation_unit([*of_one, Empty(7)]) == "image"


@pytest.mark.parametrize("samples", [toy_samples(1), [ToySample(0), Empty(1), Empty(2)]])
def test_one_image_with_nuclei_is_too_few_to_compare_bases(samples):
    with pytest.raises(UserError, match=rf"but there is 1 among {len(samples)}; ask for more"):
        cross_validation_unit(samples)


def test_a_score_that_does_not_exist_names_the_nearest():
    with pytest.raises(UserError, match=r"by 'logm'\. Did you mean 'logme'\?"):
        ordered([], "logm")


def test_of_equals_the_order_does_not_depend_on_how_they_came():
    bases = [scored("trained"), scored("untrained")]
    for by in PREDICTORS:
        assert ordered(bases, by) == ordered(bases[::-1], by)
