"""What the lab's datasets are tested on, remembered so that it is never learned from."""

from __future__ import annotations

import base64
import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from rich.console import Console
from rich.progress import track

from transfer_kit.data.check.duplicates import Fingerprints
from transfer_kit.data.check.shared_images import fingerprints_of
from transfer_kit.data.dataset import Dataset
from transfer_kit.data.sample import Sample
from transfer_kit.errors import UserError
from transfer_kit.files import replacing
from transfer_kit.stores.locations import user_folder

_SOON_DONE = 50  # images, below which no progress is shown


class _Picture(BaseModel):
    """One image of the test: its file when it was looked at, and how it is known again."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    case: str
    file: str
    digest: str
    thumbnail: str


class _Record(BaseModel):
    """The splits of a dataset when it was last added or split."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: str
    splits: dict[str, str]
    test: list[_Picture]


@dataclass(frozen=True)
class Tested:
    """What a dataset is tested on.

    Attributes:
        splits: The split of each case when the dataset was last added or split; "" for none.
        pictures: Of its test; the samples tell the case and the file.
    """

    dataset: str
    splits: dict[str, str]
    pictures: Fingerprints

    def with_absent(self, former: Tested, cases: Collection[str]) -> Tested:
        """Also what was tested on formerly and is not among `cases` any more."""
        gone = {c: s for c, s in former.splits.items() if s == "test" and c not in cases}
        kept = _only(former.pictures, lambda sample: sample.case in gone)
        both = Fingerprints(
            [*self.pictures.samples, *kept.samples],
            [*self.pictures.hashes, *kept.hashes],
            [*self.pictures.thumbnails, *kept.thumbnails],
        )
        return Tested(self.dataset, {**gone, **self.splits}, both)


def pictures_of(samples: Iterable[Sample]) -> Fingerprints:
    """Fingerprints of all images that can be read; what cannot is never learned from either."""
    by_image: dict[Path, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_image[sample.image_path].append(sample)
    found = Fingerprints()
    for parts in track(
        list(by_image.values()),
        description="comparing pictures",
        console=Console(stderr=True),
        transient=True,
        disable=len(by_image) < _SOON_DONE,
    ):
        try:
            one = fingerprints_of(parts)
        except UserError:
            continue
        found.samples += one.samples
        found.hashes += one.hashes
        found.thumbnails += one.thumbnails
    return found


def tested_on(dataset: Dataset, pictures: Fingerprints) -> Tested:
    """What a dataset is tested on now; `pictures` are of all its images."""
    test = _only(pictures, lambda sample: dataset.split_of(sample) == "test")
    splits = {case: dataset.assignment.get(case, "") for case in dataset.cases}
    return Tested(dataset.name, splits, test)


def _only(pictures: Fingerprints, wanted: Callable[[Sample], bool]) -> Fingerprints:
    kept = Fingerprints()
    rows = zip(pictures.samples, pictures.hashes, pictures.thumbnails, strict=True)
    for sample, digest, thumbnail in rows:
        if wanted(sample):
            kept.samples.append(sample)
            kept.hashes.append(digest)
            kept.thumbnails.append(thumbnail)
    return kept


def remember(tested: Tested) -> None:
    """Write it into the user's store, in place of what was known of that dataset."""
    pictures = tested.pictures
    rows = zip(pictures.samples, pictures.hashes, pictures.thumbnails, strict=True)
    record = _Record(
        dataset=tested.dataset,
        splits=tested.splits,
        test=[
            _Picture(
                case=sample.case,
                file=str(sample.image_path),
                digest=digest,
                thumbnail=base64.b64encode(thumbnail.astype("<f4").tobytes()).decode(),
            )
            for sample, digest, thumbnail in rows
        ],
    )
    with replacing(_place(tested.dataset)) as temporary:
        temporary.write_text(json.dumps(record.model_dump()), encoding="utf-8")


def recall(name: str) -> Tested | None:
    """What was remembered of the dataset of that name; None where nothing was.

    Raises:
        UserError: the record is damaged.
    """
    path = _place(name)
    if not path.exists():
        return None
    try:
        record = _Record.model_validate_json(path.read_text(encoding="utf-8"))
        thumbnails = [_thumbnail(picture.thumbnail) for picture in record.test]
    except (OSError, ValueError, ValidationError) as error:
        raise UserError(
            f"{path}, which says what {name} is tested on, is damaged; delete it, and add {name} "
            "again with 'transfer-kit data add FOLDER --replace'."
        ) from error
    samples = [Sample(Path(p.file).stem, p.case, Path(p.file), 1.0) for p in record.test]
    pictures = Fingerprints(samples, [p.digest for p in record.test], thumbnails)
    return Tested(record.dataset, dict(record.splits), pictures)


def _thumbnail(text: str) -> NDArray[np.float32]:
    values = np.frombuffer(base64.b64decode(text, validate=True), "<f4")
    side = int(len(values) ** 0.5)
    return values.reshape(side, side).astype(np.float32)


def _place(name: str) -> Path:
    return user_folder() / "datasets" / f"{name}.tested.json"
