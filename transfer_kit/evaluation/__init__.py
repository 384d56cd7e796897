from __future__ import annotations

from transfer_kit.evaluation.counting import (
    Evaluated,
    ImageCounts,
    inside_labelled,
    score_image,
)
from transfer_kit.evaluation.curves import (
    PrecisionRecallCurve,
    pool_curves,
    precision_recall_curve,
)
from transfer_kit.evaluation.detection import ClassScores, DetectionScores, evaluate
from transfer_kit.evaluation.examine import examine
from transfer_kit.evaluation.matching import Match, match_points
from transfer_kit.evaluation.overlay import before_after_strip, draw_detections, overlay
from transfer_kit.evaluation.plots import learning_curves, precision_recall_figure
from transfer_kit.evaluation.statistics import (
    Difference,
    Interval,
    SeedMean,
    SignedRank,
    bootstrap_f1,
    mean_over_seeds,
    paired_difference,
    pooled_f1,
    precision_recall_f1,
    wilcoxon_signed_rank,
)
from transfer_kit.evaluation.thresholds import (
    CrossValidated,
    Threshold,
    best_threshold,
    cross_validated_f1,
)

__all__ = [
    "ClassScores",
    "CrossValidated",
    "DetectionScores",
    "Difference",
    "Evaluated",
    "ImageCounts",
    "Interval",
    "Match",
    "PrecisionRecallCurve",
    "SeedMean",
    "SignedRank",
    "Threshold",
    "before_after_strip",
    "best_threshold",
    "bootstrap_f1",
    "cross_validated_f1",
    "draw_detections",
    "evaluate",
    "examine",
    "inside_labelled",
    "learning_curves",
    "match_points",
    "mean_over_seeds",
    "overlay",
    "paired_difference",
    "pool_curves",
    "pooled_f1",
    "precision_recall_curve",
    "precision_recall_f1",
    "precision_recall_figure",
    "score_image",
    "wilcoxon_signed_rank",
]
