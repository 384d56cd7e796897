"""Chunks of a Zarr array of bytes, sharded or not, read without running foreign code.

Zarr leaves it to the metadata which codec decodes a chunk, pickle among them, and how much it
unpacks. Here a few codecs are known, each unpacks into a buffer of the chunk's own size, and every
file must lie in the slide's folder.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from transfer_kit.errors import UserError

CODECS = ("blosc", "gzip", "lz4", "zlib", "zstd")
"""What may pack a chunk; also a checksum, "crc32c", which is not looked at."""

_LOOSE = 2**16  # what a chunk that does not compress may be larger than its content
_CHECKSUM_BYTES = 4
_NO_CHUNK = 2**64 - 1  # offset and length in a shard's index


@dataclass(frozen=True)
class Shards:
    """How a file of format 3 holds many chunks, and the index that finds them."""

    shape: tuple[int, ...]
    index_first: bool
    index_has_checksum: bool


@dataclass(frozen=True)
class ZarrArray:
    """An array of uint8 in a folder.

    Attributes:
        folder: Holds the chunks.
        inside: Folder that every chunk must lie in, links followed.
        shape: Of the array.
        chunks: Shape of a chunk; those at the end may reach beyond the array.
        fill: Value of chunks that are not there, None if it is left open.
        codecs: Names of what packs a chunk, the last applied first when reading.
        fortran: Whether the first axis varies fastest.
        prefix: First parts of a chunk's key.
        separator: Between the numbers of a chunk's key.
        shards: None where a file is a chunk.
    """

    folder: Path
    inside: Path
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    fill: int | None
    codecs: tuple[str, ...]
    fortran: bool
    prefix: tuple[str, ...]
    separator: str
    shards: Shards | None = None

    def chunk(self, index: Sequence[int]) -> NDArray[np.uint8] | None:
        """A chunk by its number along each axis; None where no file holds it.

        Raises:
            UserError: its file lies outside the slide's folder.
            Exception: it is damaged.
        """
        data = self._packed(tuple(index))
        if data is None:
            return None
        size = math.prod(self.chunks)
        for codec in reversed(self.codecs):
            data = _unpacked(codec, data, size)
        if len(data) != size:
            raise ValueError(f"a chunk of {size} bytes decodes to {len(data)}")
        flat = np.frombuffer(data, np.uint8)
        return flat.reshape(self.chunks, order="F" if self.fortran else "C")

    def _packed(self, index: tuple[int, ...]) -> bytes | None:
        most = math.prod(self.chunks) + _LOOSE
        if self.shards is None:
            file = self._file(index)
            return _part(file, 0, None, most) if file.exists() else None
        per_shard = tuple(s // c for s, c in zip(self.shards.shape, self.chunks, strict=True))
        file = self._file(tuple(i // n for i, n in zip(index, per_shard, strict=True)))
        if not file.exists():
            return None
        inner = tuple(i % n for i, n in zip(index, per_shard, strict=True))
        number = int(np.ravel_multi_index(inner, per_shard))
        offset, length = self._entry(file, number, math.prod(per_shard))
        if offset == length == _NO_CHUNK:
            return None
        return _part(file, offset, length, most)

    def _entry(self, file: Path, number: int, count: int) -> tuple[int, int]:
        """Offset and length of a chunk in its shard."""
        if self.shards is None:
            raise ValueError("the array has no shards")
        start = 16 * number
        if not self.shards.index_first:
            checksum = _CHECKSUM_BYTES if self.shards.index_has_checksum else 0
            start += file.stat().st_size - 16 * count - checksum
        if start < 0:
            raise ValueError("a shard is shorter than its index")
        entry = _part(file, start, 16, 16)
        return int.from_bytes(entry[:8], "little"), int.from_bytes(entry[8:], "little")

    def _file(self, index: tuple[int, ...]) -> Path:
        numbers = self.separator.join((*self.prefix, *(str(i) for i in index)))
        return within(self.inside, self.folder / numbers)


def within(inside: Path, path: Path) -> Path:
    """`path` with its links followed.

    Raises:
        UserError: it lies outside the folder `inside`.
    """
    resolved = path.resolve()
    if not resolved.is_relative_to(inside.resolve()):
        raise UserError(
            f"{inside} refers to {path}, which lies outside of it; a slide must hold all its files."
        )
    return resolved


def _part(file: Path, offset: int, length: int | None, most: int) -> bytes:
    """Bytes of a file, all of them without `length`, unless they are more than `most`."""
    size = file.stat().st_size
    length = size - offset if length is None else length
    if length > most:
        raise ValueError(f"a chunk takes {length} bytes in its file, more than it holds")
    if offset + length > size:
        raise ValueError("a file ends before its chunk does")
    with file.open("rb") as opened:
        opened.seek(offset)
        return opened.read(length)


def _unpacked(codec: str, data: bytes, size: int) -> bytes:
    """Unpack one codec into at most `size` bytes, or `size` and what packs them further."""
    if codec == "crc32c":
        return data[:-_CHECKSUM_BYTES]
    most = size + _LOOSE
    if codec in ("gzip", "zlib"):
        return zlib.decompressobj(wbits=zlib.MAX_WBITS | 32).decompress(data, most)
    if codec == "blosc":
        return bytes(imagecodecs.blosc_decode(data, out=most))
    if codec == "lz4":
        return bytes(imagecodecs.lz4_decode(data, header=True, out=most))
    return bytes(imagecodecs.zstd_decode(data, out=most))
