"""Label images: depths, packings, binary masks, pieces; centres against SciPy."""

import time

import cv2
import numpy as np
import pytest
import shapely
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from scipy import ndimage

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.formats import (
    FORMATS,
    AnnotationSource,
    ImageInfo,
    read_annotation,
    write_instances,
)
from transfer_kit.data.formats.instances import annotation_of_labels
from transfer_kit.errors import UserError


def discs(count=40, size=200, seed=0):
    """Labels 1..count, each in one piece of 21 px."""
    rng = np.random.default_rng(seed)
    cells = rng.permutation((size // 10) ** 2)[:count]
    labels = np.zeros((size, size), np.int32)
    for k, cell in enumerate(cells, start=1):
        y, x = (np.array(divmod(cell, size // 10)) * 10 + rng.integers(2, 7, 2)).tolist()
        cv2.circle(labels, (x, y), 2, k, -1)
    return labels


def info(labels, path):
    return ImageInfo("a.png", path.parent / "a.png", *labels.shape[:2])


def read(path, labels):
    return read_annotation(AnnotationSource("instances", (path,)), info(labels, path))


def packed(labels, channels):
    parts = [(labels >> shift) & 255 for shift in (0, 8, 16, 24)[:channels]]
    return np.stack(parts, axis=2).astype(np.uint8)


def save(path, labels, kind):
    if kind == "npy":
        np.save(path.with_suffix(".npy"), labels)
        return path.with_suffix(".npy")
    if kind == "tiff":
        tifffile.imwrite(path.with_suffix(".tif"), labels, compression="zlib")
        return path.with_suffix(".tif")
    png = path.with_suffix(".png")
    if kind == "rgba":
        Image.fromarray(packed(labels, 4)).save(png)
    elif kind == "opaque":
        opaque = packed(labels, 4)
        opaque[..., 3] = 255
        Image.fromarray(opaque).save(png)
    elif kind == "palette":
        image = Image.fromarray(labels.astype(np.uint8), "P")
        image.putpalette([(7 * k) % 256 for k in range(768)])
        image.save(png)
    else:
        Image.fromarray(labels.astype(kind)).save(png)
    return png


@pytest.mark.parametrize(
    ("kind", "step"),
    [
        ("uint8", 3),
        ("uint16", 700),
        ("palette", 5),
        ("rgba", 20_000_000),
        ("opaque", 400_000),
        ("tiff", 50_000_000),
        ("npy", 50_000_000),
    ],
)
def test_every_depth_gives_the_same_nuclei(tmp_path, kind, step):
    labels = discs()
    path = save(tmp_path / "a_label", labels * step, kind)
    assert FORMATS["instances"].recognises(path)
    read_ = read(path, labels)
    np.testing.assert_array_equal(read_.instances, labels)
    expected = ndimage.center_of_mass(labels > 0, labels, range(1, 41))
    np.testing.assert_allclose(read_.points, np.array(expected)[:, ::-1], atol=1e-4)
    assert read_.instances.dtype == np.int32


@given(
    arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 5))
)
@settings(max_examples=150, deadline=None)
def test_instance_k_is_point_k_with_the_centre_of_its_largest_piece(labels):
    if len(np.unique(labels[labels > 0])) < 2:
        labels[0, 0] = 0
    if len(np.unique(labels[labels > 0])) == 1:  # binary: other rule
        return
    read_ = annotation_of_labels(labels, "x")
    values = [value for value in np.unique(labels) if value]
    assert len(read_) == len(values)
    for k, value in enumerate(values, start=1):
        np.testing.assert_array_equal(read_.instances == k, labels == value)
        pieces, count = ndimage.label(labels == value, np.ones((3, 3)))
        areas = np.bincount(pieces.ravel())[1:]
        centres = ndimage.center_of_mass(pieces > 0, pieces, range(1, count + 1))
        best = [c[::-1] for c, area in zip(centres, areas, strict=True) if area == areas.max()]
        assert min(np.abs(read_.points[k - 1] - c).max() for c in best) < 1e-4


def test_of_a_label_in_two_pieces_the_larger_has_the_centre(tmp_path):
    """1 . . 2        the lone 1 is a stray pixel; the nucleus 1 has its centre at (1, 1.5)
       . 1 . 2
       . 1 . .        (the two below it touch by a corner and count with it)
       . . . 1
    """  # fmt: skip
    labels = np.array([[0, 0, 0, 2], [0, 1, 0, 2], [0, 1, 0, 0], [0, 0, 0, 1]])
    read_ = annotation_of_labels(labels, "x")
    np.testing.assert_array_equal(read_.points, [[1, 1.5], [3, 0.5]])
    assert read_.instances[3, 3] == 1


@pytest.mark.parametrize("value", [1, 255])
def test_a_binary_mask_is_split_at_its_eight_connected_pieces(tmp_path, value):
    mask = np.zeros((9, 9), np.uint8)
    mask[0, 0] = mask[1, 1] = value  # they touch by a corner: one nucleus
    mask[5:8, 2:5] = value
    Image.fromarray(mask).save(tmp_path / "m.png")
    read_ = read(tmp_path / "m.png", mask)
    np.testing.assert_array_equal(read_.points, [[0.5, 0.5], [3, 6]])
    np.testing.assert_array_equal(np.unique(read_.instances), [0, 1, 2])


def test_an_empty_mask_has_no_nuclei(tmp_path):
    np.save(tmp_path / "e.npy", np.zeros((5, 6), np.int32))
    assert len(read(tmp_path / "e.npy", np.zeros((5, 6)))) == 0


def test_a_thousand_nuclei_are_read_fast():
    labels = np.kron(np.arange(1, 1025).reshape(32, 32), np.ones((31, 31), int))
    labels = np.pad(labels, 4).astype(np.uint16)
    labels[::31] = 0
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        assert len(annotation_of_labels(labels, "x")) == 1024
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.5  # 0.03 on a free core: a loop over labels would take seconds


def test_a_mask_of_another_size_names_both_sizes(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((5, 6), np.uint8))
    with pytest.raises(UserError, match=r"a\.npy is 6 x 5 pixels, but a\.png is 9 x 8; give the m"):
        read(tmp_path / "a.npy", np.zeros((8, 9)))
    with pytest.raises(UserError, match=r"is 6 x 5 pixels, .*rows and columns seem exchanged"):
        read(tmp_path / "a.npy", np.zeros((6, 5)))


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.array([[0.5, 1]]), r"holds float64 values, not whole numbers"),
        (np.array([[np.nan, 1]]), r"holds float64 values, not whole numbers"),
        (np.array([[-2, 1]]), r"has the label -2, below 0"),
        (np.zeros((2, 2, 2, 2)), r"is an array 2 x 2 x 2 x 2 of float64"),
        (np.zeros((0, 3)), r"holds no pixels"),
        (np.array([["a", "b"]]), r"holds <U1 values"),
    ],
)
def test_arrays_that_are_no_labels_are_refused(tmp_path, array, says):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(UserError, match=says):
        read(tmp_path / "a.npy", np.zeros((1, 2)))


