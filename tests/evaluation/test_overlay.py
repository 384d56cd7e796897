from __future__ import annotations

import cv2
import numpy as np
import pytest
import shapely
from drawn_instances import annotated, scattered_discs
from scattered_nuclei import found_at, scattered
from scipy.ndimage import minimum_filter

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.nuclei import Nuclei
from transfer_kit.evaluation import before_after_strip, draw_detections, overlay
from transfer_kit.evaluation.overlay import CLASS_COLOURS, FALSE, MISSED, TRUE

PINK = np.full((500, 500, 3), (225, 170, 200), np.uint8)


def places_of(picture, colour):
    """Centres of what is drawn in a colour, in pixels of the 500 px image, without the legend."""
    drawn = np.all(picture[:1000] == colour, axis=-1).astype(np.uint8)
    _, _, _, centres = cv2.connectedComponentsWithStats(drawn, connectivity=8)
    return (centres[1:] + 0.5) / 2 - 0.5


def test_true_false_and_missed_are_drawn_where_they_are():
    truth = Annotation.of_points(np.float32([[100, 80], [300, 400]]))
    found = found_at([[101, 80], [420, 60]])
    picture = overlay(PINK, truth, found, radius_um=4, mpp=0.25)
    np.testing.assert_allclose(places_of(picture, TRUE), [[101, 80]], atol=0.3)
    np.testing.assert_allclose(places_of(picture, FALSE), [[420, 60]], atol=0.3)
    np.testing.assert_allclose(places_of(picture, MISSED), [[300, 400]], atol=0.3)


def test_the_picture_is_rgb_enlarged_and_leaves_the_image_as_it_was():
    image = PINK.copy()
    pair = scattered(0, side=500)
    picture = overlay(image, pair.truth, pair.found, radius_um=4, mpp=0.5)
    assert picture.dtype == np.uint8
    assert picture.shape[1:] == (1000, 3)
    assert picture.shape[0] > 1000
    np.testing.assert_array_equal(image, PINK)


def test_large_images_are_not_enlarged():
    image = np.zeros((900, 1200, 3), np.uint8)
    picture = overlay(image, Annotation.of_points([]), found_at([]), radius_um=4, mpp=0.5)
    assert picture.shape[1] == 1200


def test_what_lies_outside_the_labelled_region_is_paled_and_bears_no_mark():
    region = shapely.Polygon(shapely.box(50, 50, 250, 450))
    truth = Annotation(np.float32([[100, 100], [400, 100]]), ("", ""), labelled_regions=(region,))
    found = found_at([[100, 100], [400, 300]])
    picture = overlay(PINK, truth, found, radius_um=4, mpp=0.25)
    assert len(places_of(picture, TRUE)) == 1
    assert len(places_of(picture, FALSE)) == len(places_of(picture, MISSED)) == 0
    assert picture[800, 300].tolist() == PINK[0, 0].tolist()
    assert (picture[800, 800] > PINK[0, 0]).any()
    assert picture[500, 100].tolist() != picture[500, 300].tolist()  # the rim


def test_detections_are_drawn_a_colour_a_class():
    found = found_at([[100, 100], [300, 300]], classes=["immune", "tumour"])
    picture = draw_detections(PINK, found, radius_um=4, mpp=0.25)
    for place, colour in zip(found.points, CLASS_COLOURS, strict=False):
        np.testing.assert_allclose(places_of(picture, colour), [place], atol=0.3)


def drawn(picture, colour, side=500):
    """Where a colour is on a picture of a 500 px image, without the legend."""
    return np.all(picture[: 2 * side] == colour, axis=-1)


def insides(instances, chosen):
    """The two pixels inside the edge of each chosen instance, of a picture twice as large."""
    large = np.repeat(np.repeat(instances, 2, axis=0), 2, axis=1)
    ring = np.zeros(large.shape, bool)
    for k in chosen:
        # Beyond the rim of the image nothing is known, so no edge is drawn along it.
        eroded = minimum_filter((large == k).astype(np.uint8), 5, mode="constant", cval=1)
        ring |= (large == k) & (eroded == 0)
    return ring


def whole(instances, offset=0.0):
    """Detections of all instances, at their centroids."""
    truth = annotated(instances)
    return Nuclei(truth.points + np.float32(offset), np.ones(len(truth)), truth.classes, instances)


