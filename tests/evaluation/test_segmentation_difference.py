from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from transfer_kit.errors import UserError
from transfer_kit.evaluation.segmentation_difference import aji_difference


def scores(**images):
    """By id: case, AJI, nuclei and detections."""
    return SimpleNamespace(
        images=tuple(
            SimpleNamespace(id=name, case=case, aji=aji, n_nuclei=nuclei, n_found=found)
            for name, (case, aji, nuclei, found) in images.items()
        )
    )


def test_the_difference_is_the_mean_over_images_and_its_interval_over_cases():
    first = scores(a=("p", 0.9, 3, 3), b=("p", 0.7, 3, 3), c=("q", 0.6, 3, 3), d=("r", 0.4, 1, 1))
    second = scores(a=("p", 0.5, 3, 3), b=("p", 0.6, 3, 3), c=("q", 0.5, 3, 3), d=("r", 0.5, 1, 1))
    found = aji_difference(first, second)
    assert found.difference == pytest.approx(np.mean([0.4, 0.1, 0.1, -0.1]))
    assert found.n_cases == 3
    # Drawn p, q and r with replacement: at worst r alone, at best p alone.
    assert -0.1 <= found.low < found.difference < found.high <= 0.25


def test_one_case_has_no_interval():
    one = scores(a=("p", 0.9, 3, 3), b=("p", 0.7, 3, 3))
    found = aji_difference(one, one)
    assert (found.difference, found.low, found.high, found.n_cases) == (0, None, None, 1)


def test_an_image_without_a_nucleus_counts_only_where_one_is_found():
    first = scores(a=("p", 0.8, 1, 1), empty=("q", 1.0, 0, 0), false=("r", 1.0, 0, 0))
    second = scores(a=("p", 0.6, 1, 1), empty=("q", 1.0, 0, 0), false=("r", 0.0, 0, 2))
    found = aji_difference(first, second)
    assert found.difference == pytest.approx((0.2 + 1.0) / 2)
    assert found.n_cases == 2
    nothing = scores(empty=("q", 1.0, 0, 0))
    assert aji_difference(nothing, nothing) is None


def test_scores_of_other_images_are_refused():
    with pytest.raises(UserError, match="'b' was scored with only one of them"):
        aji_difference(scores(a=("p", 0.8, 1, 1), b=("p", 0.8, 1, 1)), scores(a=("p", 0.8, 1, 1)))
