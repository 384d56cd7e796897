"""What suggestions leave: regions for QuPath, a page to look at, and a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import shapely

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.formats import write_geojson
from transfer_kit.data.sample import Sample
from transfer_kit.data.tiles import Window
from transfer_kit.files import replacing
from transfer_kit.inference.region_sheet import SheetRegion, region_sheet
from transfer_kit.suggesting import ProposedRegion, Suggestion

SHEET, TABLE = "suggestions.png", "suggestions.csv"

_MARKED_BITS = 0.5
"""Places are circled from here on: a chance of 11 to 89 %."""


def write_suggestions(folder: Path, suggestions: Sequence[Suggestion]) -> list[Path]:
    """Write all of them into `folder`, and give back the files: GeoJSON, the page, the table.

    There is one GeoJSON an image, named after it, whose labelled regions are empty of nuclei.
    Tiles of one image share its file.

    Raises:
        UserError: an image is damaged, or a file cannot be written.
    """
    rows = suggestion_rows(suggestions)
    files: dict[Path, list[Window]] = {}
    for row in rows:
        window = Window(row["x"], row["y"], row["width"], row["height"])
        files.setdefault(folder / row["geojson"], []).append(window)
    for path, windows in files.items():
        write_geojson(path, _to_be_labelled(windows))
    sheet = region_sheet(_sheet_regions(suggestions), folder / SHEET)
    with replacing(folder / TABLE) as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False)
    return [*files, sheet, folder / TABLE]


def suggestion_rows(suggestions: Sequence[Suggestion]) -> list[dict[str, Any]]:
    """One row a region, by rank; x, y, width and height are pixels of the whole image's file."""
    rows: list[dict[str, Any]] = []
    for rank, suggestion, region in _by_rank(suggestions):
        sample, window = suggestion.sample, in_whole_image(suggestion.sample, region.window)
        rows.append(
            {
                "rank": rank,
                "image": str(sample.image_path),
                "case": sample.case,
                "x": window.x0,
                "y": window.y0,
                "width": window.width,
                "height": window.height,
                "mpp": sample.mpp,
                "uncertainty": region.uncertainty,
                "distance": region.distance,
                "geojson": f"{_name(sample)}.geojson",
            }
        )
    return rows


def in_whole_image(sample: Sample, window: Window) -> Window:
    """A window of a sample in pixels of its image's file, of which the sample may be a tile."""
    if sample.window is None:
        return window
    return window._replace(x0=window.x0 + sample.window.x0, y0=window.y0 + sample.window.y0)


def _name(sample: Sample) -> str:
    """Of the whole image: a tile's id ends with where it begins."""
    if sample.window is None:
        return sample.id
    return sample.id.removesuffix(f"@{sample.window.x0},{sample.window.y0}")


def _to_be_labelled(windows: Sequence[Window]) -> Annotation:
    boxes = tuple(
        shapely.box(x0 - 0.5, y0 - 0.5, x0 + width - 0.5, y0 + height - 0.5)
        for x0, y0, width, height in windows
    )
    return Annotation(np.zeros((0, 2), np.float32), (), labelled_regions=boxes)


def _sheet_regions(suggestions: Sequence[Suggestion]) -> list[SheetRegion]:
    images = {each.sample.id: each.sample.image() for each in suggestions}
    return [
        SheetRegion(
            lines=(
                f"{rank}   {_fitted(suggestion.sample.id)}",
                f"{_in_um(region.window, suggestion.sample.mpp)}, "
                f"{region.uncertainty:,.0f} in doubt per mm²",
            ),
            image=images[suggestion.sample.id],
            window=region.window,
            marked=suggestion.doubts.points[suggestion.doubts.bits >= _MARKED_BITS],
            mpp=suggestion.sample.mpp,
        )
        for rank, suggestion, region in _by_rank(suggestions)
    ]


def _by_rank(
    suggestions: Sequence[Suggestion],
) -> list[tuple[int, Suggestion, ProposedRegion]]:
    pairs = [(region.rank, each, region) for each in suggestions for region in each.regions]
    return sorted(pairs, key=lambda pair: pair[0])


def _in_um(window: Window, mpp: float) -> str:
    return f"{window.width * mpp:.0f} × {window.height * mpp:.0f} µm"


def _fitted(text: str, most: int = 44) -> str:
    return text if len(text) <= most else f"{text[: most // 2 - 1]}…{text[-most // 2 :]}"
