"""Which files of a folder are a DICOM slide: all that share a series."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

DICOM_SUFFIXES = ("", ".dcm", ".dicom")

_MARK_AT, _MARK = 128, b"DICM"
_SERIES = b"\x20\x00\x0e\x00UI"  # the tag and type of Series Instance UID
_HEADER_BYTES = 2**16


def is_dicom(head: bytes) -> bool:
    """Whether a file that begins with `head` is DICOM."""
    return head[_MARK_AT : _MARK_AT + len(_MARK)] == _MARK


def dicom_series(files: Iterable[Path]) -> list[Path]:
    """The largest file of each series among `files`, sorted: OpenSlide finds the rest beside it."""
    by_series: defaultdict[bytes, list[Path]] = defaultdict(list)
    for file in files:
        series = _series_of(file)
        if series is not None:
            by_series[series].append(file)
    return sorted(
        max(sorted(members), key=lambda file: file.stat().st_size) for members in by_series.values()
    )


def _series_of(file: Path) -> bytes | None:
    """What tells a file's series, None if it is no DICOM file or cannot be read."""
    if file.suffix.lower() not in DICOM_SUFFIXES:
        return None
    try:
        with file.open("rb") as opened:
            head = opened.read(_MARK_AT + len(_MARK))
            if not is_dicom(head):
                return None
            head += opened.read(_HEADER_BYTES)
    except OSError:
        return None
    at = head.find(_SERIES)
    if at < 0:
        return b"without series: " + str(file).encode()
    start = at + len(_SERIES) + 2
    length = int.from_bytes(head[start - 2 : start], "little")
    return head[start : start + length].strip(b"\0 ")
