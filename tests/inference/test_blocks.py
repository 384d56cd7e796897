"""Every codec decodes parts of an image as it decodes the whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest

from transfer_kit.codecs import (
    BoxesCodec,
    ConcentricCodec,
    DistanceCodec,
    KiNetCodec,
    ObjectnessCodec,
    ProximityCodec,
    SemanticCodec,
    VotingCodec,
    codec_names,
)
from transfer_kit.codecs.base import Codec
from transfer_kit.codecs.blobs import levels_of, otsu_threshold
from transfer_kit.codecs.parts import (
    DecodesNearby,
    DecodesPieces,
    RelatesToTheBest,
    SurveysFirst,
)
from transfer_kit.data.annotation import Annotation
from transfer_kit.data.tiles import Window
from transfer_kit.inference.blocks import BlockDecoder, blocks_of
from transfer_kit.inference.found import FoundNuclei

MPP, SIZE = 0.5, (150, 190)
TWO = ("round", "long")


def nuclei_drawn(seed: int) -> Annotation:
    """Discs and ellipses, many of them touching, some across any border."""
    rng = np.random.default_rng(seed)
    instances = np.zeros(SIZE, np.int32)
    for number in range(1, 90):
        middle = (int(rng.integers(SIZE[1])), int(rng.integers(SIZE[0])))
        axes = (int(rng.integers(4, 9)), int(rng.integers(4, 7)))
        shape = np.zeros(SIZE, np.uint8)
        cv2.ellipse(shape, middle, axes, int(rng.integers(180)), 0, 360, 1, -1)
        instances[(shape > 0) & (instances == 0)] = number
    kept = np.unique(instances[instances > 0])
    renumbered = np.searchsorted(kept, instances).astype(np.int32) + 1
    renumbered[instances == 0] = 0
    points = [np.argwhere(renumbered == k)[:, ::-1].mean(0) for k in range(1, len(kept) + 1)]
    classes = tuple(TWO[k % 2] for k in range(len(kept)))
    return Annotation(np.array(points, np.float32), classes, instances=renumbered)


def logits(shares: np.ndarray) -> np.ndarray:
    return np.log(np.clip(shares, 0.02, 0.98) / (1 - np.clip(shares, 0.02, 0.98)))


def maps_for(codec: Codec, seed: int) -> np.ndarray:
    """What a network that has learned something, but not all, may give."""
    rng = np.random.default_rng(seed)
    target = codec.encode(nuclei_drawn(seed), SIZE, MPP)
    noise = np.stack(
        [cv2.GaussianBlur(rng.normal(0, 1, SIZE), (0, 0), 1.5) for _ in range(codec.channels)]
    )
    ones = [(target[0] == k).astype(float) for k in range(len(codec.classes) + 1)]
    if codec.name in ("concentric", "semantic") and codec.channels == len(codec.classes) + 1:
        maps = np.stack([logits(cv2.GaussianBlur(one, (0, 0), 1)) for one in ones])
    elif codec.name == "objectness":
        maps = np.stack([logits(target[0] != 0), *(4 * one for one in ones[1:])][: codec.channels])
    elif codec.name == "semantic":
        maps = np.stack([logits(cv2.GaussianBlur(one, (0, 0), 1)) for one in ones[1:]])
    elif codec.name in ("boxes", "voting"):
        maps = target[: codec.channels].astype(float)
        last = len(codec.classes)
        maps[:last] = logits(maps[:last])
        if codec.name == "voting" and codec.weighted:
            maps[-1] -= 1
    else:
        maps = target[: codec.channels].astype(float)
    scale = {"proximity": 2.0, "kinet": 0.4, "distance": 1.0}.get(codec.name, 1.5)
    return (maps + scale * noise).astype(np.float32)


CODECS: dict[str, Callable[[], Codec]] = {
    "proximity": lambda: ProximityCodec(classes=TWO, subpixel=True),
    "proximity of the maximum": lambda: ProximityCodec(relative_to="maximum"),
    "kinet": lambda: KiNetCodec(classes=TWO),
    "objectness": lambda: ObjectnessCodec(classes=TWO),
    "voting": lambda: VotingCodec(classes=TWO, radius_um=4, subpixel=True),
    "voting of the maximum": lambda: VotingCodec(relative_to="maximum", radius_um=4),
    "distance": lambda: DistanceCodec(unit_um=0.5),
    "distance with dynamics": lambda: DistanceCodec(unit_um=0.5, dynamics=1),
    "distance, softmax": lambda: DistanceCodec(target="softmax", dynamics=12 / 255, foreground=0.3),
    "semantic": lambda: SemanticCodec(classes=TWO),
    "semantic with dynamics": lambda: SemanticCodec(postprocess="dynamics"),
    "semantic, sigmoid": lambda: SemanticCodec(activation="sigmoid", classes=TWO),
    "concentric": lambda: ConcentricCodec(min_area_um2=2),
    "concentric, ellipses": lambda: ConcentricCodec(shape="ellipse", min_area_um2=2),
    "boxes": lambda: BoxesCodec(foreground=0.3),
}


class Whole:
    """Maps of a whole image, as `decode_block` asks for those of a window."""

    def __init__(self, maps: np.ndarray) -> None:
        self.all, self.size, self.mpp = maps, maps.shape[1:], MPP

    def maps(self, window: Window) -> np.ndarray:
        return self.all[:, window.y0 : window.y1, window.x0 : window.x1].copy()


def in_blocks(codec: Codec, maps: np.ndarray, side: int, threshold: float) -> FoundNuclei:
    blocks = list(blocks_of(SIZE, side))
    if isinstance(codec, SurveysFirst):
        counts = [codec.survey(maps, MPP, within(block)) for block in blocks]
        codec = codec if counts[0] is None else codec.surveyed(sum(counts))
    decoder = BlockDecoder(codec, threshold)
    parts = [decoder.decode(Whole(maps), block) for block in blocks]
    return decoder.finished(FoundNuclei.joined(parts, codec.classes))


def within(block: Window) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[block.y0 : block.y1, block.x0 : block.x1] = True
    return mask


def rows_of(found: FoundNuclei) -> np.ndarray:
    rows = np.column_stack([found.points, found.scores, found.kinds])
    return rows[np.lexsort((rows[:, 0], rows[:, 1]))]


@pytest.mark.parametrize("side", [23, 64, 150])
@pytest.mark.parametrize("name", CODECS)
def test_blocks_give_the_nuclei_of_the_undivided_image(name: str, side: int) -> None:
    codec = CODECS[name]()
    maps = maps_for(codec, seed=side)
    threshold = 0.1 if codec.name != "distance" else 0.6
    whole = codec.decode(maps, MPP, threshold=threshold)
    assert len(whole) > 5
    found = in_blocks(codec, maps, side, threshold)
    expected = FoundNuclei.of(whole, codec.classes)
    np.testing.assert_allclose(rows_of(found), rows_of(expected), atol=1e-4)


@pytest.mark.parametrize("name", ["distance", "semantic with dynamics", "boxes"])
def test_blocks_give_whole_instances(name: str) -> None:
    codec = CODECS[name]()
    maps = maps_for(codec, seed=5)
    whole = codec.decode(maps, MPP, threshold=0.1)
    found = in_blocks(codec, maps, 40, 0.1)
    areas = [outline.area for outline in found.outlines]
    expected = np.bincount(whole.instances.ravel(), minlength=len(whole) + 1)[1:]
    np.testing.assert_allclose(sorted(areas), sorted(expected[expected > 0]))


def test_every_codec_says_how_it_decodes_parts() -> None:
    assert {name.split(" ")[0].rstrip(",") for name in CODECS} == set(codec_names())
    for make in CODECS.values():
        codec = make()
        assert isinstance(codec, DecodesNearby) != isinstance(codec, DecodesPieces)


@pytest.mark.parametrize("seed", range(20))
def test_otsus_threshold_of_counts_is_that_of_opencv(seed: int) -> None:
    rng = np.random.default_rng(seed)
    share = np.clip(rng.beta(0.3, 1.5, (40, 50)), 0, 1).astype(np.float32)
    levels = levels_of(share)
    chosen, mask = cv2.threshold(levels, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    threshold = otsu_threshold(np.bincount(levels.ravel(), minlength=256))
    np.testing.assert_array_equal(share > threshold, mask.astype(bool))
    assert chosen == threshold * 255 - 0.5


def test_a_codec_of_shares_of_the_best_gives_votes_that_can_be_divided_later() -> None:
    codec = VotingCodec(relative_to="maximum", radius_um=4)
    maps = maps_for(codec, seed=1)
    assert isinstance(codec, RelatesToTheBest)
    plain = codec.unrelated().decode(maps, MPP, threshold=None)
    own = codec.decode(maps, MPP, threshold=None)
    np.testing.assert_allclose(plain.scores / plain.scores.max(), own.scores, rtol=1e-6)
    assert replace(codec, relative_to="disk").unrelated() == replace(codec, relative_to="disk")
