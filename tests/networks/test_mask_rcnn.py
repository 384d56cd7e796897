from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
import yaml
from drawn_instances import annotated as annotation_of
from drawn_instances import scattered_discs
from networks.tiny import tiny_network
from scipy.ndimage import gaussian_filter, map_coordinates
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import resnet18
from torchvision.models.detection import MaskRCNN as TorchvisionMaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops.feature_pyramid_network import ExtraFPNBlock
from toy import toy_card, toy_detector, toy_recipe

import transfer_kit
from transfer_kit import exporting
from transfer_kit.codecs import BoxesCodec
from transfer_kit.detector import Detector
from transfer_kit.errors import UserError
from transfer_kit.networks import build_network, load_pretrained, proposals
from transfer_kit.networks.base import SelfJudging
from transfer_kit.networks.mask_rcnn import MaskRCNN
from transfer_kit.networks.painting import BACKGROUND, Detections, annotated, paint
from transfer_kit.networks.tiled import tiled_maps
from transfer_kit.training.module import DetectorModule
from transfer_kit.transfer.freezing import freeze_first_blocks, hold_frozen_statistics

MPP = 0.5
CODEC = BoxesCodec(foreground=0.05)
BLOCKS = ("stem", "stage1", "stage2", "stage3", "stage4", "pyramid", "proposals", "heads")


def noise(*shape: int, seed: int = 7) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def blobs(seed: int, size: tuple[int, int] = (64, 64)) -> tuple[Tensor, np.ndarray]:
    """An image `(3, H, W)` of bright discs that do not touch, and their instances."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(size)
    instances = np.zeros(size, np.int32)
    for _ in range(size[0] * size[1] // 130):
        (y, x), radius = rng.uniform(5, np.array(size) - 5), rng.uniform(4, 7)
        if not instances[np.hypot(rows - y, columns - x) <= radius + 3].any():
            instances[np.hypot(rows - y, columns - x) <= radius] = instances.max() + 1
    image = np.where(instances > 0, 1.0, -1.0) + rng.normal(0, 0.2, size)
    return torch.from_numpy(image).float().expand(3, *size), instances


def targets_of(*instances: np.ndarray) -> Tensor:
    return torch.from_numpy(
        np.stack([CODEC.encode(annotation_of(each), each.shape, MPP) for each in instances])
    )


class Trained(NamedTuple):
    network: MaskRCNN
    losses: list[float]


@pytest.fixture(scope="module")
def trained() -> Trained:
    """A tiny network after a few dozen steps on drawn blobs."""
    drawn = [blobs(seed) for seed in range(8)]
    images = torch.stack([image for image, _ in drawn])
    targets = targets_of(*(instances for _, instances in drawn))
    network = tiny_network("mask_rcnn", channels=3, width=8, features=16).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
    steps, batch, losses = 60, 3, []
    torch.manual_seed(0)
    patch = pytest.MonkeyPatch()
    patch.setattr(proposals, "SAMPLED", 64)  # enough for so small crops
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = 3e-3 * min(1, (step + 1) / 10) * (1 - step / steps)
        some = torch.randperm(8)[:batch]
        loss = network.loss(images[some], targets[some], torch.ones(batch, 1, 64, 64)).mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        losses.append(loss.item())
    patch.undo()
    return Trained(network.eval(), losses)


def test_the_loss_falls_and_blobs_that_it_has_not_seen_are_found(trained):
    assert np.mean(trained.losses[-5:]) < 0.3 * trained.losses[0]
    image, instances = blobs(100, (128, 128))
    with torch.no_grad():
        maps = trained.network(image[None])[0].numpy()
    found = CODEC.decode(maps, MPP, threshold=0.5)
    overlaps = []
    for k in range(1, instances.max() + 1):
        inside = np.bincount(found.instances[instances == k], minlength=len(found) + 1)
        best = inside[1:].argmax() + 1
        union = np.count_nonzero((instances == k) | (found.instances == best))
        overlaps.append(inside[best] / union)
    assert len(found) == pytest.approx(instances.max(), rel=0.2)
    assert np.mean(np.array(overlaps) > 0.5) > 0.85


def test_tiles_find_the_nuclei_of_the_whole_image(trained):
    image, instances = blobs(101, (64, 600))
    whole = tiled_maps(trained.network, image, tile_px=10**5, channels=3)
    tiles = tiled_maps(trained.network, image, tile_px=128, channels=3)
    expected, found = (CODEC.decode(maps, MPP, threshold=0.3) for maps in (whole, tiles))
    assert len(expected) > 0.7 * instances.max()
    apart = np.linalg.norm(expected.points[:, None] - found.points[None], axis=2)
    for axis in (0, 1):
        assert np.mean(apart.min(axis=axis) < 1) > 0.97
    differing = (found.instances > 0) != (expected.instances > 0)
    assert differing.mean() < 0.005


# What it shares with torchvision


class FourLevels(ExtraFPNBlock):
    """No fifth level."""

    def forward(self, results, x, names):
        return results, names


def torchvisions(features: int = 16) -> TorchvisionMaskRCNN:
    """Torchvision's Mask R-CNN with anchors, limits and sizes as here, and one class."""
    torch.manual_seed(0)
    layers = {f"layer{k}": str(k - 1) for k in range(1, 5)}
    backbone = BackboneWithFPN(
        resnet18(), layers, [64, 128, 256, 512], features, extra_blocks=FourLevels()
    )
    model = TorchvisionMaskRCNN(
        backbone,
        rpn_anchor_generator=AnchorGenerator(((8,), (16,), (32,), (64,)), ((0.5, 1, 2),) * 4),
        rpn_score_thresh=0.05,
        rpn_pre_nms_top_n_train=1000,
        rpn_post_nms_top_n_train=1000,
        box_head=TwoMLPHead(features * 49, 4 * features),
        box_predictor=FastRCNNPredictor(4 * features, 2),
        mask_head=MaskRCNNHeads(features, (features,) * 4, 1),
        mask_predictor=MaskRCNNPredictor(features, features, 2),
        box_batch_size_per_image=256,
        box_detections_per_img=96 * 128 // 100,
    )
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if value.ndim > 1 and "predictor" in name:
                value.add_(torch.randn(value.shape, generator=generator) * 0.1)
    return model.eval()


