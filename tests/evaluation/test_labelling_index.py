from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import norm

from transfer_kit.data.formats import FORMATS, ImageInfo
from transfer_kit.errors import UserError
from transfer_kit.evaluation.labelling_index import (
    CountedImage,
    labelling_index,
    pooled_labelling_index,
    wilson_interval,
)

NAMES = {"positive": "pos", "negative": "neg"}


def image(name: str, case: str, positive: int, negative: int, other: int = 0) -> CountedImage:
    return CountedImage(name, case, ["pos"] * positive + ["neg"] * negative + ["other"] * other)


@pytest.mark.parametrize(
    ("successes", "total", "low", "high"),
    # Newcombe, Statistics in Medicine 1998, table I, method 3.
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilsons_interval_is_the_published_one(successes, total, low, high):
    assert wilson_interval(successes, total) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
@pytest.mark.parametrize(("successes", "total"), [(0, 7), (3, 10), (10, 10), (400, 1000)])
def test_wilsons_interval_is_its_formula(successes, total, level):
    z, p, n = norm.ppf(0.5 + level / 2), successes / total, total
    middle, half = p + z**2 / (2 * n), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    expected = ((middle - half) / (1 + z**2 / n), (middle + half) / (1 + z**2 / n))
    assert wilson_interval(successes, total, level=level) == pytest.approx(expected, abs=1e-12)


def test_the_index_is_positive_among_tumour_and_leaves_the_rest_out():
    found = labelling_index(["pos", "neg", "other", "neg", "pos", "neg", "other"], **NAMES)
    assert (found.n_positive, found.n_tumour) == (2, 5)
    assert found.index == pytest.approx(0.4)
    assert (found.low, found.high) == wilson_interval(2, 5)


def test_an_image_without_tumour_has_no_index():
    none = labelling_index(["other", "other"], **NAMES)
    assert (none.index, none.low, none.high, none.n_tumour) == (None, None, None, 0)


def test_the_pooled_index_is_of_all_nuclei_not_the_mean_of_images():
    images = [image("a", "1", 1, 9), image("b", "1", 30, 60, 5), image("c", "2", 0, 0, 8)]
    pooled = pooled_labelling_index(images, **NAMES)
    assert pooled.pooled.index == pytest.approx(31 / 100)
    assert (pooled.pooled.low, pooled.pooled.high) == wilson_interval(31, 100)
    assert [pooled.images[name].index for name in "abc"] == [0.1, pytest.approx(1 / 3), None]
    assert pooled.n_cases == 1  # the second case shows no tumour


def test_the_interval_over_cases_draws_whole_cases():
    images = [
        image("a", "1", 5, 95),
        image("b", "1", 5, 95),
        image("c", "2", 40, 60),
        image("d", "3", 90, 210),
    ]
    pooled = pooled_labelling_index(images, **NAMES, seed=3)
    by_case = [(10, 200), (40, 100), (90, 300)]
    rng = np.random.default_rng(11)
    shares = []
    for _ in range(20_000):
        drawn = [by_case[k] for k in rng.integers(0, 3, 3)]
        shares.append(sum(p for p, _ in drawn) / sum(n for _, n in drawn))
    low, high = np.quantile(shares, [0.025, 0.975])
    assert (pooled.case_low, pooled.case_high) == pytest.approx((low, high), abs=0.01)
    assert pooled.n_cases == 3
    # Patients differ by more than counting alone would have it.
    assert pooled.case_high - pooled.case_low > 2 * (pooled.pooled.high - pooled.pooled.low)


def test_a_single_case_has_no_interval_over_cases():
    pooled = pooled_labelling_index([image("a", "1", 3, 7), image("b", "1", 2, 8)], **NAMES)
    assert (pooled.case_low, pooled.case_high) == (None, None)
    assert pooled.pooled.low is not None


def test_the_same_seed_gives_the_same_interval():
    images = [image(str(k), str(k), k, 20 - k) for k in range(1, 8)]
    one, two, other = (pooled_labelling_index(images, **NAMES, seed=s) for s in (0, 0, 1))
    assert one == two
    assert one.pooled == other.pooled
    assert (one.case_low, one.case_high) != (other.case_low, other.case_high)


def test_the_figures_are_json():
    figures = pooled_labelling_index([image("a", "1", 3, 7)], **NAMES).as_dict()
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert figures["images"]["a"]["index"] == 0.3


def test_wrong_class_names_are_answered_with_those_that_are_there():
    with pytest.raises(UserError, match=r"class 'Positive' or 'Negative', .* here: neg, other, po"):
        pooled_labelling_index([image("a", "1", 3, 7, 1)], positive="Positive", negative="Negative")
    with pytest.raises(UserError, match="there is no nucleus at all"):
        pooled_labelling_index([image("a", "1", 0, 0)], **NAMES)


def test_an_image_that_is_given_twice_is_refused():
    with pytest.raises(UserError, match="'a' is counted twice; give each image once"):
        pooled_labelling_index([image("a", "1", 3, 7), image("a", "2", 3, 7)], **NAMES)


@pytest.mark.real_data
def test_the_index_of_annotated_glioma_is_that_of_the_published_counts(real_data):
    folder = real_data / "ki67"
    images = [
        CountedImage(
            path.parent.name,
            path.parent.name.split()[0],
            FORMATS["labelbox"]
            .read((folder / "labelbox_points.json",), ImageInfo.of(path))
            .classes,
        )
        for path in sorted(folder.glob("References/*/original.jpg"))
    ]
    pooled = pooled_labelling_index(images, positive="Positive", negative="Negative")
    assert (pooled.pooled.n_positive, pooled.pooled.n_tumour) == (867, 867 + 1893)
    assert (len(pooled.images), pooled.n_cases) == (5, 3)
    # One patient's tissue divides far more than the others', which counting cannot know.
    assert pooled.case_low < pooled.pooled.low < pooled.pooled.high < pooled.case_high
