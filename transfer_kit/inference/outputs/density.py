"""How densely nuclei lie, as a picture that QuPath and ImageJ open beside the slide."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import shapely
import tifffile
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from shapely.geometry.base import BaseGeometry

from transfer_kit.files import replacing
from transfer_kit.inference.found import FoundNuclei, SlideFacts

RESOLUTION_UM = 8.0
SMOOTHING_UM = 50.0
ALL = "nuclei"

_TILE = 256
_ROUNDS = 5
_BITS = 4  # OpenCV fills at 1/16 pixel with this many fractional bits

Floats = NDArray[np.float32]


def write_density(
    path: Path,
    found: FoundNuclei,
    facts: SlideFacts,
    *,
    resolution_um: float = RESOLUTION_UM,
    smoothing_um: float = SMOOTHING_UM,
    by_class: bool = True,
) -> list[Path]:
    """Nuclei per mm² as a tiled, pyramidal OME-TIFF of float32, a band a class.

    The first pixel's corner is the slide's; the file states µm per pixel. See `density_map`.

    Args:
        path: Ends in `.ome.tif`, by which QuPath knows the format.
        found: The nuclei.
        facts: The slide's size and scale, and where nuclei were looked for.
        resolution_um: Side of a pixel.
        smoothing_um: Standard deviation of the Gaussian.
        by_class: A band for each class, else one for all nuclei.

    Raises:
        UserError: the file cannot be written.
    """
    names = [name or ALL for name in found.classes] if by_class else [ALL]
    bands = density_map(
        found, facts, resolution_um=resolution_um, smoothing_um=smoothing_um, by_class=by_class
    )
    with replacing(path) as temporary, tifffile.TiffWriter(temporary, ome=True) as tif:
        levels = _pyramid(bands)
        options = {
            "tile": (_TILE, _TILE),
            "compression": "zlib",
            "photometric": "minisblack",
            "resolutionunit": "CENTIMETER",
        }
        scale = 1e4 / resolution_um
        about = f"Nuclei per mm² of {facts.name} ({facts.model}), smoothed over {smoothing_um:g} µm"
        metadata = _metadata(names, resolution_um, about)
        for k, level in enumerate(levels):
            own = (
                {"subifds": len(levels) - 1, "metadata": metadata} if k == 0 else {"subfiletype": 1}
            )
            tif.write(level, resolution=(scale / 2**k,) * 2, **options, **own)
    return [path]


def density_map(
    found: FoundNuclei,
    facts: SlideFacts,
    *,
    resolution_um: float = RESOLUTION_UM,
    smoothing_um: float = SMOOTHING_UM,
    by_class: bool = True,
) -> Floats:
    """Nuclei per mm² `(bands, H, W)`, 0 outside the searched area.

    Each nucleus is spread as a Gaussian within the searched area alone, by a kernel that is
    balanced as Sinkhorn (1964) does: the integral of a band is the number of its nuclei, and where
    nuclei lie evenly, the density is even up to the rim of the tissue.

    Args:
        found: The nuclei.
        facts: The slide's size and scale, and where nuclei were looked for.
        resolution_um: Side of a pixel.
        smoothing_um: Standard deviation of the Gaussian.
        by_class: A band for each class, else one for all nuclei.
    """
    pixels = facts.mpp / resolution_um
    height, width = (max(int(np.ceil(side * pixels - 1e-9)), 1) for side in facts.size)
    columns, rows = np.floor((found.points.astype(np.float64) + 0.5) * pixels).astype(np.intp).T
    columns, rows = columns.clip(0, width - 1), rows.clip(0, height - 1)
    searched = _searched(facts.searched, pixels, (height, width))
    searched[rows, columns] = True  # also one that lies on the rim
    sigma = smoothing_um / resolution_um
    weights = _balanced(searched, sigma)
    kept = _smoothed(weights, sigma)
    bands = np.zeros((len(found.classes) if by_class else 1, height, width), np.float32)
    kinds = found.kinds.astype(np.intp) if by_class else np.zeros(len(found), np.intp)
    np.add.at(bands, (kinds, rows, columns), 1 / kept[rows, columns])
    for band in bands:
        band[:] = weights * _smoothed(band, sigma) * (1e6 / resolution_um**2)
    return bands


def _searched(area: BaseGeometry, pixels: float, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels of the map that the area touches."""
    mask = np.zeros(size, np.uint8)
    for polygon in shapely.get_parts(area).tolist():
        rings = [shapely.get_coordinates(ring) for ring in (polygon.exterior, *polygon.interiors)]
        fine = [((ring + 0.5) * pixels - 0.5) * 2**_BITS for ring in rings]
        cv2.fillPoly(mask, [np.rint(ring).astype(np.int32) for ring in fine], 1, 8, _BITS)
    return mask > 0


def _balanced(searched: NDArray[np.bool_], sigma: float) -> Floats:
    """Weights of pixels such that, weighted before and after, smoothing leaves ones as they are.

    Whatever they are, dividing a nucleus by the smoothed weight of its pixel keeps it one; a few
    rounds do.
    """
    weights = searched.astype(np.float32)
    for _ in range(_ROUNDS):
        smoothed = np.where(searched, _smoothed(weights, sigma), 1)
        weights = np.sqrt(weights / smoothed, dtype=np.float32)
    return weights


def _smoothed(band: Floats, sigma: float) -> Floats:
    return np.asarray(gaussian_filter(band, sigma, mode="constant"), np.float32)


def _pyramid(bands: Floats) -> list[Floats]:
    """The map and its halves, down to one tile."""
    levels = [bands]
    while max(levels[-1].shape[1:]) > _TILE:
        height, width = (max(side // 2, 1) for side in levels[-1].shape[1:])
        halved = [
            cv2.resize(band, (width, height), interpolation=cv2.INTER_AREA) for band in levels[-1]
        ]
        levels.append(np.asarray(halved, np.float32))
    return levels


def _metadata(names: Sequence[str], resolution_um: float, about: str) -> dict[str, Any]:
    return {
        "axes": "CYX",
        "Channel": {"Name": list(names)},
        "Description": about,
        "PhysicalSizeX": resolution_um,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": resolution_um,
        "PhysicalSizeYUnit": "µm",
    }