@pytest.fixture(scope="module")
def theirs() -> TorchvisionMaskRCNN:
    return torchvisions()


@pytest.fixture(scope="module")
def ours(theirs, tmp_path_factory) -> MaskRCNN:
    """With torchvision's weights, by way of a file."""
    path = tmp_path_factory.mktemp("weights") / "maskrcnn_resnet18_fpn.pth"
    torch.save(theirs.state_dict(), path)
    network = MaskRCNN(channels=3, backbone="resnet18", features=16).eval()
    assert load_pretrained(network, path) == ()
    return network


def test_torchvisions_weights_find_torchvisions_nuclei(theirs, ours):
    image, size = noise(1, 3, 96, 128), (96, 128)
    with torch.no_grad():
        features = theirs.backbone(image)
        images = proposals.ImageList(image, [size])
        boxes, _ = theirs.rpn(images, features)
        (expected,), _ = theirs.roi_heads(features, boxes, [size])
        own, proposed = ours._first_stage(image)
        found = ours.heads(own, *ours.proposals.boxes(proposed, size, learning=False), size)
    assert len(found.boxes) == len(expected["boxes"]) > 50
    torch.testing.assert_close(found.boxes, expected["boxes"])
    torch.testing.assert_close(found.scores, expected["scores"])
    torch.testing.assert_close(found.masks, expected["masks"][:, 0])
    assert found.scores.std() > 0.01


