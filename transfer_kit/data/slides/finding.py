"""Which slides a command line means: files, folders, and patterns that the shell left alone."""

from __future__ import annotations

import configparser
from collections.abc import Iterable, Sequence
from glob import has_magic
from pathlib import Path

from transfer_kit.data.formats import list_images
from transfer_kit.data.images import IMAGE_SUFFIXES
from transfer_kit.data.slides.dicom import dicom_series
from transfer_kit.data.slides.ngff import is_zarr
from transfer_kit.errors import UserError

SLIDE_SUFFIXES = frozenset(
    {".svs", ".ndpi", ".mrxs", ".scn", ".bif", ".vms", ".vmu", ".svslide", ".czi"}
)
"""Of files that are slides alone, beside those of images, which may be slides, too."""

_OME = ".ome"  # before .tiff and .zarr


def find_slides(paths: Iterable[str | Path]) -> list[Path]:
    """The slides and images that paths name, each once, in their order.

    A folder stands for the slides and images directly in it, sorted, unless it is itself a slide: a
    Zarr, or the DICOM files of one series. Masks and labels that lie beside their images, the
    companion folders of MRXS and the parts of VMS are left out.

    Raises:
        UserError: there is nothing at a path, or two slides would write the same files.
    """
    found = [slide for path in paths for slide in _slides_at(path)]
    unique = list({path.resolve(): path for path in reversed(found)}.values())[::-1]
    by_name: dict[str, Path] = {}
    for path in unique:
        first = by_name.setdefault(slide_name(path), path)
        if first is not path:
            raise UserError(
                f"{first} and {path} are both called {slide_name(path)} and would write the same "
                "files; give them apart, each with its own output folder."
            )
    return unique


def slide_name(path: Path) -> str:
    """The slide's name without what tells its format: "a" of a.svs, a.ome.tiff and a.ome.zarr."""
    stem = path.stem
    return stem[: -len(_OME)] if stem.lower().endswith(_OME) else stem


def _slides_at(named: str | Path) -> list[Path]:
    path = Path(named)
    if path.is_dir():
        inside = [path] if is_slide_folder(path) else _slides_among(list(path.iterdir()))
        if not inside:
            raise UserError(
                f"{path} holds no slide or image ({', '.join(sorted(_suffixes()))}, a Zarr or "
                "DICOM folder); check the folder."
            )
        return inside
    if path.exists():
        return [path]
    if not has_magic(str(named)):
        raise UserError(f"{path} does not exist; check the path.")
    anchor = Path(path.anchor)
    matching = _slides_among(list(anchor.glob(str(path.relative_to(anchor)))))
    if not matching:
        raise UserError(f"No slide or image is named like {named}; check the pattern.")
    return matching


def is_slide_folder(folder: Path) -> bool:
    """Whether a folder is a slide itself: a Zarr, or DICOM of one series and no other slide."""
    if is_zarr(folder):
        return True
    files = [path for path in folder.iterdir() if path.is_file()]
    if any(path.suffix.lower() in _suffixes() for path in files):
        return False
    return len(dicom_series(files)) == 1


def _slides_among(paths: Sequence[Path]) -> list[Path]:
    """Slides among files and folders, sorted."""
    paths = [path for path in paths if not path.name.startswith(".")]
    files = [path for path in paths if path.is_file()]
    slides = [path for path in files if path.suffix.lower() in SLIDE_SUFFIXES]
    images = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
    parts = {part for path in slides if path.suffix.lower() == ".vms" for part in _parts_of(path)}
    kept = {image for folder in {p.parent for p in images} for image in list_images(folder)}
    found = [
        *slides,
        *(image for image in images if image in kept and image not in parts),
        *dicom_series(files),
        *(path for path in paths if path.is_dir() and is_slide_folder(path)),
    ]
    return sorted(found)


def _suffixes() -> frozenset[str]:
    return SLIDE_SUFFIXES | IMAGE_SUFFIXES


def _parts_of(vms: Path) -> set[Path]:
    """The images that a Hamamatsu VMS file names beside itself."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    try:
        parser.read_string(vms.read_text(encoding="latin-1"))
    except (OSError, configparser.Error):
        return set()  # opening it tells
    return {vms.parent / value for section in parser.values() for value in section.values()}
