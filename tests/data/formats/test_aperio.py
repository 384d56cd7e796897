"""Aperio XML: corners, layers, kinds of region; checked against the published label image."""

import numpy as np
import pytest

from transfer_kit.data.formats import FORMATS, AnnotationSource, ImageInfo, read_annotation
from transfer_kit.data.formats.instances import read_labels
from transfer_kit.errors import UserError


def region(*vertices, kind=0, number=1):
    inner = "".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in vertices)
    return f'<Region Id="{number}" Type="{kind}"><Vertices>{inner}</Vertices></Region>'


def layer(*regions, name="", attribute="Description", value="", number=1):
    return (
        f'<Annotation Id="{number}" Name="{name}"><Attributes>'
        f'<Attribute Name="{attribute}" Value="{value}"/></Attributes>'
        f"<Regions>{''.join(regions)}</Regions></Annotation>"
    )


SQUARE = ((0, 0), (4, 0), (4, 4), (0, 4))


def read(tmp_path, text):
    path = tmp_path / "a.xml"
    path.write_text(text)
    info = ImageInfo("a.png", tmp_path / "a.png", 100, 100)
    return read_annotation(AnnotationSource("aperio", (path,)), info)


def document(*layers):
    return f'<Annotations MicronsPerPixel="0.25">{"".join(layers)}</Annotations>'


def test_corners_at_integers_become_centres_at_integers(tmp_path):
    """ImageScope  0     1     2     3     4
                   |-----|-----|-----|-----|   a polygon around four pixels: 0 to 4, centre 2
    the kit           0     1     2     3      the same: -0.5 to 3.5, centre 1.5
    """  # fmt: skip
    read_ = read(tmp_path, document(layer(region(*SQUARE))))
    np.testing.assert_allclose(read_.points, [[1.5, 1.5]])
    assert read_.outlines[0].bounds == (-0.5, -0.5, 3.5, 3.5)


def test_layers_are_classes(tmp_path):
    read_ = read(
        tmp_path,
        document(
            layer(region(*SQUARE), name="tumour", number=1),
            layer(region(*SQUARE), value="stroma", number=2),
            layer(region(*SQUARE), attribute="Epithelial", number=3),
            layer(region(*SQUARE), number=4),
            layer(region(*SQUARE), name="Labelled region", number=5),
            layer(region(*SQUARE), name="Region: fat", number=6),
        ),
    )
    assert read_.classes == ("tumour", "stroma", "Epithelial", "")
    assert len(read_.labelled_regions) == 1
    assert read_.region_labels[0][0] == "fat"


def test_rectangles_ellipses_points_and_stray_clicks(tmp_path):
    two = ((0, 0), (8, 4))
    read_ = read(
        tmp_path,
        document(
            layer(
                region(*two, kind=1),
                region(*two, kind=2),
                region((3, 3), kind=5),
                region(*two, kind=0),
            )
        ),
    )
    np.testing.assert_allclose(read_.points, [[3.5, 1.5], [3.5, 1.5], [2.5, 2.5]], atol=1e-5)
    assert read_.outlines[0].area == 32
    assert read_.outlines[1].area == pytest.approx(np.pi * 4 * 2, rel=0.01)
    assert read_.outlines[2] is None


BOMB = """<?xml version="1.0"?>
<!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;">]>
<Annotations>&lol2;</Annotations>"""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (document(layer(region(*SQUARE)))[:-60], r"a\.xml, line 1: the file is cut short"),
        ("<Annotations>\n<a></b></Annotations>", r"line 2: the file is no XML"),
        ("", r"a\.xml is empty"),
        ("<Other/>", "begins with <Other>, not <Annotations>"),
        (BOMB, r"a\.xml declares XML entities"),
        (
            document(layer(region((1, "nan"), (2, 2), (3, 1), number=9), number=4)),
            r"a\.xml, layer 4, region 9: 'nan' is no finite number",
        ),
        (
            document(layer('<Region Id="2"><Vertices><Vertex X="1"/></Vertices></Region>')),
            r"region 2: None is no finite number",
        ),
    ],
)
def test_faulty_files_name_the_place(tmp_path, text, says):
    with pytest.raises(UserError, match=says):
        read(tmp_path, text)


@pytest.mark.real_data
def test_the_published_label_image_lies_half_a_pixel_up_and_left(real_data):
    """The labels were drawn as if the file counted from 1: -1 from its numbers, not -.5."""
    name = "TCGA-A7-A13E-01Z-00-DX1"
    path = real_data / "monuseg" / "as_published" / f"{name}.xml"
    assert FORMATS["aperio"].recognises(path)
    info = ImageInfo.of(real_data / "monuseg" / "images" / f"{name}.png")
    nuclei = read_annotation(AnnotationSource("aperio", (path,)), info)
    label = real_data / "monuseg" / "labels" / f"Breast_{name}_label.png"
    labels = FORMATS["instances"].read((label,), info)
    assert len(nuclei) == len(labels) == len(np.unique(read_labels(label))) - 1
    apart = labels.points[:, None] - nuclei.points[None]
    nearest = np.hypot(*np.moveaxis(apart, -1, 0)).argmin(axis=1)
    shift = np.median(apart[np.arange(len(labels)), nearest], axis=0)
    np.testing.assert_allclose(shift, [-0.5, -0.5], atol=0.1)
