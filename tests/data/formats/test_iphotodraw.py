"""iPhoto-Draw XML: seeds and contours, checked against each other on the published files."""

import numpy as np
import pytest

from transfer_kit.data.formats import FORMATS, AnnotationSource, ImageInfo, read_annotation
from transfer_kit.errors import UserError


def oval(x, y, width=8, height=8):
    return (
        '<Shape Type="Oval"><Data Rotation="0">'
        f'<Extent X="{x}" Y="{y}" Width="{width}" Height="{height}"/></Data></Shape>'
    )


def polygon(*corners):
    inner = "".join(f'<Point X="{x}" Y="{y}"/>' for x, y in corners)
    return f'<Shape Type="Polygon"><Data><Points>{inner}</Points></Data></Shape>'


def document(*shapes, layer="Layer1"):
    return (
        '<!--Document--><Document FileVersion="1.0"><ExportImageSettings/><Layers>'
        f'<Layer Name="{layer}"><Shapes>{"".join(shapes)}</Shapes></Layer></Layers></Document>'
    )


def read(tmp_path, text):
    path = tmp_path / "a.xml"
    path.write_text(text)
    assert FORMATS["iphotodraw"].recognises(path)
    assert not FORMATS["aperio"].recognises(path)
    info = ImageInfo("a.tif", tmp_path / "a.tif", 512, 512)
    return read_annotation(AnnotationSource("iphotodraw", (path,)), info)


def test_the_extent_is_the_top_left_corner_of_a_seed(tmp_path):
    """X       X+4      X+8
       |--------o--------|     an 8 px oval at X = 10 marks the nucleus at 14
    """  # fmt: skip
    read_ = read(tmp_path, document(oval(10, 20), oval(0, 0)))
    np.testing.assert_array_equal(read_.points, [[14, 24], [4, 4]])
    assert (read_.outlines, read_.classes) == ((), ("", ""))


def test_polygons_and_large_ovals_are_outlines(tmp_path):
    read_ = read(
        tmp_path,
        document(polygon((0, 0), (4, 0), (4, 4), (0, 4)), oval(10, 10, 20, 12), layer="GBM"),
    )
    np.testing.assert_allclose(read_.points, [[2, 2], [20, 16]], atol=1e-5)
    assert read_.outlines[1].area == pytest.approx(np.pi * 60, rel=0.01)
    assert read_.classes == ("GBM", "GBM")


def test_lines_and_text_are_notes(tmp_path):
    assert len(read(tmp_path, document('<Shape Type="Line"><Data/></Shape>', oval(1, 1)))) == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (document(oval(1, 1), oval(1, 1, -8, 8)), r"a\.xml, shape 2: its size is -8 x 8, below 0"),
        (document(oval("inf", 1)), r"shape 1: 'inf' is no finite number"),
        (document(polygon((1, 1), (2, 2))), "shape 1: a polygon needs 3 corners, but has 2"),
        (document('<Shape Type="Oval"><Data/></Shape>'), "an oval without an Extent"),
        (document(oval(1, 1))[:-20], "the file is cut short"),
    ],
)
def test_faulty_shapes_are_named(tmp_path, text, says):
    with pytest.raises(UserError, match=says):
        read(tmp_path, text)


@pytest.mark.real_data
def test_contours_and_seeds_of_the_published_images_agree(real_data):
    folder = real_data / "gbm40"
    shifts = []
    for contour in sorted((folder / "contour_annotation_xml").glob("*.xml")):
        info = ImageInfo.of(folder / "raw_image" / f"{contour.name[:2]}.tif")
        outlined = FORMATS["iphotodraw"].read((contour,), info)
        seeds = FORMATS["iphotodraw"].read((folder / "seed_annotation_xml" / contour.name,), info)
        apart = outlined.points[:, None] - seeds.points[None]
        distance = np.hypot(*np.moveaxis(apart, -1, 0))
        near = distance.min(axis=1) < 6
        assert near.mean() > 0.8
        shifts.append(apart[near, distance[near].argmin(axis=1)])
    assert np.abs(np.median(np.concatenate(shifts), axis=0)).max() < 0.75
