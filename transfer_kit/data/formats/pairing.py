"""Which files of a folder are images, and which annotate which image."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from glob import escape
from pathlib import Path

from PIL import Image

from transfer_kit.data.formats.base import AnnotationSource, Format, name_for, unknown_format
from transfer_kit.data.formats.crchisto import CLASS_SUFFIXES
from transfer_kit.data.images import IMAGE_SUFFIXES
from transfer_kit.errors import UserError

_MASK_ENDINGS = ("_label", "_labels", "_mask", "_masks", "_instances", "_labeled_mask_corrected")
_OTHER_ENDINGS = ("_detection", "-points", "_points", "_dots", "_nuclei", "_annotations")
_ENDINGS = (*_MASK_ENDINGS, *_OTHER_ENDINGS, "_annotation", "_manualcoord", *CLASS_SUFFIXES)
_FOLDERS = ("annotations", "annotation", "labels", "label", "masks", "mask", "ground_truth", "gt")
_SUFFIXES = frozenset(
    {".geojson", ".json", ".csv", ".tsv", ".txt", ".mat", ".xml", ".npy", *IMAGE_SUFFIXES}
)
_PIECES = re.compile(r"\s\+\s")


def list_images(folder: str | Path) -> list[Path]:
    """The images below `folder`, sorted; label, mask and dot images are left out.

    Left out are images named `*_label`, `*_mask` and the like, `NNNdots` beside `NNNcell`,
    `*_points` and other endings beside the image they belong to, all in a folder named `labels`,
    `masks`, `annotations` or `GT_*`, and a one-channel image beside a colour one of the same stem.

    Raises:
        UserError: there is no such folder.
    """
    images, _ = _sorted_out(Path(folder))
    return images


def annotation_images(folder: str | Path) -> list[Path]:
    """The label, mask and dot images that `list_images` leaves out, sorted.

    Raises:
        UserError: there is no such folder.
    """
    _, labels = _sorted_out(Path(folder))
    return labels


def find_annotations(
    folder: str | Path,
    images: Sequence[Path],
    *,
    formats: Mapping[str, Format],
    pattern: str | None = None,
    format: str | None = None,
) -> dict[Path, AnnotationSource]:
    """The annotation of each image that has one.

    Files are looked for beside the image, in `annotations/`, `labels/`, `masks/`, ... beside it or
    below its folder's parent or `folder`, under the image's stem, alone or with an ending such as
    `_label` or `_manualcoord`; then a file that serves many images and names this one.

    Args:
        folder: The data set's folder.
        images: Images in it.
        formats: All that may be found, by name.
        pattern: Where the files are instead, relative to `folder`, such as
            `labels/*_{stem}_label.png`; `{stem}` is the image's stem, `{folder}` its folder's name,
            `{parent}` its folder relative to `folder`. Patterns joined by ` + ` each add files.
        format: A name in `formats` that all files have; else each file is looked into.

    Raises:
        UserError: unknown format, a pattern that fits nothing, two annotations of one image, or a
            file of no known format.
    """
    folder = Path(folder)
    if format is not None and format not in formats:
        raise unknown_format(format, formats)
    search = _Search(folder, formats, format)
    if pattern is not None:
        return search.by_pattern(images, pattern)
    return search.by_name(images)


@dataclass(frozen=True)
class _Search:
    folder: Path
    formats: Mapping[str, Format]
    wanted: str | None

    def by_pattern(self, images: Iterable[Path], pattern: str) -> dict[Path, AnnotationSource]:
        found = {}
        for image in images:
            files = self._matching(image, pattern)
            if files:
                known = {path: self.wanted or self._format_of(path) for path in files}
                found[image] = self._source(image, known)
        if not found:
            raise UserError(
                f"The pattern '{pattern}' fits no file in {self.folder} for any image; "
                "{stem}, {folder} and {parent} stand for parts of the image's path."
            )
        return found

    def by_name(self, images: Sequence[Path]) -> dict[Path, AnnotationSource]:
        here = set(images)
        listings: dict[Path, dict[str, list[Path]]] = {}
        found: dict[Path, AnnotationSource] = {}
        for image in images:
            for place in _places(image, self.folder):
                if place not in listings:
                    listings[place] = _by_stem(place)
                files = [f for f in _named_for(image, listings[place]) if f not in here]
                known = {path: self._format_of(path) for path in files}
                if self.wanted is not None:  # then other files are none of our business
                    known = {path: name for path, name in known.items() if name is not None}
                if known:
                    found[image] = self._source(image, known)
                    break
        missing = [image for image in images if image not in found]
        found.update(self._shared(missing, listings) if missing else {})
        return {image: found[image] for image in images if image in found}

    def _shared(
        self, images: Sequence[Path], listings: Mapping[Path, Mapping[str, list[Path]]]
    ) -> dict[Path, AnnotationSource]:
        """Files that serve many images, in the places looked into and the folder itself."""
        places = [self.folder, *listings]
        files = {f for place in places if place.is_dir() for f in sorted(place.iterdir())}
        found: dict[Path, AnnotationSource] = {}
        for path in sorted(files):
            name = (
                self._format_of(path) if path.suffix.lower() in (".json", ".csv", ".tsv") else None
            )
            names = self.formats[name].images_of(path) if name else frozenset()
            if not name or not names:
                continue
            for image in images:
                if name_for(image, names) is None:
                    continue
                if image in found:
                    raise _ambiguous(image, [*found[image].paths, path])
                found[image] = AnnotationSource(name, (path,))
        return found

    def _matching(self, image: Path, pattern: str) -> list[Path]:
        files: list[Path] = []
        for piece in _PIECES.split(pattern.strip()):
            filled = Path(_filled_in(piece, image, self.folder))
            root = Path(filled.anchor) if filled.anchor else self.folder
            relative = filled.relative_to(filled.anchor) if filled.anchor else filled
            files.extend(sorted(root.glob(str(relative))))
        return [path for path in dict.fromkeys(files) if path.is_file() and path != image]

    def _format_of(self, path: Path) -> str | None:
        if self.wanted is not None:
            return self.wanted if self.formats[self.wanted].recognises(path) else None
        return next((name for name, fmt in self.formats.items() if fmt.recognises(path)), None)

    def _source(self, image: Path, known: Mapping[Path, str | None]) -> AnnotationSource:
        by_format: dict[str, list[Path]] = defaultdict(list)
        for path, name in known.items():
            if name is not None:
                by_format[name].append(path)
        if not by_format:
            raise UserError(
                f"{next(iter(known))} has the name of an annotation of {image.name}, but is in no "
                f"format known ({', '.join(self.formats)}); convert, rename or remove it."
            )
        if len(by_format) > 1:
            raise _ambiguous(image, [files[0] for files in by_format.values()])
        ((name, files),) = by_format.items()
        if len(files) > 1 and name != "crchisto":
            raise _ambiguous(image, files)
        return AnnotationSource(name, tuple(files))


def _ambiguous(image: Path, files: Sequence[Path]) -> UserError:
    names = " and ".join(str(path) for path in files[:2])
    return UserError(
        f"{image} has two annotations, {names}; say which by a pattern or a format, or remove one."
    )


def _filled_in(piece: str, image: Path, folder: Path) -> str:
    parent = os.path.relpath(image.parent, folder)
    try:
        filled = piece.format(
            stem=escape(image.stem), folder=escape(image.parent.name), parent=escape(parent)
        )
    except (AttributeError, KeyError, IndexError, ValueError) as error:
        raise UserError(
            f"The pattern '{piece}' is not understood at {error}; "
            "use {stem}, {folder}, {parent} and *."
        ) from error
    return os.path.normpath(filled)


def _places(image: Path, folder: Path) -> Iterator[Path]:
    """Folders where the image's annotation may lie, nearest first."""
    parent = image.parent
    yield parent
    if parent.name.startswith("Slide_"):  # the triple-negative breast set: Slide_07 and GT_07
        yield parent.parent / parent.name.replace("Slide_", "GT_", 1)
    # Above the data set's folder lie other people's labels.
    inside = [parent, *(b for b in (parent.parent, folder) if _is_within(b, folder))]
    for base in dict.fromkeys(inside):
        yield from (base / name for name in _FOLDERS)


