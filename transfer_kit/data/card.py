"""The card of a Dataset: what `dataset.yaml` says about its images."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    model_validator,
)

from transfer_kit.files import replacing
from transfer_kit.yaml_model import YamlModel

CARD_NAME = "dataset.yaml"
SPLITS = ("train", "validation", "test")


def _with_one_group(pattern: str) -> str:
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"should be a regular expression ({error})") from None
    if groups < 1:
        raise ValueError("should have a group in brackets, which is the case")
    return pattern


def _some_scale(mpp: float | None, info: ValidationInfo) -> float | None:
    if mpp is None and not info.data.get("mpp_by_image"):
        raise ValueError("should be the µm per pixel, such as 'mpp: 0.25'")
    return mpp


Mpp = Annotated[float, Field(gt=0, le=20, allow_inf_nan=False)]
Regex = Annotated[str, AfterValidator(_with_one_group)]
Part = Annotated[float, Field(ge=0, le=1)] | list[str]


class SplitPlan(BaseModel):
    """How cases are dealt to training, validation and test: three fractions, or three lists.

    Lists name cases, which then never move; a case in no list is in no split.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: Annotated[int, Field(ge=0)] = 0
    train: Part = 0.6
    validation: Part = 0.2
    test: Part = 0.2

    @model_validator(mode="after")
    def _consistent(self) -> SplitPlan:
        lists = [
            part for part in (self.train, self.validation, self.test) if isinstance(part, list)
        ]
        if lists and len(lists) != 3:
            raise ValueError("train, validation and test should be three fractions or three lists")
        named = [case for cases in lists for case in cases]
        twice = sorted({case for case in named if named.count(case) > 1})
        if twice:
            raise ValueError(f"case {twice[0]!r} should be in one split only")
        if not lists and sum(self.fractions) > 1 + 1e-9:
            raise ValueError(f"the fractions add up to {sum(self.fractions):g}, more than 1")
        return self

    @property
    def fractions(self) -> tuple[float, ...]:
        """The three fractions; empty where the plan lists cases."""
        parts = (self.train, self.validation, self.test)
        return tuple(part for part in parts if isinstance(part, float))

    @property
    def lists(self) -> dict[str, list[str]]:
        """The cases of each split; empty where the plan gives fractions."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: part for name, part in parts.items() if isinstance(part, list)}


class Crosswalk(BaseModel):
    """A table beside the images that says which image is of which patient or cancer type.

    Lines before the header are skipped, as in the ten-cancer-types crosswalk.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    files: list[str] = Field(description="Globs of the CSV, relative to root; the first found")
    column: str = Field(description="Column that names the image")
    image_pattern: Regex = Field(
        r"([^/]+)\.\w+$", description="Group 1 of it, in the image's path, is that name"
    )
    keep: dict[str, str] = Field({}, description="Only images whose row has these values")


class DatasetCard(YamlModel):
    """What is known about a dataset; `dataset.yaml` holds exactly these fields.

    Attributes:
        mpp: µm per pixel of every image that `mpp_by_image` does not name.
        mpp_by_image: µm per pixel by glob on the image's path relative to `root`.
        case_pattern: Searched in the image's path relative to `root` (then in its row of the
            crosswalk); group 1 is the case, that is the patient. Absent: each image is a case.
        root: Folder of the images, absolute or relative to the yaml.
        images: Glob relative to `root`; absent: every image in `images/`, else in `root`.
        annotations: Pattern of the annotation files (see `transfer_kit.data.formats`).
        only_annotated: Leave out images without an annotation file.
        tile_px: Each image is cut into tiles of this side, which count as images; a case stays one.
        labelled_region_class: QuPath class of the areas inside which every nucleus is annotated.
        positives_only: Outside labelled regions only some nuclei are marked; the rest is unknown.
    """

    name: Annotated[str, Field(pattern=r"^[\w][\w.+-]*$")]
    organ: str
    species: str = "unstated"
    stain: str
    mpp_by_image: dict[str, Mpp] = Field({})
    mpp: Annotated[Mpp | None, AfterValidator(_some_scale)] = Field(None, validate_default=True)
    classes: list[str] = Field([])
    case_pattern: Regex | None = None
    licence: str
    source: str = ""
    description: str = ""
    synthetic: bool = False
    root: str = "."
    images: str | None = None
    annotations: str | None = None
    format: str | None = None
    only_annotated: bool = False
    tile_px: Annotated[int, Field(ge=64)] | None = None
    labelled_region_class: str | None = None
    positives_only: bool = False
    crosswalk: Crosswalk | None = None
    splits: SplitPlan = SplitPlan()

    def scale_of(self, path: str) -> float | None:
        """µm per pixel of the image at `path` (relative to root), or None where nothing says."""
        for pattern, mpp in self.mpp_by_image.items():
            if fnmatch(path, pattern) or fnmatch(Path(path).name, pattern):
                return mpp
        return self.mpp


def write_splits(path: Path, plan: SplitPlan) -> None:
    """Replace the `splits` of the card at `path`; every other line and comment stays as it is."""
    text = path.read_text(encoding="utf-8")
    block = yaml.safe_dump(
        {"splits": plan.model_dump(mode="json")}, sort_keys=False, allow_unicode=True, width=100
    )
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    keys = root.value if isinstance(root, yaml.MappingNode) else []
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    start = end = len(lines)
    for position, (key, _) in enumerate(keys):
        if key.value == "splits":
            start = key.start_mark.line
            following = keys[position + 1 :]
            end = following[0][0].start_mark.line if following else len(lines)
    with replacing(path) as temporary:
        temporary.write_text("".join([*lines[:start], block, *lines[end:]]), encoding="utf-8")
    DatasetCard.read(path)
