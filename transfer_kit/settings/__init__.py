"""The parts of a recipe, each validated; they know no torch."""

from transfer_kit.settings.base import Fraction, NotNegative, Positive, Settings
from transfer_kit.settings.data import (
    AugmentSettings,
    PatchSettings,
    StainEstimation,
    StainSettings,
)
from transfer_kit.settings.detector import CodecSettings, EvaluationSettings, NetworkSettings
from transfer_kit.settings.training import (
    AdapterSettings,
    OptimizerSettings,
    ScheduleSettings,
    TrainSettings,
)
from transfer_kit.settings.transfer import AdaptationSettings, AuxiliarySettings

__all__ = [
    "AdaptationSettings",
    "AdapterSettings",
    "AugmentSettings",
    "AuxiliarySettings",
    "CodecSettings",
    "EvaluationSettings",
    "Fraction",
    "NetworkSettings",
    "NotNegative",
    "OptimizerSettings",
    "PatchSettings",
    "Positive",
    "ScheduleSettings",
    "Settings",
    "StainEstimation",
    "StainSettings",
    "TrainSettings",
]
