"""One detector over many image files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transfer_kit.data.formats import list_images
from transfer_kit.data.images import IMAGE_SUFFIXES, image_size, read_image, read_mpp
from transfer_kit.data.nuclei import Nuclei
from transfer_kit.detector import Detector
from transfer_kit.errors import UserError
from transfer_kit.evaluation import draw_detections
from transfer_kit.inference.writers import write_nuclei_csv, write_nuclei_geojson, write_png


@dataclass(frozen=True)
class Predicted:
    """What was found in one image, or why it was skipped."""

    image: Path
    nuclei: Nuclei | None
    mpp: float | None
    files: tuple[Path, ...] = ()
    reason: str = ""


def predict_images(
    detector: Detector,
    images: Sequence[Path],
    output: Path,
    *,
    mpp: float | None = None,
    threshold: float | None = None,
    overlays: bool = True,
    skip_bad: bool = False,
) -> Iterator[Predicted]:
    """Detect nuclei in each image and write GeoJSON, CSV and an overlay into `output`.

    Args:
        mpp: Of all images; by default what each file says of itself.
        skip_bad: Report an image that cannot be read and go on, rather than stop.

    Raises:
        UserError: an image cannot be read, or neither it nor `mpp` tells its scale (most of this is
            told before anything is written); or no space is left.
    """
    if not skip_bad:
        for image in images:
            _look_at(image, mpp)
    for image in images:
        try:
            pixels, scale = read_image(image), _scale(image, mpp)
        except UserError as error:
            if not skip_bad:
                raise
            yield Predicted(image, None, None, reason=str(error))
            continue
        nuclei = detector.predict(pixels, scale, threshold=threshold)
        files = _write(image.stem, nuclei, output, mpp=scale)
        if overlays:
            files.append(output / f"{image.stem}-overlay.png")
            drawn = draw_detections(pixels, nuclei, radius_um=detector.card.radius_um, mpp=scale)
            write_png(files[-1], np.asarray(drawn, np.uint8))
        yield Predicted(image, nuclei, scale, tuple(files))


def _look_at(image: Path, mpp: float | None) -> None:
    """Read the header alone, so that most faults are told before the first detection."""
    image_size(image)
    _scale(image, mpp)


def _scale(image: Path, mpp: float | None) -> float:
    scale = mpp or read_mpp(image)
    if scale is None:
        raise UserError(
            f"{image} does not say its scale; add --mpp with its µm per pixel (40x is about 0.25)."
        )
    return scale


def _write(stem: str, nuclei: Nuclei, output: Path, *, mpp: float) -> list[Path]:
    files = [output / f"{stem}.geojson", output / f"{stem}.csv"]
    write_nuclei_geojson(files[0], nuclei)
    write_nuclei_csv(files[1], nuclei, mpp=mpp)
    return files


def find_images(paths: Sequence[Path]) -> list[Path]:
    """The images that files and folders name, sorted, each once.

    Raises:
        UserError: a path does not exist, a folder holds no image, or two images would write the
            same files.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            # Masks and label images that lie beside their images are left out.
            inside = sorted(image for image in list_images(path) if image.parent == path)
            if not inside:
                raise UserError(f"{path} holds no image ({', '.join(sorted(IMAGE_SUFFIXES))}).")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise UserError(f"{path} does not exist; check the path.")
    unique = list(dict.fromkeys(path.resolve() for path in found))
    stems = [path.stem for path in unique]
    twice = sorted({stem for stem in stems if stems.count(stem) > 1})
    if twice:
        raise UserError(
            f"Several images are called {twice[0]} and would write the same files; "
            "predict them into different folders."
        )
    return unique
