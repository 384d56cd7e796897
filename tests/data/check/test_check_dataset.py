from __future__ import annotations

import numpy as np
import pytest
from dataset_folders import draw_tissue, write_card, write_csv, write_folder
from PIL import Image

from transfer_kit.data.check import check_dataset
from transfer_kit.data.dataset import Dataset


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "tiny", cases=4, per_case=1)


def findings_of(folder, code=None):
    return [f for f in check_dataset(Dataset.open(folder)) if code in (None, f.code)]


def the_finding(folder, code):
    found = findings_of(folder)
    assert [finding.code for finding in found] == [code], found
    return found[0]


def points_of(folder, name="c00_0"):
    return np.loadtxt(folder / "annotations" / f"{name}.csv", delimiter=",", skiprows=1)


def write_labels(path, shape, value=1):
    labels = np.zeros(shape, np.uint16)
    labels[20:40, 30:60] = value
    labels[60:80, 30:60] = value + 1
    path.parent.mkdir(exist_ok=True, parents=True)
    Image.fromarray(labels).save(path)


def test_a_sound_folder_has_no_finding(folder):
    assert findings_of(folder) == []


def test_nuclei_outside_the_image_are_counted_and_the_first_is_placed(folder):
    write_csv(folder / "annotations" / "c00_0.csv", [*points_of(folder), (240, 17), (10, -3)])
    finding = the_finding(folder, "outside")
    assert finding.severity == "error"
    assert (
        "has 2 of 32 nuclei outside the image of 200x200, the farthest by 40.5 px at (240, 17)"
        in finding.message
    )
    assert finding.file.endswith("c00_0.csv")


def test_a_slip_over_the_rim_is_a_warning(folder):
    write_csv(folder / "annotations" / "c00_0.csv", [*points_of(folder), (20, -1.5)])
    finding = the_finding(folder, "outside")
    assert finding.severity == "warning"
    assert "the farthest by 1.0 px at (20, -1.5); correct or delete them." in finding.message


def test_a_nucleus_at_the_outermost_pixel_is_inside(folder):
    write_csv(folder / "annotations" / "c00_0.csv", [*points_of(folder), (199.4, 199.4), (-0.4, 0)])
    assert findings_of(folder) == []


def test_nuclei_that_are_there_twice_are_found(folder):
    points = points_of(folder)
    write_csv(folder / "annotations" / "c00_0.csv", [*points, points[3], points[4] + 0.2])
    assert "has 2 nuclei twice (within 0.5 px)" in the_finding(folder, "duplicate-points").message


def test_exchanged_coordinates_are_found(folder):
    write_csv(folder / "annotations" / "c00_0.csv", points_of(folder)[:, ::-1])
    finding = the_finding(folder, "exchanged-xy")
    assert "x and y of" in finding.message
    assert "exchange the two columns" in finding.message


def test_shifted_labels_are_found_and_the_shift_is_named(folder):
    write_csv(folder / "annotations" / "c00_0.csv", points_of(folder) + np.array([-14, 9]))
    finding = the_finding(folder, "shifted")
    assert "shifted" in finding.message
    dx, dy = (int(finding.message.split(axis)[0].split()[-1]) for axis in (" px in x", " px in y"))
    assert abs(dx - 14) <= 2
    assert abs(dy + 9) <= 2


def test_labels_of_another_image_do_not_lie_on_nuclei(folder):
    rng = np.random.default_rng(0)
    write_csv(folder / "annotations" / "c00_0.csv", rng.uniform(0, 199, (60, 2)))
    (finding,) = findings_of(folder)
    assert finding.code in ("off-nuclei", "shifted")


@pytest.mark.parametrize("factor", [0.5, 2])
def test_a_scale_that_is_wrong_by_two_is_found_and_the_right_one_is_named(folder, factor):
    write_card(folder, case_pattern=r"(c\d+)_", mpp=0.25 * factor)
    finding = the_finding(folder, "wrong-mpp")
    assert f"At {0.25 * factor:g} µm per pixel the nuclei would be" in finding.message
    named = float(finding.message.split("about ")[1].split()[0])
    assert named == pytest.approx(0.25, rel=0.2)


def test_a_damaged_image_is_found(folder):
    path = folder / "images" / "c00_0.png"
    path.write_bytes(path.read_bytes()[:4000])
    finding = the_finding(folder, "unreadable-image")
    assert str(path) in finding.message


def test_an_image_of_one_colour_is_found(folder):
    Image.new("RGB", (200, 200), "white").save(folder / "images" / "c00_0.png")
    (folder / "annotations" / "c00_0.csv").write_text("x,y\n")
    assert {"blank-image", "empty-annotation"} == {f.code for f in findings_of(folder)}