def test_the_loss_is_torchvisions_of_each_image(theirs, ours, monkeypatch):
    # All anchors and regions, so that none is drawn at random.
    monkeypatch.setattr(proposals, "SAMPLED", 10**6)
    theirs, ours = copy.deepcopy(theirs), copy.deepcopy(ours)
    for model in (theirs.rpn, theirs.roi_heads):
        model.fg_bg_sampler.batch_size_per_image = 10**6
    theirs.rpn.score_thresh = 0.0
    theirs.rpn.train()
    theirs.roi_heads.train()
    drawn = [scattered_discs(seed, count=9, size=(96, 128)) for seed in (0, 1)]
    images = noise(2, 3, 96, 128)
    targets, weight = targets_of(*drawn), torch.ones(2, 1, 96, 128)
    expected = []
    for image, target in zip(images, targets, strict=True):
        truth = annotated(target, weight[0])
        masks = (truth.instances == truth.numbers[:, None, None]).to(torch.uint8)
        wanted = [{"boxes": truth.boxes, "labels": truth.kinds, "masks": masks}]
        features = theirs.backbone(image[None])
        listed = proposals.ImageList(image[None], [(96, 128)])
        boxes, first = theirs.rpn(listed, features, wanted)
        _, second = theirs.roi_heads(features, boxes, [(96, 128)], wanted)
        expected.append(sum((first | second).values()).item())
    losses = ours.loss(images, targets, weight)
    assert losses.tolist() == pytest.approx(expected, rel=1e-4)
    assert abs(expected[0] - expected[1]) > 1e-3


def test_files_of_the_first_version_of_torchvisions_layers_load_too(theirs, tmp_path):
    def old(name: str) -> str:
        name = re.sub(r"(fpn\.\w+_blocks\.\d)\.0\.", r"\1.", name)
        name = re.sub(r"(rpn\.head\.conv)\.0\.0\.", r"\1.", name)
        return re.sub(
            r"mask_head\.(\d)\.0\.", lambda found: f"mask_head.mask_fcn{int(found[1]) + 1}.", name
        )

    tensors = {old(name): tensor for name, tensor in theirs.state_dict().items()}
    assert "rpn.head.conv.weight" in tensors
    assert "roi_heads.mask_head.mask_fcn4.bias" in tensors
    assert "backbone.fpn.layer_blocks.3.weight" in tensors
    torch.save(tensors, tmp_path / "coco.pth")
    network = MaskRCNN(channels=3, backbone="resnet18", features=16)
    assert load_pretrained(network, tmp_path / "coco.pth") == ()
    assert torch.equal(network.heads.mask_head[3][0].bias, theirs.roi_heads.mask_head[3][0].bias)


def test_other_classes_leave_their_layers_fresh(theirs, tmp_path):
    torch.save(theirs.state_dict(), tmp_path / "coco.pth")
    network = MaskRCNN(channels=5, backbone="resnet18", features=16)
    before = network.heads.box_predictor.cls_score.weight.clone()
    assert load_pretrained(network, tmp_path / "coco.pth") == ("heads",)
    assert torch.equal(network.heads.box_predictor.cls_score.weight, before)
    assert torch.equal(network.heads.box_head.fc6.weight, theirs.roi_heads.box_head.fc6.weight)


def test_imagenets_resnet_is_the_backbone(monkeypatch):
    torch.manual_seed(3)
    published, asked = resnet18().state_dict(), []
    monkeypatch.setattr(
        "torchvision.models._api.load_state_dict_from_url",
        lambda url, *_, **__: asked.append(url) or published,
    )
    network = MaskRCNN(channels=3, backbone="resnet18", features=8)
    assert load_pretrained(network, "imagenet") == ("pyramid", "proposals", "heads")
    assert asked == ["https://download.pytorch.org/models/resnet18-f37072fd.pth"]
    assert torch.equal(network.stage4[1].conv2.weight, published["layer4.1.conv2.weight"])
    assert torch.equal(network.stem[1].running_var, published["bn1.running_var"])


def test_coco_is_there_for_a_resnet50_alone(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "torchvision.models._api.load_state_dict_from_url",
        lambda url, *_, **__: asked.append(url) or {},
    )
    with torch.device("meta"):
        network = MaskRCNN(channels=3, backbone="resnet50")
    network.published_weights("coco")
    assert asked == ["https://download.pytorch.org/models/maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth"]
    with pytest.raises(UserError, match="no weights named 'coco' for this MaskRCNN; give another"):
        load_pretrained(tiny_network("mask_rcnn", channels=3), "coco")


