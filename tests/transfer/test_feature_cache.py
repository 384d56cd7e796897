"""A training that keeps the features of frozen blocks learns what one learns that does not."""

from __future__ import annotations

import logging

import pytest
import torch
from networks.tiny import tiny_network
from toy import toy_detector, toy_recipe, toy_samples
from transfer.one_step import batch_of, module_of, same, tensors_of, tiny_detector
from transfer.recurring import recurring

from transfer_kit.errors import UserError
from transfer_kit.networks import network_names
from transfer_kit.training.train import train
from transfer_kit.transfer.feature_cache import FeatureCache, reusable_blocks
from transfer_kit.transfer.freezing import Freezing, hold_frozen_statistics

KEPT_APART = [name for name in network_names() if name not in ("mask_rcnn", "timm_unet")]


def frozen_network(name, freeze, **options):
    """In training mode, as a training has it."""
    network = tiny_network(name, **options)
    freezing = Freezing(network, freeze)
    freezing.apply(0)
    network.train()
    hold_frozen_statistics(network)
    return network, freezing.frozen_at(0)


def blocks_of(name, freeze, **options):
    """Names of the blocks that can be reused, and of those whose output is kept."""
    found = reusable_blocks(*frozen_network(name, freeze, **options))
    return [block.name for block in found], [block.name for block in found if block.is_read]


def images_of(*seeds, size=64):
    """One random image a seed `(N, 3, size, size)`, and the seeds as crops."""
    images = [torch.randn(3, size, size, generator=torch.Generator().manual_seed(s)) for s in seeds]
    return torch.stack(images), [(seed,) for seed in seeds]


def gradients(module, batch):
    module.train()
    module.on_train_batch_start(batch, 0)
    module.network.zero_grad()
    with torch.backends.mkldnn.flags(enabled=False):  # see `take_step`
        loss = module.training_step(batch, 0)
        loss.backward()
    learned = [p.grad.clone() for p in module.network.parameters() if p.grad is not None]
    return loss.detach(), learned


# ---- which blocks ----


@pytest.mark.parametrize(
    ("name", "freeze", "kept"),
    [
        ("micronet", 1, ["input"]),
        ("micronet", 2, ["input", "down1"]),
        # The output reads the maps of three depths, up4 the input's and up3's.
        ("micronet", 8, ["input", "down2", "down3", "down4", "up3"]),
        ("unet", 7, ["input", "down1", "up2"]),
        ("fcrn_a", 5, ["up1"]),
        ("fcn8s", 6, ["conv3", "conv4", "fc6"]),
        ("sfcn_opi", 4, ["group2", "group3"]),
    ],
)
def test_of_all_frozen_blocks_those_are_kept_that_learning_blocks_read(name, freeze, kept):
    reusable, read = blocks_of(name, freeze)
    assert len(reusable) == freeze
    assert read == kept


def test_a_frozen_block_behind_one_that_learns_is_computed_each_time():
    reusable, read = blocks_of("micronet", ("input", "down*", "up4"))
    assert reusable == ["input", "down1", "down2", "down3", "down4"]
    assert read == reusable


def test_looking_at_a_network_leaves_its_tensors_gradients_and_modes_alone():
    network, frozen = frozen_network("micronet", 2)
    before = tensors_of(network), [module.training for module in network.modules()]
    state = torch.get_rng_state()
    reusable_blocks(network, frozen)
    assert same(before[0], tensors_of(network))
    assert [module.training for module in network.modules()] == before[1]
    assert all(parameter.grad is None for parameter in network.parameters())
    assert torch.equal(state, torch.get_rng_state())
    assert not any("forward" in module.__dict__ for module in network.modules())


@pytest.mark.parametrize(
    ("name", "freeze", "said"),
    [
        ("timm_unet", 2, "runs stem together with other blocks"),
        ("mask_rcnn", 2, "judges itself"),
        ("micronet", ("up4",), "comes after one that learns"),
    ],
)
def test_a_network_whose_features_cannot_be_kept_is_refused(name, freeze, said):
    channels = 3 if name == "mask_rcnn" else 1
    with pytest.raises(UserError, match=f"train.cache_features: .*{said}.*false"):
        blocks_of(name, freeze, channels=channels)


# ---- what is served ----


