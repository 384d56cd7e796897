"""Reading images and annotations, and what goes wrong in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.check.finding import Finding
from transfer_kit.data.formats import AnnotationSource, read_annotation
from transfer_kit.data.sample import Sample
from transfer_kit.errors import UserError

_LEAST_CONTRAST = 2.0  # grey levels; scanners' noise alone gives more


@dataclass(frozen=True, eq=False)
class Reading:
    """What could be read of one sample, and what was wrong with it."""

    sample: Sample
    image: NDArray[np.uint8] | None
    annotation: Annotation | None
    findings: tuple[Finding, ...]

    @property
    def misfit(self) -> bool:
        """The image is fine, and an annotation file is there, but they do not go together."""
        return self.image is not None and self.sample.source is not None and self.annotation is None


def read_sample(sample: Sample) -> Reading:
    """Image and annotation, with findings where either is missing, empty or damaged."""
    file = str(sample.image_path)
    findings: list[Finding] = []
    image: NDArray[np.uint8] | None = None
    annotation: Annotation | None = None
    try:
        image = sample.image()
    except UserError as error:
        findings.append(Finding("error", "unreadable-image", file, str(error)))
    if image is not None and float(image.std()) < _LEAST_CONTRAST:
        findings.append(
            Finding("error", "blank-image", file, f"{file} is of one colour; leave it out.")
        )
    if sample.source is None:
        text = f"{file} has no annotation; add one, or set 'only_annotated: true' in the card."
        findings.append(Finding("warning", "no-annotation", file, text))
    elif image is not None:
        annotation, found = _read_annotation(sample, sample.source)
        findings += found
    return Reading(sample, image, annotation, tuple(findings))


def _read_annotation(
    sample: Sample, source: AnnotationSource
) -> tuple[Annotation | None, list[Finding]]:
    file = str(source.paths[0])
    try:
        annotation = sample.annotation()
    except UserError as error:
        return None, [Finding("error", "bad-annotation", file, str(error))]
    known = len(annotation) or annotation.region_labels or annotation.labelled_regions
    if known:
        return annotation, []
    text = f"{file} holds no nucleus; check that it is the right file, or leave the image out."
    return annotation, [Finding("warning", "empty-annotation", file, text)]


def find_exchanged_files(misfits: Sequence[Sample]) -> list[Finding]:
    """Pairs of `misfits` whose annotations fit each other's image, but not their own."""
    return [
        _exchanged(one, other)
        for one, other in combinations(misfits, 2)
        if one.size != other.size and _fits(one, other) and _fits(other, one)
    ]


def _fits(image: Sample, annotated: Sample) -> bool:
    try:
        return annotated.source is not None and bool(
            len(read_annotation(annotated.source, image.info))
        )
    except UserError:
        return False


def _exchanged(one: Sample, other: Sample) -> Finding:
    first, second = (sample.source.paths[0] if sample.source else "" for sample in (one, other))
    text = (
        f"{first} and {second} are exchanged: each fits the size of the other's image "
        f"({one.id} is {one.size[1]}x{one.size[0]}, {other.id} {other.size[1]}x{other.size[0]}); "
        "rename them."
    )
    return Finding("error", "exchanged-files", str(first), text)
