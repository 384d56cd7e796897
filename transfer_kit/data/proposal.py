"""What can be inferred about a folder of images, and what must be asked."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transfer_kit.data.formats import ImageInfo, find_annotations, list_images, read_annotation
from transfer_kit.data.images import read_mpp
from transfer_kit.data.patients import TCGA_PATIENT
from transfer_kit.errors import UserError
from transfer_kit.wording import counted

_CLASSES_READ = 50


@dataclass(frozen=True)
class Question:
    """One field of the card that the files do not tell."""

    field: str
    text: str


@dataclass(frozen=True)
class Proposal:
    """Card fields that the files tell, and questions about the others.

    Attributes:
        notes: Sentences about what was inferred.
        unannotated: Images without an annotation.
    """

    fields: dict[str, Any]
    questions: tuple[Question, ...]
    notes: tuple[str, ...] = ()
    unannotated: int = 0


def propose_card(
    folder: str | Path,
    *,
    annotations: str | None = None,
    format: str | None = None,
    case_pattern: str | None = None,
) -> Proposal:
    """The card fields that a folder tells by itself, and the questions that remain.

    Args:
        folder: Images, with annotations beside them or in `annotations/`.
        annotations: Pattern of the annotation files, where they lie elsewhere.
        format: Their format, where it cannot be seen.
        case_pattern: Which part of an image's name is its case, where that is known.

    Raises:
        UserError: the folder has no image, or no annotation for any of them.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder; check the path.")
    images = sorted(list_images(folder))
    if not images:
        raise UserError(f"{folder} has no image; put them into it, or into {folder / 'images'}.")
    sources = find_annotations(folder, images, pattern=annotations, format=format)
    annotated = [image for image in images if sources.get(image) is not None]
    if not annotated:
        raise UserError(
            f"{folder} has {counted(len(images), 'image')}, but no annotation for any; put files "
            "of the images' names beside them or into 'annotations', or say where they are with "
            "--annotations 'FOLDER/{stem}.xml'."
        )
    name = re.sub(r"[^\w.+-]+", "-", folder.resolve().name).strip("-.+") or "dataset"
    fields: dict[str, Any] = {"name": name}
    notes = [f"{counted(len(images), 'image')}, {len(annotated)} with annotations."]
    fields |= _scale(folder, images, notes)
    fields |= {"case_pattern": case_pattern} if case_pattern else _cases(folder, images, notes)
    found = {image: sources[image] for image in annotated[:_CLASSES_READ]}
    classes: set[str] = set()
    for image, source in found.items():
        if source is not None:
            classes |= set(read_annotation(source, ImageInfo.of(image)).classes)
    if classes - {""}:
        fields["classes"] = sorted(classes - {""})
    unannotated = len(images) - len(annotated)
    return Proposal(fields, _questions(fields), tuple(notes), unannotated)


def _scale(folder: Path, images: Sequence[Path], notes: list[str]) -> dict[str, Any]:
    """`mpp`, or `mpp_by_image` where the files differ; nothing where one of them does not say."""
    read = {image: read_mpp(image) for image in images}
    known = {image: round(mpp, 5) for image, mpp in read.items() if mpp}
    if not known:
        return {}
    if len(known) < len(images):
        notes.append(f"Only {len(known)} of {counted(len(images), 'image')} with µm per pixel.")
        return {}
    scales = Counter(known.values())
    if len(scales) == 1:
        notes.append(f"All images carry {next(iter(scales))} µm per pixel.")
        return {"mpp": next(iter(scales))}
    notes.append(f"The images carry {len(scales)} scales, {min(scales)} to {max(scales)} µm/px.")
    return {"mpp_by_image": {i.relative_to(folder).as_posix(): mpp for i, mpp in known.items()}}


def _cases(folder: Path, images: Sequence[Path], notes: list[str]) -> dict[str, Any]:
    paths = [image.relative_to(folder).as_posix() for image in images]
    if all(re.search(TCGA_PATIENT, path) for path in paths):
        notes.append("The names hold TCGA patients: each patient is a case.")
        return {"case_pattern": TCGA_PATIENT}
    notes.append(
        "Each image counts as a case of its own; where several are of one patient, "
        "say so with --case-pattern, or the test will flatter."
    )
    return {}


def _questions(fields: dict[str, Any]) -> tuple[Question, ...]:
    asked = [
        Question("organ", "Which organ is it (breast, eye, …)?"),
        Question("stain", "Which stain (H&E, Ki67, …)?"),
        Question("licence", "Under which licence may the images be used?"),
    ]
    if "mpp" not in fields and "mpp_by_image" not in fields:
        asked.append(Question("mpp", "How many µm is a pixel wide (0.25 at 40×, 0.5 at 20×)?"))
    return tuple(asked)