def test_instances_are_outlined_along_the_inside_of_their_edges():
    instances = scattered_discs(3, count=40, size=(500, 500), radius=(10, 30))
    truth = annotated(instances)
    found = whole(instances).take(np.arange(0, len(truth), 2))
    picture = overlay(PINK, truth, found, radius_um=1, mpp=0.25)
    hit, missed = (insides(instances, range(k, len(truth) + 1, 2)) for k in (1, 2))
    # Missed nuclei come after the true ones, and their dark rims go over them.
    np.testing.assert_array_equal(drawn(picture, MISSED), missed)
    assert not (drawn(picture, TRUE) & ~hit).any()
    assert drawn(picture, TRUE).sum() > 0.7 * hit.sum()
    assert not drawn(picture, FALSE).any()


def test_two_nuclei_that_touch_keep_a_line_each():
    instances = np.zeros((500, 500), np.int32)
    instances[100:140, 100:130], instances[100:140, 130:170] = 1, 2
    picture = overlay(PINK, annotated(instances), whole(instances), radius_um=1, mpp=0.25)
    across = drawn(picture, TRUE)[240, 190:350]
    assert np.flatnonzero(np.diff(across.astype(int))).tolist() == [9, 11, 67, 71, 147, 149]


def test_a_false_detection_is_outlined_too():
    instances = np.zeros((500, 500), np.int32)
    instances[100:140, 100:130] = 1
    picture = overlay(PINK, Annotation.of_points([]), whole(instances), radius_um=1, mpp=0.25)
    np.testing.assert_array_equal(drawn(picture, FALSE), insides(instances, [1]))


def test_what_has_no_outline_is_marked_and_what_has_one_is_outlined():
    polygon = shapely.box(299.5, 299.5, 339.5, 329.5)
    truth = Annotation(np.float32([[100, 80], [319.5, 314.5]]), ("", ""), outlines=(None, polygon))
    instances = np.zeros((500, 500), np.int32)
    instances[300:330, 300:340] = 1
    # The second detection has no pixel left.
    found = Nuclei([[420, 400], [420, 60]], [0.9, 0.9], ("", ""), np.zeros_like(instances))
    picture = overlay(PINK, truth, found, radius_um=1, mpp=0.25)
    np.testing.assert_allclose(places_of(picture, FALSE), [[420, 60], [420, 400]], atol=0.3)
    missed = drawn(picture, MISSED)
    np.testing.assert_array_equal(missed[400:], insides(instances, [1])[400:])
    rows, columns = np.nonzero(missed[:400])
    assert (rows.mean() - 0.5) / 2 == pytest.approx(80, abs=0.3)
    assert (columns.mean() - 0.5) / 2 == pytest.approx(100, abs=0.3)


def test_outlines_are_drawn_a_colour_a_class():
    instances = np.zeros((500, 500), np.int32)
    instances[100:140, 100:130], instances[300:340, 130:170] = 1, 2
    found = Nuclei([[115, 120], [150, 320]], [0.9, 0.9], ("immune", "tumour"), instances)
    picture = draw_detections(PINK, found, radius_um=4, mpp=0.25)
    for number, colour in zip((1, 2), CLASS_COLOURS, strict=False):
        np.testing.assert_array_equal(drawn(picture, colour), insides(instances, [number]))


def test_nothing_found_is_drawn_as_such():
    assert draw_detections(PINK, found_at([]), radius_um=4, mpp=0.25).shape[1] == 1000


def test_a_tiny_image_is_widened_until_its_words_fit():
    image = np.zeros((20, 20, 3), np.uint8)
    picture = overlay(image, Annotation.of_points([]), found_at([]), radius_um=4, mpp=0.25)
    strip = before_after_strip([("a rather long caption for so small an image", picture)])
    assert picture.shape[1] > 120
    assert strip.shape[1] >= picture.shape[1]


def test_a_strip_sets_pictures_side_by_side_under_their_captions():
    panels = [("before", PINK), ("after", PINK[:400])]
    strip = before_after_strip(panels)
    assert strip.shape[0] > 500
    assert strip.shape[1] > 1000
    bar = strip.shape[0] - 500
    np.testing.assert_array_equal(strip[bar:, :500], PINK)
    np.testing.assert_array_equal(strip[bar : bar + 400, -500:], PINK[:400])
    assert (strip[:bar] < 100).any()


def test_a_strip_of_nothing_is_refused():
    with pytest.raises(ValueError, match="a strip needs at least one panel"):
        before_after_strip([])


@pytest.mark.real_data
def test_marks_stand_out_on_stained_tissue(real_data):
    path = sorted((real_data / "monuseg" / "images").glob("*.png"))[0]
    image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    tissue = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).reshape(-1, 3).astype(float)
    colours = np.uint8([[TRUE, FALSE, MISSED]])
    for colour in cv2.cvtColor(colours, cv2.COLOR_RGB2LAB)[0].astype(float):
        assert (np.linalg.norm(tissue - colour, axis=1) < 20).mean() < 0.001
