"""Decode numbers chosen on labelled images, against every choice tried by itself."""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass, replace

import numpy as np
import pytest
import torch
from drawn_instances import annotated, scattered_discs
from scipy.ndimage import gaussian_filter
from toy import toy_card, toy_detector, toy_samples

from transfer_kit.codecs import DistanceCodec, ProximityCodec, SemanticCodec, build_codec
from transfer_kit.data.annotation import Annotation
from transfer_kit.detector import Detector
from transfer_kit.errors import UserError
from transfer_kit.evaluation import (
    adopt,
    best_threshold,
    calibrate,
    evaluate_segmentation,
    examine,
    variants_of,
)
from transfer_kit.networks import Network

MPP = 0.25
STEPS = 20.0  # brightness of a unit of height


class Mirror(Network):
    """Returns the red channel as its map; counts how often it is asked."""

    stride = 1
    receptive_field = 1

    def __init__(self) -> None:
        super().__init__()
        self.gain = torch.nn.Parameter(torch.tensor(1 / STEPS))
        self.asked = 0

    @property
    def blocks(self):
        return (("gain", torch.nn.ParameterList([self.gain])),)

    def forward(self, images):
        self.asked += 1
        return images[:, :1] * self.gain


@dataclass(frozen=True)
class Seen:
    """A sample whose red channel is a map that a network might give."""

    id: str
    case: str
    mpp: float
    truth: Annotation
    heights: np.ndarray

    def image(self):
        red = np.clip(np.rint(STEPS * self.heights), 0, 255).astype(np.uint8)
        return np.repeat(red[..., None], 3, axis=2)

    def annotation(self):
        return self.truth


def sample(seed, *, noise=0.35, mpp=MPP, points_only=False):
    instances = scattered_discs(seed, count=25, radius=(4, 9))
    truth = annotated(instances)
    heights = np.maximum(DistanceCodec().encode(truth, instances.shape, MPP)[0], 0)
    rng = np.random.default_rng(seed)
    heights = gaussian_filter(heights, 0.7) + rng.normal(0, noise, heights.shape)
    if points_only:
        truth = Annotation.of_points(truth.points)
    return Seen(f"image {seed}", f"case {seed}", mpp, truth, heights)


def mirror(codec, **fields):
    settings = {"name": codec.name, "options": {}}
    card = toy_card(mpp=MPP, mean=(0, 0, 0), std=(1 / 255,) * 3, codec=settings, **fields)
    return Detector(Mirror(), codec, card)


def test_a_codec_with_its_threshold_alone_is_calibrated_as_by_best_threshold() -> None:
    detector, samples = toy_detector(), toy_samples(3)
    chosen = calibrate(detector, samples, radius_um=2.0)
    expected = best_threshold(examine(detector, samples), radius_um=2.0)
    assert (chosen.threshold, chosen.f1) == (expected.value, expected.f1)
    assert chosen.codec is detector.codec
    assert chosen.aji is None


def test_the_choice_has_the_best_mean_aji_of_all_variants_and_thresholds() -> None:
    samples = [sample(k) for k in range(3)]
    detector = mirror(DistanceCodec())
    chosen = calibrate(detector, samples, radius_um=2.0)
    tried = {}
    for codec in variants_of(detector.codec):
        examined = examine(mirror(codec), samples)
        scores = np.concatenate([pair.found.scores for pair in examined])
        for threshold in (0.0, *np.quantile(scores, np.arange(0.05, 1, 0.05), method="higher")):
            figures = evaluate_segmentation(examined, threshold=threshold)
            tried[codec, float(threshold)] = figures.aji
    assert chosen.aji == tried[chosen.codec, chosen.threshold] == max(tried.values())
    assert chosen.aji > tried[detector.codec, 0.0] + 0.02


def test_the_network_sees_each_image_once() -> None:
    detector = mirror(DistanceCodec())
    calibrate(detector, [sample(0), sample(1)], radius_um=2.0)
    assert detector.network.asked == 2


def test_the_f1_is_that_of_the_centres_at_the_chosen_threshold() -> None:
    samples = [sample(k) for k in range(2)]
    detector = mirror(DistanceCodec())
    chosen = calibrate(detector, samples, radius_um=2.0)
    adopt(detector, chosen)
    curve = best_threshold(examine(detector, samples), radius_um=2.0).curve
    true, false, missed = curve.counts_at(chosen.threshold)
    assert chosen.f1 == pytest.approx(2 * true / (2 * true + false + missed))


