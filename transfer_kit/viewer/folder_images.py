"""The images of a folder or dataset, and where the labels of each lie."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from os.path import commonpath
from pathlib import Path

from transfer_kit.data.dataset import Dataset
from transfer_kit.data.formats import AnnotationSource, RegionNames, find_annotations, list_images
from transfer_kit.data.sample import Sample
from transfer_kit.data.slides import find_slides
from transfer_kit.errors import UserError
from transfer_kit.stores.locations import cache_folder, shipped
from transfer_kit.viewer.label_file import LabelFile, why_not_writable
from transfer_kit.viewer.shown import Shown


def images_of_folder(folder: Path, images: Sequence[Path] | None = None) -> tuple[Shown, ...]:
    """The images and slides below a folder, or some of them.

    Raises:
        UserError: there is none.
    """
    paths = list(images) if images is not None else _listed(folder)
    if not paths:
        raise UserError(f"{folder} holds no image or slide; check the folder.")
    sources, faults = _annotations(folder, paths)
    stems = Counter((path.parent, path.stem) for path in paths)
    base = Path(commonpath([path.parent for path in paths]))
    shown = []
    for path in paths:
        alone = stems[path.parent, path.stem] == 1
        labels = _labels(sources.get(path), _beside(path, path.stem if alone else path.name))
        name = path.relative_to(base).as_posix()
        shown.append(Shown(name, path, labels, note=faults.get(path) or _note(labels)))
    return tuple(shown)


def images_of_dataset(dataset: Dataset) -> tuple[Shown, ...]:
    """The images of a dataset, whole where its samples are tiles of them."""
    why_not = _why_not_ours(dataset)
    shown: dict[Path, Shown] = {}
    for sample in dataset:
        if sample.image_path in shown:
            continue
        path = sample.image_path
        place = _by_pattern(dataset, path) or _beside(path, path.stem)
        labels = _labels(sample.source, place, region_names(sample))
        shown[path] = Shown(
            name=sample.id.partition("@")[0] if sample.window else sample.id,
            path=path,
            labels=replace(labels, read_only=why_not or labels.read_only),
            mpp=sample.mpp,
            positives_only=sample.positives_only,
            note="" if why_not else _note(labels),
        )
    return tuple(shown.values())


def region_names(sample: Sample) -> RegionNames:
    """Which classes mean areas in the sample's annotation."""
    names, own = RegionNames(), sample.labelled_region_class
    return replace(names, labelled=(*names.labelled, own)) if own else names


def _listed(folder: Path) -> list[Path]:
    """Slides and images directly in the folder, else images below it."""
    try:
        return find_slides([folder])
    except UserError:
        return list_images(folder)


def _annotations(
    folder: Path, paths: Sequence[Path]
) -> tuple[Mapping[Path, AnnotationSource], Mapping[Path, str]]:
    """The annotation of each image, GeoJSON before others, and what is wrong where that fails."""
    sources: dict[Path, AnnotationSource] = {}
    faults: dict[Path, str] = {}
    try:
        return find_annotations(folder, paths), faults
    except UserError:
        pass
    for path in paths:
        try:
            sources |= find_annotations(folder, [path], format="geojson") or find_annotations(
                folder, [path]
            )
        except UserError as error:
            faults[path] = str(error)
    return sources, faults


def _labels(
    source: AnnotationSource | None, place: Path, names: RegionNames | None = None
) -> LabelFile:
    """The GeoJSON that there is, or a new one beside what there is in another format."""
    if source is not None and source.format == "geojson":
        place, source = source.paths[0], None
    return LabelFile(place, source, names or RegionNames(), why_not_writable(place))


def _beside(image: Path, name: str) -> Path:
    """Where `data add` finds the annotation of an image by its name."""
    parent = image.parent
    if parent.name == "images":
        return parent.parent / "annotations" / f"{name}.geojson"
    folder = parent / "annotations"
    return (folder if folder.is_dir() else parent) / f"{name}.geojson"


def _by_pattern(dataset: Dataset, image: Path) -> Path | None:
    """Where the card says that annotations are, if that names one GeoJSON."""
    pattern = dataset.card.annotations
    if pattern is None or not pattern.endswith(".geojson") or "*" in pattern or " + " in pattern:
        return None
    inside = image.parent.relative_to(dataset.root)
    filled = pattern.format(stem=image.stem, folder=image.parent.name, parent=inside)
    return dataset.root / filled


def _why_not_ours(dataset: Dataset) -> str:
    path = dataset.path
    if path is None or not any(
        path.is_relative_to(place) for place in (cache_folder(), shipped("datasets"))
    ):
        return ""
    return (
        f"{dataset.name} comes with the kit and stays as it is; `transfer-kit data convert "
        f"{dataset.name} --format geojson -o FOLDER` makes a copy that is yours to label."
    )


def _note(labels: LabelFile) -> str:
    if labels.source is None or labels.read_only:
        return ""
    return (
        f"{labels.source.paths[0].name} stays as it is; what you change is kept in "
        f"{labels.path.name} beside it. A dataset is read in one format: `transfer-kit data "
        "convert NAME --format geojson -o FOLDER` makes a copy whose labels are all GeoJSON."
    )
