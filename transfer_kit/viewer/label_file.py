"""The GeoJSON that holds an image's labels: read, and saved unless someone else saved meanwhile."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.formats import (
    AnnotationSource,
    ImageInfo,
    RegionNames,
    read_annotation,
    write_geojson,
)
from transfer_kit.data.formats.qupath_objects import NO_NUCLEUS, kind_of
from transfer_kit.errors import UserError
from transfer_kit.viewer.refusal import Refused

Colour = tuple[int, int, int]

NOTHING = "nothing"
"""The version of labels that are not there."""


@dataclass(frozen=True, eq=False)
class LabelFile:
    """Where the labels of one image lie.

    Attributes:
        path: The GeoJSON that is written.
        source: An annotation in another format, which is read while there is no GeoJSON and never
            written.
        names: Which class names mean areas.
        read_only: Why the labels cannot be changed, in a sentence; empty where they can.
    """

    path: Path
    source: AnnotationSource | None = None
    names: RegionNames = field(default_factory=RegionNames)
    read_only: str = ""
    _lock: Lock = field(default_factory=Lock, repr=False)

    @property
    def version(self) -> str:
        """Changes with every change of the labels."""
        files = [self.path] if self.path.is_file() else self.source.paths if self.source else ()
        try:
            contents = [file.read_bytes() for file in files]
        except OSError as error:
            raise UserError(f"{files[0]} cannot be read ({error.strerror}).") from error
        return hashlib.sha256(b"".join(contents)).hexdigest()[:20] if contents else NOTHING

    def read(self, image: ImageInfo) -> Annotation | None:
        """What is known of the image; None where it has no labels.

        Raises:
            UserError: the file is damaged or does not fit the image.
        """
        source = AnnotationSource("geojson", (self.path,)) if self.path.is_file() else self.source
        return None if source is None else read_annotation(source, image, regions=self.names)

    def save(
        self,
        labels: Annotation,
        image: ImageInfo,
        *,
        version: str,
        color_of: Callable[[str], Colour] | None = None,
    ) -> str:
        """Replace the labels as a whole and give back their new version; without any, no file.

        What QuPath keeps in the file beside nuclei and regions stays.

        Raises:
            Refused: the labels may not be changed, or are no longer those of `version`.
            UserError: the file cannot be written.
        """
        if self.read_only:
            raise Refused(403, self.read_only)
        with self._lock:
            if version != self.version:
                raise Refused(
                    409, f"{self.path.name} was changed elsewhere since it was read here."
                )
            others = self._kept(image)
            known = len(labels) or labels.labelled_regions or labels.region_labels
            if not known and not any(kind_of(other) in NO_NUCLEUS for other in others):
                self.path.unlink(missing_ok=True)
            else:
                write_geojson(self.path, replace(labels, other_features=others), color_of=color_of)
            return self.version

    def _kept(self, image: ImageInfo) -> tuple[dict[str, object], ...]:
        before = self.read(image) if self.path.is_file() else None
        return () if before is None else tuple(dict(each) for each in before.other_features)


def why_not_writable(path: Path) -> str:
    """Why a file cannot be written, in a sentence; empty where it can be.

    Root may write anywhere, but should not where the owner may not.
    """
    there = next(folder for folder in path.parents if folder.exists())
    places = [there, *([path] if path.exists() else [])]
    if all(os.access(each, os.W_OK) and each.stat().st_mode & 0o222 for each in places):
        return ""
    return f"{path.parent} cannot be written, so labels cannot be changed here."