def test_of_equal_choices_the_first_variant_and_the_lowest_threshold_are_taken() -> None:
    instances = np.zeros((40, 60), np.int32)
    instances[5:20, 5:20], instances[15:30, 35:50] = 1, 2
    truth = annotated(instances)
    heights = DistanceCodec().encode(truth, instances.shape, MPP)[0]
    detector = mirror(DistanceCodec(foreground=0.55))
    chosen = calibrate(detector, [Seen("a", "a", MPP, truth, heights)], radius_um=2.0)
    assert chosen.aji == 1
    assert (chosen.codec, chosen.threshold) == (detector.codec, 0)


def test_with_an_image_of_centres_alone_the_criterion_is_f1() -> None:
    samples = [sample(0), sample(1, points_only=True)]
    detector = mirror(DistanceCodec())
    chosen = calibrate(detector, samples, radius_um=2.0)
    assert chosen.aji is None
    each = [
        best_threshold(examine(mirror(codec), samples), radius_um=2.0)
        for codec in variants_of(detector.codec)
    ]
    assert chosen.f1 == chosen.criterion == max(one.f1 for one in each)


@dataclass(frozen=True, kw_only=True)
class Choosy(ProximityCodec):
    """Finds centres, and leaves open how near to each other they may be."""

    def variants(self):
        return (self, *(replace(self, min_distance_um=d) for d in (0.3, 1.0, 1.5)))


def test_a_codec_of_points_with_variants_is_calibrated_by_pooled_f1() -> None:
    samples = [sample(k, points_only=True, noise=0.8) for k in range(2)]
    detector = mirror(Choosy(min_distance_um=5.0))
    chosen = calibrate(detector, samples, radius_um=2.0)
    each = {
        codec: best_threshold(examine(mirror(codec), samples), radius_um=2.0)
        for codec in variants_of(detector.codec)
    }
    best = max(each, key=lambda codec: each[codec].f1)
    assert chosen.codec == best != detector.codec
    assert (chosen.threshold, chosen.f1) == (each[best].value, each[best].f1)


def test_images_of_another_scale_are_measured_in_their_own_pixels() -> None:
    fine = sample(3, noise=0)
    instances = fine.truth.instances.repeat(2, axis=0).repeat(2, axis=1)
    doubled = Seen(
        "doubled", "d", MPP / 2, annotated(instances), fine.heights.repeat(2, 0).repeat(2, 1)
    )
    detector = mirror(DistanceCodec())
    one, other = (calibrate(detector, [image], radius_um=2.0) for image in (fine, doubled))
    assert other.aji == pytest.approx(one.aji, abs=0.02)


def test_the_chosen_numbers_go_into_the_detector_its_card_and_its_file(tmp_path) -> None:
    codec = {"name": "distance", "options": {"unit_um": 0.5}}
    detector = toy_detector(codec=codec)
    chosen = calibrate(
        detector, [sample(0)], radius_um=2.0,
        codecs=(replace(detector.codec, dynamics=2.0, foreground=0.7),),
    )  # fmt: skip
    adopt(detector, chosen)
    assert detector.card.codec.options == {"unit_um": 0.5, "dynamics": 2.0, "foreground": 0.7}
    assert detector.card.threshold == chosen.threshold
    again = Detector.load(detector.save(tmp_path / "d.safetensors"))
    assert again.codec == detector.codec == chosen.codec


def test_an_unchanged_codec_leaves_the_card_as_it_was() -> None:
    detector = toy_detector()
    before = detector.card.codec
    adopt(detector, calibrate(detector, toy_samples(1), radius_um=2.0))
    assert detector.card.codec is before


@pytest.mark.parametrize("codec", [DistanceCodec(), SemanticCodec(postprocess="dynamics")])
def test_every_variant_can_be_built_from_its_card(codec) -> None:
    for one in itertools.islice(variants_of(codec), 1, None):
        assert build_codec(codec.name, **asdict(one)) == one


def test_without_a_labelled_nucleus_nothing_can_be_chosen() -> None:
    empty = Seen("a", "a", MPP, Annotation.of_points(np.zeros((0, 2))), np.zeros((20, 20)))
    with pytest.raises(UserError, match="no nucleus is annotated in these images; label some"):
        calibrate(mirror(DistanceCodec()), [empty], radius_um=2.0)
