"""Drawn images: the same bytes every time, exact nuclei, and organs that look as declared."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import regionprops

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.synthetic import ORGANS, classes_of, draw, mpp_of
from transfer_kit.data.synthetic.organs import BY_NAME
from transfer_kit.errors import UserError

MITOSES = "breast-mitoses"  # only they are annotated, by their centres: test_mitosis.py
TISSUES = tuple(name for name in BY_NAME if name != MITOSES)
WITH_INSTANCES = tuple(name for name in ORGANS if name != MITOSES)
PORTABLE = (("breast", 2), ("eye", 5), ("pancreas-ki67", 1), (MITOSES, 7))


@lru_cache(maxsize=32)
def drawn(organ: str, case: int = 3, size: int = 500) -> tuple[np.ndarray, Annotation]:
    return draw(organ, case=case, size=size)


def digest(organ: str, case: int, **others: int) -> str:
    image, annotation = draw(organ, case=case, **others)
    known = annotation.points if annotation.instances is None else annotation.instances
    return hashlib.sha256(image.tobytes() + known.tobytes()).hexdigest()


def density(image: np.ndarray) -> np.ndarray:
    return -np.log10((image.astype(np.float64) + 1) / 256)


@pytest.mark.parametrize("organ", ORGANS)
def test_an_image_has_the_same_bytes_whatever_was_drawn_before(organ):
    first = digest(organ, 1, size=160)
    np.random.default_rng(0).random(5)
    digest("breast", 7, size=128)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        assert digest(organ, 1, size=160) == first
    finally:
        cv2.setNumThreads(threads)


def test_an_image_has_the_same_bytes_on_a_processor_without_vector_instructions():
    code = (
        "import sys; sys.path[:0] = sys.argv[1:]; import test_drawing as t;"
        "print(*(t.digest(*drawn, size=200) for drawn in t.PORTABLE))"
    )
    paths = [str(Path(__file__).parent), str(Path.cwd())]
    plain = {
        "OPENCV_CPU_DISABLE": "AVX2,AVX512-SKX,FP16",
        "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX2 FMA3 AVX512F AVX512_SKX",
    }
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *paths],
        env={**os.environ, **plain},
        capture_output=True,
        text=True,
        check=True,
    )
    here = [digest(*drawn, size=200) for drawn in PORTABLE]
    assert answer.stdout.split()[-len(here) :] == here


def test_organ_case_and_seed_each_give_another_image():
    digests = {
        digest("breast", 0, size=128),
        digest("breast", 1, size=128),
        digest("breast", 0, size=128, seed=1),
        digest("eye", 0, size=128),
    }
    assert len(digests) == 4


@pytest.mark.parametrize("organ", WITH_INSTANCES)
def test_a_point_is_the_centroid_of_its_visible_nucleus(organ):
    image, annotation = drawn(organ)
    instances = annotation.instances
    labels = np.arange(1, len(annotation) + 1)
    centres = np.array(ndimage.center_of_mass(instances > 0, instances, labels))
    np.testing.assert_allclose(annotation.points, centres[:, ::-1], atol=1e-3)
    assert image.shape == (500, 500, 3)
    assert image.dtype == np.uint8
    assert instances.dtype == np.int32
    assert instances.shape == (500, 500)
    assert set(np.unique(instances)) == set(range(len(annotation) + 1))
    assert set(annotation.classes) == set(classes_of(organ))


@pytest.mark.parametrize("organ", TISSUES)
def test_every_nucleus_is_one_piece_and_no_sliver(organ):
    for case in (0, 3, 5):
        for region in regionprops(drawn(organ, case)[1].instances):
            _, pieces = ndimage.label(region.image)
            assert pieces == 1
            assert region.area * mpp_of(organ) ** 2 > 2.5  # µm²


@pytest.mark.parametrize("organ", TISSUES)
def test_nuclei_take_up_more_red_light_than_their_surround(organ):
    """Haematoxylin is what absorbs red; pigment beside a pale nucleus may exceed it in the eye."""
    contrasts = []
    for case in (0, 3, 4):
        image, annotation = drawn(organ, case)
        red, nuclei = density(image)[..., 0], annotation.instances > 0
        for region in regionprops(annotation.instances):
            top, left, bottom, right = region.bbox
            window = np.s_[max(top - 6, 0) : bottom + 6, max(left - 6, 0) : right + 6]
            own = annotation.instances[window] == region.label
            ring = ndimage.binary_dilation(own, iterations=5) & ~nuclei[window]
            if ring.sum() > 20:
                contrasts.append(red[window][own].mean() - red[window][ring].mean())
    share = np.mean(np.array(contrasts) > 0)
    assert share >= (0.95 if organ == "eye" else 1.0)
    assert np.median(contrasts) > 0.08


@pytest.mark.parametrize("organ", TISSUES)
def test_density_and_nuclear_length_lie_in_the_declared_range(organ):
    declared = BY_NAME[organ]
    for case in (0, 3, 4, 5):
        _, annotation = drawn(organ, case)
        mpp = mpp_of(organ)
        per_mm2 = len(annotation) / (0.5 * mpp) ** 2
        lengths = [r.axis_major_length * mpp for r in regionprops(annotation.instances)]
        assert declared.nuclei_per_mm2[0] <= per_mm2 <= declared.nuclei_per_mm2[1]
        assert declared.median_length_um[0] <= np.median(lengths) <= declared.median_length_um[1]


def test_eye_nuclei_are_longer_and_paler_than_breast_nuclei():
    length, contrast = {}, {}
    for organ in ("breast", "eye"):
        lengths, contrasts = [], []
        for case in (0, 3, 4, 5):
            image, annotation = drawn(organ, case)
            red, nuclei = density(image)[..., 0], annotation.instances > 0
            lengths += [r.axis_major_length for r in regionprops(annotation.instances)]
            contrasts.append(red[nuclei].mean() - red[~nuclei].mean())
        length[organ], contrast[organ] = np.median(lengths), np.mean(contrasts)
    assert length["eye"] > 1.2 * length["breast"]
    assert contrast["eye"] < 0.7 * contrast["breast"]


@pytest.mark.real_data
def test_breast_is_as_dense_as_large_and_as_dark_as_real_breast(real_data):
    lengths, contrasts = [], []
    for path in sorted((real_data / "monuseg" / "labels").glob("Breast_*_label.png"))[:3]:
        name = path.name.removeprefix("Breast_").removesuffix("_label.png")
        image = cv2.imread(str(real_data / "monuseg" / "images" / f"{name}.png"))[..., 2::-1]
        labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(np.int32)
        red, nuclei = density(image)[..., 0], labels > 0
        lengths.append(np.median([r.axis_major_length for r in regionprops(labels)]))
        contrasts.append(red[nuclei].mean() - red[~nuclei].mean())
    for case in (0, 4, 6):
        image, annotation = drawn("breast", case)
        red, nuclei = density(image)[..., 0], annotation.instances > 0
        length = np.median([r.axis_major_length for r in regionprops(annotation.instances)])
        assert 0.7 * min(lengths) < length < 1.4 * max(lengths)
        contrast = red[nuclei].mean() - red[~nuclei].mean()
        assert 0.6 * min(contrasts) < contrast < 1.6 * max(contrasts)


def test_an_unknown_organ_is_refused_with_the_nearest_one():
    with pytest.raises(UserError, match=r"No organ 'brest' can be drawn. Did you mean 'breast'\?"):
        draw("brest", case=0)


def test_a_negative_case_and_a_tiny_image_are_refused():
    with pytest.raises(UserError, match="numbered from 0, but got -1"):
        draw("eye", case=-1)
    with pytest.raises(UserError, match="An image of 20 px is too small to draw; choose 96"):
        draw("eye", case=0, size=20)
