"""Labels that a detector gives itself: its nuclei, and how sure it is of each pixel around them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from transfer_kit.codecs import Codec
from transfer_kit.codecs.nearest import nearest_and_count
from transfer_kit.data.annotation import Annotation
from transfer_kit.data.nuclei import Nuclei


@dataclass(frozen=True, eq=False)
class PseudoLabels:
    """What a detector holds for true in a crop.

    Attributes:
        annotation: The nuclei whose score reaches the threshold, also those outside the crop.
        weight: `(H, W)` float32 in [0, 1]: how sure the detector is of each pixel.
    """

    annotation: Annotation
    weight: NDArray[np.float32]


def pseudo_labels(
    candidates: Nuclei,
    size: tuple[int, int],
    *,
    threshold: float,
    confidence: float,
    radius_px: float,
) -> PseudoLabels:
    """The confident part of what was found, as labels to learn from.

    A candidate of score s is a nucleus where s reaches the threshold t, and background elsewhere,
    with the sureness min(1, |s - t| / (confidence · t)): at the threshold it says nothing. Pixels
    take it from the nearest candidate within `radius_px`, or from the one whose pixels they are;
    where there is no candidate, background is sure. So uncertain nuclei neither teach that they
    are there nor that they are not, as in self-ensembling with a threshold of confidence (French,
    Mackiewicz and Fisher 2018, section 3.2), but without a step at it.

    Args:
        candidates: All that the codec found at no threshold, in pixels of the crop; those outside
            of it count where they reach in.
        size: Of the crop, `(H, W)`.
        threshold: Score from which on a candidate is a nucleus.
        confidence: In (0, 1].
        radius_px: How far around a candidate its sureness holds.
    """
    sureness = sureness_of(candidates.scores, threshold=threshold, confidence=confidence)
    weight = np.ones(size, np.float32)
    nearest, _ = nearest_and_count(candidates.points, size, radius_px)
    weight[nearest >= 0] = sureness[nearest[nearest >= 0]]
    if candidates.instances is not None:
        inside = candidates.instances > 0
        weight[inside] = sureness[candidates.instances[inside] - 1]
    found = candidates.above(threshold)
    return PseudoLabels(Annotation(found.points, found.classes, instances=found.instances), weight)


def sureness_of(
    scores: NDArray[np.float32], *, threshold: float, confidence: float
) -> NDArray[np.float32]:
    """How sure a detector is of each candidate `(N,)`: 0 at the threshold, 1 far from it."""
    width = max(confidence * threshold, float(np.finfo(np.float32).tiny))
    distance = np.abs(np.asarray(scores, np.float64) - threshold)
    sureness: NDArray[np.float32] = np.minimum(distance / width, 1).astype(np.float32)
    return sureness


def inside_margin(candidates: Nuclei, margin: int) -> Nuclei:
    """Candidates of an image as pixels of its middle: `margin` less on every side.

    Those in the margin stay, with coordinates outside of the middle.
    """
    instances = candidates.instances
    if instances is not None and margin:
        instances = np.ascontiguousarray(instances[margin:-margin, margin:-margin])
    return Nuclei(candidates.points - margin, candidates.scores, candidates.classes, instances)


def judges_by_the_whole_image(codec: Codec) -> bool:
    """Whether scores are relative to the best nucleus of the image.

    In a crop without nuclei, the best of nothing would then be taken for one.
    """
    return getattr(codec, "relative_to", None) == "maximum"
