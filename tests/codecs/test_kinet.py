from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import shapely
import torch
from drawn_samples import DrawnSample, noise_image
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp, softmax

from transfer_kit.codecs import Codec, KiNetCodec, ProximityCodec, build_codec
from transfer_kit.data.annotation import Annotation
from transfer_kit.data.augment import Augmentation
from transfer_kit.data.formats import FORMATS, ImageInfo
from transfer_kit.data.image_cache import ImageCache
from transfer_kit.data.patches import PatchSampler
from transfer_kit.errors import UserError
from transfer_kit.evaluation import match_points

CLASSES = ("positive", "negative", "other")
REGIONS = ("tumour", "non-tumour")
POINTS = np.array([[10, 10], [30, 12], [20, 30]], np.float32)
TUMOUR = shapely.box(-5, -5, 19.5, 50)
STROMA = shapely.box(29.5, -5, 60, 19.5)


def codec(**options: object) -> KiNetCodec:
    made = build_codec("kinet", **{"classes": CLASSES, "regions": REGIONS, **options})
    assert isinstance(made, KiNetCodec)
    return made


def annotated() -> Annotation:
    labels = (("tumour", TUMOUR), ("non-tumour", STROMA))
    return Annotation(POINTS, ("negative", "other", "positive"), region_labels=labels)


def random_maps(seed: int = 0, images: int = 2) -> tuple[torch.Tensor, ...]:
    """Output, target and weight with all regions' numbers, unknown among them."""
    rng = np.random.default_rng(seed)
    output = rng.normal(size=(images, 5, 8, 9))
    proximity = rng.uniform(0, 1, (images, 3, 8, 9)) * (rng.random((images, 3, 8, 9)) < 0.3)
    numbers = rng.integers(0, 3, (images, 1, 8, 9))
    weight = rng.choice([0.0, 0.5, 1.0], size=(images, 1, 8, 9))
    target = np.concatenate([proximity, numbers], axis=1)
    return tuple(torch.tensor(part, dtype=torch.float32) for part in (output, target, weight))


def test_the_first_maps_are_the_proximity_codecs_and_the_last_numbers_the_regions() -> None:
    maps = codec().encode(annotated(), (40, 50), 0.34)
    proximity = ProximityCodec(classes=CLASSES, radius_um=5.1, scale=1.0)
    assert np.array_equal(maps[:3], proximity.encode(annotated(), (40, 50), 0.34))
    rows, columns = np.mgrid[:40, :50]
    expected = np.where(shapely.contains_xy(TUMOUR, columns, rows), 1, 0)
    expected[shapely.contains_xy(STROMA, columns, rows)] = 2
    assert np.array_equal(maps[3], expected)
    assert set(np.unique(maps[3])) == {0, 1, 2}
    assert maps.dtype == np.float32


def test_without_regions_it_encodes_nuclei_alone() -> None:
    alone = codec(regions=[])
    assert alone.channels == 3
    assert alone.encode(annotated(), (40, 50), 0.34).shape == (3, 40, 50)


def test_the_papers_distance_is_fifteen_pixels_of_a_height_of_one() -> None:
    maps = codec().encode(annotated(), (40, 50), 0.34)
    assert maps[1, 10, 10] == pytest.approx(1)
    assert maps[1, 10, 24] > 0
    assert maps[1, 10, 25] == 0


def test_a_region_of_an_unknown_name_is_refused_or_left_unknown() -> None:
    labels = (("tumor", TUMOUR), ("non-tumour", STROMA))
    annotation = replace(annotated(), region_labels=labels)
    with pytest.raises(UserError, match=r"'tumor', which is not one .* Did you mean 'tumour'\?"):
        codec().encode(annotation, (40, 50), 0.34)
    maps = codec(ignore_other_regions=True).encode(annotation, (40, 50), 0.34)
    assert set(np.unique(maps[3])) == {0, 2}


