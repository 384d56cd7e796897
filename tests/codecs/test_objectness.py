from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, log_softmax, softmax

from transfer_kit.codecs import ObjectnessCodec, build_codec
from transfer_kit.data.annotation import Annotation
from transfer_kit.errors import UserError

CLASSES = ("epithelial", "inflammatory")


def codec(**options: object) -> ObjectnessCodec:
    made = build_codec("objectness", **{"classes": CLASSES, **options})
    assert isinstance(made, ObjectnessCodec)
    return made


def as_logits(target: np.ndarray, n_classes: int) -> np.ndarray:
    """Maps of a network that is sure of what is encoded."""
    wanted = target[0]
    classes = [np.where(wanted == k, 9, -9) for k in range(1, n_classes + 1)]
    return np.stack([np.where(wanted != 0, 9, -9), *classes]).astype(np.float32)


@given(seed=st.integers(0, 10**6), count=st.integers(0, 25))
@settings(deadline=None, max_examples=40)
def test_a_pixel_has_the_class_of_its_nearest_centre_within_the_radius(
    seed: int, count: int
) -> None:
    rng = np.random.default_rng(seed)
    points = rng.uniform(-8, 58, (count, 2)).astype(np.float32)
    kinds = rng.integers(0, 3, count)
    names = tuple(("epithelial", "inflammatory", "")[kind] for kind in kinds)
    ours = codec(radius_um=2.5).encode(Annotation(points, names), (40, 50), 0.5)
    rows, columns = np.mgrid[:40, :50]
    expected = np.zeros((40, 50))
    if count:
        distance = np.hypot(columns - points[:, 0, None, None], rows - points[:, 1, None, None])
        nearest = np.array([1, 2, -1])[kinds][distance.argmin(axis=0)]
        expected = np.where(distance.min(axis=0) < 5, nearest, 0)
        close = np.abs(distance.min(axis=0) - 5) < 1e-4
        ours[0][close] = expected[close]
    assert ours.shape == (1, 40, 50)
    assert np.array_equal(ours[0], expected)


def test_a_detector_of_one_class_has_one_map() -> None:
    alone = codec(classes=[""])
    assert (alone.channels, codec().channels) == (1, 3)
    annotation = Annotation(np.array([[5, 5]], np.float32), ("anything",))
    assert alone.encode(annotation, (10, 10), 1.0)[0, 5, 5] == 1


def test_a_class_that_is_not_listed_is_refused_or_background() -> None:
    annotation = Annotation(np.array([[5, 5]], np.float32), ("fibroblast",))
    with pytest.raises(UserError, match="'fibroblast', which is not one of the detector's classes"):
        codec().encode(annotation, (10, 10), 1.0)
    assert not codec(ignore_other_classes=True).encode(annotation, (10, 10), 1.0).any()


def random_maps() -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(0)
    output = 2 * rng.normal(size=(2, 3, 8, 9))
    target = rng.choice([-1, 0, 0, 1, 2], size=(2, 1, 8, 9)).astype(float)
    weight = rng.choice([0.0, 0.5, 1.0], size=(2, 1, 8, 9))
    return output, target, weight


def tensors(*arrays: np.ndarray) -> list[torch.Tensor]:
    return [torch.tensor(array, dtype=torch.float32) for array in arrays]


@pytest.mark.parametrize("prior", [0.0, 0.5, 0.9])
def test_the_loss_is_of_the_objectness_and_of_class_and_nucleus_where_one_is_found(
    prior: float,
) -> None:
    output, target, weight = random_maps()
    made = codec(prior=prior, nucleus_weight=3.0, class_weight=0.7)
    expected = []
    for o, y, w in zip(output, target[:, 0], weight[:, 0], strict=True):
        p = expit(o[0])
        entropy = -np.where(y != 0, 3 * np.log(p), np.log(1 - p))
        joint = -(log_softmax(o[1:], axis=0) + np.log(p))
        chosen = np.where(y == 2, joint[1], joint[0])
        counted = w * (y > 0) * (p >= prior)
        expected.append(
            (w * entropy).sum() / w.sum() + 0.7 * (counted * chosen).sum() / counted.sum()
        )
    assert made.loss(*tensors(output, target, weight)).tolist() == pytest.approx(expected, rel=1e-4)


