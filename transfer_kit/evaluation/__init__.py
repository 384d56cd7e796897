from __future__ import annotations

from transfer_kit.evaluation.calibration import Calibrated, adopt, calibrate, variants_of
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
from transfer_kit.evaluation.examine import examine, examine_by, examine_marked
from transfer_kit.evaluation.matching import Match, match_points
from transfer_kit.evaluation.overlap import Overlap
from transfer_kit.evaluation.overlay import before_after_strip, draw_detections, overlay
from transfer_kit.evaluation.plots import learning_curves, precision_recall_figure
from transfer_kit.evaluation.recall import RecallScores, recall_of_marked
from transfer_kit.evaluation.segmentation import (
    ImageSegmentation,
    SegmentationScores,
    evaluate_segmentation,
    signed_rank,
)
from transfer_kit.evaluation.statistics import (
    Difference,
    Interval,
    SeedMean,
    SignedRank,
    bootstrap_f1,
    bootstrap_mean,
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
    "Calibrated",
    "ClassScores",
    "CrossValidated",
    "DetectionScores",
    "Difference",
    "Evaluated",
    "ImageCounts",
    "ImageSegmentation",
    "Interval",
    "Match",
    "Overlap",
    "PrecisionRecallCurve",
    "RecallScores",
    "SeedMean",
    "SegmentationScores",
    "SignedRank",
    "Threshold",
    "adopt",
    "before_after_strip",
    "best_threshold",
    "bootstrap_f1",
    "bootstrap_mean",
    "calibrate",
    "cross_validated_f1",
    "draw_detections",
    "evaluate",
    "evaluate_segmentation",
    "examine",
    "examine_by",
    "examine_marked",
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
    "recall_of_marked",
    "score_image",
    "signed_rank",
    "variants_of",
    "wilcoxon_signed_rank",
]
