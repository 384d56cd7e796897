from __future__ import annotations

import numpy as np
import pytest
import torch
from toy import toy_detector, toy_recipe, toy_samples
from transfer.one_step import module_of, tiny_detector

from transfer_kit.networks import network_names
from transfer_kit.training.train import train
from transfer_kit.transfer.batchnorm import recalibrate, recompute_statistics
from transfer_kit.transfer.freezing import freeze_first_blocks


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 2 + 1


def statistics(network):
    return {k: v.clone() for k, v in network.named_buffers() if "running" in k}


def test_the_first_layer_gets_mean_and_variance_over_all_pixels_of_all_batches():
    network = toy_detector().network
    batches = [noise(3, 3, 40, 40), noise(1, 3, 40, 40, seed=1) * 3]
    convolution, norm = network.input.convolution, network.input.norm
    with torch.no_grad():
        seen = np.concatenate([convolution(b).transpose(0, 1).flatten(1) for b in batches], axis=1)
    recompute_statistics(network, batches)
    np.testing.assert_allclose(norm.running_mean, seen.mean(1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(norm.running_var, seen.var(1, ddof=1), rtol=1e-4)


def test_they_are_those_that_one_batch_norm_of_all_together_would_use():
    network = toy_detector().network
    batch = noise(4, 3, 40, 40)
    network.train()
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.eval()
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network(batch)
    expected = statistics(network)
    recompute_statistics(network, [batch])
    found = statistics(network)
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-5)
    assert all(m.momentum == 1.0 for m in network.modules() if hasattr(m, "momentum"))


@pytest.mark.parametrize("name", network_names())
def test_frozen_blocks_keep_theirs_in_every_network(name):
    network = tiny_detector(name).network
    half = len(network.blocks) // 2
    freeze_first_blocks(network, half)
    before = {block: statistics(part) for block, part in network.blocks}
    recompute_statistics(network, [noise(4, 3, 64, 64)])
    for place, (block, part) in enumerate(network.blocks):
        after = statistics(part)
        kept = all(torch.equal(before[block][key], after[key]) for key in after)
        assert kept == (place < half or not after), block
    assert not any(module.training for module in network.modules())


def test_the_same_seed_gives_the_same_statistics_and_labels_are_not_read():
    class Unlabelled:
        def __init__(self, sample):
            self.image, self.mpp = sample.image, sample.mpp

    found = []
    for seed in (0, 0, 1):
        detector = toy_detector()
        recalibrate(detector, [Unlabelled(s) for s in toy_samples(3)], crop_px=48, seed=seed)
        found.append(statistics(detector.network)["input.norm.running_mean"])
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_images_smaller_than_a_crop_and_of_another_scale_serve_too():
    samples = [*toy_samples(1, size=40, n_nuclei=3), *toy_samples(1)]
    samples[0].mpp = 0.75
    detector = toy_detector()
    recalibrate(detector, samples, crop_px=64, seed=0)
    assert all(torch.isfinite(value).all() for value in detector.network.state_dict().values())


def test_a_training_that_recalibrates_keeps_the_target_s_statistics_throughout(tmp_path):
    samples = toy_samples(3)
    expected = toy_detector(seed=3)
    freeze_first_blocks(expected.network, 2)
    recalibrate(expected, samples, crop_px=64, seed=0)
    recipe = toy_recipe(base="toy", freeze=2, **{"train.batch_norm": "recalibrate"})
    done = train(toy_detector(seed=3), samples, [], recipe, folder=tmp_path)
    after = statistics(done.detector.network)
    for name, value in statistics(expected.network).items():
        # Not to the bit: the training's memory format sums in another order.
        torch.testing.assert_close(after[name], value, rtol=1e-4, atol=1e-5)
    assert not after["input.norm.running_mean"].any()
    assert after["down2.down.norm.running_mean"].any()


def test_batch_norms_of_learning_blocks_are_held_where_the_recipe_says(tmp_path):
    for mode in ("frozen", "recalibrate", "train"):
        module = module_of(tiny_detector("micronet"), batch_norm=mode)
        module.train()
        norms = [m for m in module.network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
        assert {norm.training for norm in norms} == {mode == "train"}