def test_classes_teach_nothing_where_detection_finds_no_nucleus() -> None:
    output, target, weight = tensors(*random_maps())
    output.requires_grad_(True)
    codec(prior=0.6).loss(output, target, weight).sum().backward()
    assert output.grad is not None
    silent = (output[:, 0] < np.log(0.6 / 0.4)) | (target[:, 0] <= 0) | (weight[:, 0] == 0)
    assert torch.equal(output.grad[:, 1] == 0, silent)


def test_pixels_without_a_label_have_exactly_no_gradient_whatever_the_output() -> None:
    output, target, weight = tensors(*random_maps())
    unlabelled = (weight == 0).expand(-1, 3, -1, -1)
    output[unlabelled] = torch.nan
    output.requires_grad_(True)
    loss = codec().loss(output, target, weight)
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert output.grad is not None
    assert torch.isfinite(output.grad).all()
    assert not output.grad[unlabelled].any()


def test_an_image_without_labelled_pixels_has_no_loss() -> None:
    output, target, weight = tensors(*random_maps())
    weight[1] = 0
    loss = codec().loss(output, target, weight)
    assert loss[1] == 0
    assert loss[0] > 0


def test_classes_are_learned_from_their_step_on() -> None:
    maps = tensors(*random_maps())
    made = codec(detection_first_steps=4)
    detection = codec(class_weight=0.0).loss(*maps)
    assert torch.equal(made.at_step(3).loss(*maps), detection)
    assert torch.equal(made.at_step(4).loss(*maps), made.loss(*maps))
    assert not torch.equal(detection, made.loss(*maps))


@given(seed=st.integers(0, 10**6), count=st.integers(0, 20))
@settings(deadline=None, max_examples=40)
def test_what_is_encoded_is_decoded(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    kept: list[np.ndarray] = []
    for point in rng.integers((6, 6), (54, 44), (count, 2)):
        if all(np.hypot(*(point - other)) > 11 for other in kept):
            kept.append(point)
    points = np.array(kept, np.float32).reshape(-1, 2)
    names = tuple(CLASSES[k] for k in rng.integers(0, 2, len(points)))
    made = codec(radius_um=2.5)
    target = made.encode(Annotation(points, names), (50, 60), 0.5)
    nuclei = made.decode(as_logits(target, 2), 0.5, threshold=0.9)
    found = {
        (*point, name) for point, name in zip(nuclei.points.tolist(), nuclei.classes, strict=True)
    }
    assert found == {(*p, name) for p, name in zip(points.tolist(), names, strict=True)}


def test_the_score_is_the_mean_objectness_of_the_disc() -> None:
    output = np.random.default_rng(1).normal(size=(3, 60, 60)).astype(np.float32)
    made = codec(radius_um=1.5)
    nuclei = made.decode(output, 0.5, threshold=None)
    rows, columns = np.mgrid[:60, :60]
    inner = np.all((nuclei.points > 3) & (nuclei.points < 56), axis=1)
    assert inner.sum() > 3
    joint = expit(output[0]) * softmax(output[1:], axis=0)
    for i in np.flatnonzero(inner):
        x, y = nuclei.points[i]
        disc = np.hypot(columns - x, rows - y) < 3
        assert nuclei.scores[i] == pytest.approx(expit(output[0])[disc].mean(), abs=1e-5)
        assert nuclei.classes[i] == CLASSES[int(joint[:, disc].mean(axis=1).argmax())]


def test_maps_that_are_not_finite_are_refused() -> None:
    output = np.zeros((3, 9, 9), np.float32)
    output[2, 4, 4] = np.nan
    with pytest.raises(UserError, match="not finite, so no nuclei can be found"):
        codec().decode(output, 0.5, threshold=0.5)


def test_it_survives_the_card() -> None:
    made = codec(prior=0.3, detection_first_steps=9)
    assert build_codec("objectness", **json.loads(json.dumps(asdict(made)))) == made


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"radius_um": 0}, "'radius_um' .* above 0, but got 0"),
        ({"prior": 1.0}, "'prior' .* a probability below 1, but got 1.0"),
        ({"prior": -0.1}, "'prior' .* of at least 0, but got -0.1"),
        ({"class_weight": None}, "'class_weight' .* but got None"),
        ({"detection_first_steps": -1}, "'detection_first_steps' .* but got -1"),
        ({"classes": []}, "'classes' .* each class once"),
    ],
)
def test_a_wrong_value_is_refused_in_one_sentence(
    options: dict[str, object], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        codec(**options)
