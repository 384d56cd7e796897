"""AJI, AJI+, PQ and Dice: worked by hand, and against mask-by-mask versions of their formulas."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from drawn_instances import scattered_discs
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from transfer_kit.evaluation import Overlap

Masks = list[NDArray[np.bool_]]


def masks_of(instances: NDArray[np.int32]) -> Masks:
    return [instances == k for k in np.unique(instances[instances > 0])]


def iou(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return (one & other).sum() / (one | other).sum()


def brute_aji(truth: NDArray[np.int32], found: NDArray[np.int32]) -> float:
    """Algorithm 1 of Kumar et al. 2017, line by line."""
    nuclei, segments = masks_of(truth), masks_of(found)
    intersection, union, used = 0, 0, set()
    for nucleus in nuclei:
        best, own = -1, 0.0
        for j, segment in enumerate(segments):
            if iou(nucleus, segment) > own:
                best, own = j, iou(nucleus, segment)
        if best < 0:
            union += nucleus.sum()
            continue
        intersection += (nucleus & segments[best]).sum()
        union += (nucleus | segments[best]).sum()
        used.add(best)
    union += sum(segment.sum() for j, segment in enumerate(segments) if j not in used)
    return intersection / union if union else 1.0


def brute_aji_plus(truth: NDArray[np.int32], found: NDArray[np.int32]) -> float:
    """Every one-to-one assignment tried."""
    nuclei, segments = masks_of(truth), masks_of(found)
    total = sum(m.sum() for m in nuclei) + sum(m.sum() for m in segments)
    if not total:
        return 1.0
    places = [*range(len(segments)), *(-1 for _ in nuclei)]
    best = (-1.0, 0.0)
    for chosen in set(itertools.permutations(places, len(nuclei))):
        pairs = [(n, segments[j]) for n, j in zip(nuclei, chosen, strict=True) if j >= 0]
        shared = sum((n & s).sum() for n, s in pairs)
        worth = round(sum(iou(n, s) for n, s in pairs), 9)
        best = max(best, (worth, shared / (total - shared)))
    return best[1]


def brute_panoptic(truth: NDArray[np.int32], found: NDArray[np.int32]) -> tuple[float, ...]:
    nuclei, segments = masks_of(truth), masks_of(found)
    ious = [iou(n, s) for n in nuclei for s in segments]
    true = [value for value in ious if value > 0.5]
    false, missed = len(segments) - len(true), len(nuclei) - len(true)
    if not nuclei and not segments:
        return 1, 1, 1
    dq = len(true) / (len(true) + false / 2 + missed / 2)
    sq = float(np.mean(true)) if true else 0.0
    return dq, sq, dq * sq


def small_maps():
    shape = st.tuples(st.integers(1, 7), st.integers(1, 7))
    return shape.flatmap(
        lambda size: st.tuples(
            *(arrays(np.int32, size, elements=st.integers(0, 3)) for _ in range(2))
        )
    )


def worked_by_hand():
    """Two nuclei of 12 px. The first is found shifted by a pixel, the second as two halves.

    truth  1111.2222     found  .1111.22..     shared 9 with 1, 6 with 2, 3 with 4;
           1111.2222            .1111.22.3     found 3 lies on the background and on 2.
           1111.2222            .1111.22.3
    """
    truth, found = np.zeros((2, 3, 10), np.int32)
    truth[:, 0:4], truth[:, 5:9] = 1, 2
    found[:, 1:5], found[:, 6:8] = 1, 2
    found[1:, 8:10] = 3
    return truth, found


def test_figures_worked_by_hand() -> None:
    overlap = Overlap.of(*worked_by_hand())
    # Pairs (1, 1): 9 of 15; (2, 2): 6 of 12; (2, 3): 2 of 14.
    assert overlap.pixels.tolist() == [9, 6, 2]
    assert np.allclose(overlap.ious, [9 / 15, 6 / 12, 2 / 14])
    # Found 3, with 4 pixels, is taken by none.
    assert overlap.aji() == (9 + 6, 15 + 12 + 4)
    assert overlap.aji_plus() == (9 + 6, 15 + 12 + 4)
    assert overlap.dice() == (2 * (9 + 6 + 2), 24 + 12 + 6 + 4)
    panoptic = overlap.panoptic()
    # An IoU of exactly ½ is none: one true, two false, one missed.
    assert panoptic[:3] == (1, 2, 1)
    assert panoptic.dq == pytest.approx(1 / 2.5)
    assert panoptic.sq == pytest.approx(9 / 15)
    assert panoptic.pq == pytest.approx(9 / 15 / 2.5)


def test_aji_counts_a_segment_for_each_nucleus_that_takes_it_and_aji_plus_once() -> None:
    truth, found = np.zeros((2, 4, 9), np.int32)
    truth[:, 0:4], truth[:, 4:8] = 1, 2  # 16 px each
    found[:, 0:8] = 1  # both in one
    overlap = Overlap.of(truth, found)
    assert overlap.aji().value == pytest.approx((16 + 16) / (32 + 32))
    assert overlap.aji_plus().value == pytest.approx(16 / (32 + 16))


def test_the_assignment_is_the_best_of_all_and_not_the_first_come() -> None:
    # Nucleus 1 fits both segments, 2 only the one that fits 1 best.
    truth, found = np.zeros((2, 1, 20), np.int32)
    truth[0, 0:10], truth[0, 10:16] = 1, 2
    found[0, 0:4], found[0, 4:16] = 1, 2
    overlap = Overlap.of(truth, found)
    assert overlap.aji_plus().value == pytest.approx(brute_aji_plus(truth, found))
    assert overlap.aji_plus() == (4 + 6, 10 + 12)


@given(maps=small_maps())
@settings(deadline=None, max_examples=150)
def test_the_figures_equal_those_of_masks_compared_one_by_one(maps) -> None:
    truth, found = maps
    overlap = Overlap.of(truth, found)
    assert overlap.aji().value == pytest.approx(brute_aji(truth, found))
    assert overlap.aji_plus().value == pytest.approx(brute_aji_plus(truth, found))
    panoptic = overlap.panoptic()
    assert (panoptic.dq, panoptic.sq, panoptic.pq) == pytest.approx(brute_panoptic(truth, found))
    true, false, missed = (
        np.count_nonzero(mask)
        for mask in (
            (truth > 0) & (found > 0),
            (truth == 0) & (found > 0),
            (truth > 0) & (found == 0),
        )
    )
    if true + false + missed:
        assert overlap.dice().value == pytest.approx(2 * true / (2 * true + false + missed))


@pytest.mark.parametrize("seed", range(3))
def test_identical_maps_give_1_whatever_their_numbers(seed: int) -> None:
    instances = scattered_discs(seed)
    renumbered = np.append(0, np.random.default_rng(seed).permutation(instances.max()) + 1)
    overlap = Overlap.of(instances, renumbered[instances].astype(np.int32))
    panoptic = overlap.panoptic()
    figures = [overlap.aji().value, overlap.aji_plus().value, overlap.dice().value, *panoptic[1:3]]
    assert figures == [1, 1, 1, 0, 0]
    assert panoptic.pq == pytest.approx(1)


def test_nothing_in_nothing_gives_1_and_something_for_nothing_gives_0() -> None:
    nothing, something = np.zeros((4, 4), np.int32), np.ones((4, 4), np.int32)
    for pair, expected in (
        ((nothing, nothing), 1),
        ((something, nothing), 0),
        ((nothing, something), 0),
    ):
        overlap = Overlap.of(*pair)
        values = [ratio.value for ratio in (overlap.aji(), overlap.aji_plus(), overlap.dice())]
        assert [*values, overlap.panoptic().pq, overlap.panoptic().sq] == [expected] * 5


@pytest.mark.parametrize("seed", range(3))
def test_leaving_segments_out_equals_measuring_without_them(seed: int) -> None:
    truth, found = scattered_discs(seed), scattered_discs(seed + 50)
    kept = np.random.default_rng(seed).random(found.max()) < 0.6
    without = np.where(np.append(False, kept)[found], found, 0).astype(np.int32)
    ours, theirs = Overlap.of(truth, found).keeping(kept), Overlap.of(truth, without)
    assert ours.aji() == theirs.aji()
    assert ours.aji_plus() == pytest.approx(theirs.aji_plus())
    assert ours.panoptic() == pytest.approx(theirs.panoptic())
    assert ours.dice() == theirs.dice()
    assert ours.n_found == theirs.n_found == kept.sum()


def test_pixels_that_are_not_known_do_not_count() -> None:
    truth, found = scattered_discs(1), scattered_discs(2)
    known = np.zeros(truth.shape, bool)
    known[20:70, 10:60] = True
    inside = Overlap.of(truth[20:70, 10:60], found[20:70, 10:60])
    masked = Overlap.of(truth, found, known)
    assert masked.aji() == inside.aji()
    assert masked.panoptic() == pytest.approx(inside.panoptic())


def test_maps_of_unlike_shapes_are_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match=r"differ in shape: \(3, 4\) and \(4, 3\)"):
        Overlap.of(np.zeros((3, 4), np.int32), np.zeros((4, 3), np.int32))


def test_2000_nuclei_in_a_megapixel_take_well_under_a_second() -> None:
    cells = np.arange(1, 2026, dtype=np.int32).reshape(45, 45).repeat(22, 0).repeat(22, 1)
    truth = np.pad(cells, 5)
    found = np.roll(truth, (3, 4), axis=(0, 1))
    started = time.perf_counter()
    overlap = Overlap.of(truth, found)
    figures = overlap.aji().value, overlap.aji_plus().value, overlap.panoptic().pq
    assert time.perf_counter() - started < 1.5  # 0.2 s on a quiet machine
    assert all(0.4 < value < 0.8 for value in figures)
