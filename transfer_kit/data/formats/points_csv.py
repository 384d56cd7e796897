"""Points as text: CSV, TSV, semicolons or blanks, with a header or without."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.formats.base import ImageInfo, name_for
from transfer_kit.data.formats.documents import number, peek, read_text
from transfer_kit.errors import UserError
from transfer_kit.files import replacing

_SUFFIXES = (".csv", ".tsv", ".txt")
_FROM_ONE = "_manualcoord"
_AXES = {  # headers without blanks, case and signs
    "x": "y",
    "xpx": "ypx",
    "centroidx": "centroidy",
    "centroidxpx": "centroidypx",
    "centrex": "centrey",
    "centerx": "centery",
    "xcoord": "ycoord",
    "xcoordinate": "ycoordinate",
    "posx": "posy",
}
_CLASS = ("class", "classification", "label", "type", "classname", "category", "celltype", "group")
_IMAGE = ("image", "imagename", "filename", "file", "imagefile")
_MICRONS = ("µm", "um", "micron", "microns", "μm", "\ufffdm")


class _Columns(NamedTuple):
    x: int
    y: int
    class_name: int | None
    image: int | None


class _Table(NamedTuple):
    columns: _Columns
    rows: list[tuple[int, list[str]]]  # line of the file, cells
    decimal_comma: bool


@dataclass(frozen=True)
class PointsCsv:
    """One nucleus a line: `x, y` in pixels from 0, and a class where there is one.

    Columns go by their header in any usual spelling (x, X, "Centroid X px", ...), else by place:
    x, y, class (as in NuCLS). An image column, as QuPath's export of a project has, picks the
    image's own lines. Files named `*_manualcoord` (cone photoreceptors, from MATLAB) count from 1.
    Whole-number classes are named by a `label_map.yaml` in the file's folder or one of the two
    above it.
    """

    name: str = "csv"
    description: str = "points as text: x, y and class, by comma, tab, semicolon or blanks"

    def recognises(self, path: Path) -> bool:
        """Two numbers at the start of some line, or a header with x and y."""
        lines = [line for line in peek(path, _SUFFIXES).splitlines() if line.strip()]
        if not lines:
            return path.suffix.lower() in (".csv", ".tsv") and path.is_file()
        cells = _cells(lines[0], _delimiter(lines))
        if _columns_named(cells) is not None or _microns_named(cells):
            return True
        second = _cells(lines[1], _delimiter(lines)) if len(lines) > 1 else cells
        return all(len(row) > 1 and all(map(_is_number, row[:2])) for row in (cells, second))

    def images_of(self, path: Path) -> frozenset[str]:
        """What the image column holds; empty without one."""
        first = peek(path, _SUFFIXES).splitlines()[:1]
        columns = _columns_named(_cells(first[0], _delimiter(first))) if first else None
        if columns is None or columns.image is None:
            return frozenset()
        at = columns.image
        return frozenset(cells[at] for _, cells in _table(path).rows if at < len(cells))

    def read(self, paths: tuple[Path, ...], image: ImageInfo) -> Annotation:
        """Points of one file.

        Raises:
            UserError: no such columns, µm instead of pixels, a missing or unsound number; with the
                file's line.
        """
        (path,) = paths
        table = _table(path)
        shift = 1.0 if path.stem.endswith(_FROM_ONE) else 0.0
        wanted = _name_in(table, path, image)
        points: list[tuple[float, float]] = []
        classes: list[str] = []
        for line, cells in table.rows:
            if wanted is not None and cells[table.columns.image or 0] != wanted:
                continue
            x, y = (
                _coordinate(cells, column, f"{path}, line {line}", table.decimal_comma)
                for column in (table.columns.x, table.columns.y)
            )
            points.append((x - shift, y - shift))
            at = table.columns.class_name
            classes.append(cells[at].strip() if at is not None and at < len(cells) else "")
        return Annotation(
            np.array(points, np.float32).reshape(-1, 2), _named(classes, path), properties=()
        )


def _delimiter(lines: Sequence[str]) -> str:
    """Of tab, semicolon and comma the first that the first line has, else blanks."""
    return next((mark for mark in "\t;," if mark in lines[0]), " ")


def _cells(line: str, delimiter: str) -> list[str]:
    if delimiter == " ":
        return line.split()
    return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]


def _plain(name: str) -> str:
    return re.sub(r"[^0-9a-zµμ\ufffd]", "", name.casefold())


def _microns_named(header: Sequence[str]) -> bool:
    names = [_plain(cell) for cell in header]
    return any(x + unit in names for x in _AXES for unit in _MICRONS)


def _columns_named(header: Sequence[str]) -> _Columns | None:
    """Where the header puts x, y, class and image; None if it names no x and y."""
    names = [_plain(cell) for cell in header]
    for x, y in _AXES.items():
        if x in names and y in names:
            class_name, image = _first(names, _CLASS), _first(names, _IMAGE)
            return _Columns(names.index(x), names.index(y), class_name, image)
    return None


def _first(names: Sequence[str], known: Sequence[str]) -> int | None:
    return next((names.index(word) for word in known if word in names), None)


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace(",", "."))
    except ValueError:
        return False
    return True


def _table(path: Path) -> _Table:
    text = read_text(path)
    delimiter = _delimiter([line for line in text.splitlines() if line.strip()])
    if delimiter == " ":
        rows = [(at, line.split()) for at, line in enumerate(text.splitlines(), start=1)]
    else:
        rows = _rows(path, text, delimiter)
    filled = [(at, cells) for at, cells in rows if any(cells)]
    return _Table(*_header_and_rows(path, filled), decimal_comma=delimiter == ";")


def _rows(path: Path, text: str, delimiter: str) -> list[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        return [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except csv.Error as error:
        raise UserError(
            f"{path}, line {reader.line_num}: no CSV ({error}); export it again."
        ) from error


def _header_and_rows(
    path: Path, rows: list[tuple[int, list[str]]]
) -> tuple[_Columns, list[tuple[int, list[str]]]]:
    first = rows[0][1]
    columns = _columns_named(first)
    if columns is not None:
        return columns, rows[1:]
    if _microns_named(first):
        raise UserError(
            f"{path}, line {rows[0][0]}: the coordinates are in µm; export them in pixels "
            "(in QuPath: as GeoJSON, or without a pixel size), for only those are exact."
        )
    if not _is_number(first[0]):
        raise UserError(
            f"{path}, line {rows[0][0]}: no columns x and y in the header {', '.join(first)!r}; "
            "name them x and y."
        )
    return _Columns(0, 1, 2 if len(first) > 2 else None, None), rows


def _coordinate(cells: Sequence[str], at: int, where: str, decimal_comma: bool) -> float:
    if at >= len(cells):
        raise UserError(f"{where}: the line is cut short, it lacks x or y; complete or delete it.")
    return number(cells[at].replace(",", ".") if decimal_comma else cells[at], where)


def _name_in(table: _Table, path: Path, image: ImageInfo) -> str | None:
    """How the image column writes the image's name; None without such a column."""
    at = table.columns.image
    if at is None:
        return None
    for line, cells in table.rows:
        if at >= len(cells):
            raise UserError(f"{path}, line {line}: the image is missing; complete or delete it.")
    names = {cells[at] for _, cells in table.rows}
    wanted = name_for(image.path, names)
    if wanted is None and names:
        raise UserError(
            f"{path} has no line for {image.name}; check the names in its image column."
        )
    return wanted or ""


