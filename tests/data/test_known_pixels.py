from __future__ import annotations

import numpy as np
import pytest
from drawn_samples import DrawnSample, noise_image
from scipy.ndimage import distance_transform_edt
from shapely.geometry import MultiPolygon, Point, Polygon, box

from transfer_kit.codecs import ProximityCodec
from transfer_kit.data.annotation import Annotation
from transfer_kit.data.augment import Augmentation
from transfer_kit.data.image_cache import ImageCache
from transfer_kit.data.known_pixels import known_pixels
from transfer_kit.data.patches import PatchSampler
from transfer_kit.data.regions import labelled_mask
from transfer_kit.data.warp import Warp

MPP = 0.5
SIZE = (90, 110)
CODEC = ProximityCodec(radius_um=5.0, subpixel=True)
REACH_PX = 10.0


def known_in(points, *regions):
    """Known pixels of a patch of 160² px; rows 35 to 124, columns 25 to 134 are the image."""
    points = np.asarray(points, np.float32).reshape(-1, 2)
    annotation = Annotation(points, ("",) * len(points), labelled_regions=regions)
    centre = ((SIZE[1] - 1) / 2, (SIZE[0] - 1) / 2)
    warp = Warp(centre, np.eye(2), (160, 160), margin=24)
    target = CODEC.encode(warp.annotation(annotation), warp.size, MPP)
    mask = labelled_mask(annotation, SIZE).astype(np.uint8)
    return known_pixels(warp, mask, target, mpp=MPP, settled=CODEC.settled)


@pytest.mark.parametrize("seed", range(4))
def test_a_pixel_counts_if_it_is_as_near_to_a_nucleus_as_to_the_unlabelled_part(seed: int) -> None:
    random = np.random.default_rng(seed)
    regions = (
        Polygon([(12, 10), (80, 14), (70, 70), (15, 60)], [[(30, 25), (50, 30), (40, 45)]]),
        MultiPolygon([box(75, 40, 130, 80), Point(20, 80).buffer(9)]),  # past the image's edge
    )
    points = (random.random((12, 2)) * (SIZE[1], SIZE[0])).astype(np.float32)
    annotation = Annotation(points, ("",) * 12, labelled_regions=regions)
    mask = labelled_mask(annotation, SIZE)
    to_unlabelled = np.maximum(distance_transform_edt(mask) - 1, 0)
    rows, columns = np.indices(SIZE)
    to_nucleus = np.hypot(columns[..., None] - points[:, 0], rows[..., None] - points[:, 1]).min(-1)
    expected = mask & ((to_nucleus <= to_unlabelled) | (to_unlabelled >= REACH_PX))

    known = known_in(points, *regions)[35:125, 25:135]
    assert (known != expected).mean() < 0.001  # ties are decided by the last bit
    assert 0 < known.sum() < 0.8 * mask.sum()


def test_the_edges_of_an_image_are_no_rim() -> None:
    known = known_in([], box(-50, -50, 300, 300))
    inside = np.zeros((160, 160), bool)
    inside[35:125, 25:135] = True
    np.testing.assert_array_equal(known, inside)


def test_a_nucleus_just_inside_the_rim_is_learned_up_to_half_way_to_what_may_lie_outside() -> None:
    # Column 61 is the first without labels, 6 px from the nucleus; 1 px is allowed for.
    known = known_in([[55, 45]], box(-0.5, -0.5, 60.5, 89.5))
    along = known[35 + 45, 25 + 55 - 3 : 25 + 55 + 8]
    assert along.tolist() == [True] * 6 + [False] * 5


def test_background_within_reach_of_the_rim_teaches_nothing_and_beyond_it_does() -> None:
    known = known_in([], box(-0.5, -0.5, 60.5, 89.5))
    columns = np.flatnonzero(known.any(axis=0)) - 25
    assert columns.tolist() == list(range(51))  # 11 px from column 61, of which one is allowed for


@pytest.mark.parametrize("number", range(3))
def test_a_nucleus_that_nobody_annotated_never_changes_what_counts(number: int) -> None:
    augmentation = Augmentation(
        rotation_degrees=180, scale=(0.8, 1.25), elastic_alpha_um=1, elastic_sigma_um=6
    )
    region = Polygon([(20, 10), (85, 14), (70, 70), (15, 60)])
    inside = np.array([[30, 25], [50, 40], [66, 55], [40, 58]], np.float32)
    random = np.random.default_rng(number)
    unknown = (random.random((300, 2)) * (SIZE[1], SIZE[0])).astype(np.float32)
    outside = unknown[[not region.buffer(0.75).contains(Point(p)) for p in unknown]]

    def sampler(points):
        known = Annotation(points, ("",) * len(points), labelled_regions=(region,))
        sample = DrawnSample("image", noise_image(0, *SIZE), known, mpp=MPP)
        return PatchSampler(
            ImageCache([sample], MPP),
            size_px=96,
            augmentation=augmentation,
            seed=number,
            encode=CODEC.encode,
            settled=CODEC.settled,
        )

    for n in range(8):
        as_annotated = sampler(inside).patch(n)
        with_the_rest = sampler(np.concatenate([inside, outside])).patch(n)
        counts = as_annotated.weight[0] > 0
        assert (as_annotated.target != with_the_rest.target).any()
        np.testing.assert_array_equal(
            as_annotated.target[0][counts], with_the_rest.target[0][counts]
        )
        assert counts.any()
