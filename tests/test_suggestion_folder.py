from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import shapely
from dataset_folders import write_folder
from PIL import Image

from transfer_kit.data.dataset import Dataset
from transfer_kit.data.formats import AnnotationSource, ImageInfo, read_annotation
from transfer_kit.data.regions import labelled_mask
from transfer_kit.data.tiles import Window
from transfer_kit.suggesting import ProposedRegion, Suggestion
from transfer_kit.suggestion_folder import SHEET, TABLE, suggestion_rows, write_suggestions
from transfer_kit.transfer.uncertainty import Doubts


@pytest.fixture
def samples(tmp_path):
    return Dataset.open(write_folder(tmp_path / "images", cases=2, per_case=1, side=90)).samples


def suggested(sample, *ranks_and_windows):
    regions = tuple(
        ProposedRegion(rank, Window(*window), 1000.0 * rank, 0.5 * rank if rank > 1 else None)
        for rank, window in ranks_and_windows
    )
    return Suggestion(sample, regions, Doubts(np.array([[20, 20]], np.float32), np.array([0.9])))


def known_in(path, sample):
    """What our own reader makes of a file as the annotation of an image."""
    info = ImageInfo.of(sample.image_path)
    annotation = read_annotation(AnnotationSource("geojson", (path,)), info)
    assert len(annotation) == 0
    assert annotation.region_labels == ()
    return annotation, labelled_mask(annotation, (info.height, info.width))


def test_the_regions_are_read_back_as_labelled_regions_at_exactly_that_place(tmp_path, samples):
    windows = [(3, 5, 40, 31), (50, 60, 40, 30)]
    first = suggested(samples[0], (1, windows[0]), (3, windows[1]))
    write_suggestions(tmp_path / "out", [first, suggested(samples[1], (2, (0, 0, 90, 90)))])
    annotation, mask = known_in(tmp_path / "out" / "c00_0.geojson", samples[0])
    expected = np.zeros((90, 90), bool)
    for x0, y0, width, height in windows:
        expected[y0 : y0 + height, x0 : x0 + width] = True
    np.testing.assert_array_equal(mask, expected)
    for region, (x0, y0, width, height) in zip(annotation.labelled_regions, windows, strict=True):
        box = shapely.box(x0 - 0.5, y0 - 0.5, x0 + width - 0.5, y0 + height - 0.5)
        assert shapely.equals(region, box)
    assert known_in(tmp_path / "out" / "c01_0.geojson", samples[1])[1].all()


def test_in_qupath_the_corners_of_a_region_are_whole_pixels(tmp_path, samples):
    write_suggestions(tmp_path, [suggested(samples[0], (1, (3, 5, 40, 31)))])
    (feature,) = pd.read_json(tmp_path / "c00_0.geojson")["features"]
    corners = np.array(feature["geometry"]["coordinates"][0])
    assert {tuple(corner) for corner in corners} == {(3, 5), (43, 5), (43, 36), (3, 36)}
    assert feature["properties"]["classification"]["name"] == "Labelled region"


def test_labels_made_in_a_region_are_taken_for_the_image(tmp_path, samples):
    """The file, filled in as QuPath does it, in the place where annotations are looked for."""
    sample = samples[0]
    write_suggestions(tmp_path / "out", [suggested(sample, (1, (10, 10, 40, 40)))])
    document = pd.read_json(tmp_path / "out" / "c00_0.geojson").to_dict()
    features = list(document["features"].values())
    features.append(
        {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": [20.5, 30.5]},
            "properties": {"objectType": "annotation"},
        }
    )
    folder = tmp_path / "images"
    (folder / "annotations" / "c00_0.csv").unlink()
    table = pd.Series({"type": "FeatureCollection", "features": features})
    table.to_json(folder / "annotations" / "c00_0.geojson")
    annotation = Dataset.open(folder)[0].annotation()
    np.testing.assert_array_equal(annotation.points, [[20, 30]])
    assert labelled_mask(annotation, (90, 90)).sum() == 40 * 40


def test_tiles_of_one_image_share_a_file_in_its_own_pixels(tmp_path, samples):
    tiles = [replace(samples[0], id=f"c00_0@{x},45", window=Window(x, 45, 45, 45)) for x in (0, 45)]
    suggestions = [
        suggested(tiles[0], (1, (0, 5, 40, 40))),
        suggested(tiles[1], (2, (5, 0, 40, 40))),
    ]
    files = write_suggestions(tmp_path / "out", suggestions)
    assert [file.name for file in files] == ["c00_0.geojson", SHEET, TABLE]
    _, mask = known_in(tmp_path / "out" / "c00_0.geojson", samples[0])
    expected = np.zeros((90, 90), bool)
    expected[50:90, 0:40] = expected[45:85, 50:90] = True
    np.testing.assert_array_equal(mask, expected)


def test_the_table_is_by_rank_and_its_places_are_those_of_the_files(tmp_path, samples):
    suggestions = [
        suggested(samples[1], (1, (0, 0, 40, 40)), (3, (50, 0, 40, 40))),
        suggested(samples[0], (2, (1, 2, 30, 20))),
    ]
    write_suggestions(tmp_path, suggestions)
    table = pd.read_csv(tmp_path / TABLE)
    assert table["rank"].tolist() == [1, 2, 3]
    assert table["geojson"].tolist() == ["c01_0.geojson", "c00_0.geojson", "c01_0.geojson"]
    assert table.loc[1, ["x", "y", "width", "height"]].tolist() == [1, 2, 30, 20]
    assert table["uncertainty"].tolist() == [1000, 2000, 3000]
    assert table["distance"].isna().tolist() == [True, False, False]
    assert table.drop(columns="distance").to_dict("records") == [
        {name: row[name] for name in row if name != "distance"}
        for row in suggestion_rows(suggestions)
    ]
    with Image.open(tmp_path / SHEET) as sheet:
        assert sheet.width > sheet.height > 360


def test_images_in_folders_keep_them(tmp_path, samples):
    inside = replace(samples[0], id="slide-1/c00_0")
    files = write_suggestions(tmp_path / "out", [suggested(inside, (1, (0, 0, 40, 40)))])
    assert files[0] == tmp_path / "out" / "slide-1" / "c00_0.geojson"
    assert files[0].is_file()
