"""OME-NGFF (OME-Zarr) and plain Zarr arrays in a folder; of several times or planes the first.

The chunks are read by `zarr_array` rather than by the zarr package, which takes any codec that the
metadata names, needs Python 3.11, and is ten times slower to open.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from transfer_kit.data.slides.opened import said_by
from transfer_kit.data.slides.pyramid import downsample_of
from transfer_kit.data.slides.scale import stated_mpp
from transfer_kit.data.slides.slide import Level, Pixels
from transfer_kit.data.slides.tiled import TiledSlide, TileGrid
from transfer_kit.data.slides.zarr_array import ZarrArray, within
from transfer_kit.data.slides.zarr_metadata import load_metadata, open_array
from transfer_kit.errors import UserError

_METADATA = ("zarr.json", ".zattrs", ".zgroup", ".zarray")
_AXES = ("t", "c", "z", "y", "x")  # before version 0.4 they were not stated
_SCALES = "coordinateTransformations"
_RED_GREEN_BLUE = ["FF0000", "00FF00", "0000FF"]


def is_zarr(folder: Path) -> bool:
    """Whether a folder is named or filled like a Zarr."""
    return folder.suffix.lower() == ".zarr" or any((folder / name).is_file() for name in _METADATA)


@dataclass(frozen=True)
class _Picture:
    """What an image's metadata says of it.

    Attributes:
        axes: Names, in the order of the arrays' axes.
        arrays: Folders, from the finest to the coarsest.
        mpp: µm per pixel of the finest.
    """

    axes: tuple[str, ...]
    arrays: tuple[Path, ...]
    mpp: float | None


class NgffSlide(TiledSlide):
    """A multiscale image of three channels, red, green and blue."""

    def __init__(self, path: Path) -> None:
        """Read the metadata.

        Raises:
            UserError: it is missing, damaged, of another kind or refers to other folders.
        """
        picture = _picture_in(path)
        self._axes = picture.axes
        arrays = [open_array(folder, path) for folder in picture.arrays]
        for array, folder in zip(arrays, picture.arrays, strict=True):
            self._check_axes(array, folder)
        finest = self._height_and_width(arrays[0].shape)
        found = {1.0: arrays[0]}
        for array in arrays[1:]:
            downsample = downsample_of(self._height_and_width(array.shape), finest)
            if downsample is not None:
                found.setdefault(downsample, array)
        levels = sorted(found.items(), key=lambda level: level[0])
        self._arrays = [array for _, array in levels]
        super().__init__(
            path,
            tuple(Level(self._height_and_width(array.shape), by) for by, array in levels),
            picture.mpp,
            grids=tuple(TileGrid(*self._height_and_width(array.chunks)) for array in self._arrays),
        )

    def _check_axes(self, array: ZarrArray, folder: Path) -> None:
        if len(array.shape) != len(self._axes) or len(array.chunks) != len(self._axes):
            raise UserError(
                f"{folder} has {len(array.shape)} axes, not {', '.join(self._axes)}; "
                "export the slide again."
            )
        channels = array.shape[self._axes.index("c")]
        if channels != 3:
            raise UserError(
                f"{folder} has {channels} channels, not red, green and blue; only slides of "
                "stained tissue in RGB can be read."
            )

    def _height_and_width(self, sides: Sequence[int]) -> tuple[int, int]:
        return sides[self._axes.index("y")], sides[self._axes.index("x")]

    def _tile(self, number: int, row: int, column: int) -> Pixels | None:
        array = self._arrays[number]
        deep = array.chunks[self._axes.index("c")]
        parts = [self._part(array, row, column, chunk) for chunk in range(-(-3 // deep))]
        if all(part is None for part in parts):
            return None if array.fill is None else self._filled(array, deep=3)
        solid = [self._filled(array, deep) if part is None else part for part in parts]
        return np.ascontiguousarray(np.concatenate(solid, axis=-1)[..., :3])

    def _part(self, array: ZarrArray, row: int, column: int, channel: int) -> Pixels | None:
        """The first plane of a chunk, `(height, width, its channels)`."""
        places = {"y": row, "x": column, "c": channel}
        chunk = array.chunk([places.get(axis, 0) for axis in self._axes])
        if chunk is None:
            return None
        plane = chunk[tuple(slice(None) if axis in "yxc" else 0 for axis in self._axes)]
        kept = [axis for axis in self._axes if axis in "yxc"]
        return plane.transpose([kept.index(axis) for axis in "yxc"])

    def _filled(self, array: ZarrArray, deep: int) -> Pixels:
        height, width = self._height_and_width(array.chunks)
        return np.full((height, width, deep), 255 if array.fill is None else array.fill, np.uint8)


def _picture_in(path: Path) -> _Picture:
    try:
        return _picture_of(path, path)
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise UserError(
            f"The metadata of {path} cannot be understood ({said_by(error)}); export the slide "
            "again as OME-NGFF 0.4 or 0.5."
        ) from error


def _picture_of(folder: Path, inside: Path) -> _Picture:
    if _is_array(folder):
        return _picture_of_array(folder, inside)
    attributes = _attributes(folder, inside)
    if "plate" in attributes or "well" in attributes:
        raise UserError(f"{folder} is a plate of many images; give one of its image folders.")
    if "multiscales" not in attributes:
        first = folder / "0"  # bioformats2raw numbers the images of a file
        if folder == inside and first.is_dir() and not _is_array(first):
            return _picture_of(first, inside)
        raise UserError(
            f"{folder} is a Zarr without an image (multiscales); export it as OME-NGFF."
        )
    _refuse_fluorescence(attributes, folder)
    return _picture_of_multiscale(attributes["multiscales"][0], folder, inside)


def _is_array(folder: Path) -> bool:
    if (folder / ".zarray").is_file():
        return True
    new = folder / "zarr.json"
    return new.is_file() and load_metadata(new).get("node_type") == "array"


def _picture_of_array(folder: Path, inside: Path) -> _Picture:
    shape = open_array(folder, inside).shape
    if len(shape) != 3:
        raise UserError(f"{folder} has {len(shape)} axes, not height, width and 3 channels.")
    axes = ("y", "x", "c") if shape[-1] == 3 else ("c", "y", "x")
    return _Picture(axes, (folder,), None)


def _attributes(folder: Path, inside: Path) -> Mapping[str, Any]:
    """The group's own attributes, of format 3 or 2."""
    new, old = folder / "zarr.json", folder / ".zattrs"
    if not new.is_file() and not old.is_file():
        raise UserError(
            f"{folder} holds neither zarr.json nor .zattrs, so it is no OME-NGFF slide; "
            "copy it again with all its files."
        )
    if not new.is_file():
        return load_metadata(within(inside, old))
    stated = load_metadata(within(inside, new)).get("attributes", {})
    attributes: Mapping[str, Any] = stated.get("ome", stated)
    return attributes