def _is_within(path: Path, folder: Path) -> bool:
    return path.absolute().is_relative_to(folder.absolute())


def _by_stem(place: Path) -> dict[str, list[Path]]:
    listing: dict[str, list[Path]] = defaultdict(list)
    if place.is_dir():
        for path in sorted(place.iterdir()):
            if path.suffix.lower() in _SUFFIXES and not path.name.startswith("."):
                listing[path.stem].append(path)
    return listing


def _named_for(image: Path, listing: Mapping[str, list[Path]]) -> list[Path]:
    stems = [image.stem, *(image.stem + ending for ending in _ENDINGS)]
    # An annotation may also repeat the image's whole name: a.tif.geojson.
    stems += [image.name]
    if image.stem.endswith("cell"):
        stems.append(image.stem[: -len("cell")] + "dots")
    if image.stem.endswith("_crop"):  # the ten-cancer-types nuclei set
        stems.append(image.stem[: -len("_crop")] + "_labeled_mask_corrected")
    return [path for stem in stems for path in listing.get(stem, []) if path != image]


def _sorted_out(folder: Path) -> tuple[list[Path], list[Path]]:
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder; check the path.")
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in IMAGE_SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    stems: dict[tuple[Path, str], list[Path]] = defaultdict(list)
    for path in files:
        stems[path.parent, path.stem].append(path)
    labels = [path for path in files if _is_label(path, folder, stems)]
    apart = set(labels)
    return [path for path in files if path not in apart], labels


def _is_label(path: Path, folder: Path, stems: Mapping[tuple[Path, str], Sequence[Path]]) -> bool:
    stem, parent = path.stem, path.parent
    if stem.endswith(_MASK_ENDINGS) or stem.lower() == "mask" or stem.startswith("mask_"):
        return True
    if any(part.lower() in _FOLDERS for part in parent.relative_to(folder).parts):
        return True
    if parent.name.startswith("GT_"):
        return (parent.parent / parent.name.replace("GT_", "Slide_", 1)).is_dir()
    if stem.endswith("dots") and (parent, stem[: -len("dots")] + "cell") in stems:
        return True
    if any(stem.endswith(e) and (parent, stem[: -len(e)]) in stems for e in _OTHER_ENDINGS):
        return True
    twins = stems[parent, stem]
    return len(twins) > 1 and _is_grey(path) and not all(map(_is_grey, twins))


def _is_grey(path: Path) -> bool:
    try:
        with Image.open(path) as image:
            return image.mode in ("1", "L", "I", "F", "I;16", "I;16B")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False