def test_a_narrower_backbone_does_not_take_published_weights(tmp_path):
    torch.save(resnet18().state_dict(), tmp_path / "resnet18.pth")
    with pytest.raises(UserError, match=r"another architecture .* stem\.0\.weight is \(64, 3, 7"):
        load_pretrained(tiny_network("mask_rcnn", channels=3), tmp_path / "resnet18.pth")


# Painting


def test_what_is_painted_decodes_to_what_was_found():
    corners = torch.cartesian_prod(torch.arange(3, 90, 22), torch.arange(3, 60, 20)).float()
    sides = torch.linspace(9, 17, len(corners))[:, None]
    boxes = torch.cat([corners - 0.5, corners - 0.5 + sides], dim=1)
    scores = torch.linspace(0.06, 0.99, len(boxes))[torch.randperm(len(boxes))]
    kinds = torch.arange(len(boxes)) % 2
    found = Detections(boxes, scores, kinds, torch.ones(len(boxes), 28, 28))
    maps = paint(found, (80, 110), classes=2).numpy()
    nuclei = BoxesCodec(classes=("a", "b"), foreground=0.05).decode(maps, MPP, threshold=None)
    order = scores.argsort(descending=True)
    np.testing.assert_allclose(nuclei.scores, scores[order], atol=1e-6)
    assert nuclei.classes == tuple("ab"[kind] for kind in kinds[order].tolist())
    centres = ((boxes[:, :2] + boxes[:, 2:]) / 2)[order]
    np.testing.assert_allclose(nuclei.points, centres, atol=0.51)


def test_the_best_score_is_painted_on_top_with_vectors_to_its_boxs_centre():
    boxes = torch.tensor([[0.5, 0.5, 6.5, 4.5], [3.5, 1.5, 8.5, 7.5]])
    found = Detections(boxes, torch.tensor([0.9, 0.6]), torch.tensor([1, 0]), torch.ones(2, 28, 28))
    maps = paint(found, (9, 10), classes=2)
    first = np.zeros((9, 10), np.bool_)
    first[1:5, 1:7] = True
    second = np.zeros((9, 10), np.bool_)
    second[2:8, 4:9] = True
    second &= ~first
    assert np.array_equal(maps[1] > BACKGROUND, first)
    assert np.array_equal(maps[0] > BACKGROUND, second)
    assert maps[1, 1, 1].item() == pytest.approx(np.log(9))
    assert maps[0, 7, 8].item() == pytest.approx(np.log(1.5))
    assert maps[2, 1].tolist() == pytest.approx([0, 2.5, 1.5, 0.5, -0.5, -1.5, -2.5, 0, 0, 0])
    assert maps[3, :, 8].tolist() == pytest.approx([0, 0, 2.5, 1.5, 0.5, -0.5, -1.5, -2.5, 0])
    assert not maps[2:, ~(first | second)].any()


def test_masks_are_interpolated_between_the_centres_of_their_cells():
    rng = np.random.default_rng(0)
    low = rng.uniform(-3, 40, (20, 2))
    boxes = np.concatenate([low, low + rng.uniform(3, 30, (20, 2))], axis=1)
    masks = gaussian_filter(rng.random((20, 28, 28)), (0, 3, 3)) * 10 - 4.5
    rows, columns = np.indices((50, 60))
    for box, mask in zip(boxes, masks, strict=True):
        x, y = ((columns - box[0]) / (box[2] - box[0]), (rows - box[1]) / (box[3] - box[1]))
        at = [y * 28 - 0.5, x * 28 - 0.5]
        inside = (x >= 0) & (x <= 1) & (y >= 0) & (y <= 1)
        share = map_coordinates(np.pad(mask, 1), [each + 1 for each in at], order=1)
        one = Detections(
            torch.tensor(box)[None],
            torch.tensor([0.8], dtype=torch.float64),
            torch.tensor([0]),
            torch.tensor(mask)[None],
        )
        painted = paint(one, (50, 60), classes=1)[0] > BACKGROUND
        assert np.array_equal(painted, (share >= 0.5) & inside)


