"""A slide's nuclei as GeoParquet 1.1, which geopandas, DuckDB and QGIS open."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from transfer_kit.data.annotation import Points
from transfer_kit.files import replacing
from transfer_kit.inference.found import FoundNuclei, SlideFacts
from transfer_kit.inference.outputs.columns import areas_um2, record_of

_ROW_GROUP = 100_000
_POINT_BYTES = np.dtype([("order", "u1"), ("kind", "<u4"), ("x", "<f8"), ("y", "<f8")])


def write_parquet(path: Path, found: FoundNuclei, facts: SlideFacts) -> list[Path]:
    """Columns geometry (outline or point), x, y, score, class; area_um2 where there are outlines.

    Coordinates are pixels of level 0, pixel centres at integers, as in `found`; there is no
    geographic reference. The slide's facts are JSON under the key "transfer_kit" of the metadata.

    Raises:
        UserError: the file cannot be written.
    """
    import pyarrow.parquet as pq

    schema = _schema(found, facts)
    with (
        replacing(path) as temporary,
        pq.ParquetWriter(temporary, schema, use_dictionary=["class"]) as writer,
    ):
        for start in range(0, len(found), _ROW_GROUP):
            part = found.take(np.arange(start, min(start + _ROW_GROUP, len(found))))
            writer.write_batch(_batch(part, facts.mpp, schema))
    return [path]


def _schema(found: FoundNuclei, facts: SlideFacts) -> Any:
    import pyarrow as pa

    fields = [
        ("geometry", pa.binary()),
        ("x", pa.float32()),
        ("y", pa.float32()),
        ("score", pa.float32()),
        ("class", pa.dictionary(pa.uint16(), pa.string())),
    ]
    if found.outlines is not None:
        fields.append(("area_um2", pa.float32()))
    metadata = {"geo": _geo(found), "transfer_kit": record_of(facts)}
    texts = {key: json.dumps(value, ensure_ascii=False) for key, value in metadata.items()}
    return pa.schema(fields, metadata=texts)


def _geo(found: FoundNuclei) -> dict[str, Any]:
    """The file's metadata as GeoParquet 1.1.0 prescribes; a crs of null is one unknown."""
    column: dict[str, Any] = {
        "encoding": "WKB",
        "geometry_types": _geometry_types(found),
        "crs": None,
        "edges": "planar",
    }
    if len(found):
        column["bbox"] = _bounds(found)
    return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}


def _geometry_types(found: FoundNuclei) -> list[str]:
    if found.outlines is None:
        return ["Point"]
    names = {-1: "Point", 3: "Polygon", 6: "MultiPolygon"}  # -1 is shapely's word for None
    return sorted(names[number] for number in np.unique(shapely.get_type_id(found.outlines)))


def _bounds(found: FoundNuclei) -> list[float]:
    low, high = found.points.min(axis=0), found.points.max(axis=0)
    if found.outlines is not None:
        drawn = shapely.total_bounds(found.outlines)
        low, high = np.fmin(low, drawn[:2]), np.fmax(high, drawn[2:])
    return [float(value) for value in (*low, *high)]


def _batch(part: FoundNuclei, mpp: float, schema: Any) -> Any:
    import pyarrow as pa

    kinds = pa.array(part.kinds)
    columns = [
        _geometries(part),
        pa.array(np.ascontiguousarray(part.points[:, 0])),
        pa.array(np.ascontiguousarray(part.points[:, 1])),
        pa.array(part.scores),
        pa.DictionaryArray.from_arrays(kinds, pa.array(part.classes, pa.string())),
    ]
    areas = areas_um2(part, mpp)
    if areas is not None:
        columns.append(pa.array(areas, mask=np.isnan(areas)))
    return pa.record_batch(columns, schema=schema)


def _geometries(part: FoundNuclei) -> Any:
    import pyarrow as pa

    if part.outlines is None:
        return _points(part.points)
    shapes = part.outlines.copy()
    bare = np.flatnonzero(shapely.is_missing(shapes))
    shapes[bare] = shapely.points(part.points[bare].astype(np.float64))
    return pa.array(shapely.to_wkb(shapes, byte_order=1), pa.binary())


def _points(points: Points) -> Any:
    """Well-known binary of points, made as one block."""
    import pyarrow as pa

    block: NDArray[Any] = np.empty(len(points), _POINT_BYTES)
    block["order"], block["kind"] = 1, 1
    block["x"], block["y"] = points.T
    size = _POINT_BYTES.itemsize
    starts = np.arange(0, (len(points) + 1) * size, size, dtype=np.int32)
    buffers = [None, pa.py_buffer(starts), pa.py_buffer(block)]
    return pa.Array.from_buffers(pa.binary(), len(points), buffers)
