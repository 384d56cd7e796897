"""Which pixels of a patch have a target that is known, where an image is labelled in part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from transfer_kit.data.warp import Warp

Settled = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.bool_]]
"""A codec's `settled`: of a target `(K, H, W)` and each pixel's distance in µm from the nearest
place for a nucleus that nobody annotated, the pixels `(H, W)` that it could not change."""

_TO_A_CORNER = 1.0  # more than half a pixel's diagonal, as outlines are bent by elastic fields


def known_pixels(
    warp: Warp,
    labelled: NDArray[np.uint8],
    target: NDArray[np.float32],
    *,
    mpp: float,
    settled: Settled | None,
) -> NDArray[np.bool_]:
    """Pixels `(H, W)` of a patch in the labelled part of its image whose target is settled.

    Outside the labelled part nuclei are not annotated, and what of them reaches in is missing in
    the target. A pixel counts if none could change it: it is as near to an annotated nucleus as
    to the unlabelled part, or out of reach of it.

    Args:
        warp: From the patch to its image.
        labelled: Where all nuclei of the image are annotated, `(h, w)`, 0 or 1.
        target: What the codec made of the annotated ones.
        mpp: µm per pixel.
        settled: The codec's; None counts all pixels of the labelled part.
    """
    size = (labelled.shape[0], labelled.shape[1])
    known: NDArray[np.bool_] = warp.inside(size) & (warp.labels(labelled) > 0)
    if settled is not None and known.any():
        known &= settled(target, _unknown_um(warp, labelled, mpp))
    return known


def _unknown_um(warp: Warp, labelled: NDArray[np.uint8], mpp: float) -> NDArray[np.float32]:
    """How far at least each pixel `(H, W)` of a patch is from the unlabelled part of its image.

    As far as the margin shows; beyond an image there is nothing that could be annotated.
    """
    margin, (height, width) = warp.margin, warp.size
    around = replace(warp, size=(height + 2 * margin, width + 2 * margin), margin=0)
    unlabelled = around.inside((labelled.shape[0], labelled.shape[1])) & (
        around.labels(labelled) == 0
    )
    if not unlabelled.any():
        return np.full(warp.size, np.inf, np.float32)
    distance = cv2.distanceTransform(
        (~unlabelled).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE
    )
    # A nucleus may lie at the near corner of the pixel that the distance is measured to.
    nearest = distance[margin : margin + height, margin : margin + width] - _TO_A_CORNER
    return np.asarray(np.maximum(nearest, 0) * mpp, np.float32)