def test_nothing_found_is_background_everywhere():
    none = Detections(
        torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.long), torch.zeros(0, 28, 28)
    )
    maps = paint(none, (5, 6), classes=1)
    assert (maps[0] == BACKGROUND).all()
    assert not maps[1:].any()


def test_boxes_and_classes_are_recovered_from_the_codecs_target():
    instances = scattered_discs(0)
    classes = tuple("abc"[k % 3] for k in range(instances.max()))
    codec = BoxesCodec(classes=("a", "b", "c"))
    target = codec.encode(annotation_of(instances, classes), instances.shape, MPP)
    truth = annotated(torch.from_numpy(target), torch.ones(1, *instances.shape))
    large = []
    for k in range(1, instances.max() + 1):
        rows, columns = np.nonzero(instances == k)
        box = [columns.min() - 0.5, rows.min() - 0.5, columns.max() + 0.5, rows.max() + 0.5]
        if min(np.ptp(columns), np.ptp(rows)) >= 1:
            large.append((k, "abc".index(classes[k - 1]) + 1, box))
    assert truth.numbers.tolist() == [k for k, _, _ in large]
    assert truth.kinds.tolist() == [kind for _, kind, _ in large]
    assert truth.boxes.tolist() == [box for _, _, box in large]


def test_slivers_that_a_crop_leaves_are_no_boxes():
    instances = np.zeros((20, 20), np.int32)
    instances[3:9, 0] = 1  # one pixel wide
    instances[12:14, 5:9] = 2
    truth = annotated(targets_of(instances)[0], torch.ones(1, 20, 20))
    assert truth.numbers.tolist() == [2]
    assert truth.boxes.tolist() == [[4.5, 11.5, 8.5, 13.5]]


# Learning


def loss_of(network: MaskRCNN, target: Tensor, weight: Tensor, image: Tensor) -> Tensor:
    torch.manual_seed(0)
    return network.loss(image, target, weight)


def renumbered(instances: np.ndarray) -> np.ndarray:
    return np.unique(instances, return_inverse=True)[1].reshape(instances.shape).astype(np.int32)


def test_an_image_without_labels_gives_no_loss_and_no_gradient():
    network = tiny_network("mask_rcnn", channels=3)
    weight = torch.zeros(1, 1, 64, 64)
    losses = loss_of(network, targets_of(blobs(0)[1]), weight, noise(1, 3, 64, 64))
    losses.sum().backward()
    assert losses.tolist() == [0]
    assert not any(p.grad is not None and p.grad.any() for p in network.parameters())


def test_nuclei_outside_the_labelled_region_change_nothing():
    network = tiny_network("mask_rcnn", channels=3)
    instances = blobs(0, (64, 128))[1]
    near = np.isin(instances, instances[:, 60:68])
    instances = renumbered(np.where(near, 0, instances))
    hidden = renumbered(np.where(np.arange(128) < 64, instances, 0))
    weight = torch.zeros(1, 1, 64, 128)
    weight[..., :64] = 1
    image = noise(1, 3, 64, 128)
    known = loss_of(network, targets_of(hidden), weight, image)
    assert loss_of(network, targets_of(instances), weight, image).tolist() == known.tolist()
    everywhere = loss_of(network, targets_of(instances), torch.ones_like(weight), image)
    assert everywhere.tolist() != known.tolist()


def test_an_image_without_nuclei_teaches_background():
    network = tiny_network("mask_rcnn", channels=3)
    empty = torch.zeros(1, 4, 64, 64)
    loss = loss_of(network, empty, torch.ones(1, 1, 64, 64), noise(1, 3, 64, 64))
    loss.sum().backward()
    assert loss.item() > 0
    assert network.heads.box_predictor.cls_score.weight.grad.any()
    assert not network.heads.mask_predictor.mask_fcn_logits.weight.grad.any()