def reference_loss(
    output: np.ndarray, target: np.ndarray, weight: np.ndarray, *, eta: float, gamma: float
) -> float:
    """Equations 2 to 5 of one image, term by term."""
    labelled = weight.sum()
    nuclei = 0.0
    for s in range(3):
        mean = (weight * target[s]).sum() / labelled if labelled else 0.0
        error = (output[s] - target[s]) ** 2
        if labelled:
            nuclei += 0.5 * (weight * (target[s] + 5 * mean) * error).sum() / labelled
    for s in range(2):
        for t in range(s + 1, 3):
            positive = np.maximum(output[[s, t]], 0)
            nuclei += eta * (weight * positive[0] * positive[1]).sum()
    entropies = [
        logsumexp(output[3:, y, x]) - output[3 + int(target[3, y, x]) - 1, y, x]
        for y, x in np.argwhere(target[3] > 0)
    ]
    return gamma * nuclei + (float(np.mean(entropies)) if entropies else 0.0)


@pytest.mark.parametrize(("eta", "gamma"), [(0.0, 25.0), (1e-2, 25.0), (1e-2, 3.0)])
def test_the_loss_equals_equations_2_to_5(eta: float, gamma: float) -> None:
    output, target, weight = random_maps()
    loss = codec(correlation=eta, gamma=gamma).loss(output, target, weight)
    expected = [
        reference_loss(o, y, w[0], eta=eta, gamma=gamma)
        for o, y, w in zip(output.numpy(), target.numpy(), weight.numpy(), strict=True)
    ]
    assert loss.shape == (2,)
    assert loss.tolist() == pytest.approx(expected, rel=1e-4)


def test_an_image_with_region_labels_alone_learns_from_its_regions_alone() -> None:
    output, target, weight = random_maps()
    target[0, :3], weight[0] = 0, 0
    output.requires_grad_(True)
    made = codec(correlation=0.1)
    loss = made.loss(output, target, weight)
    loss.sum().backward()
    assert loss[0] == made.region_loss(output, target)[0] > 0
    assert output.grad is not None
    assert torch.count_nonzero(output.grad[0, :3]) == 0
    assert torch.equal(output.grad[0, 3] != 0, target[0, 3] > 0)


def test_an_image_without_any_label_has_no_loss_and_no_gradient() -> None:
    output, target, weight = random_maps()
    target[1], weight[1] = 0, 0
    output.requires_grad_(True)
    loss = codec(correlation=0.1).loss(output, target, weight)
    loss.sum().backward()
    assert loss[1] == 0
    assert loss[0] > 0
    assert output.grad is not None
    assert torch.count_nonzero(output.grad[1]) == 0


def test_pixels_without_a_label_have_exactly_no_gradient_whatever_the_output() -> None:
    output, target, weight = random_maps()
    unlabelled = weight == 0
    unknown = target[:, 3:] == 0
    output[:, :3][unlabelled.expand(-1, 3, -1, -1)] = torch.inf
    output[:, 3:][unknown.expand(-1, 2, -1, -1)] = torch.nan
    output.requires_grad_(True)
    loss = codec(correlation=0.1).loss(output, target, weight)
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert output.grad is not None
    assert not output.grad[:, :3][unlabelled.expand(-1, 3, -1, -1)].any()
    assert not output.grad[:, 3:][unknown.expand(-1, 2, -1, -1)].any()
    assert torch.isfinite(output.grad).all()


def test_a_class_without_nuclei_gains_nothing_by_falling_below_zero() -> None:
    output, target, weight = random_maps()
    target[:, 1] = 0  # Eq. 2 weighs a map without nuclei by 0, whatever it holds
    made = codec(correlation=0.1)
    output[:, 1] = 0
    at_zero = made.loss(output, target, weight)
    output[:, 1] = -1e6
    assert torch.equal(made.loss(output, target, weight), at_zero)


def test_the_labelled_region_of_the_nuclei_does_not_limit_the_regions() -> None:
    output, target, weight = random_maps()
    made = codec()
    everywhere = made.loss(output, target, torch.ones_like(weight))
    here = made.loss(output, target, weight)
    nuclei = made.nucleus_loss(output, target, torch.ones_like(weight))
    assert torch.allclose(everywhere - 25 * nuclei, made.region_loss(output, target))
    assert torch.allclose(
        here - 25 * made.nucleus_loss(output, target, weight),
        made.region_loss(output, target),
        atol=1e-5,
    )


