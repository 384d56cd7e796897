"""What was found in an image in memory, as files; and pictures."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from transfer_kit.data.nuclei import Nuclei
from transfer_kit.files import replacing
from transfer_kit.inference.found import FoundNuclei, SlideFacts
from transfer_kit.inference.outlines import outlines_of

if TYPE_CHECKING:  # who only reads what was found needs neither torch nor all formats
    from transfer_kit.detector import Detector


def write_nuclei(
    names: Iterable[str],
    folder: Path,
    stem: str,
    nuclei: Nuclei,
    *,
    detector: Detector,
    image: NDArray[np.uint8],
    mpp: float,
) -> list[Path]:
    """Write what `detector.predict` found, in the formats that `transfer-kit predict` writes.

    Whole nuclei are polygons along their pixels' edges, one without a pixel left and those of
    detectors that find centres alone are points. Read back by `transfer-kit data add`, GeoJSON
    gives the same points, and outlines that fill to the same instances.

    Args:
        names: Of `OUTPUTS`, all but `overlay`; see `evaluation.overlay` for pictures.
        folder: Made where there is none.
        stem: What the files are called.
        nuclei: Of the whole image.
        detector: That found them.
        image: RGB `(H, W, 3)`.
        mpp: Its µm per pixel.

    Returns:
        The paths of what was written.

    Raises:
        UserError: an unknown name, a package that is not installed, or a file cannot be written.
    """
    from transfer_kit.inference.outputs import write_outputs

    height, width = image.shape[:2]
    outlines = None
    if nuclei.instances is not None:
        outlines = outlines_of(nuclei.instances, len(nuclei))
    found = FoundNuclei.of(nuclei, detector.codec.classes, outlines)
    card = detector.card
    facts = SlideFacts(
        name=stem,
        size=(height, width),
        mpp=mpp,
        searched=shapely.MultiPolygon([shapely.box(-0.5, -0.5, width - 0.5, height - 0.5)]),
        model=card.name,
        threshold=card.threshold,
        radius_um=card.radius_um,
    )
    return write_outputs(names, folder, stem, found, facts)


def write_png(path: Path, image: NDArray[np.uint8]) -> None:
    """An RGB image as PNG."""
    encoded = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1]
    with replacing(path) as temporary:
        temporary.write_bytes(encoded.tobytes())