def test_each_image_of_a_batch_has_the_loss_that_it_has_alone(monkeypatch):
    monkeypatch.setattr(proposals, "SAMPLED", 10**6)
    network = tiny_network("mask_rcnn", channels=3)
    images, targets = noise(2, 3, 64, 64), targets_of(blobs(0)[1], blobs(1)[1])
    weight = torch.ones(2, 1, 64, 64)
    together = network.loss(images, targets, weight)
    for k in (0, 1):
        part = slice(k, k + 1)
        alone = network.loss(images[part], targets[part], weight[part])
        assert together[k].item() == pytest.approx(alone.item(), rel=1e-4)


def test_every_parameter_learns_from_the_loss():
    network = tiny_network("mask_rcnn", channels=4).train()
    codec = BoxesCodec(classes=("a", "b"))
    annotation = annotation_of(instances := blobs(0)[1], tuple("ab" * 20)[: instances.max()])
    target = torch.from_numpy(codec.encode(annotation, (64, 64), MPP))[None]
    network.loss(noise(1, 3, 64, 64), target, torch.ones(1, 1, 64, 64)).sum().backward()
    silent = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_a_frozen_first_half_stays_as_it_is():
    network = tiny_network("mask_rcnn", channels=3)
    assert tuple(name for name, _ in network.blocks) == BLOCKS
    before = copy.deepcopy(network.state_dict())
    freeze_first_blocks(network, 4)
    network.train()
    hold_frozen_statistics(network)
    optimiser = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    targets = targets_of(blobs(0)[1])
    network.loss(noise(1, 3, 64, 64), targets, torch.ones(1, 1, 64, 64)).sum().backward()
    optimiser.step()
    after = network.state_dict()
    changed = {name.split(".")[0] for name in after if not torch.equal(after[name], before[name])}
    assert changed == set(BLOCKS[4:])


def test_the_same_seed_gives_the_same_weights():
    first, same, other = (
        tiny_network("mask_rcnn", channels=3, seed=seed).state_dict() for seed in (1, 1, 2)
    )
    assert all(torch.equal(first[key], same[key]) for key in first)
    assert not torch.equal(first["stem.0.weight"], other["stem.0.weight"])


def test_the_same_seed_draws_the_same_anchors_and_regions():
    network = tiny_network("mask_rcnn", channels=3)
    image, target, weight = noise(1, 3, 96, 96), targets_of(blobs(3, (96, 96))[1]), torch.ones(1)
    weight = weight.expand(1, 1, 96, 96)
    first, same = (loss_of(network, target, weight, image) for _ in range(2))
    assert first.tolist() == same.tolist()
    assert network.loss(image, target, weight).tolist() != first.tolist()


def test_the_loss_is_float32_and_close_under_autocast(monkeypatch):
    monkeypatch.setattr(proposals, "SAMPLED", 10**6)
    network = tiny_network("mask_rcnn", channels=3)
    arguments = noise(1, 3, 64, 64), targets_of(blobs(0)[1]), torch.ones(1, 1, 64, 64)
    expected = network.loss(*arguments)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = network.loss(*arguments)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.item(), rel=0.05)


def test_the_smallest_crops_can_be_trained_on():
    network = tiny_network("mask_rcnn", channels=3).train()
    instances = np.zeros((17, 9), np.int32)
    instances[4:9, 2:7] = 1
    loss = network.loss(noise(1, 3, 17, 9), targets_of(instances), torch.ones(1, 1, 17, 9))
    assert torch.isfinite(loss).all()


# As part of a detector


def tiny_detector() -> Detector:
    options = {"backbone": "resnet18", "width": 4, "features": 8}
    return toy_detector(
        network={"name": "mask_rcnn", "options": options}, codec={"name": "boxes", "options": {}}
    )