def test_the_correlation_counts_from_its_step_on() -> None:
    output, target, weight = random_maps()
    made = codec(correlation=0.1, correlation_from_step=7)
    before, after = made.at_step(6), made.at_step(7)
    assert torch.equal(
        before.loss(output, target, weight),
        codec(correlation=0).loss(output, target, weight),
    )
    assert torch.equal(after.loss(output, target, weight), made.loss(output, target, weight))
    assert not torch.equal(before.loss(output, target, weight), after.loss(output, target, weight))


def test_the_paper_waits_ten_thousand_steps_for_it() -> None:
    assert codec().at_step(9_999).correlation == 0
    assert codec().at_step(10_000).correlation == 1e-6


def test_stage_wise_training_learns_regions_then_nuclei() -> None:
    output, target, weight = random_maps()
    made = codec(regions_first_steps=5, correlation=0.1, correlation_from_step=3)
    parts = made.region_loss(output, target), made.nucleus_loss(output, target, weight)
    without = codec(correlation=0).nucleus_loss(output, target, weight)
    losses = {step: made.at_step(step).loss(output, target, weight) for step in (0, 4, 5, 7, 8)}
    assert torch.equal(losses[0], parts[0])
    assert torch.equal(losses[4], parts[0])
    assert torch.allclose(losses[5], 25 * without)
    assert torch.allclose(losses[7], 25 * without)
    assert torch.allclose(losses[8], 25 * parts[1])


def brute_nuclei(maps: np.ndarray, radius: int, threshold: float) -> set[tuple[int, int, int]]:
    """Non-maximum suppression in each channel, then of each nucleus the highest channel alone."""
    kept = set()
    limit = threshold * maps.max()
    channels, height, width = maps.shape
    for s in range(channels):
        for y in range(height):
            for x in range(width):
                window = np.s_[
                    max(y - radius, 0) : y + radius + 1, max(x - radius, 0) : x + radius + 1
                ]
                is_peak = maps[s, y, x] >= limit and maps[s, y, x] == maps[s][window].max()
                if is_peak and maps[s, y, x] == max(maps[k][window].max() for k in range(channels)):
                    kept.add((x, y, s))
    return kept


def test_a_patch_of_an_image_with_region_labels_alone_teaches_regions() -> None:
    labels = (("tumour", shapely.box(10, 10, 70, 60)),)
    known = Annotation(np.zeros((0, 2)), (), region_labels=labels)
    made = codec(correlation=0.1)
    sampler = PatchSampler(
        ImageCache([DrawnSample("regions", noise_image(0, 80, 90), known)], 0.25),
        size_px=64,
        augmentation=Augmentation(rotation_degrees=180),
        seed=0,
        encode=made.encode,
    )
    patch = sampler.patch(0)
    target, weight = (torch.from_numpy(part)[None] for part in (patch.target, patch.weight))
    output = torch.randn(1, 5, 64, 64, generator=torch.Generator().manual_seed(0))
    output.requires_grad_(True)
    loss = made.loss(output, target, weight)
    loss.sum().backward()
    assert (target[0, 3] == 1).any()
    assert not weight.any()
    assert loss > 0
    assert output.grad is not None
    assert not output.grad[:, :3].any()
    assert torch.equal(output.grad[0, 3] != 0, target[0, 3] == 1)


@given(seed=st.integers(0, 10**6), threshold=st.sampled_from([0.2, 0.5, 0.8]))
@settings(deadline=None, max_examples=15)
def test_decoding_suppresses_in_each_channel_and_takes_the_highest(
    seed: int, threshold: float
) -> None:
    maps = np.random.default_rng(seed).uniform(0.01, 1, (5, 16, 18)).astype(np.float32)
    made = codec(relative_to="maximum", min_distance_um=1.0)
    nuclei = made.decode(maps, 0.5, threshold=threshold)
    found = {
        (int(x), int(y), CLASSES.index(name))
        for (x, y), name in zip(nuclei.points, nuclei.classes, strict=True)
    }
    assert found == brute_nuclei(maps[:3], 2, threshold)


