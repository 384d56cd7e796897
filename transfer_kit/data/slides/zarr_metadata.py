"""What the metadata of Zarr, format 2 or 3, says of an array."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transfer_kit.data.formats.documents import load_json
from transfer_kit.data.slides.tiled import MOST_TILE_PIXELS
from transfer_kit.data.slides.zarr_array import CODECS, Shards, ZarrArray, within
from transfer_kit.errors import UserError

MOST_CHUNK_BYTES = 4 * MOST_TILE_PIXELS

_MOST_METADATA_BYTES = 2**24


def load_metadata(path: Path) -> dict[str, Any]:
    """The JSON object of a metadata file.

    Raises:
        UserError: it is missing, vast, no JSON or no object.
    """
    if path.is_file() and path.stat().st_size > _MOST_METADATA_BYTES:
        raise UserError(f"{path} is too large for metadata; copy the slide again from its source.")
    document = load_json(path)
    if not isinstance(document, dict):
        raise UserError(f"{path} holds no JSON object; copy the slide again from its source.")
    return document


def open_array(folder: Path, inside: Path) -> ZarrArray:
    """The array in `folder`.

    Raises:
        UserError: its metadata is missing or damaged, asks for more than is known here, or its
            samples are no uint8.
    """
    new = folder / "zarr.json"
    metadata = within(inside, new if new.exists() else folder / ".zarray")
    document = load_metadata(metadata)
    try:
        array = (
            _of_format_3(document, folder, inside)
            if new.exists()
            else _of_format_2(document, folder, inside)
        )
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise UserError(
            f"{metadata} cannot be understood ({error}); export the slide again as OME-NGFF with "
            f"uint8 samples and chunks packed by one of {', '.join(CODECS)}."
        ) from error
    return array


def _of_format_2(document: Mapping[str, Any], folder: Path, inside: Path) -> ZarrArray:
    if document["dtype"] not in ("|u1", "u1", "<u1", ">u1"):
        raise ValueError(f"its samples are {document['dtype']!r}, not uint8")
    if document.get("filters"):
        raise ValueError("it has filters")
    packer = document.get("compressor")
    return ZarrArray(
        folder=folder,
        inside=inside,
        shape=_sides(document["shape"]),
        chunks=_chunk_sides(document["chunks"]),
        fill=_fill(document.get("fill_value")),
        codecs=() if packer is None else (_known(packer["id"]),),
        fortran=document.get("order", "C") == "F",
        prefix=(),
        separator=_separator(document.get("dimension_separator", ".")),
    )


def _of_format_3(document: Mapping[str, Any], folder: Path, inside: Path) -> ZarrArray:
    if document.get("node_type") != "array":
        raise ValueError("it is no array")
    if document["data_type"] != "uint8":
        raise ValueError(f"its samples are {document['data_type']!r}, not uint8")
    if document["chunk_grid"]["name"] != "regular":
        raise ValueError("its chunks are not regular")
    chunks = _sides(document["chunk_grid"]["configuration"]["chunk_shape"])
    codecs, shards = document["codecs"], None
    if codecs[0]["name"] == "sharding_indexed":
        if len(codecs) > 1:
            raise ValueError("its shards are packed as a whole")
        inner = codecs[0]["configuration"]
        shards = _shards(chunks, inner)
        chunks, codecs = _sides(inner["chunk_shape"]), inner["codecs"]
        if any(whole % part for whole, part in zip(shards.shape, chunks, strict=True)):
            raise ValueError("its shards hold no whole number of chunks")
    key = document.get("chunk_key_encoding", {"name": "default"})
    default = key["name"] == "default"
    separator = key.get("configuration", {}).get("separator", "/" if default else ".")
    return ZarrArray(
        folder=folder,
        inside=inside,
        shape=_sides(document["shape"]),
        chunks=_chunk_sides(chunks),
        fill=_fill(document.get("fill_value")),
        codecs=_packers(codecs),
        fortran=False,
        prefix=("c",) if default else (),
        separator=_separator(separator),
        shards=shards,
    )


def _shards(shape: tuple[int, ...], configuration: Mapping[str, Any]) -> Shards:
    names = [codec["name"] for codec in configuration["index_codecs"]]
    if names not in (["bytes"], ["bytes", "crc32c"]):
        raise ValueError(f"the index of its shards is packed by {names}")
    first = configuration.get("index_location", "end") == "start"
    return Shards(shape, index_first=first, index_has_checksum="crc32c" in names)


def _packers(codecs: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    names = [codec["name"] for codec in codecs]
    if names[:1] != ["bytes"]:
        raise ValueError(f"its samples are turned into bytes by {names[0]!r}")
    return tuple("crc32c" if name == "crc32c" else _known(name) for name in names[1:])


def _known(codec: object) -> str:
    if codec not in CODECS:
        raise ValueError(f"its chunks are packed by {codec!r}")
    return str(codec)


def _separator(separator: object) -> str:
    if separator not in (".", "/"):
        raise ValueError(f"its chunks are named with {separator!r}")
    return str(separator)


def _fill(value: object) -> int | None:
    return min(max(int(value), 0), 255) if isinstance(value, int) else None


def _sides(values: Sequence[Any]) -> tuple[int, ...]:
    if not all(isinstance(value, int) and value > 0 for value in values):
        raise ValueError(f"{values} are no sides of an array")
    return tuple(int(value) for value in values)


def _chunk_sides(values: Sequence[Any]) -> tuple[int, ...]:
    sides = _sides(values)
    if math.prod(sides) > MOST_CHUNK_BYTES:
        raise ValueError(f"its chunks of {' × '.join(map(str, sides))} are too large for windows")
    return sides
