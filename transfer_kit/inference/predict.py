"""One slide or image from its file to the files of what was found in it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import shapely

from transfer_kit import __version__
from transfer_kit.data.slides import SLIDE_SUFFIXES, Slide, open_slide, slide_name
from transfer_kit.detector import Detector
from transfer_kit.errors import BadSlideError, UserError, blaming_the_slide
from transfer_kit.inference.field import TILE_PX, Field, halo_px
from transfer_kit.inference.forward import Runtime, forward_of, precision_of
from transfer_kit.inference.found import FoundNuclei, SlideFacts
from transfer_kit.inference.outputs import Extras, write_outputs
from transfer_kit.inference.parts import Parts
from transfer_kit.inference.records import (
    Record,
    read_record,
    refuse_other_model,
    write_record,
)
from transfer_kit.inference.search import BLOCK_PX, Progress, search
from transfer_kit.inference.tissue import region_of, tissue_of, whole_of
from transfer_kit.networks.forward import Forward
from transfer_kit.settings.training import WantedPrecision
from transfer_kit.weights_file import weights_hash

Where = Literal["auto", "tissue", "everywhere"]
Told = Callable[[Progress], None]

EVERYDAY = ("geojson", "csv", "overlay", "summary")
"""What is written unless something else is asked for."""

_PARTS = ".parts"
_SLIDE_PX = 8000
"""Images of one level with a longer side than this are taken for slides, too."""


@dataclass(frozen=True)
class SlideTask:
    """A slide, and how it is to be searched; a whole task for another machine.

    Attributes:
        slide: The file or folder.
        output: Folder of what is written.
        weights: The detector's file.
        mpp: µm per pixel of level 0; None is what the slide says.
        threshold: In place of the detector's own.
        where: `tissue`, `everywhere`, or `auto`: the tissue of slides, all of small images.
        region: A GeoJSON whose areas are searched in place of the tissue.
        region_class: Of the areas in it; None is all of them.
        write: Names of outputs.
        block_px: Side of the blocks that are searched one by one.
        features_per_file: Of GeoJSON; None is one file.
        mitosis: The class whose hottest field the summary tells.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
        runtime: What runs the network; all but `torch` export it first, once on a machine.
        precision: As `train.precision`: `auto` is 16 bits where the device computes in them.
        batch: Tiles that go through the network at once; None is what fills the device.
        overwrite: Search again what was searched, also by another model.
    """

    slide: Path
    output: Path
    weights: Path
    mpp: float | None = None
    threshold: float | None = None
    where: Where = "auto"
    region: Path | None = None
    region_class: str | None = None
    write: tuple[str, ...] = EVERYDAY
    block_px: int = BLOCK_PX
    features_per_file: int | None = None
    mitosis: str | None = None
    device: str = "auto"
    runtime: Runtime = "torch"
    precision: WantedPrecision = "32-true"
    batch: int | None = None
    overwrite: bool = False

    @property
    def name(self) -> str:
        """What its files are called."""
        return slide_name(self.slide)

    def __str__(self) -> str:
        return self.name


def predict_slide(task: SlideTask, told: Told = lambda progress: None) -> Record:
    """Search a slide and write what was found; what was done before is not done again.

    Killed in the middle, it goes on where it was when it is called again, and writes the same.

    Returns:
        The record that is in the output folder now.

    Raises:
        BadSlideError: the slide is damaged or has no scale.
        UserError: the folder holds another model's nuclei, or no space is left. Nothing
            half-written stays.
    """
    detector = _detector(task.weights, task.device)
    refuse_small_blocks(task.block_px, detector)
    weights = weights_hash(task.weights)
    if not task.overwrite:
        refuse_other_model(task.output, task.name, detector.card.name, weights)
    with _opened(task.slide) as slide:
        mpp = scale_of(slide, task.mpp)
        threshold = detector.card.threshold if task.threshold is None else task.threshold
        made_by = _made_by(task, slide, weights, mpp=mpp, threshold=threshold)
        made_by["precision"] = precision_of(detector, task.runtime, task.precision)
        before = None if task.overwrite else read_record(task.output, task.name)
        if before is not None and _stands(before, made_by, task.output):
            return before
        return _searched(task, detector, slide, made_by, told)


def _stands(before: Record, made_by: dict[str, Any], output: Path) -> bool:
    """Whether what was found before is what would be found now, and is still there."""
    same = before.made_by == made_by and not before.reason
    return same and all((output / file).exists() for file in before.files)


def look_at(tasks: Sequence[SlideTask], *, each: bool) -> None:
    """Tell what would fail before anything is searched or written.

    Args:
        tasks: Of one detector and one output folder.
        each: Open each slide; otherwise those that cannot be read are told of as they come.

    Raises:
        UserError: the detector cannot be loaded, its device, runtime or precision not be had,
            tiles are too small, or one of the slides cannot be opened or has no scale.
    """
    if not tasks:
        return
    first = tasks[0]
    if first.output.is_file():
        raise UserError(f"{first.output} is a file, not a folder; choose another place.")
    refuse_small_blocks(first.block_px, _detector(first.weights, first.device))
    _forward_of(first)
    for task in tasks if each else ():
        with _opened(task.slide) as slide:
            scale_of(slide, task.mpp)


def _opened(path: Path) -> Slide:
    with blaming_the_slide():
        return open_slide(path)


def scale_of(slide: Slide, mpp: float | None) -> float:
    """µm per pixel of level 0, as it is said or as the slide says it.

    Raises:
        BadSlideError: neither does.
    """
    scale = mpp or slide.mpp
    if scale is None:
        raise BadSlideError(
            f"{slide.path} does not say its scale; add --mpp with its µm per pixel (40x is about "
            "0.25)."
        )
    return scale


def refuse_small_blocks(block_px: int, detector: Detector) -> None:
    """Raise a UserError for blocks smaller than what the network must see around them."""
    halo = halo_px(detector)
    if block_px < halo:
        raise UserError(
            f"Tiles of {block_px} pixels are smaller than the {halo} pixels that "
            f"{detector.card.name} must see around them; give at least {halo} with --tile."
        )


def _searched(
    task: SlideTask, detector: Detector, slide: Slide, made_by: dict[str, Any], told: Told
) -> Record:
    began = time.perf_counter()
    mpp, threshold = made_by["mpp"], made_by["threshold"]
    area = _area_of(task, slide, mpp)
    tile_px = min(TILE_PX, task.block_px)
    field = Field.of(detector, slide, mpp, tile_px=tile_px, forward=_forward_of(task))
    plan = {**made_by, "block_px": task.block_px}
    parts = Parts.begun(task.output / _PARTS / task.name, plan, detector.codec.classes)
    try:
        found = search(
            field,
            None if area.equals(whole_of(slide)) else area,
            threshold=threshold,
            block_px=task.block_px,
            keep=parts,
            told=told,
        )
    except UserError:
        parts.remove_if_empty()
        raise
    facts = SlideFacts(
        name=slide.path.name,
        size=slide.size,
        mpp=mpp,
        searched=area,
        model=detector.card.name,
        threshold=threshold,
        radius_um=detector.card.radius_um,
    )
    files = _written(task, slide, found, facts)
    record = Record(
        slide=str(task.slide),
        model=detector.card.name,
        made_by=made_by,
        nuclei=len(found),
        mpp=mpp,
        searched_mm2=area.area * mpp**2 / 1e6,
        seconds=time.perf_counter() - began,
        files=files,
        note="no tissue was seen in it" if area.is_empty else "",
    )
    write_record(task.output, task.name, record)
    parts.remove()
    return record


def _written(
    task: SlideTask, slide: Slide, found: FoundNuclei, facts: SlideFacts
) -> tuple[str, ...]:
    extras = Extras(slide=slide, features_per_file=task.features_per_file, mitosis=task.mitosis)
    paths = write_outputs(task.write, task.output, task.name, found, facts, extras)
    return tuple(path.relative_to(task.output).as_posix() for path in paths)


def _area_of(task: SlideTask, slide: Slide, mpp: float) -> shapely.MultiPolygon:
    if task.region is not None:
        return region_of(task.region, slide, task.region_class)
    if task.where == "tissue" or (task.where == "auto" and _holds_glass(slide)):
        with blaming_the_slide():
            return tissue_of(slide, mpp=mpp)
    return whole_of(slide)


def _holds_glass(slide: Slide) -> bool:
    """Whether it is a slide rather than an image that somebody cut out of its tissue."""
    return (
        len(slide.levels) > 1
        or max(slide.size) > _SLIDE_PX
        or slide.path.suffix.lower() in SLIDE_SUFFIXES
    )


def _made_by(
    task: SlideTask, slide: Slide, weights: str, *, mpp: float, threshold: float
) -> dict[str, Any]:
    stamp = task.slide.stat()
    region = None if task.region is None else task.region.read_text(encoding="utf-8")
    return {
        "version": __version__,
        "weights": weights,
        "size": list(slide.size),
        "bytes": stamp.st_size,
        "changed": stamp.st_mtime_ns,
        "mpp": mpp,
        "threshold": float(threshold),
        "runtime": task.runtime,
        "where": task.where,
        "region": None if region is None else _digest(region),
        "region_class": task.region_class,
        "write": list(task.write),
        "features_per_file": task.features_per_file,
        "mitosis": task.mitosis,
    }


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@lru_cache(maxsize=1)
def _detector(weights: Path, device: str) -> Detector:
    """One process searches many slides by one detector."""
    return Detector.load(weights).to(device)


def _forward_of(task: SlideTask) -> Forward:
    return _forward(task.weights, task.device, task.runtime, task.precision, task.batch)


@lru_cache(maxsize=1)
def _forward(
    weights: Path, device: str, runtime: Runtime, precision: WantedPrecision, batch: int | None
) -> Forward:
    """A runtime takes seconds to make a network its own, and a batch that was halved stays so."""
    return forward_of(
        _detector(weights, device),
        weights_hash(weights),
        runtime=runtime,
        precision=precision,
        batch=batch,
    )
