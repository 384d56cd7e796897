"""The card of a Detector: what it is, what it learned from, and what was measured."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from transfer_kit.data.stain import StainNormaliser, StainReference
from transfer_kit.errors import UserError
from transfer_kit.settings import CodecSettings, NetworkSettings, StainEstimation

Channels = tuple[float, float, float]
Interval = tuple[float | None, float | None, float | None]


class TrainingData(BaseModel):
    """Part of a dataset that a detector learned from, or that its threshold was chosen on."""

    model_config = ConfigDict(extra="forbid")

    dataset: str
    organ: str
    split: str
    cases: list[str] = Field(description="Case identifiers, so that no later test can hold them")
    n_images: int
    n_nuclei: int
    licence: str
    synthetic: bool = False
    digest: str = Field(description="Content hash of images and annotations")


class Measurement(BaseModel):
    """F1 and its companions on images that the detector never saw."""

    model_config = ConfigDict(extra="forbid")

    dataset: str
    organ: str
    split: str
    scores: dict[str, Any] = Field(description="As `DetectionScores.as_dict`")
    segmentation: dict[str, Any] | None = Field(
        None,
        description="As `SegmentationScores.as_dict`, without each image's own; None where nuclei "
        "are not annotated or not found whole",
    )

    def interval(self, figure: Literal["f1", "aji"]) -> Interval:
        """F1 or AJI and the ends of its interval, which a single case does not give."""
        scores = self.scores if figure == "f1" else self.segmentation or {}
        return scores.get(figure), scores.get(f"{figure}_low"), scores.get(f"{figure}_high")

    def in_words(self, figure: Literal["f1", "aji"] = "f1") -> str:
        """F1 or AJI and its interval, where there is one."""
        value, low, high = self.interval(figure)
        if value is None:
            return "–"
        if low is None or high is None:
            return f"{value:.3f}"
        return f"{value:.3f} ({low:.3f} to {high:.3f})"


class DetectorCard(BaseModel):
    """Everything about a Detector but its weights; travels inside the weights file."""

    model_config = ConfigDict(extra="forbid")

    name: str
    description: str = ""
    organ: str = ""
    stain: str = "H&E"
    mpp: Annotated[float, Field(gt=0)]
    mean: Channels = Field(description="Of each channel of the training images, 0 to 1")
    std: Channels
    network: NetworkSettings
    codec: CodecSettings
    classes: tuple[str, ...] = ("",)
    threshold: float
    threshold_chosen_on: str = "not chosen: the codec's default"
    radius_um: float = 2.0
    stain_reference: StainReference | None = Field(
        None, description="Of the images it learned from, to bring others to"
    )
    normalise: Literal["none", "reinhard"] | StainEstimation = Field(
        "none", description="How images are brought to this stain before nuclei are looked for"
    )
    base: str | None = None
    data: list[TrainingData] = []
    held_out: list[TrainingData] = Field([], description="Cases kept for tests, also later ones")
    licence: str = "unstated"
    recipe: dict[str, Any] = {}
    seed: int = 0
    steps: int = 0
    seconds: float = 0.0
    created: str = ""
    versions: dict[str, str] = {}
    measured: list[Measurement] = []

    @property
    def normaliser(self) -> StainNormaliser | None:
        """What its images go through first; None where they are taken as they are.

        Raises:
            UserError: the card asks for a method that its stain reference has no numbers for.
        """
        if self.normalise == "none":
            return None
        if self.stain_reference is None:
            raise UserError(
                f"The card of {self.name} wants images normalised by {self.normalise}, but holds no"
                " stain reference; export it again."
            )
        return StainNormaliser(self.normalise, self.stain_reference)
