from __future__ import annotations

import json

import numpy as np
import pytest
from exporting.followed import followed
from scipy.ndimage import gaussian_filter
from toy import toy_card

from transfer_kit.codecs import build_codec, codec_names
from transfer_kit.detector import Detector
from transfer_kit.exporting.decoding import describe_decoding, described_codecs
from transfer_kit.networks import build_network

SIZE = (61, 74)


def detector_of(codec, *, mpp=0.5, classes=("",), threshold=0.3, **options):
    """A detector of the codec; what its network is does not matter."""
    card = toy_card(
        codec={"name": codec, "options": options}, classes=classes, mpp=mpp, threshold=threshold
    )
    built = build_codec(codec, classes=classes, **options)
    network = build_network("fcrn_a", channels=built.channels, width=2)
    return Detector(network, built, card)


def hills(count, *, seed=0, sigma=3.0, height=1.0):
    """Smooth maps `(count, H, W)` of about as many hills as valleys, up to `height`."""
    noise = np.random.default_rng(seed).normal(size=(count, *SIZE))
    smooth = np.stack([gaussian_filter(each, sigma) for each in noise])
    return (height * smooth / np.abs(smooth).max()).astype(np.float32)


def same_nuclei(detector, maps, *, at_least=4):
    """The description, as another program reads it, leads to the detector's nuclei."""
    decoding = json.loads(describe_decoding(detector).model_dump_json())
    found = followed(decoding, maps)
    wanted = detector.codec.decode(maps, detector.card.mpp, threshold=detector.card.threshold)
    assert len(wanted) >= at_least
    assert len(found) == len(wanted)
    numbers = [detector.codec.classes.index(name) for name in wanted.classes]
    table = np.column_stack([wanted.points, wanted.scores, numbers])
    order, other = np.lexsort(table.T[:2]), np.lexsort(found.T[:2])
    np.testing.assert_allclose(found[other], table[order], atol=2e-3)


def test_every_codec_is_described():
    assert described_codecs() == codec_names()


@pytest.mark.parametrize("classes", [("",), ("round", "long")])
@pytest.mark.parametrize("codec", codec_names())
def test_every_map_is_described_in_order(codec, classes):
    decoding = describe_decoding(detector_of(codec, classes=classes))
    channels = build_codec(codec, classes=classes).channels
    assert [each.channel for each in decoding.maps] == list(range(channels))
    assert all(each.meaning and each.activation and each.unit for each in decoding.maps)
    for name in classes:
        if name and channels > 1:
            assert name in [each.name for each in decoding.maps]


@pytest.mark.parametrize("codec", codec_names())
def test_every_number_is_used_in_a_step_and_the_threshold_is_the_cards(codec):
    decoding = describe_decoding(detector_of(codec, threshold=0.321))
    text = " ".join(decoding.steps)
    assert decoding.numbers["threshold"] == 0.321
    switches = {"subpixel", "weighted", "relative_to", "binarisation"}  # they choose the steps
    unused = [name for name in decoding.numbers if name not in text and name not in switches]
    assert unused == []


def test_lengths_are_told_in_pixels_of_the_detectors_mpp():
    numbers = describe_decoding(detector_of("voting", mpp=0.25)).numbers
    assert numbers["radius_px"] == 24  # 6 µm
    assert numbers["window_px"] == 8  # 2 µm
    assert numbers["vector_px"] == 2  # 0.5 µm
    assert numbers["score_px"] == 4  # 1 µm


def test_the_stain_that_images_are_brought_to_is_told():
    detector = detector_of("proximity")
    assert "stain" not in describe_decoding(detector).input
    detector.card.normalise = "macenko"
    assert (
        "brought to the stain_reference of this card by macenko"
        in describe_decoding(detector).input
    )


@pytest.mark.parametrize("subpixel", [False, True])
@pytest.mark.parametrize("relative_to", ["scale", "maximum"])
@pytest.mark.parametrize("classes", [("",), ("round", "long")])
def test_following_proximity_gives_the_detectors_nuclei(subpixel, relative_to, classes):
    detector = detector_of("proximity", classes=classes, subpixel=subpixel, relative_to=relative_to)
    same_nuclei(detector, hills(len(classes), height=5.0))


