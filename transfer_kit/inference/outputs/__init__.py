"""What is written of a slide's nuclei: `OUTPUTS` by name, a file a format."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from shapely.geometry.base import BaseGeometry

from transfer_kit.data.slides.slide import Slide
from transfer_kit.errors import UserError, nearest_hint
from transfer_kit.inference.found import FoundNuclei, SlideFacts
from transfer_kit.inference.outputs.anndata import write_anndata
from transfer_kit.inference.outputs.coco import write_coco
from transfer_kit.inference.outputs.csv import write_csv
from transfer_kit.inference.outputs.density import write_density
from transfer_kit.inference.outputs.geojson import write_geojson
from transfer_kit.inference.outputs.overlay import write_overlay
from transfer_kit.inference.outputs.parquet import write_parquet
from transfer_kit.inference.outputs.spatialdata import write_spatialdata
from transfer_kit.inference.outputs.summary import KI67, Summary, summarise, write_summary
from transfer_kit.inference.outputs.summary_table import HEADER, table_rows


@dataclass(frozen=True)
class Extras:
    """What some formats take beside nuclei and facts.

    Attributes:
        slide: Open, for the overlay's pixels.
        features_per_file: Of GeoJSON; None is one file.
        regions: Polygons by name, in pixels of level 0, that the summary counts in.
        ki67: Positive and negative class of the labelling index.
        mitosis: The class of mitoses, whose hottest field the summary tells.
    """

    slide: Slide | None = None
    features_per_file: int | None = None
    regions: Mapping[str, BaseGeometry] = field(default_factory=dict)
    ki67: tuple[str, str] = KI67
    mitosis: str | None = None


Write = Callable[[Path, FoundNuclei, SlideFacts, Extras], list[Path]]


@dataclass(frozen=True)
class Output:
    """One format.

    Attributes:
        suffix: Comes after the slide's stem.
        about: One line for `--help`.
        write: Writes it, and returns the paths of what it wrote.
    """

    suffix: str
    about: str
    write: Write


def _overlay(path: Path, found: FoundNuclei, facts: SlideFacts, extras: Extras) -> list[Path]:
    if extras.slide is None:
        raise ValueError("an overlay needs the open slide, but got Extras(slide=None)")
    return write_overlay(path, found, facts, slide=extras.slide)


OUTPUTS: dict[str, Output] = {
    "geojson": Output(
        ".geojson",
        "detections for QuPath, outlines or points, with scores",
        lambda path, found, facts, extras: write_geojson(
            path, found, facts, features_per_file=extras.features_per_file
        ),
    ),
    "parquet": Output(
        ".parquet",
        "GeoParquet for geopandas, DuckDB, QGIS: small and quick",
        lambda path, found, facts, _: write_parquet(path, found, facts),
    ),
    "csv": Output(
        ".csv",
        "a table of x, y in pixels and µm, score, class, area",
        lambda path, found, facts, _: write_csv(path, found, facts),
    ),
    "coco": Output(
        "-coco.json",
        "COCO JSON: keypoints, polygons, scores",
        lambda path, found, facts, _: write_coco(path, found, facts),
    ),
    "anndata": Output(
        ".h5ad",
        "AnnData for scanpy and squidpy; needs the extra [spatial]",
        lambda path, found, facts, _: write_anndata(path, found, facts),
    ),
    "spatialdata": Output(
        "-nuclei.zarr",
        "SpatialData: points and shapes; needs the extra [spatial]",
        lambda path, found, facts, _: write_spatialdata(path, found, facts),
    ),
    "density": Output(
        "-density.ome.tif",
        "nuclei per mm², a band a class, as pyramidal OME-TIFF",
        lambda path, found, facts, _: write_density(path, found, facts),
    ),
    "overlay": Output("-overlay.png", "a picture of the slide with what was found", _overlay),
    "summary": Output(
        "-summary.json",
        "counts and densities with intervals, Ki67, mitoses per 2 mm²",
        lambda path, found, facts, extras: write_summary(
            path,
            found,
            facts,
            regions=extras.regions,
            ki67=extras.ki67,
            mitosis=extras.mitosis,
        ),
    ),
}
"""All formats, by the name that `--write` takes."""


def outputs_named(names: Iterable[str]) -> dict[str, Output]:
    """The formats of these names, each once, in the order given.

    Raises:
        UserError: a name that no format has, with the nearest that one has.
    """
    chosen = {}
    for name in names:
        if name not in OUTPUTS:
            raise UserError(f"There is no output '{name}'. {nearest_hint(name, OUTPUTS)}")
        chosen[name] = OUTPUTS[name]
    return chosen


def write_outputs(
    names: Iterable[str],
    folder: Path,
    stem: str,
    found: FoundNuclei,
    facts: SlideFacts,
    extras: Extras | None = None,
) -> list[Path]:
    """Write each of the formats to `folder`, as the stem and the format's suffix.

    Raises:
        UserError: an unknown name (before anything is written), a package that is not installed,
            or a file that cannot be written.
    """
    written: list[Path] = []
    for output in outputs_named(names).values():
        path = folder / f"{stem}{output.suffix}"
        written += output.write(path, found, facts, extras or Extras())
    return written


__all__ = [
    "HEADER",
    "KI67",
    "OUTPUTS",
    "Extras",
    "Output",
    "Summary",
    "outputs_named",
    "summarise",
    "table_rows",
    "write_anndata",
    "write_coco",
    "write_csv",
    "write_density",
    "write_geojson",
    "write_outputs",
    "write_overlay",
    "write_parquet",
    "write_spatialdata",
    "write_summary",
]