def _named(classes: list[str], path: Path) -> tuple[str, ...]:
    """Whole-number classes by the names of a `label_map.yaml` near the file, if it has them all."""
    if not classes or not all(name.isdigit() for name in classes):
        return tuple(classes)
    folders = [path.parent, *path.parent.parents][:3]
    found = next(
        (f for f in (folder / "label_map.yaml" for folder in folders) if f.is_file()), None
    )
    if found is None:
        return tuple(classes)
    try:
        names = yaml.safe_load(read_text(found))
    except yaml.YAMLError as error:
        raise UserError(f"{found} is no YAML; write lines such as '0: tumour'.") from error
    if not isinstance(names, dict):
        raise UserError(f"{found} maps no numbers to names; write lines such as '0: tumour'.")
    known = {str(key): str(value) for key, value in names.items()}
    missing = sorted(set(classes) - set(known))
    if missing:
        raise UserError(f"{found} has no name for class {missing[0]} of {path}; add it.")
    return tuple(known[name] for name in classes)


def write_csv(path: str | Path, annotation: Annotation) -> None:
    """Write `x,y,class` with a header; float32 coordinates come back exactly.

    Raises:
        UserError: the file cannot be written.
    """
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("x", "y", "class"))
        for point, name in zip(annotation.points, annotation.classes, strict=True):
            writer.writerow((str(point[0]), str(point[1]), name))