def test_following_proximity_over_flat_and_equal_peaks_gives_the_detectors_nuclei():
    maps = hills(1, seed=3, height=5.0)
    maps[0, 10:13, 20:26] = 6  # flat
    maps[0, 40, 30] = maps[0, 41, 33] = 7  # equal, too near to each other
    maps[0, 0, 0] = maps[0, -1, -1] = 6.5
    for subpixel in (False, True):
        same_nuclei(detector_of("proximity", subpixel=subpixel), maps)


def test_following_kinet_gives_the_detectors_nuclei():
    detector = detector_of(
        "kinet", classes=("tumour", "other"), regions=("in", "out"), subpixel=True
    )
    same_nuclei(detector, hills(4))


def test_following_objectness_gives_the_detectors_nuclei():
    detector = detector_of("objectness", classes=("round", "long"), radius_um=1.2, threshold=0.4)
    same_nuclei(detector, hills(3, height=4.0))


def vectors(classes, *, weighted=True):
    """Maps of voting: scattered places that the pixels around them point to, not quite exactly."""
    rng = np.random.default_rng(5)
    places = rng.uniform(0, (SIZE[1] - 1, SIZE[0] - 1), (14, 2))
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    away = np.stack([places[:, 0, None, None] - columns, places[:, 1, None, None] - rows])
    nearest = np.hypot(*away).argmin(axis=0)
    x, y = np.take_along_axis(away, nearest[None, None], axis=1)[:, 0]
    confidence = 3 - 0.5 * np.hypot(x, y) + rng.normal(size=(classes, *SIZE))
    pointing = np.stack([x, y]) + rng.normal(0, 0.7, (2, *SIZE))
    pointing[:, ::7, ::5] *= 9  # too far for a vote
    maps = [*confidence, *pointing]
    return np.stack([*maps, rng.normal(size=SIZE)] if weighted else maps).astype(np.float32)


@pytest.mark.parametrize(
    ("classes", "options"),
    [
        (("",), {}),
        (("",), {"subpixel": True, "weighted": False}),
        (("round", "long"), {"relative_to": "maximum"}),
        (("round", "long"), {"subpixel": True}),
        (("",), {"relative_to": "none"}),
    ],
)
def test_following_voting_gives_the_detectors_nuclei(classes, options):
    detector = detector_of("voting", classes=classes, threshold=0.05, **options)
    same_nuclei(detector, vectors(len(classes), weighted=options.get("weighted", True)))


@pytest.mark.parametrize(
    ("classes", "options"),
    [(("",), {}), (("round", "long"), {"dynamics": 1.0}), (("",), {"target": "softmax"})],
)
def test_following_distance_gives_the_detectors_nuclei(classes, options):
    detector = detector_of("distance", classes=classes, threshold=0.1, **options)
    maps = len(classes) + (options.get("target") == "softmax")
    same_nuclei(detector, hills(maps, height=9.0))


@pytest.mark.parametrize(
    ("classes", "options"),
    [
        (("",), {"postprocess": "dynamics"}),
        (("round", "long"), {"foreground": 0.9}),
        (("round", "long"), {"activation": "sigmoid", "foreground": 0.8}),
    ],
)
def test_following_semantic_gives_the_detectors_nuclei(classes, options):
    detector = detector_of("semantic", classes=classes, threshold=0.1, **options)
    maps = len(classes) + (options.get("activation") != "sigmoid")
    same_nuclei(detector, hills(maps, height=4.0))


@pytest.mark.parametrize(
    ("classes", "options"),
    [(("",), {"min_area_um2": 0.3}), (("round", "long"), {"binarisation": 0.85})],
)
def test_following_concentric_gives_the_detectors_nuclei(classes, options):
    detector = detector_of("concentric", classes=classes, **{"min_area_um2": 3.0, **options})
    same_nuclei(detector, hills(1 + len(classes), sigma=2.0, height=4.0))


def test_a_description_that_is_not_followed_leads_elsewhere():
    detector = detector_of("proximity")
    maps = hills(1, height=5.0)
    decoding = describe_decoding(detector).model_dump()
    wanted = detector.codec.decode(maps, 0.5, threshold=0.3)
    decoding["numbers"]["window_px"] = 1
    decoding["numbers"]["threshold"] = 0.1
    assert len(followed(decoding, maps)) != len(wanted)