def test_an_image_without_annotation_is_found(folder):
    (folder / "annotations" / "c00_0.csv").unlink()
    finding = the_finding(folder, "no-annotation")
    assert finding.severity == "warning"
    assert "c00_0.png has no annotation" in finding.message


def test_a_damaged_annotation_is_found(folder):
    (folder / "annotations" / "c00_0.csv").write_text("x,y\n1,2\n3,banana\n")
    assert "banana" in the_finding(folder, "bad-annotation").message


def test_masks_of_unlike_size_that_fit_each_other_are_named(tmp_path):
    for name, size, mask in (("a", (100, 90), (80, 120)), ("b", (120, 80), (90, 100))):
        image, _ = draw_tissue([5, ord(name)], side=130, count=4)
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(image[: size[1], : size[0]]).save(tmp_path / "images" / f"{name}.png")
        write_labels(tmp_path / "annotations" / f"{name}.png", mask)
    write_card(tmp_path, format="instances")
    (finding,) = findings_of(tmp_path, "exchanged-files")
    assert "a.png and" in finding.message
    assert "b.png are exchanged" in finding.message
    assert len(findings_of(tmp_path, "bad-annotation")) == 2


def test_the_same_picture_in_two_splits_is_an_error(folder):
    write_card(
        folder,
        case_pattern=r"(c\d+)_",
        splits={"train": ["c00", "c01"], "validation": ["c02"], "test": ["c03"]},
    )
    for kind, suffix in (("images", "png"), ("annotations", "csv")):
        source = (folder / kind / f"c00_0.{suffix}").read_bytes()
        (folder / kind / f"c03_0.{suffix}").write_bytes(source)
    finding = the_finding(folder, "crossing-splits")
    assert finding.severity == "error"
    assert "the same picture, one in train, the other in test" in finding.message


def test_a_turned_and_recompressed_copy_is_found(folder):
    image, points = draw_tissue([0, 0, 0])
    Image.fromarray(np.rot90(image)).save(folder / "images" / "c00_9.jpg", quality=70)
    write_csv(folder / "annotations" / "c00_9.csv", np.stack([points[:, 1], 199 - points[:, 0]], 1))
    finding = the_finding(folder, "near-duplicate")
    assert finding.severity == "warning"
    assert "nearly the same picture" in finding.message


def test_a_patient_in_two_splits_is_an_error(tmp_path):
    folder = write_folder(tmp_path / "tiny", cases=4, per_case=1, card=False)
    for kind, suffix in (("images", "png"), ("annotations", "csv")):
        for i in range(4):
            old = folder / kind / f"c{i:02d}_0.{suffix}"
            old.rename(folder / kind / f"TCGA-AA-000{i // 3}-01Z-{i}.{suffix}")
    write_card(folder)
    finding = the_finding(folder, "crossing-splits")
    assert "Patient TCGA-AA-0000 is in" in finding.message
    assert "case_pattern" in finding.message


def test_names_that_look_like_patients_are_a_warning(tmp_path):
    folder = write_folder(tmp_path / "tiny", cases=4, per_case=3, card=False)
    write_card(folder)
    finding = the_finding(folder, "possible-patients")
    assert finding.severity == "warning"


def test_cases_in_no_split_and_splits_without_case_are_warnings(folder):
    splits = {"train": ["c00", "c01"], "validation": ["c02"], "test": ["c77"]}
    write_card(folder, case_pattern=r"(c\d+)_", splits=splits)
    codes = {finding.code: finding.message for finding in findings_of(folder)}
    assert set(codes) == {"unlisted-case", "absent-case"}
    assert "Case c03 is in no split" in codes["unlisted-case"]
    assert "Case c77 is listed" in codes["absent-case"]


def test_a_class_that_the_card_does_not_name_is_a_warning(folder):
    points = points_of(folder)
    lines = [f"{x},{y},{'tumour' if i else 'tumor'}" for i, (x, y) in enumerate(points)]
    (folder / "annotations" / "c00_0.csv").write_text("x,y,class\n" + "\n".join(lines) + "\n")
    write_card(folder, case_pattern=r"(c\d+)_", classes=["tumour"])
    assert "the class 'tumor', which is not among" in the_finding(folder, "unknown-class").message


def test_errors_come_first(folder):
    (folder / "annotations" / "c00_0.csv").unlink()
    write_csv(folder / "annotations" / "c01_0.csv", points_of(folder, "c01_0")[:, ::-1])
    assert [finding.severity for finding in findings_of(folder)] == ["error", "warning"]