def test_what_is_encoded_is_decoded() -> None:
    maps = codec().encode(annotated(), (40, 50), 0.34)
    output = np.concatenate([maps[:3], np.zeros((2, 40, 50), np.float32)])
    nuclei = codec().decode(output, 0.34, threshold=0.9)
    found = dict(zip(nuclei.classes, nuclei.points.tolist(), strict=True))
    assert found == {"negative": [10, 10], "other": [30, 12], "positive": [20, 30]}


def test_regions_are_the_softmax_of_the_last_maps() -> None:
    output = np.random.default_rng(0).normal(size=(5, 7, 6)).astype(np.float32)
    made = codec()
    probabilities = made.region_probabilities(output)
    assert np.allclose(probabilities, softmax(output[3:], axis=0), atol=1e-6)
    labels = made.regions_of(output)
    assert labels.dtype == np.uint8
    assert np.array_equal(labels == 1, probabilities[0] >= 0.5)
    assert set(np.unique(labels)) == {1, 2}


def test_a_codec_without_regions_has_none_to_show() -> None:
    with pytest.raises(UserError, match="tells no regions apart; train one with 'regions' named"):
        codec(regions=[]).regions_of(np.zeros((3, 4, 4), np.float32))


def test_it_survives_the_card_and_keeps_the_protocol() -> None:
    made: Codec = codec(correlation_from_step=3, gamma=7.0)
    card = json.loads(json.dumps(asdict(made)))  # type: ignore[call-overload]
    assert build_codec("kinet", **card) == made
    assert made.channels == 5


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"regions": ["a", "a"]}, r"'regions' .* names each region once, but got \['a', 'a'\]"),
        ({"regions": "tumour"}, "'regions' .* a list .* but got 'tumour'"),
        ({"regions": [""]}, "'regions' .* names each region once"),
        ({"gamma": -1}, "'gamma' .* of at least 0, but got -1"),
        ({"correlation": "high"}, "'correlation' .* but got 'high'"),
        ({"correlation_from_step": 1.5}, "'correlation_from_step' .* whole number .* got 1.5"),
        ({"regions_first_steps": -2}, "'regions_first_steps' .* whole number .* got -2"),
        ({"regions_first_steps": 9, "regions": []}, "'regions_first_steps' but no 'regions'"),
        ({"radius_um": 0}, "'radius_um' of the codec 'kinet' must be a number above 0"),
    ],
)
def test_a_wrong_value_is_refused_in_one_sentence(
    options: dict[str, object], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        codec(**options)


@pytest.mark.real_data
def test_annotated_ki67_nuclei_are_encoded_and_found_again(real_data: Path) -> None:
    folder = real_data / "ki67"
    path = folder / "labelbox_points.json"
    image = folder / "References" / "1309620 -A2-27" / "original.jpg"
    read = FORMATS["labelbox"].read((path,), ImageInfo.of(image))
    assert {"Positive", "Negative"} == set(read.classes)
    # The card takes .1 µm per pixel; at .5 the image is a fifth as wide.
    points = ((read.points + 0.5) / 5 - 0.5).astype(np.float32)
    made = codec(classes=["Positive", "Negative"], regions=[], subpixel=True, min_distance_um=1.0)
    maps = made.encode(Annotation(points, read.classes), (614, 816), 0.5)
    nuclei = made.decode(maps, 0.5, threshold=0.75)  # of a centre between four pixels it is .8
    match = match_points(points, nuclei.points, 1.0)
    same = [
        read.classes[t] == nuclei.classes[f]
        for t, f in zip(match.reference_index, match.predicted_index, strict=True)
    ]
    assert len(same) > 0.97 * len(points) > 300
    assert np.mean(same) > 0.99