def test_a_training_step_takes_the_networks_own_loss():
    detector = tiny_detector()
    module = DetectorModule(detector, toy_recipe().train, seed=0)
    assert isinstance(detector.network, SelfJudging)
    target, weight = targets_of(blobs(0)[1]), torch.ones(1, 1, 64, 64)
    batch = {"image": noise(1, 3, 64, 64), "target": target, "weight": weight}
    torch.manual_seed(0)
    loss = module.training_step(batch, 0)
    expected = loss_of(detector.network, target, weight, batch["image"])
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    loss.backward()
    assert detector.network.stem[0].weight.grad.any()


def test_another_codec_is_refused_when_the_detector_is_built():
    card = toy_card(network={"name": "mask_rcnn", "options": {}})
    with pytest.raises(
        UserError,
        match=r"mask_rcnn goes with the codec boxes alone, .* is proximity; let codec.name be",
    ):
        Detector.fresh(card, seed=0)


def test_another_codec_cannot_take_its_place():
    from transfer_kit.settings import CodecSettings
    from transfer_kit.start import with_codec

    three_maps = CodecSettings(name="voting", options={"weighted": False})
    with pytest.raises(UserError, match="mask_rcnn goes with the codec boxes alone"):
        with_codec(tiny_detector(), three_maps)


@pytest.mark.parametrize("how", [exporting.export_program, exporting.export_onnx])
def test_it_cannot_be_exported_and_says_what_can(how, tmp_path):
    with pytest.raises(
        UserError,
        match=r"mask_rcnn cannot be exported, .* such as unet, with the codec boxes and export",
    ):
        how(tiny_detector(), tmp_path / "network")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"channels": 0}, "'channels' of the network 'mask_rcnn' must be a whole number .* got 0"),
        ({"channels": 2}, "'channels' .* at least 3, .* the codec 'boxes' has them, but got 2"),
        ({"width": 0}, "'width' .* but got 0"),
        ({"features": 1.5}, "'features' .* but got 1.5"),
        ({"anchor_px": -8}, "'anchor_px' .* but got -8"),
        ({"halo_px": 0}, "'halo_px' .* but got 0"),
        ({"backbone": "resnet5"}, "'backbone' .* cannot be 'resnet5'. Did you mean 'resnet50'"),
        ({"proposal_overlap": 0}, "'proposal_overlap' .* above 0, up to 1, but got 0"),
        ({"proposal_overlap": True}, "'proposal_overlap' .* but got True"),
    ],
)
def test_an_impossible_option_is_refused_in_one_sentence(options, sentence):
    with pytest.raises(UserError, match=sentence):
        build_network("mask_rcnn", **{"channels": 3, **options})


# What docs/networks.md says

PAGE = Path(transfer_kit.__file__).parents[1] / "docs" / "networks.md"


def cost(options: dict[str, object]) -> tuple[float, float]:
    """Floating point operations for 250 proposals and 25 nuclei, and parameters in millions."""
    network = build_network("mask_rcnn", channels=3, **options).eval()
    image = torch.zeros(1, 3, 128, 128)
    corner = torch.rand(250, 2, generator=torch.Generator().manual_seed(0)) * 100
    boxes = torch.cat([corner, corner + 20], dim=1)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        features, _ = network._first_stage(image)
        network.heads._classified(features, [boxes])
        network.heads._masks(features, [boxes[:25]], torch.ones(25, dtype=torch.long))
    return counter.get_total_flops(), sum(p.numel() for p in network.parameters()) / 1e6


def test_the_small_size_costs_less_than_a_quarter_and_has_the_parameters_that_the_page_says():
    text = PAGE.read_text(encoding="utf-8")
    (full, said_full), (small, said_small) = re.findall(
        r"^\| \w+ \| `(\{backbone: .*?\})` \| ([\d.]+) M \|", text, re.MULTILINE
    )
    cost_full, millions_full = cost(yaml.safe_load(full))
    cost_small, millions_small = cost(yaml.safe_load(small))
    assert cost_small / cost_full < 0.25
    assert millions_full == pytest.approx(float(said_full), rel=0.01)
    assert millions_small == pytest.approx(float(said_small), rel=0.01)
