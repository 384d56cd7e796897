from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import stats
from study_fields import found, rows, study

from transfer_kit.studies.kinds import (
    base_choice,
    heat_map,
    learning_curve,
    rank_order,
    scatter,
    steps,
)
from transfer_kit.studies.kinds.steps import Reached, reached
from transfer_kit.studies.outcome import sentence_of, write_outcome
from transfer_kit.studies.power_law import PowerLaw
from transfer_kit.studies.rows import HELD_OUT

ORGANS = ("breast", "eye", "bone")
MATRIX = np.array([[0.9, 0.6, 0.5], [0.5, 0.8, 0.4], [0.7, 0.7, 0.6]])  # base × organ


def matrix_found():
    cells = list(itertools.product(range(3), range(3)))
    frame = rows(
        base=[ORGANS[i] for i, _ in cells],
        organ=[ORGANS[j] for _, j in cells],
        f1=[MATRIX[i, j] for i, j in cells],
        column="base",
    )
    asked = study(
        vary={name: {organ: {} for organ in ORGANS} for name in ("base", "organ")},
        columns=["base"],
        summary={"kind": "heat_map", "x": "organ", "by": "base"},
    )
    return found(asked, frame)


def test_a_matrix_has_bases_down_and_organs_across():
    table = heat_map.matrix(matrix_found(), matrix_found().drawn)
    assert (list(table.index), list(table.columns)) == (list(ORGANS), list(ORGANS))
    assert table.to_numpy() == pytest.approx(MATRIX)


def test_the_own_base_s_lead_is_over_the_mean_of_the_others():
    leads = [0.9 - 0.6, 0.8 - 0.65, 0.6 - 0.45]
    mean, ahead = heat_map.own_lead(heat_map.matrix(matrix_found(), matrix_found().drawn))
    expected = stats.ttest_1samp(leads, 0).confidence_interval(0.95)
    assert mean.mean == pytest.approx(np.mean(leads))
    assert (mean.low, mean.high) == pytest.approx(expected)
    assert ahead == 3
    assert "is +0.200 F1 against the mean of the others" in sentence_of(matrix_found())


def curve(start, seed, values, step=5):
    return [
        {"start": start, "seed": seed, "step": step * place, "f1": f1}
        for place, f1 in enumerate(values)
    ]


def test_the_step_is_told_at_which_one_curve_reaches_the_other_s_end():
    curves = pd.DataFrame(
        [
            *curve("scratch", "0", [0.0, 0.6, 0.8, 0.7]),
            *curve("tuned", "0", [0.5, 0.7, 0.6, 0.9]),
            *curve("scratch", "1", [0.0, 0.6, 0.8, 0.95]),
            *curve("tuned", "1", [0.5, 0.7, 0.6, 0.9]),
        ]
    )
    told = reached(curves, ("start", "seed"), {"start": "tuned"}, {"start": "scratch"})
    assert sorted(told, key=lambda each: each.f1) == [Reached(5, 15, 0.7), Reached(None, 15, 0.95)]


def test_the_sentence_names_who_reached_whose_end():
    asked = study(
        vary={"start": {"tuned": {}, "scratch": {}}, "seed": [0]},
        summary={"kind": "steps", "x": "start", "by": "start"},
        finding=[{"say": "tuned", "of": {"start": "tuned"}, "against": {"start": "scratch"}}],
    )
    curves = [*curve("scratch", "0", [0.0, 0.6, 0.7]), *curve("tuned", "0", [0.5, 0.7, 0.6])]
    assert steps.sentence(found(asked, rows(start=["tuned"], f1=0.6), pd.DataFrame(curves))) == (
        "the last validation F1 of 'scratch' (mean 0.700 after 10 steps) was reached by 'tuned' in "
        "1 of 1 pairs, after 50% of those steps in the median (50% to 50%; within a third of them "
        "in 0)"
    )


def test_what_is_kept_of_a_base_is_a_share_of_its_f1_before():
    asked = study(
        vary={"way": {"frozen": {}, "free": {}}, "target": ["eye", "bone"], "seed": [0, 1]},
        columns=["recalibrated", "trained"],
        forgetting=True,
        summary={"kind": "scatter", "x": "way", "panels": "target"},
    )
    parts = []
    for (way, seed, after, gained), target in itertools.product(
        (
            ("frozen", "0", 0.79, 0.75), ("frozen", "1", 0.77, 0.73),
            ("free", "0", 0.60, 0.80), ("free", "1", 0.64, 0.82),
        ),
        ("eye", "bone"),
    ):  # fmt: skip
        for column, tested_on, f1 in (
            ("base", HELD_OUT, 0.8), ("trained", HELD_OUT, after),
            ("recalibrated", "target", 0.7), ("trained", "target", gained),
        ):  # fmt: skip
            axes = {"way": [way], "target": target, "seed": seed}
            parts.append(rows(**axes, column=column, tested_on=tested_on, f1=f1))
    all_found = found(asked, pd.concat(parts, ignore_index=True))
    kept = scatter.kept_by(scatter.paired(all_found), "way")
    assert kept["frozen"].share.mean == pytest.approx((0.79 + 0.77) / 2 / 0.8)
    assert kept["frozen"].gain.mean == pytest.approx(0.04)
    assert (kept["frozen"].is_enough, kept["free"].is_enough) == (True, False)
    assert "1 of 2 ways keep at least 95% of the base's F1" in scatter.sentence(all_found)
    assert [axes.get_title() for axes in scatter.draw(all_found).axes] == ["eye", "bone"]


