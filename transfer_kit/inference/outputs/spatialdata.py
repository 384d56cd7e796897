"""A slide's nuclei as SpatialData, beside whatever else is known of the tissue."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from transfer_kit.errors import UserError
from transfer_kit.files import replacing
from transfer_kit.inference.found import FoundNuclei, SlideFacts
from transfer_kit.inference.outputs.anndata import observed
from transfer_kit.inference.outputs.columns import record_of

POINTS, OUTLINES, MICRONS = "nuclei", "nuclei_outlines", "microns"


def write_spatialdata(path: Path, found: FoundNuclei, facts: SlideFacts) -> list[Path]:
    """A `.zarr` with all centres as points "nuclei" and outlines as shapes "nuclei_outlines".

    Both have the columns score and class, the shapes area_um2, too, and share their index.
    Coordinates are pixels of level 0 in the system "global", from the image's corner, as
    SpatialData places images; the system "microns" scales them to µm. There are no shapes where
    no nucleus has an outline. `attrs["transfer_kit"]` has the slide's facts.

    Raises:
        UserError: spatialdata is not installed, or the folder cannot be written.
    """
    try:
        from spatialdata import SpatialData
    except ImportError as error:
        raise UserError(
            "SpatialData needs the package spatialdata; install it with "
            "pip install 'transfer-kit[spatial]'."
        ) from error
    outlines = _outlines(found, facts)
    data = SpatialData(
        points={POINTS: _points(found, facts)},
        shapes={} if outlines is None else {OUTLINES: outlines},
        attrs={"transfer_kit": record_of(facts)},
    )
    with replacing(path) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own dependencies' deprecations
        data.write(temporary)
    return [path]


def _points(found: FoundNuclei, facts: SlideFacts) -> Any:
    from spatialdata.models import PointsModel

    table = observed(found, facts)[["score", "class"]].reset_index(drop=True)
    table.insert(0, "x", found.points[:, 0] + np.float32(0.5))
    table.insert(1, "y", found.points[:, 1] + np.float32(0.5))
    return PointsModel.parse(table, transformations=_systems(facts))


def _outlines(found: FoundNuclei, facts: SlideFacts) -> Any | None:
    if found.outlines is None:
        return None
    drawn = np.flatnonzero(~shapely.is_missing(found.outlines))
    if not len(drawn):
        return None
    from geopandas import GeoDataFrame
    from spatialdata.models import ShapesModel

    table = observed(found, facts).reset_index(drop=True).iloc[drawn]
    shapes = shapely.transform(found.outlines[drawn], lambda corners: corners + 0.5)
    frame = GeoDataFrame(table, geometry=shapes)
    return ShapesModel.parse(frame, transformations=_systems(facts))


def _systems(facts: SlideFacts) -> dict[str, Any]:
    from spatialdata.transformations import Identity, Scale

    return {"global": Identity(), MICRONS: Scale([facts.mpp, facts.mpp], axes=("x", "y"))}
