"""The threshold on a detector's scores, chosen by F1 on labelled images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from transfer_kit.errors import UserError
from transfer_kit.evaluation.counting import Evaluated
from transfer_kit.evaluation.curves import PrecisionRecallCurve, precision_recall_curve
from transfer_kit.evaluation.statistics import Floats, pooled_f1, precision_recall_f1


@dataclass(frozen=True, eq=False)
class Threshold:
    """A threshold and why it was chosen.

    Attributes:
        value: Keep detections whose score is at least this.
        f1: Pooled F1 that it gives on the images that it was chosen on.
        curve: `(threshold, F1)` pairs, rising in threshold, as far as they were compared.
    """

    value: float
    f1: float
    curve: tuple[tuple[float, float], ...]
TOLERANCE = 0.0

def best_threshold(pairs, *, radius_um, candidates=None, tolerance=None):
    images = list(pairs)
    tolerance = TOLERANCE if tolerance is None else tolerance
    curve = precision_recall_curve(images, radius_um=radius_um)
    f1=curve.f1; s=curve.thresholds
    k=int(f1.argmax()); i=j=k
    tol = tolerance if tolerance>=0 else -tolerance*2/(curve.counts[k]*[2,1,1]).sum()
    while i>0 and f1[i-1]>=f1[k]-tol: i-=1
    while j<len(f1)-1 and f1[j+1]>=f1[k]-tol: j+=1
    lo = s[j+1] if j+1<len(s) else s[j]
    v=(s[i]+lo)/2
    return Threshold(v, 0, ())
