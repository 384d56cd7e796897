import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import LineString, MultiPolygon, Point, Polygon, box

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.regions import (
    crop_annotation,
    labelled_mask,
    polygon_mask,
    region_label_map,
    regions_inside,
)

NO_POINTS = np.zeros((0, 2), np.float32)
SIZE = (60, 80)
FAR = st.floats(-1e6, 1e6, width=32, allow_subnormal=False)


def by_shapely(geometry, size=SIZE, offset=(0, 0)):
    rows, columns = np.mgrid[: size[0], : size[1]]
    return shapely.contains_xy(geometry, columns + offset[0], rows + offset[1])


def with_regions(*regions):
    return Annotation(NO_POINTS, (), labelled_regions=regions)


def test_without_regions_everything_is_labelled():
    assert labelled_mask(Annotation.of_points(NO_POINTS), SIZE).all()


@pytest.mark.parametrize(
    "geometry",
    [
        box(10, 12, 30, 40),  # the outline runs through pixel centres, which are outside
        box(10.5, 12.5, 30.5, 40.5),
        Point(40, 30).buffer(17.3),
        Polygon([(5, 5), (70, 8), (60, 50), (10, 55)], [[(20, 20), (30, 20), (30, 35), (20, 30)]]),
        MultiPolygon([box(2, 2, 9, 9), Point(50, 30).buffer(11)]),
        Polygon([(-500, -500), (2000, -300), (1500, 900), (20, 30)]),
        Polygon([(-1e7, -1e7), (1e7, -1e7), (1e7, 1e7), (-1e7, 1e7)]),
        Polygon([(3, 3), (50, 3.02), (3, 3.04)]),  # a sliver without area to speak of
        box(100, 100, 120, 120),
    ],
)
def test_masks_equal_shapely_at_every_pixel_centre(geometry):
    np.testing.assert_array_equal(polygon_mask(geometry, SIZE), by_shapely(geometry))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            FAR | st.floats(-30, 110, width=32, allow_subnormal=False),
            FAR | st.floats(-30, 90, width=32, allow_subnormal=False),
        ),
        min_size=3,
        max_size=12,
    ),
    st.tuples(st.integers(-20, 20), st.integers(-20, 20)),
)
def test_masks_of_random_polygons_equal_shapely(corners, offset):
    geometry = shapely.make_valid(Polygon(corners))
    polygons = shapely.union_all(
        [p for p in shapely.get_parts(geometry) if p.geom_type.endswith("Polygon")]
    )
    expected = by_shapely(polygons, offset=offset)
    np.testing.assert_array_equal(polygon_mask(polygons, SIZE, offset), expected)


def test_regions_are_united_and_lines_cover_nothing():
    a, b = box(4, 4, 20, 20), Point(22, 18).buffer(9)
    mask = labelled_mask(with_regions(a, b, LineString([(40, 10), (70, 50)])), SIZE)
    np.testing.assert_array_equal(mask, by_shapely(a) | by_shapely(b))


def test_a_self_intersecting_outline_is_mended():
    bow_tie = Polygon([(10, 10), (50, 50), (50, 10), (10, 50)])
    np.testing.assert_array_equal(
        polygon_mask(bow_tie, SIZE),
        by_shapely(bow_tie.buffer(0)) | by_shapely(shapely.make_valid(bow_tie)),
    )


def test_the_offset_is_the_first_pixel():
    region = Point(33.3, 28.8).buffer(15)
    whole = labelled_mask(with_regions(region), SIZE)
    part = labelled_mask(with_regions(region), (20, 25), (24, 18))
    np.testing.assert_array_equal(part, whole[18:38, 24:49])


def test_region_labels_number_the_listed_classes_and_leave_the_rest_unknown():
    annotation = Annotation(
        NO_POINTS,
        (),
        region_labels=(
            ("tumour", box(-1, -1, 20.5, 70)),
            ("stroma", box(10.5, -1, 30.5, 70)),
            ("necrosis", box(50, -1, 90, 70)),
        ),
    )
    labels = region_label_map(annotation, SIZE, ["stroma", "tumour"])
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels[7], [2] * 11 + [1] * 20 + [0] * 49)


def test_a_crop_keeps_nuclei_in_the_margin_and_numbers_instances_anew():
    points = np.array([[5, 5], [12, 10], [27, 10], [60, 50]], np.float32)
    instances = np.zeros(SIZE, np.int32)
    instances[0:9, 0:11] = 1
    instances[9:12, 11:14] = 2
    instances[8:13, 25:30] = 3
    whole = Annotation(
        points,
        ("a", "b", "c", "d"),
        instances,
        outlines=(None, box(11, 9, 13, 11), None, None),
        properties=({"n": 0}, {"n": 1}, {}, {}),
    )
    crop = crop_annotation(whole, x0=10, y0=8, width=15, height=20, margin=3)
    # The first nucleus's centre is too far, but its instance shows; the last is gone.
    assert crop.classes == ("a", "b", "c")
    np.testing.assert_array_equal(crop.points, points[:3] - (10, 8))
    np.testing.assert_array_equal(crop.instances, instances[8:28, 10:25])
    assert crop.outlines[1].equals(box(1, 1, 3, 3))
    assert crop.properties[1] == {"n": 1}

    far = crop_annotation(whole, x0=26, y0=0, width=10, height=20)
    assert far.classes == ("c",)
    assert set(np.unique(far.instances)) == {0, 1}


def test_a_crop_beyond_the_image_has_no_instances_there():
    whole = Annotation(np.array([[1, 1]], np.float32), ("",), np.ones(SIZE, np.int32))
    crop = crop_annotation(whole, x0=-5, y0=-4, width=10, height=10)
    np.testing.assert_array_equal(crop.instances[:4], 0)
    np.testing.assert_array_equal(crop.instances[:, :5], 0)
    np.testing.assert_array_equal(crop.instances[4:, 5:], 1)


def test_a_crop_outside_all_labelled_regions_stays_unlabelled():
    annotation = with_regions(box(0, 0, 10, 10))
    crop = crop_annotation(annotation, x0=40, y0=30, width=10, height=10)
    assert not labelled_mask(crop, (10, 10)).any()
    near = crop_annotation(annotation, x0=5, y0=5, width=10, height=10)
    np.testing.assert_array_equal(
        labelled_mask(near, (10, 10)), labelled_mask(annotation, (15, 15))[5:, 5:]
    )


def test_region_labels_end_at_the_edges_of_their_image():
    bow_tie = Polygon([(-20, -20), (200, 50), (200, -20), (-20, 50)])
    regions = (("tumour", bow_tie), ("stroma", box(100, 0, 120, 9)), ("fat", box(70, 50, 90, 70)))
    cut = regions_inside(Annotation(NO_POINTS, (), region_labels=regions), SIZE)
    assert [name for name, _ in cut.region_labels] == ["tumour", "fat"]
    names = ("tumour", "stroma", "fat")
    wide = Annotation(NO_POINTS, (), region_labels=regions)
    inside = region_label_map(cut, SIZE, names)
    assert np.mean(inside != region_label_map(wide, SIZE, names)) < 0.02
    left, top, right, bottom = shapely.union_all([r for _, r in cut.region_labels]).bounds
    assert left >= -0.5
    assert top >= -0.5
    assert right <= SIZE[1] - 0.5
    assert bottom <= SIZE[0] - 0.5
