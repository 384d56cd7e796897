"""A slide's nuclei as a table that everything opens."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from transfer_kit.files import replacing
from transfer_kit.inference.found import FoundNuclei, SlideFacts
from transfer_kit.inference.outputs.columns import areas_um2, names_of

_CHUNK = 100_000


def write_csv(path: Path, found: FoundNuclei, facts: SlideFacts) -> list[Path]:
    """Columns x, y, x_um, y_um, score and class, and area_um2 where there are outlines.

    x and y are pixels of level 0, pixel centres at integers; x_um and y_um the same in µm. Read
    back as float32, x, y and score are exactly those of `found`.

    Raises:
        UserError: the file cannot be written.
    """
    import pyarrow as pa
    from pyarrow import csv

    names = ["x", "y", "x_um", "y_um", "score", "class"]
    types = [pa.float32(), pa.float32(), pa.float64(), pa.float64(), pa.float32(), pa.string()]
    if found.outlines is not None:
        names, types = [*names, "area_um2"], [*types, pa.float32()]
    schema = pa.schema(list(zip(names, types, strict=True)))
    with replacing(path) as temporary, csv.CSVWriter(temporary, schema) as writer:
        for start in range(0, len(found), _CHUNK):
            part = found.take(np.arange(start, min(start + _CHUNK, len(found))))
            microns = np.round(part.points.astype(np.float64) * facts.mpp, 4)
            columns = [*part.points.T, *microns.T, part.scores, names_of(part)]
            areas = areas_um2(part, facts.mpp)
            arrays = [
                pa.array(np.ascontiguousarray(column), kind)
                for column, kind in zip(columns, types, strict=False)
            ]
            if areas is not None:
                arrays.append(pa.array(areas, mask=np.isnan(areas)))
            writer.write_batch(pa.record_batch(arrays, schema=schema))
    return [path]
