"""Points as text: spellings of headers, delimiters, counting from 1, faults with their lines."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.formats import (
    FORMATS,
    AnnotationSource,
    ImageInfo,
    read_annotation,
    write_csv,
)
from transfer_kit.errors import UserError


def read(tmp_path, text, name="a.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    info = ImageInfo("a.png", tmp_path / "a.png", 100, 100)
    return read_annotation(AnnotationSource("csv", (path,)), info)


@pytest.mark.parametrize(
    "text",
    [
        "x,y\n1.5,2\n3,4\n",
        "1.5,2\n3,4\n",
        "X;Y\n1,5;2\n3;4\n",
        "x\ty\n1.5\t2\n\n3\t4\n",
        "1.5 2\n 3   4\n",
        "Y,X\n2,1.5\n4,3\n",
        "Image,Centroid X px,Centroid Y px\na.png,1.5,2\nb.png,9,9\na.png,3,4\n",
        "\ufeffcenter_x,center_y,area\r\n1.5,2,7\r\n3,4,7\r\n",
        "Centroid X µm,Centroid Y µm,Centroid X px,Centroid Y px\n9,9,1.5,2\n9,9,3,4\n",
    ],
)
def test_usual_spellings_give_the_same_points(tmp_path, text):
    np.testing.assert_array_equal(read(tmp_path, text).points, [[1.5, 2], [3, 4]])


@pytest.mark.parametrize(
    "text", ["x,y,class\n1,2,a b\n3,4,\n", "1,2,a b\n3,4,\n", "Class;y;x\na b;2;1\n;4;3\n"]
)
def test_classes_by_header_or_place(tmp_path, text):
    read_ = read(tmp_path, text)
    assert read_.classes == ("a b", "")
    np.testing.assert_array_equal(read_.points, [[1, 2], [3, 4]])


def test_numbered_classes_take_names_from_a_label_map_above(tmp_path):
    (tmp_path / "label_map.yaml").write_text('0: "tumor"\n1: "stroma"\n')
    (tmp_path / "labels").mkdir()
    assert read(tmp_path, "10,20,1\n3,4,0\n", "labels/a.csv").classes == ("stroma", "tumor")
    with pytest.raises(UserError, match=r"label_map\.yaml has no name for class 7"):
        read(tmp_path, "10,20,7\n", "labels/a.csv")


def test_manualcoord_files_count_from_one(tmp_path):
    """MATLAB's first pixel is 1, the kit's is 0."""
    np.testing.assert_array_equal(
        read(tmp_path, "1\t1\n5\t9\n", "a_manualcoord.txt").points, [[0, 0], [4, 8]]
    )


def test_a_header_alone_means_no_nuclei(tmp_path):
    assert len(read(tmp_path, "x,y,class\n")) == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x,y\n1,2\n3,abc\n", r"a\.csv, line 3: 'abc' is no finite number"),
        ("x,y\n1,nan\n", r"line 2: 'nan' is no finite number"),
        ("1,2\n3\n", r"line 2: the line is cut short"),
        ("1,2\n3,\n", r"line 2: '' is no finite number"),
        (
            "Centroid X µm,Centroid Y µm\n1,2\n",
            r"line 1: the coordinates are in µm; export .*pixels",
        ),
        ("row,column\n1,2\n", r"line 1: no columns x and y in the header 'row, column'"),
        ("", r"a\.csv is empty"),
        ("image,x,y\nb.png,1,2\n", r"no line for a\.png"),
    ],
)
def test_faults_name_file_and_line(tmp_path, text, says):
    with pytest.raises(UserError, match=says):
        read(tmp_path, text)


def test_prose_and_masks_are_not_taken_for_points(tmp_path):
    texts = {"notes.txt": "seen by AB\nlooks fine", "m.txt": "643 488\n0\n0\n", "v.csv": "a,b\nc,d"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        assert not FORMATS["csv"].recognises(tmp_path / name)
    assert not FORMATS["csv"].recognises(tmp_path / "missing.csv")


names = st.text(st.characters(exclude_categories=("Cs", "Cc", "Z")), max_size=8)
floats = st.floats(-1e6, 1e6, width=32, allow_subnormal=False)


@given(arrays(np.float32, st.tuples(st.integers(0, 20), st.just(2)), elements=floats), st.data())
@settings(max_examples=60, deadline=None)
def test_what_is_written_comes_back_exactly(tmp_path_factory, points, data):
    classes = tuple(data.draw(st.lists(names, min_size=len(points), max_size=len(points))))
    path = tmp_path_factory.mktemp("c") / "a.csv"
    write_csv(path, Annotation(points, classes))
    info = ImageInfo("a.png", path.with_suffix(".png"), 9, 9)
    back = read_annotation(AnnotationSource("csv", (path,)), info)
    np.testing.assert_array_equal(back.points, points)
    assert back.classes == classes


@pytest.mark.real_data
def test_nucls_and_cone_files_are_read(real_data):
    nucls = real_data / "nucls" / "Example-Detection" / "test"
    path = nucls / "labels" / "test_1.csv"
    read_ = FORMATS["csv"].read((path,), ImageInfo.of(nucls / "images" / "test_1.png"))
    np.testing.assert_array_equal(read_.points[0], [17, 130])
    assert read_.classes[0] == "nonTIL_stromal"
    cones = next((real_data / "aoslo").rglob("*_manualcoord.txt"))
    assert FORMATS["csv"].recognises(cones)
    first = [float(word) for word in cones.read_text().split()[:2]]
    read_ = FORMATS["csv"].read((cones,), ImageInfo("a", cones, 150, 150))
    np.testing.assert_array_equal(read_.points[0], np.array(first) - 1)
