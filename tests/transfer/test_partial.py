from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_samples import noise_image
from networks.tiny import tiny_network
from shapely.geometry import MultiPolygon, Point, Polygon, box

from transfer_kit.card import DetectorCard
from transfer_kit.codecs import build_codec, codec_names
from transfer_kit.data.annotation import Annotation
from transfer_kit.detector import Detector
from transfer_kit.errors import UserError
from transfer_kit.networks import network_names
from transfer_kit.networks.base import needed_codec
from transfer_kit.recipe import Recipe
from transfer_kit.training.batches import patch_sampler
from transfer_kit.transfer.partial import refuse_idle, refuse_without_judges

MPP = 0.5
SIZE = (128, 128)
REGION = MultiPolygon(
    [
        Polygon([(6, 8), (76, 4), (90, 66), (20, 84)], [[(40, 30), (58, 32), (50, 46)]]),
        Point(96, 102).buffer(22),
    ]
)
OPTIONS = {
    "concentric": {"inner_um": (2.0, 2.0), "ratio": (1.5, 1.5)},
    "kinet": {"regions": ("tumour", "stroma"), "correlation_from_step": 0},
    "proximity": {"subpixel": True},
    "voting": {"weighted": False, "radius_um": 4.0},
}
"""Radii are not drawn, so that a nucleus more leaves those of the others as they were."""

INSIDE = np.array([[30, 22], [62, 20], [72, 58], [34, 62], [84, 62], [92, 96], [104, 112]])


@dataclass
class HeldSample:
    """A sample in memory."""

    known: Annotation
    id: str = "image"
    case: str = "case"
    mpp: float = MPP
    size: tuple[int, int] = SIZE
    image_path: Path = Path("image.png")
    source: None = None

    def image(self):
        return noise_image(0, *self.size)

    def annotation(self):
        return self.known


def annotated(points, radius_px=5.0) -> Annotation:
    """Round nuclei, whole, with region labels beside."""
    points = np.asarray(points, np.float32)
    rows, columns = np.indices(SIZE)
    instances = np.zeros(SIZE, np.int32)
    for number, (x, y) in enumerate(points, 1):
        disc = np.hypot(columns - x, rows - y) <= radius_px
        instances[disc & (instances == 0)] = number
    labels = (("tumour", box(0, 0, 40, 128)), ("stroma", box(60, 0, 128, 128)))
    return Annotation(
        points,
        ("",) * len(points),
        instances,
        outlines=tuple(Point(x, y).buffer(radius_px) for x, y in points),
        labelled_regions=(REGION,),
        region_labels=labels,
    )


def detector_of(codec: str, network: str = "micronet", **options) -> Detector:
    card = DetectorCard(
        name="tiny",
        organ="tiny",
        mpp=MPP,
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        network={"name": network, "options": options or {"width": 2, "dropout": 0.0}},
        codec={"name": codec, "options": OPTIONS.get(codec, {})},
        threshold=0.5,
    )
    return Detector.fresh(card, seed=0)


def patches_of(codec: str, annotation: Annotation, count: int = 6):
    recipe = Recipe(name="tiny", target="tiny", patches={"size_px": 96})
    sampler = patch_sampler(detector_of(codec), [HeldSample(annotation)], recipe)
    return [sampler.patch(number) for number in range(count)]


def planted(seed: int) -> Annotation:
    """The nuclei inside, and some with their centre outside that touch none of them."""
    random = np.random.default_rng(seed)
    points = list(INSIDE)
    for point in random.random((400, 2)) * SIZE[::-1]:
        clear = all(np.hypot(*(point - other)) > 11 for other in points)
        if clear and not REGION.buffer(0.75).contains(Point(point)):
            points.append(point)
    assert len(points) > len(INSIDE) + 10
    return annotated(points)


def of_one(patch):
    return torch.from_numpy(patch.target)[None], torch.from_numpy(patch.weight)[None]


@pytest.mark.parametrize("codec", codec_names())
def test_an_unlabelled_nucleus_outside_a_region_changes_neither_loss_nor_gradient(codec) -> None:
    built = build_codec(codec, **OPTIONS.get(codec, {}))
    pairs = zip(patches_of(codec, annotated(INSIDE)), patches_of(codec, planted(0)), strict=True)
    for unlabelled, labelled in pairs:
        target, weight = of_one(unlabelled)
        full, _ = of_one(labelled)
        assert weight.any()
        assert not torch.equal(target, full)
        torch.manual_seed(0)
        output = torch.randn(1, built.channels, 96, 96, requires_grad=True)
        losses = [built.loss(output, each, weight) for each in (target, full)]
        gradients = [torch.autograd.grad(loss, output)[0] for loss in losses]
        assert torch.equal(losses[0], losses[1])
        assert torch.equal(gradients[0], gradients[1])
        nuclei = slice(None) if codec != "kinet" else slice(0, 1)  # regions are labelled elsewhere
        outside = gradients[0][:, nuclei][(weight == 0).expand_as(output[:, nuclei])]
        assert torch.count_nonzero(outside) == 0
        assert gradients[0].any()