def test_pickles_and_damaged_files_are_refused(tmp_path):
    np.save(tmp_path / "p.npy", np.array([{"run": "code"}]), allow_pickle=True)
    whole = save(tmp_path / "w", discs(), "uint16")
    (tmp_path / "c_label.png").write_bytes(whole.read_bytes()[:200])
    (tmp_path / "d_label.tif").write_bytes(b"II*\0")
    for name in ("p.npy", "c_label.png", "d_label.tif"):
        with pytest.raises(UserError, match=rf"{name} is damaged or cut short"):
            read(tmp_path / name, discs())
    with pytest.raises(UserError, match="cannot be read"):
        read(tmp_path / "none.png", discs())
    with pytest.raises(UserError, match="lossy JPEG"):
        read(tmp_path / "a.jpg", discs())


def test_a_map_of_classes_is_refused():
    labels = np.zeros((100, 100), np.uint8)
    for k in range(64):
        y, x = divmod(k, 8)
        labels[y * 12 : y * 12 + 5, x * 12 : x * 12 + 5] = 1 + k % 3
    with pytest.raises(UserError, match="3 values in 64 pieces, as a map of classes"):
        annotation_of_labels(labels, "x")


def test_what_is_written_comes_back(tmp_path):
    labels = discs()
    read_ = annotation_of_labels(labels, "x")
    write_instances(tmp_path / "b_label.png", read_, labels.shape)
    assert cv2.imread(str(tmp_path / "b_label.png"), -1).dtype == np.uint16
    np.testing.assert_array_equal(read(tmp_path / "b_label.png", labels).instances, labels)


def test_outlines_are_filled_where_they_hold_pixel_centres(tmp_path):
    ring = shapely.box(0.5, 0.5, 8.5, 8.5).difference(shapely.box(2.5, 2.5, 6.5, 6.5))
    inner = shapely.box(3.5, 3.5, 5.5, 5.5)
    thin = shapely.box(9.6, 0.1, 9.9, 0.4)
    centres = np.array([[4.5, 4.5], [4.5, 4.5], [9.75, 0.25]], np.float32)
    drawn = Annotation(centres, ("",) * 3, outlines=(ring, inner, thin))
    write_instances(tmp_path / "o.png", drawn, (12, 12))
    filled = cv2.imread(str(tmp_path / "o.png"), -1)
    grid = shapely.points(*np.meshgrid(np.arange(12.0), np.arange(12.0)))
    np.testing.assert_array_equal(filled == 1, shapely.contains(ring, grid))
    np.testing.assert_array_equal(filled == 2, shapely.contains(inner, grid))
    assert filled[0, 10] == 3


def test_centres_alone_cannot_be_written(tmp_path):
    with pytest.raises(UserError, match=r"no outline.*write GeoJSON, CSV or COCO"):
        write_instances(tmp_path / "a.png", Annotation.of_points([[1, 1]]), (5, 5))
    assert not list(tmp_path.iterdir())


@pytest.mark.real_data
def test_published_masks_have_their_published_counts(real_data):
    tnbc = real_data / "tnbc"
    count = 0
    for path in sorted(tnbc.glob("Slide_*/*.png")):
        mask = tnbc / path.parent.name.replace("Slide", "GT") / path.name
        count += len(FORMATS["instances"].read((mask,), ImageInfo.of(path)))
    assert count == 4028
    label = next((real_data / "monuseg" / "labels").glob("*.png"))
    image = real_data / "monuseg" / "images" / label.name.split("_", 1)[1].replace("_label", "")
    read_ = FORMATS["instances"].read((label,), ImageInfo.of(image))
    stored = cv2.imread(str(label), -1)
    assert len(read_) == len(np.unique(stored)) - 1
