"""CRCHistoPhenotypes: counting from 1, classes joined to detections."""

import numpy as np
import pytest
import scipy.io

from transfer_kit.data.formats import FORMATS, AnnotationSource, ImageInfo, read_annotation
from transfer_kit.errors import UserError


def mat(path, points):
    scipy.io.savemat(path, {"detection": np.asarray(points, float)})
    return path


def read(tmp_path, *paths):
    info = ImageInfo("a.bmp", tmp_path / "a.bmp", 500, 500)
    return read_annotation(AnnotationSource("crchisto", paths), info)


def test_matlabs_first_pixel_is_one(tmp_path):
    """MATLAB   1  2  3      the kit   0  1  2."""
    read_ = read(tmp_path, mat(tmp_path / "a_detection.mat", [[1, 1], [3, 2.5]]))
    np.testing.assert_array_equal(read_.points, [[0, 0], [2, 1.5]])
    assert read_.classes == ("", "")


def test_class_files_name_the_detections(tmp_path):
    everything = mat(tmp_path / "a_detection.mat", [[11, 11], [51, 51], [91, 91]])
    epithelial = mat(tmp_path / "a_epithelial.mat", [[51, 52]])
    others = mat(tmp_path / "a_others.mat", [[11, 11], [300, 300]])
    read_ = read(tmp_path, everything, epithelial, others)
    assert read_.classes == ("others", "epithelial", "", "others")
    np.testing.assert_array_equal(read_.points[-1], [299, 299])


def test_two_marks_never_name_one_nucleus(tmp_path):
    everything = mat(tmp_path / "a_detection.mat", [[11, 11]])
    near = mat(tmp_path / "a_epithelial.mat", [[12, 11]])
    nearer = mat(tmp_path / "a_others.mat", [[11, 11]])
    read_ = read(tmp_path, everything, near, nearer)
    assert read_.classes == ("others", "epithelial")


def test_class_files_alone_are_enough(tmp_path):
    scipy.io.savemat(tmp_path / "a_others.mat", {"detection": np.zeros((0, 2), np.uint8)})
    fibroblast = mat(tmp_path / "a_fibroblast.mat", [[2, 3]])
    read_ = read(tmp_path, tmp_path / "a_others.mat", fibroblast)
    assert read_.classes == ("fibroblast",)


def test_faulty_files_are_named(tmp_path):
    whole = mat(tmp_path / "a_detection.mat", np.random.default_rng(0).random((50, 2)))
    cut = tmp_path / "b_detection.mat"
    cut.write_bytes(whole.read_bytes()[:300])
    with pytest.raises(UserError, match=r"b_detection\.mat is damaged or cut short"):
        read(tmp_path, cut)
    assert FORMATS["crchisto"].recognises(cut)
    with pytest.raises(UserError, match=r"c_detection\.mat cannot be read"):
        read(tmp_path, tmp_path / "c_detection.mat")
    with pytest.raises(UserError, match="'detection' is 2 x 3, not N x 2"):
        read(tmp_path, mat(tmp_path / "d.mat", np.ones((2, 3))))
    with pytest.raises(UserError, match=r"e\.mat, row 2: no finite number"):
        read(tmp_path, mat(tmp_path / "e.mat", [[1, 1], [np.nan, 1]]))
    scipy.io.savemat(tmp_path / "f.mat", {"other": 1})
    with pytest.raises(UserError, match="holds no matrix named 'detection'"):
        read(tmp_path, tmp_path / "f.mat")
    assert not FORMATS["crchisto"].recognises(tmp_path / "f.mat")


@pytest.mark.real_data
def test_the_published_files_of_an_image(real_data):
    folder = real_data / "crchisto"
    detection = folder / "Detection" / "img27" / "img27_detection.mat"
    by_class = sorted((folder / "Classification" / "img27").glob("*.mat"))
    info = ImageInfo.of(folder / "Detection" / "img27" / "img27.bmp")
    read_ = read_annotation(AnnotationSource("crchisto", (detection, *by_class)), info)
    stored = scipy.io.loadmat(detection)["detection"]
    np.testing.assert_allclose(read_.points, stored - 1, rtol=1e-6)
    counts = {name: read_.classes.count(name) for name in set(read_.classes)}
    assert counts == {"": 10, "fibroblast": 2, "inflammatory": 5, "others": 13}