@pytest.mark.parametrize("codec", codec_names())
def test_nuclei_well_inside_their_region_are_learned_to_their_last_pixel(codec) -> None:
    built = build_codec(codec, **OPTIONS.get(codec, {}))
    middle = np.array([[64, 64]])
    annotation = replace(annotated(middle), labelled_regions=(box(20, 20, 108, 108),))
    for patch in patches_of(codec, annotation):
        x, y = np.rint(patch.annotation.points[0]).astype(int)
        if min(x, y) < 12 or max(x, y) > 83:
            continue
        assert patch.weight[0, y - 8 : y + 9, x - 8 : x + 9].all()
        assert built.settled(patch.target, np.full((96, 96), 99, np.float32)).any()


def test_through_a_network_nothing_outside_a_region_asks_for_a_change() -> None:
    patch = patches_of("proximity", annotated(INSIDE))[0]
    target, weight = of_one(patch)
    network = tiny_network("micronet", channels=1)
    pixels = torch.from_numpy(patch.image.transpose(2, 0, 1).astype(np.float32))[None] / 255
    output = network(pixels)
    output.retain_grad()
    build_codec("proximity", subpixel=True).loss(output, target, weight).sum().backward()
    assert torch.count_nonzero(output.grad[weight == 0]) == 0
    assert output.grad[weight > 0].any()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("network", [n for n in network_names() if needed_codec(n) is None])
def test_region_labels_alone_teach_every_network_its_regions_and_no_nuclei(network) -> None:
    nothing = np.zeros((0, 2), np.float32)
    alone = Annotation(nothing, (), region_labels=annotated(INSIDE).region_labels)
    target, weight = of_one(patches_of("kinet", alone, count=1)[0])
    codec = build_codec("kinet", **OPTIONS["kinet"])
    own = {"regions": 2} if network == "kinet" else {}
    output = tiny_network(network, channels=codec.channels, **own)(torch.rand(1, 3, 96, 96))
    output.retain_grad()
    codec.loss(output, target, weight).sum().backward()
    assert torch.count_nonzero(output.grad[:, :1]) == 0
    assert output.grad[:, 1:].any()


@pytest.mark.parametrize(
    ("known", "sentence"),
    [
        ({"labelled_regions": (box(500, 500, 600, 600),)}, "regions in image.png leave no pixel"),
        ({"labelled_regions": (box(9.1, 9.1, 9.9, 99),)}, "or are thinner than a pixel; draw them"),
        ({"region_labels": (("fat", box(0, 0, 9, 9)),)}, "codec proximity learns no regions; use"),
        ({"positives_only": True}, "image.png marks no nucleus, and as the dataset has positives"),
    ],
)
def test_an_image_that_could_teach_nothing_is_refused_in_one_sentence(known, sentence) -> None:
    annotation = Annotation(np.zeros((0, 2), np.float32), (), **known)
    with pytest.raises(UserError, match=sentence):
        refuse_idle([HeldSample(annotation)], build_codec("proximity"))


def test_regions_that_overlap_and_region_labels_with_a_branch_are_welcome() -> None:
    nothing = np.zeros((0, 2), np.float32)
    overlapping = (box(0, 0, 50, 50), box(20, 20, 90, 90))
    fat = (("fat", box(0, 0, 9, 9)),)
    samples = [
        HeldSample(Annotation(nothing, (), labelled_regions=overlapping)),
        HeldSample(Annotation(nothing, (), region_labels=fat)),
        HeldSample(Annotation(INSIDE, ("",) * len(INSIDE), positives_only=True)),
    ]
    refuse_idle(samples, build_codec("kinet", regions=("fat",)))


def test_labels_that_could_judge_nothing_are_refused() -> None:
    whole = HeldSample(Annotation.of_points(INSIDE))
    some = HeldSample(replace(whole.known, positives_only=True))
    region = HeldSample(replace(some.known, labelled_regions=(REGION,)))
    with pytest.raises(UserError, match="nothing to choose a threshold by: of 2 images none has"):
        refuse_without_judges([some, some], [], [whole])
    with pytest.raises(UserError, match="nothing to choose a threshold by: of 1 image none has"):
        refuse_without_judges([whole], [some], [whole])
    with pytest.raises(UserError, match="nothing to test on"):
        refuse_without_judges([whole], [], [some])
    refuse_without_judges([some, region], [], [region])
