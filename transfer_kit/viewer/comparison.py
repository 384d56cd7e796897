"""Detections against what is known: `--truth`, else the labels of the image themselves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.formats import read_annotation
from transfer_kit.inference.found import FoundNuclei
from transfer_kit.viewer.cells import Cells
from transfer_kit.viewer.detections import Detections, stamp_of
from transfer_kit.viewer.pictures import Pictures
from transfer_kit.viewer.recent import Recent
from transfer_kit.viewer.refusal import Refused

if TYPE_CHECKING:
    from transfer_kit.viewer.judging import Judged


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of an image.

    Attributes:
        annotation: As it was read.
        cells: Its nuclei by cells, all with the score 1.
        version: Another one where the annotation changed.
        where: Whether it is `--truth` or the labels.
    """

    annotation: Annotation
    cells: Cells
    version: str
    where: str


class Comparison:
    """True, false and missed of each image, at the threshold and radius that the page asks for."""

    def __init__(self, pictures: Pictures, detections: Detections) -> None:
        self._pictures, self._detections = pictures, detections
        self._known = Recent[tuple[int, str], Known | None](8)
        self._judged: Recent[tuple[object, ...], Judged] = Recent(8)

    def known(self, number: int) -> Known | None:
        """What is known of an image; None where nothing is.

        Raises:
            Refused: it is not in the list.
            UserError: its annotation cannot be read.
        """
        shown, info = self._pictures.shown(number), self._pictures.info(number)
        truth = shown.truth
        if truth is None:
            version = shown.labels.version
        else:
            version = "/".join(str(stamp_of(path)) for path in truth.source.paths)

        def read() -> Known | None:
            if truth is None:
                where, annotation = "labels", shown.labels.read(info)
            else:
                where = "truth"
                annotation = read_annotation(truth.source, info, regions=truth.names)
            if annotation is None:
                return None
            only_some = shown.positives_only if truth is None else truth.positives_only
            annotation = replace(annotation, positives_only=only_some)
            cells = _cells_of(annotation, (info.height, info.width))
            return Known(annotation, cells, version, where)

        return self._known.get((number, version), read)

    def judged(self, number: int, *, threshold: float, radius_px: float) -> Judged:
        """What is said of each detection and each nucleus; both in the order of their cells.

        Raises:
            Refused: there is nothing to compare.
            UserError: a file cannot be read.
        """
        # Evaluation brings PyTorch, which takes longer to load than the page to open.
        from transfer_kit.viewer.judging import judge

        layer, known = self._detections.of(number), self.known(number)
        if layer is None or known is None:
            raise Refused(404, "Nothing can be compared: detections or annotations are missing.")
        size = self._pictures.measures(number).size

        def made() -> Judged:
            result = judge(
                layer.found.nuclei,
                known.annotation,
                threshold=threshold,
                radius_px=radius_px,
                size=size,
            )
            return replace(
                result,
                found=result.found[layer.cells.order],
                truth=result.truth[known.cells.order],
            )

        key = (number, layer.stamp, known.version, threshold, radius_px)
        return self._judged.get(key, made)


def _cells_of(annotation: Annotation, size: tuple[int, int]) -> Cells:
    names = tuple(dict.fromkeys(annotation.classes)) or ("",)
    numbers = {name: number for number, name in enumerate(names)}
    kinds = np.array([numbers[name] for name in annotation.classes], np.uint16)
    nuclei = FoundNuclei(annotation.points, np.ones(len(annotation), np.float32), kinds, names)
    return Cells.of(nuclei, size)
