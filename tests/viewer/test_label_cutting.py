from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import shapely
from PIL import Image
from viewer.array_slide import ArraySlide, smooth_pixels

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.card import DatasetCard
from transfer_kit.data.dataset import Dataset
from transfer_kit.data.images import read_mpp
from transfer_kit.viewer.label_cutting import MARGIN_PX, cut_out, kept_in, stem_of
from transfer_kit.viewer.label_file import LabelFile
from transfer_kit.viewer.refusal import Refused
from transfer_kit.viewer.shown import Shown

PIXELS = smooth_pixels(900, 1200)
LABELS = Annotation(
    np.array([[300, 310], [320.5, 330], [1000, 800], [50, 50]], np.float32),
    ("a", "b", "a", "a"),
    labelled_regions=(shapely.box(290, 300, 420, 400), shapely.box(950, 750, 1199.5, 899.5)),
    region_labels=(("stroma", shapely.box(0, 0, 400, 350)),),
)


def cut(folder, labels=LABELS, **more):
    return cut_out(ArraySlide(PIXELS), labels, folder, stem="case1_scan", mpp=0.25, **more)


def test_each_labelled_region_becomes_an_image_of_a_dataset(tmp_path):
    images = cut(tmp_path)
    card = DatasetCard(
        name="cut",
        organ="eye",
        stain="H&E",
        mpp=0.25,
        licence="private",
        case_pattern=r"images/(.+)_x\d+_y\d+_\d+x\d+",
    )
    dataset = Dataset.of_card(card, tmp_path)
    assert [sample.image_path for sample in dataset] == sorted(images)
    assert dataset.cases == ("case1_scan",)
    first, second = (sample for sample in sorted(dataset, key=lambda s: -len(s.annotation())))
    left, top = 290 - MARGIN_PX, 300 - MARGIN_PX
    known = first.annotation()
    inside = [p for p in known.points.tolist() if p[0] > MARGIN_PX / 2]
    assert inside == [[300 - left, 310 - top], [320.5 - left, 330 - top]]
    region = shapely.box(MARGIN_PX, MARGIN_PX, MARGIN_PX + 130, MARGIN_PX + 100)
    assert known.labelled_regions[0].equals(region)
    assert known.region_labels[0][0] == "stroma"
    height, width = first.image().shape[:2]
    assert known.region_labels[0][1].bounds[2] <= width - 0.5
    np.testing.assert_array_equal(first.image(), PIXELS[top : top + height, left : left + width])
    assert read_mpp(first.image_path) == pytest.approx(0.25, rel=1e-4)
    assert len(second.annotation()) == 1
    assert second.image().shape[:2] == (900 - (750 - MARGIN_PX), 1200 - (950 - MARGIN_PX))


def test_images_of_regions_that_are_no_more_are_deleted_and_no_others(tmp_path):
    cut(tmp_path)
    theirs = tmp_path / "images" / "case1_scan_overview.png"
    Image.fromarray(PIXELS[:9, :9]).save(theirs)
    (kept,) = cut(tmp_path, replace(LABELS, labelled_regions=LABELS.labelled_regions[:1]))
    assert sorted((tmp_path / "images").iterdir()) == sorted([theirs, kept])
    assert len(list((tmp_path / "annotations").iterdir())) == 1
    assert cut(tmp_path, replace(LABELS, labelled_regions=())) == []
    assert list((tmp_path / "images").iterdir()) == [theirs]


def test_a_region_of_half_the_slide_is_refused(tmp_path):
    vast = replace(LABELS, labelled_regions=(shapely.box(0, 0, 9000, 100),))
    with pytest.raises(Refused, match="9,000 px long, more than the 8,192 px"):
        cut(tmp_path, vast)


def test_labels_kept_elsewhere_begin_with_those_beside_the_image(tmp_path):
    beside = LabelFile(tmp_path / "annotations" / "a.geojson")
    shown = Shown("sub/a scan.svs", tmp_path / "a.svs", beside)
    assert stem_of(shown) == "sub_a_scan"
    assert kept_in(tmp_path / "set", shown).source is None
    beside.path.parent.mkdir()
    beside.path.write_text("[]")
    kept = kept_in(tmp_path / "set", shown)
    assert kept.path == tmp_path / "set" / "slides" / "sub_a_scan.geojson"
    assert kept.source.paths == (beside.path,)
