"""Files of detections: which belongs to an image, and what they hold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import shapely

from transfer_kit.data.slides import slide_name
from transfer_kit.errors import UserError
from transfer_kit.inference.found import FoundNuclei
from transfer_kit.viewer.found_geojson import read_found_geojson
from transfer_kit.wording import counted

SUFFIXES = (".parquet", ".geojson", ".json", ".csv")
"""The first of these that lies there is read: the quickest, then outlines before centres alone."""


@dataclass(frozen=True, eq=False)
class Found:
    """What was found in one image, and what its file tells of the detector.

    Attributes:
        nuclei: In pixels of level 0.
        model: The detector's name; empty where it is not told.
        radius_um: Within which a detection counts as right, None where it is not told.
    """

    nuclei: FoundNuclei
    model: str = ""
    radius_um: float | None = None


def read_found(path: Path) -> Found:
    """The nuclei of a file that `transfer-kit predict` wrote, or of another in the same form.

    Raises:
        UserError: it cannot be read, with the place in it.
    """
    suffix = path.suffix.lower()
    if suffix in (".geojson", ".json"):
        return Found(*read_found_geojson(path))
    if suffix == ".csv":
        return Found(_of_table(_read_csv(path), path))
    if suffix == ".parquet":
        return _read_parquet(path)
    raise UserError(
        f"{path} is no file of detections; give {', '.join(SUFFIXES)}, as `transfer-kit predict` "
        "writes them."
    )


def pair_found(place: Path, images: Sequence[Path]) -> dict[Path, Path]:
    """The file of detections of each image that has one.

    Args:
        place: A file, where there is one image, or a folder of files called as their images.
        images: The image files.

    Raises:
        UserError: nothing is there, or nothing fits.
    """
    if place.is_file():
        if len(images) != 1:
            raise UserError(
                f"{place} is one file, but {counted(len(images), 'image')} were opened; give the "
                "folder that `transfer-kit predict` wrote."
            )
        return {images[0]: place}
    if not place.is_dir():
        raise UserError(f"{place} does not exist; check --nuclei.")
    found = {}
    for image in images:
        stems = (slide_name(image), image.stem, image.name)
        names = [stem + suffix for suffix in SUFFIXES for stem in stems]
        there = [place / name for name in names if (place / name).is_file()]
        if there:
            found[image] = there[0]
    if not found:
        raise UserError(
            f"{place} holds no detections of these images, such as {images[0].stem}.geojson; "
            "check --nuclei."
        )
    return found


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as CSV ({error}); predict it again.") from error


def _read_parquet(path: Path) -> Found:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        read = pq.read_table(path)
        facts = json.loads((read.schema.metadata or {}).get(b"transfer_kit", b"{}"))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as Parquet ({error}); predict it again.") from error
    columns = [name for name in ("x", "y", "score", "class") if name in read.column_names]
    nuclei = _of_table(read.select(columns).to_pandas(), path, _outlines_in(read, path))
    radius = facts.get("radius_um")
    return Found(nuclei, str(facts.get("model", "")), None if radius is None else float(radius))


def _outlines_in(read: Any, path: Path) -> np.ndarray[Any, Any] | None:
    """What has an area of the column of geometries; None where all are points."""
    if "geometry" not in read.column_names:
        return None
    try:
        shapes = shapely.from_wkb(read.column("geometry").to_numpy())
    except (shapely.errors.ShapelyError, TypeError) as error:
        raise UserError(f"{path} has an outline that is damaged; predict it again.") from error
    drawn = shapely.get_dimensions(shapes) == 2
    shapes[~drawn] = None
    return shapes if drawn.any() else None


def _of_table(
    table: pd.DataFrame, path: Path, outlines: np.ndarray[Any, Any] | None = None
) -> FoundNuclei:
    if not {"x", "y"} <= set(table.columns):
        raise UserError(f"{path} has no columns x and y; predict it again.")
    scored = table["score"] if "score" in table else pd.Series(1.0, index=table.index)
    try:
        points = table[["x", "y"]].to_numpy(np.float32)
        scores = scored.to_numpy(np.float32)
    except ValueError as error:
        raise UserError(f"{path} holds something else than numbers ({error}).") from error
    if not (np.isfinite(points).all() and np.isfinite(scores).all()):
        raise UserError(f"{path} has a row with a missing number; predict it again.")
    named = table["class"] if "class" in table else pd.Series("", index=table.index)
    kinds, classes = pd.factorize(named.astype(object).fillna("").astype(str), sort=True)
    names = tuple(str(name) for name in classes) or ("",)
    return FoundNuclei(points, scores, kinds.astype(np.uint16), names, outlines)
