from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from dataset_folders import write_folder
from drawn_samples import DrawnSample
from shapely.geometry import box

from transfer_kit.codecs import build_codec
from transfer_kit.data.annotation import Annotation
from transfer_kit.data.augment import Augmentation
from transfer_kit.data.dataset import Dataset
from transfer_kit.data.image_cache import ImageCache
from transfer_kit.data.nuclei import Nuclei
from transfer_kit.data.patches import PatchSampler, normalise
from transfer_kit.data.synthetic.drawing import draw, mpp_of
from transfer_kit.data.unmarked import OWN_UM, RIDGE, _discriminant, _features, surely_labelled
from transfer_kit.evaluation import evaluate
from transfer_kit.evaluation.counting import Evaluated
from transfer_kit.networks import build_network

ORGANS = ("breast", "eye", "colon", "kidney", "liver")


def some_of(annotation: Annotation, share: float, seed: int) -> tuple[Annotation, np.ndarray]:
    """An annotation of which a share of the centres is left, and the centres that are not."""
    marked = np.random.default_rng(seed).random(len(annotation)) < share
    some = replace(Annotation.of_points(annotation.points[marked]), positives_only=True)
    return some, annotation.points[~marked]


def at(mask: np.ndarray, points: np.ndarray) -> np.ndarray:
    columns, rows = np.clip(np.rint(points).astype(int), 0, np.array(mask.shape[::-1]) - 1).T
    return mask[rows, columns]


@pytest.mark.parametrize("inverted", [False, True])
def test_hardly_an_unmarked_nucleus_is_taken_for_background_in_any_stain(inverted) -> None:
    missed, unmarked, shares = 0, 0, []
    for organ in ORGANS:
        image, annotation = draw(organ, case=0, size=300)
        some, rest = some_of(annotation, 0.3, seed=0)
        shown = 255 - image if inverted else image  # as fluorescence: bright nuclei on black
        sure = surely_labelled(shown, some, mpp_of(organ))
        assert at(sure, some.points).all()
        missed, unmarked = missed + int(at(sure, rest).sum()), unmarked + len(rest)
        shares.append(sure.mean())
    assert missed / unmarked < 0.12
    assert 0.4 < np.mean(shares) < 0.9


def test_the_score_is_the_ridge_regression_of_being_marked() -> None:
    image, annotation = draw("breast", case=1, size=160)
    columns, rows = np.clip(np.rint(annotation.points[:9]).astype(int), 0, 159).T
    features = _features(image, 0.25)
    scores = _discriminant(features, features[rows, columns])
    marked = np.zeros((160, 160))
    marked[rows, columns] = 1
    every = features.reshape(-1, 6).astype(float)
    every -= every.mean(axis=0)
    penalty = np.sqrt((len(every) - 1) * RIDGE) * np.eye(6)
    wanted = np.append(marked.ravel() - marked.mean(), np.zeros(6))
    weights = np.linalg.lstsq(np.vstack([every, penalty]), wanted, rcond=None)[0]
    assert np.corrcoef(every @ weights, scores.ravel())[0, 1] > 1 - 1e-6


def test_labelled_regions_and_the_place_of_each_marked_nucleus_are_sure() -> None:
    image = np.full((80, 100, 3), 120, np.uint8)  # all alike: nothing is unlike the nucleus
    known = Annotation([[60, 40]], ("",), labelled_regions=(box(4.5, 4.5, 20.5, 30.5),))
    sure = surely_labelled(image, replace(known, positives_only=True), mpp=0.5)
    rows, columns = np.indices((80, 100))
    expected = np.hypot(columns - 60, rows - 40) < OWN_UM / 0.5
    expected |= (columns > 4.5) & (columns < 20.5) & (rows > 4.5) & (rows < 30.5)
    np.testing.assert_array_equal(sure, expected)


def test_without_a_mark_nothing_is_sure() -> None:
    image, _ = draw("breast", case=0, size=120)
    nothing = Annotation(np.zeros((0, 2)), (), positives_only=True)
    assert not surely_labelled(image, nothing, 0.25).any()
    assert not nothing.knows_nuclei
    assert not nothing.tells_false
    assert replace(nothing, labelled_regions=(box(0, 0, 9, 9),)).tells_false


def test_a_dataset_says_that_only_some_of_its_nuclei_are_marked(tmp_path) -> None:
    folder = write_folder(tmp_path / "some", cases=3, per_case=1, positives_only=True, tile_px=100)
    assert all(sample.annotation().positives_only for sample in Dataset.open(folder))
    other = write_folder(tmp_path / "all", cases=3, per_case=1)
    assert not any(sample.annotation().positives_only for sample in Dataset.open(other))


def sampler_of(annotations, images, mpp, codec):
    samples = [
        DrawnSample(str(k), image, known, mpp=mpp)
        for k, (image, known) in enumerate(zip(images, annotations, strict=True))
    ]
    return PatchSampler(
        ImageCache(samples, 0.5),
        size_px=64,
        augmentation=Augmentation(quarter_turns=True),
        seed=0,
        encode=codec.encode,
        settled=codec.settled,
    )


def trained(codec, sampler, steps=60):
    torch.manual_seed(0)
    network = build_network("micronet", channels=1, width=6, dropout=0.0).train()
    optimizer = torch.optim.AdamW(network.parameters(), 4e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps + 1)
    for step in range(steps):
        patches = [sampler.patch(4 * step + k) for k in range(4)]
        image = np.stack([normalise(p.image, [0.75] * 3, [0.2] * 3) for p in patches])
        target, weight = (
            torch.from_numpy(np.stack([getattr(p, name) for p in patches]))
            for name in ("target", "weight")
        )
        loss = codec.loss(network(torch.from_numpy(image)), target, weight).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


def test_with_30_percent_marked_it_beats_taking_the_rest_for_background() -> None:
    """An embedded organ, at the codec's own threshold, scored on cases with all nuclei known."""
    codec, mpp = build_codec("objectness"), mpp_of("breast")
    drawn = [draw("breast", case=case, size=360) for case in range(6)]
    images = [image for image, _ in drawn[:4]]
    some = [some_of(known, 0.3, seed)[0] for seed, (_, known) in enumerate(drawn[:4])]
    as_background = [replace(known, positives_only=False) for known in some]

    def f1(annotations) -> float:
        network = trained(codec, sampler_of(annotations, images, mpp, codec))
        return evaluate(
            (looked_at(codec, network, *pair) for pair in drawn[4:]), radius_um=2, threshold=0.5
        ).f1

    assert f1(some) > f1(as_background) + 0.3


def looked_at(codec, network, image, known) -> Evaluated:
    sample = ImageCache([DrawnSample("test", image, known, mpp=mpp_of("breast"))], 0.5)
    shown, truth = sample.get(0)
    with torch.no_grad():
        pixels = torch.from_numpy(normalise(shown, [0.75] * 3, [0.2] * 3))[None]
        maps = network(pixels)[0].numpy()
    found: Nuclei = codec.decode(maps, 0.5, threshold=None)
    bare = Annotation.of_points(truth.points)
    return Evaluated("test", "case", 0.5, shown.shape[:2], bare, found)


def test_a_click_beside_all_nuclei_does_not_move_the_limit_to_the_glass() -> None:
    image, annotation = draw("breast", case=2, size=300)
    image[:, :80] = 245
    points = annotation.points[annotation.points[:, 0] > 90]
    some = Annotation.of_points(np.concatenate([points[::2], np.float32([[10, 10]])]))
    assert len(some) > 12
    sure = surely_labelled(image, replace(some, positives_only=True), mpp_of("breast"))
    assert sure[:, :70].all()