@pytest.mark.parametrize("part", [1, 2, 3], ids=["first", "half", "all but the last"])
@pytest.mark.parametrize("name", KEPT_APART)
def test_losses_and_gradients_are_those_without_a_cache_when_computed_and_when_served(name, part):
    detector = tiny_detector(name)
    count = len(detector.network.blocks)
    module = module_of(detector, freeze={1: 1, 2: count // 2, 3: count - 1}[part])
    batch = {**batch_of(detector), "crop": torch.tensor([[0, 1], [0, 2]])}
    loss, expected = gradients(module, batch)
    module.keep_features()
    for kept_before in (0, 2):
        assert len(module.features) == kept_before
        cached, found = gradients(module, batch)
        torch.testing.assert_close(cached, loss, rtol=1e-5, atol=1e-7)
        assert len(found) == len(expected) > 0
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_blocks_run_once_for_each_crop_however_often_it_comes():
    network, frozen = frozen_network("micronet", 8)
    cache = FeatureCache(network, frozen)
    seen = []
    network.down1.down.register_forward_hook(lambda *_: seen.append(1))
    network.up2.join.register_forward_hook(lambda *_: seen.append(2))
    for seeds in ([1, 2], [2, 1], [1, 3], [3, 3], [2, 2]):
        images, crops = images_of(*seeds)
        with cache.serving(crops):
            network(images)
    assert sorted(seen) == [1, 1, 1, 2, 2, 2]
    assert len(cache) == 3


def test_a_batch_of_seen_and_unseen_crops_has_each_images_own_maps():
    network, frozen = frozen_network("unet", 7, n_feat=2)
    network.eval()
    cache = FeatureCache(network, frozen)
    for seeds in ([1, 2], [3, 2, 4], [1, 4, 3], [5, 1]):
        images, crops = images_of(*seeds)
        with torch.no_grad(), cache.serving(crops):
            maps = network(images)
        with torch.no_grad():
            torch.testing.assert_close(maps, network(images), rtol=1e-5, atol=1e-7)


def test_what_follows_may_change_served_features_in_place():
    network, frozen = frozen_network("fcrn_a", 3)
    cache = FeatureCache(network, frozen)
    network.up1.register_forward_pre_hook(lambda _, inputs: (inputs[0].mul_(0.5),))
    images, crops = images_of(1)
    network.eval()
    found = []
    with torch.no_grad():
        for _ in range(3):
            with cache.serving(crops):
                found.append(network(images))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_features_do_not_depend_on_the_other_crops_of_a_batch():
    network, frozen = frozen_network("micronet", 2)
    kept = []
    for seeds in ([1], [4, 1], [2, 3, 1, 5]):
        cache = FeatureCache(network, frozen)
        images, crops = images_of(*seeds)
        with cache.serving(crops):
            network(images)
        kept.append(cache._kept[(1,)])
    for other in kept[1:]:
        assert all(torch.equal(kept[0][name], other[name]) for name in ("input", "down1"))


def test_beyond_the_memory_it_may_take_crops_are_computed_and_it_is_said_once(caplog):
    network, frozen = frozen_network("micronet", 2)
    each = 4 * (2 * 64**2 + 4 * 32**2)
    cache = FeatureCache(network, frozen, most_bytes=3 * each + each // 2)
    network.eval()
    with caplog.at_level(logging.WARNING):
        for seeds in ([1, 2], [3, 4], [5, 1], [4, 2]):
            images, crops = images_of(*seeds)
            with torch.no_grad(), cache.serving(crops):
                maps = network(images)
            with torch.no_grad():
                torch.testing.assert_close(maps, network(images), rtol=1e-5, atol=1e-7)
    assert len(cache) == 3
    assert cache.kept_bytes == 3 * each
    assert [record.message[:52] for record in caplog.records] == [
        "train.cache_features keeps the features of 3 crops, "
    ]


def test_nothing_is_served_outside_of_a_step_also_after_one_that_failed():
    network, frozen = frozen_network("micronet", 2)
    network.eval()
    cache = FeatureCache(network, frozen)
    (one, crops), (other, _) = images_of(1), images_of(2)
    expected = network(other)
    with cache.serving(crops):
        network(one)
    assert torch.equal(network(other), expected)
    with pytest.raises(ZeroDivisionError), cache.serving(crops):
        raise ZeroDivisionError
    assert torch.equal(network(other), expected)
    with cache.serving(crops):
        assert not torch.equal(network(other), expected)  # it is told to be the first again


# ---- whole trainings ----


def trained(folder, *, network=None, steps=12, **fields):
    """Rounds of three steps on two images, each with four crops in eight turns."""
    fields = {"base": "toy", "freeze": 2, "train.schedule.name": "constant", **fields}
    recipe = toy_recipe(**{**recurring(), "train.steps": steps, **fields})
    samples = toy_samples(3)
    options = {} if network is None else {"network": network}
    return train(toy_detector(seed=3, **options), samples[:2], samples[2:], recipe, folder=folder)


UNTURNED = {
    "augment.quarter_turns": False,
    "augment.mirror": False,
    "augment.rotation_degrees": 0,
}
"""Eight crops in all."""

UNET = {"freeze": 5, "network": {"name": "unet", "options": {"n_feat": 4}}}


def kept_back(monkeypatch):
    """Counts the crops that were asked for and those that were there."""
    counts = {"asked": 0, "served": 0}
    serving = FeatureCache.serving

    def counted(self, crops):
        counts["asked"] += len(crops)
        counts["served"] += sum(crop in self._kept for crop in crops)
        return serving(self, crops)

    monkeypatch.setattr(FeatureCache, "serving", counted)
    return counts


@pytest.mark.parametrize(
    "fields",
    [
        {"freeze": 2},
        {"freeze": 8},
        UNET,
        {"train.adapter": {"rank": 2}},
        {"train.batch_norm": "recalibrate", "train.l2_sp": 0.01},
    ],
    ids=["micronet", "micronet, deep", "unet", "adapters", "recalibrated and pulled"],
)
def test_a_training_with_a_cache_gives_the_weights_of_one_without(fields, tmp_path, monkeypatch):
    if "train.adapter" in fields:
        pytest.importorskip("peft")
    # Crop by crop, as the cache computes: sums over a batch differ in their last bits.
    fields = {**UNTURNED, **fields, "train.batch_size": 1}
    without = trained(tmp_path / "without", **fields)
    counts = kept_back(monkeypatch)
    cached = trained(tmp_path / "cached", **fields, **{"train.cache_features": True})
    assert counts["asked"] == 12
    assert counts["served"] == 4
    one, two = (done.detector.network.state_dict() for done in (without, cached))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert without.curve == cached.curve


@pytest.mark.parametrize("fields", [{"freeze": 2}, {"freeze": 8}, UNET])
def test_in_batches_weights_are_those_without_a_cache_but_for_rounding(fields, tmp_path):
    # By gradients as they are: Adam divides by them, and so makes much of the rounding of some.
    fields = {**UNTURNED, **fields, "train.optimizer": {"name": "sgd", "learning_rate": 0.01}}
    without = trained(tmp_path / "without", **fields)
    cached = trained(tmp_path / "cached", **fields, **{"train.cache_features": True})
    one, two = (done.detector.network.state_dict() for done in (without, cached))
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-3, atol=1e-5)


def test_a_resumed_training_with_a_cache_is_bit_equal_to_an_uninterrupted_one(
    tmp_path, monkeypatch
):
    fields = {**UNTURNED, "freeze": 5, "train.cache_features": True}
    whole = trained(tmp_path / "whole", **fields)
    trained(tmp_path / "parts", steps=6, **fields)
    counts = kept_back(monkeypatch)
    resumed = trained(tmp_path / "parts", **fields)
    assert 0 < counts["served"] < counts["asked"] == 12
    one, two = (done.detector.network.state_dict() for done in (whole, resumed))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert whole.curve == resumed.curve


def test_a_training_with_a_cache_and_workers_gives_the_same_weights(tmp_path):
    fields = {"train.cache_features": True, "steps": 6}
    one, two = (
        trained(tmp_path / str(n), **fields, **{"train.workers": n}).detector.network.state_dict()
        for n in (0, 2)
    )
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_training_whose_crops_change_is_refused_also_without_a_plan(tmp_path):
    with pytest.raises(UserError, match="must come again as they were"):
        trained(tmp_path, **{"train.cache_features": True, "augment.blur_sigma_um": 1,
                             "augment.colour_probability": 0.5})  # fmt: skip


def test_without_a_base_nothing_is_frozen_and_nothing_kept(tmp_path, monkeypatch):
    counts = kept_back(monkeypatch)
    trained(tmp_path, steps=3, freeze=0, base="none", **{"train.cache_features": True})
    assert counts == {"asked": 0, "served": 0}
