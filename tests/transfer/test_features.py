from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from shapely.geometry import box
from toy import MPP, toy_detector, toy_image
from transfer.one_step import tiny_detector

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.patches import normalise
from transfer_kit.errors import NotFiniteMapsError
from transfer_kit.networks import network_names
from transfer_kit.transfer import features
from transfer_kit.transfer.features import BACKGROUND, CLEAR_UM, draw_places, features_at

POINTS = np.array([[3, 4], [50.4, 20.6], [94, 70]], np.float32)


def places(annotation, size=(64, 64), *, by_class=False, most=100, seed=0):
    rng = np.random.default_rng(seed)
    return draw_places(annotation, size, MPP, by_class=by_class, most=most, rng=rng)


@pytest.mark.parametrize("network", network_names())
def test_every_network_has_features_before_its_last_block(network):
    detector = tiny_detector(network)
    image, _ = toy_image(0, 96)
    found = features_at(detector, image[:80], MPP, POINTS)
    assert found.shape[0] == 3
    assert found.shape[1] > 1
    assert np.ptp(found, axis=0).max() > 0


def test_features_are_means_over_a_nucleus_of_the_last_decoders_map():
    detector = toy_detector()
    image, _ = toy_image(1, 96)
    card = detector.card
    with torch.inference_mode():
        pixels = torch.from_numpy(normalise(image, card.mean, card.std))[None]
        last = detector.network.levels(pixels).last[0].numpy()
    # 2 µm are 4 pixels to each side.
    expected = [last[:, 0:9, 0:8], last[:, 17:26, 46:55], last[:, 66:75, 90:96]]
    found = features_at(detector, image, MPP, POINTS)
    assert found == pytest.approx(np.array([e.mean((1, 2)) for e in expected]), abs=1e-5)


def test_tiles_change_nothing(monkeypatch):
    detector = tiny_detector("fcrn_b")  # it sees 47 pixels, so that tiles are parts of the image
    image, points = toy_image(2, 150, 40)
    whole = features_at(detector, image, MPP, points)
    monkeypatch.setattr(features, "TILE_PX", 32)
    assert features_at(detector, image, MPP, points) == pytest.approx(whole, abs=1e-5)


def test_an_image_of_another_scale_gives_the_features_of_the_same_places():
    detector = toy_detector()
    image, points = toy_image(3)
    enlarged = cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    found = features_at(detector, enlarged, MPP / 2, (points + 0.5) * 2 - 0.5)
    assert found == pytest.approx(features_at(detector, image, MPP, points), abs=1e-5)


def test_the_network_is_left_in_the_mode_of_each_of_its_modules():
    detector = toy_detector()
    detector.network.train()
    detector.network.input.eval()
    before = [module.training for module in detector.network.modules()]
    features_at(detector, toy_image(0)[0], MPP, POINTS)
    assert [module.training for module in detector.network.modules()] == before


def test_broken_weights_are_told():
    detector = toy_detector(name="broken")
    for value in detector.network.input.parameters():
        torch.nn.init.constant_(value, float("nan"))
    with pytest.raises(NotFiniteMapsError, match="features of broken hold infinities"):
        features_at(detector, toy_image(0)[0], MPP, POINTS)


def test_as_much_background_as_nuclei_is_drawn_clear_of_all_of_them():
    _, points = toy_image(4, 96, 20)
    found = places(Annotation.of_points(points), (96, 96))
    assert found.labels == ["nucleus"] * 20 + [BACKGROUND] * 20
    assert np.array_equal(found.points[:20], points)
    apart = np.hypot(*(found.points[20:, None] - points).transpose(2, 0, 1)) * MPP
    assert apart.min() >= CLEAR_UM - 1e-3
    assert len(np.unique(found.points[20:], axis=0)) == 20


def test_only_what_is_known_is_drawn():
    points = np.array([[10, 10], [50, 50]], np.float32)
    instances = np.zeros((64, 64), np.int32)
    instances[:30, :24] = 1  # a nucleus that reaches far from its centre
    annotation = Annotation(
        points, ("", ""), instances, labelled_regions=(box(-0.5, -0.5, 29.5, 29.5),)
    )
    found = places(annotation)
    assert found.labels == ["nucleus", BACKGROUND]
    assert np.array_equal(found.points[0], points[0])
    x, y = found.points[1]
    assert 24 <= x < 30
    assert y < 30


def test_classes_are_labels_where_they_are_asked_for_and_known():
    annotation = Annotation(
        np.array([[5, 5], [30, 30], [55, 55]], np.float32), ("immune", "", "tumour")
    )
    assert places(annotation, by_class=True).labels == ["immune", "tumour", "", ""]
    assert places(annotation).labels[:3] == ["nucleus"] * 3


def test_no_more_nuclei_are_drawn_than_asked_for_and_the_seed_says_which():
    _, points = toy_image(4, 96, 20)
    annotation = Annotation.of_points(points)
    one, same, other = (places(annotation, (96, 96), most=6, seed=seed) for seed in (1, 1, 2))
    assert len(one.labels) == 12
    assert np.array_equal(one.points, same.points)
    assert not np.array_equal(one.points, other.points)


def test_an_image_without_nuclei_or_without_background_gives_none_of_these():
    assert places(Annotation.of_points(np.zeros((0, 2)))).labels == []
    rows, columns = np.mgrid[2:64:6, 2:64:6]
    crowded = np.stack([columns.ravel(), rows.ravel()], 1).astype(np.float32)
    assert set(places(Annotation.of_points(crowded)).labels) == {"nucleus"}
