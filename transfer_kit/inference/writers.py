"""Detected nuclei as files: QuPath GeoJSON, CSV, and pictures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.formats import write_geojson
from transfer_kit.data.nuclei import Nuclei
from transfer_kit.files import replacing
from transfer_kit.inference.outlines import outlines_of


def write_nuclei_geojson(path: Path, nuclei: Nuclei) -> None:
    """Detections that QuPath opens by drag and drop, each with its score as a measurement.

    Whole nuclei are polygons along their pixels' edges, one without a pixel left and those of
    detectors that find centres alone are points. Read back by `transfer-kit data add`, the file
    gives the same points, and outlines that fill to the same instances.
    """
    outlines = () if nuclei.instances is None else outlines_of(nuclei.instances, len(nuclei))
    annotation = Annotation(nuclei.points, nuclei.classes, outlines=outlines)
    write_geojson(path, annotation, scores=nuclei.scores.tolist())


def write_nuclei_csv(path: Path, nuclei: Nuclei, *, mpp: float) -> None:
    """Columns x, y (pixels, pixel centres at integers), x_um, y_um, score and class."""
    table = pd.DataFrame(
        {
            "x": nuclei.points[:, 0],
            "y": nuclei.points[:, 1],
            "x_um": nuclei.points[:, 0] * mpp,
            "y_um": nuclei.points[:, 1] * mpp,
            "score": nuclei.scores,
            "class": nuclei.classes,
        }
    )
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False)


def write_png(path: Path, image: NDArray[np.uint8]) -> None:
    """An RGB image as PNG."""
    encoded = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1]
    with replacing(path) as temporary:
        temporary.write_bytes(encoded.tobytes())