def bases_found():
    """Three bases, as they are and after fine-tuning, on two organs with two seeds."""
    as_is = {"eye": (0.5, 0.6, 0.7), "bone": (0.4, 0.3, 0.2)}
    tuned = {"eye": (0.70, 0.72, 0.80), "bone": (0.66, 0.70, 0.60)}
    parts = []
    for organ, place, seed in itertools.product(as_is, range(3), (0, 1)):
        base = ("a", "b", "c")[place]
        same = {"base": [base], "organ": organ, "seed": str(seed)}
        promise = {"promise_as-is": as_is[organ][place], "promise_logme": -as_is[organ][place]}
        parts.append(rows(**same, column="base", f1=as_is[organ][place]))
        parts.append(rows(**same, f1=tuned[organ][place] + 0.02 * seed, **promise))
    asked = study(
        vary={
            "base": {name: {} for name in "abc"},
            "organ": {name: {} for name in as_is},
            "seed": [0, 1],
        },
        columns=["base", "trained"],
        promise=True,
        summary={"kind": "base_choice", "x": "base", "panels": "organ", "by": "organ"},
    )
    return found(asked, pd.concat(parts, ignore_index=True))


def test_the_best_base_is_that_which_is_best_as_it_is():
    told = base_choice.choices(bases_found())
    assert {name: (one.best, one.worst) for name, one in told.items()} == {
        "eye": ("c", "a"),
        "bone": ("a", "c"),
    }
    over_random = base_choice.lead(told, "random")
    assert over_random.mean == pytest.approx((0.80 - 0.74 + 0.66 - (0.66 + 0.70 + 0.60) / 3) / 2)
    assert base_choice.lead(told, "worst").mean == pytest.approx((0.10 + 0.06) / 2)


def test_predictors_are_ordered_by_their_rank_correlation():
    told = rank_order.correlations(bases_found())
    assert list(told) == ["as-is", "logme"]
    # eye in the same order (1), bone with one of three pairs turned (1/3)
    assert told["as-is"].kendall == pytest.approx((1 + 1 / 3) / 2)
    assert told["logme"].kendall == pytest.approx(-(1 + 1 / 3) / 2)


def labels_found():
    law = {"tuned": PowerLaw(0.9, 0.2, 0.8), "scratch": PowerLaw(0.9, 0.6, 0.8)}
    cells = list(itertools.product(law, (2, 4, 8, 16), ("0", "1")))
    frame = rows(
        start=[start for start, _, _ in cells],
        labels=[str(n) for _, n, _ in cells],
        seed=[seed for _, _, seed in cells],
        n_train_images=[n for _, n, _ in cells],
        f1=[float(law[start](n)) for start, n, _ in cells],
    )
    asked = study(
        vary={"start": {"tuned": {}, "scratch": {}}, "labels": ["2", "4", "8", "16"],
              "seed": [0, 1]},
        summary={"kind": "learning_curve", "x": "labels", "by": "start"},
        finding=[{"say": "tuned with 4 against scratch with 16",
                  "of": {"start": "tuned", "labels": 4},
                  "against": {"start": "scratch", "labels": 16}}],
    )  # fmt: skip
    return found(asked, frame), law


def test_a_learning_curve_tells_the_cost_of_the_next_point():
    all_found, law = labels_found()
    said = learning_curve.sentence(all_found)
    for start in law:
        cost = int(np.ceil(law[start].more_images(16)))
        assert f"{start}: beyond 16 labelled images the next point of F1 costs {cost} more" in said


def test_a_study_leaves_a_page_all_rows_and_a_figure(tmp_path):
    all_found, _ = labels_found()
    written = write_outcome(all_found, tmp_path / "out", "labels")
    page = written.table.read_text(encoding="utf-8")
    assert written.sentence.replace(" ", "") in page.replace("\n", "").replace(" ", "")
    assert "tuned with 4 against scratch with 16: F1 0.834 against 0.835" in written.sentence
    assert written.sentence.endswith("2 seeds; 4 test images with 35 nuclei, matched within 2 µm).")
    assert "| tuned | 16 | **0.878** | 2 |" in page
    assert len(pd.read_csv(written.rows)) == 16
    assert np.asarray(Image.open(written.figure)).std() > 10


def test_the_sentence_counts_the_images_that_its_comparisons_look_at():
    elsewhere = {"tested_on": ["eye", "bone"]}
    asked = study(
        vary={"start": {"tuned": {}, "scratch": {}}, "seed": [0]},
        finding=[{"say": "tuned", "of": {"start": "tuned", **elsewhere},
                  "against": {"start": "scratch", **elsewhere}}],
    )  # fmt: skip
    frame = pd.concat(
        rows(
            start=["tuned", "scratch"],
            seed="0",
            f1=0.5,
            tested_on=name,
            n_images=n,
            n_nuclei=10 * n,
        )
        for name, n in (("target", 3), ("eye", 4), ("bone", 5))
    )
    assert "9 test images with 90 nuclei" in sentence_of(found(asked, frame))
    without = asked.model_copy(update={"finding": ()})
    assert "12 test images with 120 nuclei" in sentence_of(found(without, frame))


@pytest.mark.parametrize("make", [matrix_found, bases_found])
@pytest.mark.parametrize("kind", ["compare", "line", "own"])
def test_figures_are_drawn_of_what_there_is(make, kind, tmp_path):
    all_found = make()
    if kind != "own":
        summary = all_found.study.summary.model_copy(update={"kind": kind})
        asked = all_found.study.model_copy(update={"summary": summary})
        all_found = found(asked, all_found.frame)
    written = write_outcome(all_found, tmp_path, "drawn")
    assert np.asarray(Image.open(written.figure)).std() > 10


def test_a_study_of_which_nothing_ran_is_told(tmp_path):
    from transfer_kit.errors import UserError

    with pytest.raises(UserError, match="No trial of the study labels has run yet"):
        write_outcome(found(study(), pd.DataFrame()), tmp_path, "labels")
