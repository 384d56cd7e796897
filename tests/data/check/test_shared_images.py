from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dataset_folders import draw_tissue
from PIL import Image

from transfer_kit.data.check.shared_images import find_shared_images, fingerprints_of
from transfer_kit.data.sample import Sample
from transfer_kit.data.tiles import windows_of


def sample_of(folder: Path, name: str, image) -> Sample:
    path = folder / f"{name}.png"
    Image.fromarray(np.ascontiguousarray(image)).save(path)
    return Sample(id=name, case=name, image_path=path, mpp=0.25)


def shared(one, other):
    found = find_shared_images(fingerprints_of(one), fingerprints_of(other))
    return {(each.one.id, each.other.id): each for each in found}


@pytest.fixture
def images():
    return [draw_tissue(seed)[0] for seed in range(6)]


def test_unlike_images_share_nothing(tmp_path, images):
    samples = [sample_of(tmp_path, f"i{k}", image) for k, image in enumerate(images)]
    assert shared(samples[:3], samples[3:]) == {}
    assert shared([], samples) == shared(samples, []) == {}


def test_the_same_pixels_are_the_same_picture_whatever_the_file(tmp_path, images):
    one, other = (sample_of(tmp_path, name, images[0]) for name in "ab")
    found = shared([one], [sample_of(tmp_path, "c", images[1]), other])
    assert set(found) == {("a", "b")}
    assert found["a", "b"].same


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_every_orientation_is_found(tmp_path, images, turns, mirrored):
    turned = np.rot90(images[0][:, ::-1] if mirrored else images[0], turns)
    found = shared(
        [sample_of(tmp_path, "a", images[0])],
        [sample_of(tmp_path, "b", turned), sample_of(tmp_path, "c", images[2])],
    )
    assert set(found) == {("a", "b")}
    assert found["a", "b"].correlation == pytest.approx(1, abs=1e-4)


def test_a_rescaled_and_darkened_copy_is_nearly_the_same_picture(tmp_path, images):
    small = np.asarray(Image.fromarray(images[0]).resize((120, 120))) * 0.8
    found = shared(
        [sample_of(tmp_path, "a", images[0])], [sample_of(tmp_path, "b", small.astype(np.uint8))]
    )
    assert not found["a", "b"].same
    assert found["a", "b"].correlation > 0.95


def test_tiles_of_one_set_are_found_as_whole_images_of_the_other(tmp_path, images):
    whole = np.vstack([np.hstack(images[:2]), np.hstack(images[2:4])])
    big = sample_of(tmp_path, "big", whole)
    tiles = [
        Sample(id=f"t{k}", case="big", image_path=big.image_path, mpp=0.25, window=window)
        for k, window in enumerate(windows_of((400, 400), 200))
    ]
    found = shared(tiles, [sample_of(tmp_path, "third", images[2])])
    assert set(found) == {("t2", "third")}
    assert found["t2", "third"].same


def test_a_whole_image_and_its_tiles_elsewhere_are_told_once(tmp_path, images):
    whole = np.vstack([np.hstack(images[:2]), np.hstack(images[2:4])])
    one, other = (sample_of(tmp_path, name, whole) for name in "ab")
    tiles = [
        Sample(id=f"t{k}", case="b", image_path=other.image_path, mpp=0.25, window=window)
        for k, window in enumerate(windows_of((400, 400), 200))
    ]
    found = find_shared_images(fingerprints_of([one]), fingerprints_of(tiles))
    assert [(each.one.id, each.other.window, each.same) for each in found] == [("a", None, True)]
