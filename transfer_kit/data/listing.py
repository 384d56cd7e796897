"""From a card and a folder to Samples: images, cases, scales and annotation files."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from transfer_kit.data.card import Crosswalk, DatasetCard
from transfer_kit.data.formats import find_annotations, list_images
from transfer_kit.data.images import IMAGE_SUFFIXES
from transfer_kit.data.sample import Sample
from transfer_kit.data.tiles import windows_of
from transfer_kit.errors import UserError


def list_samples(card: DatasetCard, root: Path) -> tuple[Sample, ...]:
    """All samples of a card whose images lie in `root`, sorted by id.

    Raises:
        UserError: there is no image, an image has no mpp or no row in the crosswalk.
    """
    images = _images(card, root)
    paths = {image: image.relative_to(root).as_posix() for image in images}
    rows = _crosswalk_rows(card.crosswalk, root, paths) if card.crosswalk else {}
    if card.crosswalk:
        images = [image for image in images if image in rows]
        if not images:
            raise UserError(
                f"No image in {root} has a row with {card.crosswalk.keep} in its crosswalk;"
                " check the crosswalk of the card."
            )
    sources = find_annotations(root, images, pattern=card.annotations, format=card.format)
    if card.only_annotated:
        images = [image for image in images if sources.get(image) is not None]
        if not images:
            raise UserError(
                f"No image in {root} has an annotation ({card.annotations or 'found by name'}); "
                "check 'annotations' in the card."
            )
    ids = _ids([paths[image] for image in images], _fixed_part(card.images, root))
    samples = [
        Sample(
            id=name,
            case=_case(card, paths[image], name, rows.get(image, "")),
            image_path=image,
            mpp=_scale(card, paths[image]),
            source=sources.get(image),
            labelled_region_class=card.labelled_region_class,
            positives_only=card.positives_only,
        )
        for image, name in zip(images, ids, strict=True)
    ]
    if card.tile_px is not None:
        samples = [tile for sample in samples for tile in _tiles(sample, card.tile_px)]
    return tuple(sorted(samples, key=lambda sample: sample.id))


def _tiles(sample: Sample, tile_px: int) -> list[Sample]:
    windows = windows_of(sample.size, tile_px)
    return [
        replace(sample, id=f"{sample.id}@{window.x0},{window.y0}", window=window)
        for window in windows
    ]


def _images(card: DatasetCard, root: Path) -> list[Path]:
    if not root.is_dir():
        raise UserError(f"The images of {card.name} should be in {root}, which is no folder.")
    if card.images is None:
        images = sorted(list_images(root))
    else:
        found = root.glob(card.images)
        images = sorted(path for path in found if path.suffix.lower() in IMAGE_SUFFIXES)
    if not images:
        raise UserError(
            f"{root} has no image{f' like {card.images}' if card.images else ''}; "
            "check the folder, or 'images' in dataset.yaml."
        )
    return images


def _fixed_part(pattern: str | None, root: Path) -> str:
    """The folder that the ids leave out: of a glob, what precedes its first wildcard."""
    if pattern is None:
        return "images/" if (root / "images").is_dir() else ""
    fixed: list[str] = []
    for part in PurePosixPath(pattern).parts[:-1]:
        if any(sign in part for sign in "*?["):
            break
        fixed.append(part)
    return "".join(f"{part}/" for part in fixed)


def _ids(paths: Sequence[str], prefix: str) -> list[str]:
    """Paths without prefix and suffix; the suffix stays where two files differ in it alone."""
    whole = [path.removeprefix(prefix) for path in paths]
    stems = [str(PurePosixPath(path).with_suffix("")) for path in whole]
    return [
        stem if stems.count(stem) == 1 else path for stem, path in zip(stems, whole, strict=True)
    ]


def _case(card: DatasetCard, path: str, name: str, row: str) -> str:
    if card.case_pattern is None:
        return name
    match = re.search(card.case_pattern, path) or re.search(card.case_pattern, row)
    if match is None or not match[1]:
        raise UserError(
            f"{path} has no case: {card.case_pattern!r} matches nothing in it; "
            f"mend case_pattern of {card.name}."
        )
    return match[1]


def _scale(card: DatasetCard, path: str) -> float:
    mpp = card.scale_of(path)
    if mpp is None:
        raise UserError(
            f"{path} of {card.name} has no µm per pixel; add 'mpp:' or a line in 'mpp_by_image:'."
        )
    return mpp


def _crosswalk_rows(crosswalk: Crosswalk, root: Path, paths: Mapping[Path, str]) -> dict[Path, str]:
    """The row, as text, of each image that the crosswalk keeps."""
    tables = [path for pattern in crosswalk.files for path in sorted(root.glob(pattern))]
    if not tables:
        raise UserError(
            f"{root} has no crosswalk {crosswalk.files[0]}; download it beside the images."
        )
    kept = {
        row[crosswalk.column].strip(): ",".join(value or "" for value in row.values())
        for row in _read_rows(tables[0], crosswalk)
        if all(
            (row.get(column) or "").strip().lower() == value.lower()
            for column, value in crosswalk.keep.items()
        )
    }
    matches = {image: re.search(crosswalk.image_pattern, path) for image, path in paths.items()}
    return {image: kept[m[1]] for image, m in matches.items() if m and m[1] in kept}


def _read_rows(table: Path, crosswalk: Crosswalk) -> list[dict[str, str]]:
    try:
        lines = table.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{table} cannot be read ({error}); download it again.") from None
    wanted = {crosswalk.column, *crosswalk.keep}
    for start, line in enumerate(lines):
        header = [name.strip() for name in next(csv.reader([line]), [])]
        if wanted <= set(header):
            rows = csv.DictReader(lines[start + 1 :], fieldnames=header, restval="")
            return [
                {k: v for k, v in row.items() if isinstance(k, str) and isinstance(v, str)}
                for row in rows
            ]
    raise UserError(
        f"{table} has no line with the column names {', '.join(sorted(wanted))}; "
        "check the crosswalk of the card."
    )
