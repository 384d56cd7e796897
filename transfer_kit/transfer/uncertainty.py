"""How unsure a detector is of what it finds in an image without labels, whatever its codec."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from transfer_kit.data.annotation import Points
from transfer_kit.data.nuclei import Nuclei
from transfer_kit.detector import Detector, Image
from transfer_kit.evaluation.matching import match_points

Floats = NDArray[np.float64]

FAINTEST = 0.25
"""Share of the threshold that a candidate must reach in one view to be in doubt at all."""

SURE = 0.99
"""Chance that an ordinary detection is taken to be a nucleus, and no response to be none."""

_LEAST = 1e-6
"""Difference of scores, so that none is divided by zero."""


class View(NamedTuple):
    """An image turned counter-clockwise by quarters, and then mirrored left to right or not."""

    quarter_turns: int
    mirrored: bool

    def of(self, image: Image) -> Image:
        """The image `(H, W, 3)` so seen."""
        turned = np.rot90(image, self.quarter_turns)
        return np.ascontiguousarray(turned[:, ::-1] if self.mirrored else turned)

    def back(self, points: Points, size: tuple[int, int]) -> Points:
        """Points `(N, 2)` of the view in pixels of the image, whose size is `(H, W)`."""
        height, width = size if self.quarter_turns % 2 == 0 else size[::-1]
        x, y = np.asarray(points, np.float32).reshape(-1, 2).T
        if self.mirrored:
            x = width - 1 - x
        for _ in range(self.quarter_turns):
            x, y, width, height = height - 1 - y, x, height, width
        return np.stack([x, y], axis=1)


VIEWS = (View(0, False), View(1, False), View(2, True), View(3, True))
"""Half of the eight symmetries of a square: turned and mirrored by equal parts."""


@dataclass(frozen=True, eq=False)
class Votes:
    """What several views of one image say of each place where one of them finds something.

    Attributes:
        points: Places `(N, 2)`, x and y in pixels of the image.
        scores: `(N, V)` of the candidate that each view has there; NaN where it has none.
    """

    points: Points
    scores: Floats


@dataclass(frozen=True, eq=False)
class Doubts:
    """Places `(N, 2)` of an image, x and y in pixels, and how unsure a detector is, `(N,)` bits.

    One bit is a coin toss, 0 is certainty.
    """

    points: Points
    bits: Floats


@dataclass(frozen=True)
class ScoreScale:
    """Scores of a detector as chances, so that those of unlike codecs can be compared.

    The log-odds run straight from −ln 99 at score 0 to 0 at the threshold, and on to ln 99 at the
    ordinary score of a detection. A calibration with labels would be better, but there are none.

    Attributes:
        threshold: From which on the detector takes a candidate for a nucleus.
        ordinary: Median score of its detections in the images that are compared.
    """

    threshold: float
    ordinary: float

    @classmethod
    def of(cls, threshold: float, votes: Iterable[Votes]) -> ScoreScale:
        """The scale of a pool of images; without any detection the threshold is the ordinary."""
        scores = np.concatenate([np.zeros(0), *(each.scores.ravel() for each in votes)])
        found = scores[scores >= threshold]  # NaN is not
        return cls(threshold, float(np.median(found)) if len(found) else threshold)

    def chances(self, scores: Floats) -> Floats:
        """Chance that a candidate is a nucleus, of the shape of `scores`; 0 where there is none."""
        away = scores - self.threshold
        above = max(self.ordinary - self.threshold, _LEAST)
        below = max(self.threshold, _LEAST)
        odds = np.log(SURE / (1 - SURE)) * np.where(away >= 0, away / above, away / below)
        return np.where(np.isnan(scores), 0.0, 0.5 + 0.5 * np.tanh(0.5 * odds))


def gather_votes(
    detector: Detector, image: Image, mpp: float, *, radius_um: float, views: Sequence[View] = VIEWS
) -> Votes:
    """What each view of an image finds where, candidates too faint to be in doubt left out.

    Args:
        detector: Asked once a view.
        image: uint8 RGB `(H, W, 3)`.
        mpp: The image's µm per pixel.
        radius_um: Candidates of two views within this distance may be the same nucleus.
        views: By which the image is seen.
    """
    size = (image.shape[0], image.shape[1])
    found: list[Nuclei] = []
    for view in views:
        nuclei = detector.candidates(view.of(image), mpp)
        found.append(Nuclei(view.back(nuclei.points, size), nuclei.scores, nuclei.classes))
    return joined(found, radius_px=radius_um / mpp, faintest=FAINTEST * detector.card.threshold)


def joined(found: Sequence[Nuclei], *, radius_px: float, faintest: float) -> Votes:
    """The candidates of several views of one image, those of the same nucleus as one place.

    View by view the candidates are matched one-to-one with the places so far; what has no partner
    is a place of its own.

    Args:
        found: Of each view, in pixels of the image.
        radius_px: Largest distance of a match.
        faintest: Score that a place must reach in one view at least.
    """
    points = np.zeros((0, 2), np.float32)
    columns: list[Floats] = []
    for nuclei in found:
        match = match_points(points, nuclei.points, radius_px)
        new = match.unmatched_predicted
        column = np.full(len(points) + len(new), np.nan)
        column[match.reference_index] = nuclei.scores[match.predicted_index]
        column[len(points) :] = nuclei.scores[new]
        points = np.concatenate([points, nuclei.points[new]])
        columns.append(column)
    scores = np.full((len(points), len(columns)), np.nan)
    for view, column in enumerate(columns):
        scores[: len(column), view] = column
    kept = (scores >= faintest).any(axis=1)
    return Votes(points[kept], scores[kept])


def doubts_of(votes: Votes, scale: ScoreScale) -> Doubts:
    """Entropy of the mean chance over the views at each place, in bits.

    Query by committee, the views being the committee, with soft votes (Seung et al. 1992; Settles
    2009, section 3.2): high where a score lies at the threshold, and where turning or mirroring
    the image changes what is found.
    """
    if not len(votes.points):
        return Doubts(votes.points, np.zeros(0))
    return Doubts(votes.points, binary_entropy(scale.chances(votes.scores).mean(axis=1)))


def binary_entropy(chances: Floats) -> Floats:
    """−p log₂ p − (1 − p) log₂ (1 − p), 0 for p of 0 and 1."""
    p = np.clip(np.asarray(chances, np.float64), 0, 1)
    both = np.stack([p, 1 - p])
    logs = np.log2(both, out=np.zeros_like(both), where=both > 0)
    entropy: Floats = np.abs((both * logs).sum(axis=0))
    return entropy