def _picture_of_multiscale(stated: Mapping[str, Any], folder: Path, inside: Path) -> _Picture:
    axes = [axis if isinstance(axis, str) else axis["name"] for axis in stated.get("axes", _AXES)]
    if len(set(axes)) != len(axes) or not {"c", "y", "x"} <= set(axes) <= set(_AXES):
        raise UserError(f"{folder} has the axes {', '.join(axes)}, not t, c, z, y and x.")
    datasets = stated["datasets"]
    arrays = tuple(within(inside, folder / dataset["path"]) for dataset in datasets)
    return _Picture(tuple(axes), arrays, _mpp(stated, axes))


def _mpp(stated: Mapping[str, Any], axes: Sequence[str]) -> float | None:
    """Of the finest array: its own scale times that of the whole image."""
    units = {axis["name"]: axis.get("unit") for axis in stated.get("axes", ()) if axis not in _AXES}
    unit = units.get("x")
    if unit is None or units.get("y") != unit:
        return None
    scales = [
        [float(side) for side in step["scale"]]
        for holder in (stated["datasets"][0], stated)
        for step in holder.get(_SCALES, ())
        if step["type"] == "scale"
    ]
    x, y = (math.prod(scale[axes.index(axis)] for scale in scales) for axis in "xy")
    return stated_mpp(x, y, unit=unit) if scales else None


def _refuse_fluorescence(attributes: Mapping[str, Any], folder: Path) -> None:
    channels = attributes.get("omero", {}).get("channels", ())
    colours = [str(channel.get("color", "")).upper().lstrip("#") for channel in channels]
    if all(colours) and len(colours) == 3 and colours != _RED_GREEN_BLUE:
        raise UserError(
            f"{folder} has channels of the colours {', '.join(colours)}: fluorescence, not RGB; "
            "only slides of stained tissue in RGB can be read."
        )
