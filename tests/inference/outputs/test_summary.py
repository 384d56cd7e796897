"""Summaries, worked by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
import shapely
from inference.outputs.found_nuclei import EMPTY, NOTHING, facts

from transfer_kit.data.synthetic.ki67 import NEGATIVE, POSITIVE
from transfer_kit.errors import UserError
from transfer_kit.evaluation.labelling_index import wilson_interval
from transfer_kit.inference.found import FoundNuclei
from transfer_kit.inference.outputs.fields import poisson_interval
from transfer_kit.inference.outputs.summary import KI67, summarise, write_summary
from transfer_kit.inference.outputs.summary_table import HEADER, table_rows

# 2 x 1 mm at 0.5 µm/px: 8 x 4 fields of 250 µm.
SLIDE = facts((2_000, 4_000), mpp=0.5)
LEFT = shapely.box(-0.5, -0.5, 1_999.5, 1_999.5)


def found_in_fields(counts, classes):
    """So many nuclei of each class in each of the 4 x 8 fields, at its middle."""
    points, kinds = [], []
    for row, column, kind in np.ndindex(*np.shape(counts)):
        middle = (column * 500 + 250, row * 500 + 250)
        points += [middle] * counts[row][column][kind]
        kinds += [kind] * counts[row][column][kind]
    points = np.array(points, np.float32).reshape(-1, 2)
    scores = np.ones(len(points), np.float32)
    return FoundNuclei(points, scores, np.array(kinds, np.uint16), classes)


EVEN = found_in_fields(np.full((4, 8, 2), (3, 1)), ("tumour", "other"))


def by_name(region):
    return {row.name: row for row in region.classes}


def test_counts_and_densities_are_of_the_searched_area():
    (whole,) = summarise(EVEN, SLIDE).regions
    assert whole.area_mm2 == pytest.approx(2)
    assert (whole.field_um, whole.n_fields) == (250, 32)
    counts = {name: row.count for name, row in by_name(whole).items()}
    assert counts == {"all nuclei": 128, "tumour": 96, "other": 32}
    assert by_name(whole)["tumour"].per_mm2 == pytest.approx(48)


def test_equal_fields_leave_the_poisson_interval():
    """All resamples are alike, so that nothing but counting is uncertain."""
    (whole,) = summarise(EVEN, SLIDE).regions
    row = by_name(whole)["tumour"]
    low, high = poisson_interval(96)
    assert (row.count_low, row.count_high) == pytest.approx((low, high))
    assert (row.per_mm2_low, row.per_mm2_high) == pytest.approx((low / 2, high / 2))


def test_a_cluster_has_a_wider_interval_than_poissons():
    """All 96 in one of 32 fields: a resample has it 0 to 3 times, as the binomial says."""
    counts = np.zeros((4, 8, 1), int)
    counts[1, 2] = 96
    (whole,) = summarise(found_in_fields(counts, ("",)), SLIDE).regions
    (row,) = whole.classes
    assert (row.name, row.count_low) == ("all nuclei", 0)
    assert row.count_high == pytest.approx(3 * 96)


def test_no_nuclei_have_the_interval_that_poisson_leaves():
    (whole,) = summarise(found_in_fields(np.zeros((4, 8, 1), int), ("",)), SLIDE).regions
    (row,) = whole.classes
    assert (row.per_mm2, row.per_mm2_low) == (0, 0)
    assert row.per_mm2_high == pytest.approx(3.689 / 2, abs=1e-3)


def test_regions_count_what_lies_in_them_and_was_searched():
    counts = np.zeros((4, 8, 1), int)
    counts[:, :2], counts[:, 5:] = 5, 7
    beyond = shapely.union(LEFT, shapely.box(-9_000, 0, 0, 1_000))
    found = found_in_fields(counts, ("",))
    whole, left = summarise(found, SLIDE, regions={"left": beyond}).regions
    assert (left.name, left.classes[0].count, whole.classes[0].count) == ("left", 40, 124)
    assert left.area_mm2 == pytest.approx(1, rel=1e-3)


def test_a_region_that_crosses_itself_is_the_area_that_it_encloses():
    """Two triangles that meet at (1000, 1100); at x 250 the left one spans y from 350 to 1850."""
    bow_tie = shapely.Polygon([(0, 100), (2_000, 2_100), (2_000, 100), (0, 2_100)])
    counts = np.zeros((4, 8, 1), int)
    counts[:, 0] = 5  # at y 250, 750, 1250 and 1750
    slide = facts((4_000, 4_000), mpp=0.5)
    region = summarise(found_in_fields(counts, ("",)), slide, regions={"tie": bow_tie}).regions[1]
    assert region.area_mm2 == pytest.approx(0.5)
    assert region.classes[0].count == 15


def test_a_region_that_only_touches_a_part_of_what_was_searched_has_the_rest():
    parts = [shapely.box(0, 0, 1_000, 1_000), shapely.box(2_000, 1_000, 3_000, 2_000)]
    slide = facts((2_000, 4_000), mpp=0.5, searched=shapely.MultiPolygon(parts))
    regions = {"top": shapely.box(0, 0, 4_000, 1_000)}
    top = summarise(EVEN, slide, regions=regions).regions[1]
    assert top.area_mm2 == pytest.approx(0.25)
    assert top.n_fields == 4


def test_a_single_field_has_no_interval():
    tiny = facts((400, 400), mpp=0.5)
    (whole,) = summarise(found_in_fields([[[4]]], ("",)), tiny).regions
    assert whole.n_fields == 1
    assert whole.classes[0].per_mm2 == pytest.approx(4 / 0.04)
    assert whole.classes[0].per_mm2_low is None


def test_the_ki67_index_is_given_where_both_classes_are_known():
    assert KI67 == (POSITIVE, NEGATIVE)
    counts = np.full((4, 8, 3), (1, 4, 9))
    (whole,) = summarise(found_in_fields(counts, (*KI67, "non-tumour")), SLIDE).regions
    share = whole.ki67
    assert (share.index, share.n_positive, share.n_tumour) == (0.2, 32, 160)
    assert (share.counting_low, share.counting_high) == wilson_interval(32, 160)
    assert (share.fields_low, share.fields_high) == (0.2, 0.2)
    assert summarise(EVEN, SLIDE).regions[0].ki67 is None


def test_hot_spots_widen_the_interval_of_the_index_over_fields():
    counts = np.full((4, 8, 2), (0, 10))
    counts[0, :4] = (10, 0)
    (whole,) = summarise(found_in_fields(counts, ("+", "-")), SLIDE, ki67=("+", "-")).regions
    share = whole.ki67
    assert share.index == 0.125
    assert share.fields_high - share.fields_low > 1.5 * (share.counting_high - share.counting_low)


def test_mitoses_are_counted_in_their_fullest_field():
    counts = np.zeros((4, 8, 2), int)
    counts[0, 0, 0], counts[3, 7, 0], counts[:, :, 1] = 2, 3, 9
    found = found_in_fields(counts, ("mitosis", "look-alike"))
    summary = summarise(found, SLIDE, mitosis="mitosis")
    assert summary.hottest.count == 3
    assert (summary.hottest.x, summary.hottest.y) == (3_750, 1_750)
    assert summarise(found, SLIDE).hottest is None


def test_an_unknown_class_of_mitoses_is_refused_with_the_nearest():
    with pytest.raises(UserError, match=r"no class 'tumor' of mitoses\. Did you mean 'tumour'\?"):
        summarise(EVEN, SLIDE, mitosis="tumor")


def test_the_file_holds_the_same_each_time_and_is_json(tmp_path):
    first, again = (
        write_summary(tmp_path / name, EVEN, SLIDE, mitosis="other")[0].read_text()
        for name in ("a.json", "b.json")
    )
    assert first == again
    document = json.loads(first)
    assert document["slide"] == "slide.svs"
    assert document["searched_mm2"] == pytest.approx(2)
    assert document["regions"][0]["classes"][1]["count"] == 96
    assert document["hottest"]["search"] == "exact"
    assert "bootstrap" in document["intervals"] or "with replacement" in document["intervals"]


@pytest.mark.parametrize("slide", [SLIDE, NOTHING])
def test_nothing_found_and_nothing_searched_are_valid_json(tmp_path, slide):
    def refuse(text):
        raise AssertionError(f"{text} is no JSON")

    (path,) = write_summary(tmp_path / "a.json", EMPTY, slide, mitosis="")
    document = json.loads(path.read_text(), parse_constant=refuse)
    assert document["regions"][0]["classes"][0]["count"] == 0
    assert document["hottest"] is None


def test_the_table_has_a_row_a_class_and_region_and_the_special_ones():
    counts = np.zeros((4, 8, 2), int)
    counts[:, :, 1], counts[0, 0, 0] = 9, 6
    found = found_in_fields(counts, KI67)
    rows = table_rows(summarise(found, SLIDE, regions={"left": LEFT}, mitosis=KI67[0]))
    assert {len(row) for row in rows} == {len(HEADER)}
    assert [row[1] for row in rows[:4]] == ["all nuclei", *KI67, "Ki67 index"]
    assert rows[0][0] == "searched area (2.00 mm²)"
    assert rows[0][2] == "294"
    assert rows[0][3].startswith("147.0 (")
    assert rows[3][2:] == ("6 of 294", "2.0% (0.0% to 5.9%)")  # 18 of 306
    assert rows[4][0] == "left (1.00 mm²)"
    assert rows[-1] == ("hottest 2 mm², at x 250, y 250", KI67[0], "6", "")


def test_the_table_of_nothing_has_dashes():
    assert table_rows(summarise(EMPTY, NOTHING))[0][2:] == ("0", "–")
