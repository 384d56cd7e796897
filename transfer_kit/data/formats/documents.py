"""Text, JSON and XML files, with errors that name the file and line."""

from __future__ import annotations

import codecs
import json
import math
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError  # types only; parsing is defusedxml's

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from transfer_kit.errors import UserError

AsMapping = Callable[[list[tuple[str, Any]]], dict[str, Any]]

_PEEK = 8192
_PACKED = ("PK\3\4", "\x1f\x8b")  # zip and gzip


def peek(path: Path, suffixes: tuple[str, ...]) -> str:
    """The first 8 kB of a file with one of `suffixes`; empty where there is nothing to read."""
    if path.suffix.lower() not in suffixes:
        return ""
    try:
        with path.open("rb") as file:
            head = file.read(_PEEK)
    except OSError:
        return ""
    return _decoded(head)


def read_text(path: Path) -> str:
    """The file's text: UTF-8 or UTF-16 by its byte-order mark, else Latin-1.

    Raises:
        UserError: the file is missing or empty.
    """
    return _decoded(_bytes_of(path))


def _bytes_of(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); check the path.") from error
    if not data.strip():
        raise UserError(
            f"{path} is empty; copy it again, or delete it if its image is not annotated."
        )
    return data


def _decoded(data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # A peek may end inside a character, which is not Latin-1's fault.
        encoding = "utf-8-sig" if error.start > len(data) - 4 else "latin-1"
        return data.decode(encoding, errors="replace")


def load_json(path: Path, as_mapping: AsMapping | None = None) -> Any:
    """The parsed file.

    Args:
        as_mapping: Makes a mapping of an object's keys and values, where `dict` is not enough.

    Raises:
        UserError: the file is missing, empty or no JSON, with the line.
    """
    text = read_text(path)
    try:
        return json.loads(text, object_pairs_hook=as_mapping)
    except json.JSONDecodeError as error:
        # A file cut inside a string fails where the string began, not where the text ended.
        cut = error.pos >= len(text.rstrip()) - 1 or error.msg.startswith("Unterminated string")
        because = "is cut short" if cut else f"is no JSON ({error.msg})"
        if text.startswith(_PACKED):
            raise UserError(
                f"{path} is compressed; unpack it, and give the file inside."
            ) from error
        if "\0" in text:
            raise UserError(f"{path} is no text in UTF-8; save it as UTF-8.") from error
        raise UserError(
            f"{path}, line {error.lineno}: the file {because}; export it again."
        ) from error
    except RecursionError as error:
        raise UserError(f"{path} nests too deeply to be annotations; export it again.") from error
    except ValueError as error:  # Python refuses to read integers of thousands of digits
        raise UserError(f"{path} has a number of thousands of digits; export it again.") from error


def load_shared_json(path: Path) -> Any:
    """As `load_json`, remembered while the file does not change: it serves many images.

    What comes back is shared: it must not be altered.

    Raises:
        UserError: the file is missing, empty or no JSON, with the line.
    """
    try:
        stat = path.stat()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); check the path.") from error
    return _remembered_json(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=2)
def _remembered_json(path: Path, modified_ns: int, size: int) -> Any:
    return load_json(path)


def load_xml(path: Path) -> Element:
    """The root element, with entities and document types refused.

    Raises:
        UserError: the file is missing, empty, no XML (with the line), or would expand entities.
    """
    data = _bytes_of(path)
    try:
        root: Element = ElementTree.fromstring(data)
    except ParseError as error:
        line = error.position[0]
        cut = "no element found" in str(error) or "unclosed" in str(error)
        because = "is cut short" if cut else f"is no XML ({str(error).split(':')[0]})"
        raise UserError(f"{path}, line {line}: the file {because}; export it again.") from error
    except (DefusedXmlException, ValueError) as error:
        raise UserError(
            f"{path} declares XML entities, which can be used to attack programs; "
            "remove its DOCTYPE or export it again."
        ) from error
    return root


def number(text: object, where: str) -> float:
    """`text` as a finite number.

    Args:
        text: A number, or a string that holds one.
        where: The file and line or feature, for the error.

    Raises:
        UserError: it is none.
    """
    try:
        value = float(text)  # type: ignore[arg-type]  # anything else raises
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value) or isinstance(text, bool):
        raise UserError(f"{where}: {text!r} is no finite number; correct it in the file.")
    return value
