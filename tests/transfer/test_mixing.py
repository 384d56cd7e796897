"""L = γ·L_T + L_A, and which crops are the target's."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from toy import MPP, toy_detector, toy_recipe, toy_samples

from transfer_kit.data.organ_figures import OrganFigures
from transfer_kit.errors import UserError
from transfer_kit.settings import AuxiliarySettings
from transfer_kit.training.batches import numbered_patches
from transfer_kit.training.train import train
from transfer_kit.transfer.mixing import AuxiliarySource, balanced_loss, losses_apart, nearness

SAMPLES = toy_samples(7)
TARGET, HELD = SAMPLES[:2], SAMPLES[6:]
KIDNEY = AuxiliarySource("kidney", tuple(SAMPLES[2:5]))
LIVER = AuxiliarySource("liver", tuple(SAMPLES[5:6]))


def trained(folder, samples=TARGET, *auxiliary, **fields):
    short = {"train.batch_size": 3, "train.steps": 6, "patches.size_px": 48}
    recipe = toy_recipe(**{**short, **fields})
    detector = toy_detector(seed=0)
    return train(detector, samples, HELD, recipe, folder=folder, auxiliary=auxiliary)


def weights(done):
    return done.detector.network.state_dict()


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def losses_of(done, *names):
    names = names or ("train/loss", "val/f1", "val/threshold")
    return [[point.get(name) for name in names] for point in done.curve]


# the loss


@pytest.mark.parametrize("gamma", [0.2, 1.0, 5.0])
def test_the_loss_is_the_weighted_sum_over_the_batch(gamma):
    losses = torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0])
    is_target = torch.tensor([True, False, True, False, False])
    expected = (gamma * (1 + 4) + (2 + 8 + 16)) / 5
    assert balanced_loss(losses, is_target, gamma).item() == pytest.approx(expected)


def test_one_backward_pass_gives_each_image_its_weight():
    losses = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    balanced_loss(losses, torch.tensor([True, False, False]), 7.0).backward()
    assert losses.grad.tolist() == pytest.approx([7 / 3, 1 / 3, 1 / 3])


def test_the_two_losses_are_told_apart_without_their_weight():
    losses = torch.tensor([1.0, 2.0, 4.0])
    told = losses_apart(losses, torch.tensor([True, False, True]))
    assert told.tolist() == [5, 2, 2, 1]


# naive pooling


@pytest.mark.parametrize(
    "fields",
    [{}, {"train.batch_norm": "recalibrate", "base": "toy"}, {"train.workers": 2}],
    ids=["plain", "recalibrated", "workers"],
)
def test_gamma_1_by_size_is_naive_pooling_bit_by_bit(tmp_path, fields):
    mixed = trained(tmp_path / "mixed", TARGET, KIDNEY, LIVER, **fields)
    pool = [*TARGET, *KIDNEY.samples, *LIVER.samples]
    pooled = trained(tmp_path / "pooled", pool, **fields)
    assert same(weights(mixed), weights(pooled))
    assert losses_of(mixed) == losses_of(pooled)


def test_another_gamma_is_another_training(tmp_path):
    even = trained(tmp_path / "1", TARGET, KIDNEY)
    other = trained(tmp_path / "5", TARGET, KIDNEY, **{"auxiliary.gamma": 5})
    assert not same(weights(even), weights(other))


def test_gamma_without_auxiliary_data_changes_nothing(tmp_path):
    one = trained(tmp_path / "1")
    other = trained(tmp_path / "5", **{"auxiliary.gamma": 5})
    assert same(weights(one), weights(other))


def test_a_schedule_weighs_from_its_steps_on(tmp_path):
    """Until step 3 it is the training with γ 5; then it is not."""
    constant = trained(tmp_path / "5", TARGET, KIDNEY, **{"auxiliary.gamma": 5})
    later = trained(tmp_path / "s", TARGET, KIDNEY, **{"auxiliary.gamma": {0: 5, 3: 1}})
    one, other = losses_of(constant), losses_of(later)
    assert one[0] == other[0]
    assert one[1] != other[1]


# logged apart


def test_the_curve_has_both_losses_and_they_make_up_the_whole(tmp_path):
    fields = {"auxiliary.gamma": 3, "auxiliary.sampling": "even", "train.batch_size": 2}
    done = trained(tmp_path, TARGET, KIDNEY, **fields)
    for point in done.curve:
        # One crop of each in a batch of two.
        whole = (3 * point["train/loss_target"] + point["train/loss_auxiliary"]) / 2
        assert point["train/loss"] == pytest.approx(whole, rel=1e-5)


def test_without_auxiliary_data_the_curve_is_as_before(tmp_path):
    assert not [name for name in trained(tmp_path).curve[0] if name.startswith("train/loss_")]


def test_a_round_without_a_crop_of_the_target_tells_no_loss_of_it(tmp_path):
    """One target image among 31, and six crops a round: most rounds hold none of it."""
    many = AuxiliarySource("many", KIDNEY.samples * 10)
    fields = {"train.batch_size": 1, "train.steps": 6, "train.validate_every": 1}
    curve = trained(tmp_path, TARGET[:1], many, **fields).curve
    told = [("train/loss_target" in point, "train/loss_auxiliary" in point) for point in curve]
    assert set(told) <= {(True, False), (False, True)}
    assert (False, True) in told


# going on after an interruption


@pytest.mark.parametrize("sampling", ["size", "even"])
def test_an_interrupted_training_goes_on_as_if_it_had_not_been(tmp_path, sampling, monkeypatch):
    fields = {"auxiliary.sampling": sampling, "auxiliary.gamma": {0: 5, 4: 2}}
    whole = trained(tmp_path / "whole", TARGET, KIDNEY, LIVER, **fields)

    def interrupt(self, trainer, *rest):
        self._loss_count += 1
        if trainer.global_step == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr("transfer_kit.training.judge.Judge.on_train_batch_end", interrupt)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "killed", TARGET, KIDNEY, LIVER, **fields)
    monkeypatch.undo()
    first = torch.load(tmp_path / "killed" / "last.ckpt", weights_only=True)
    assert first["step"] == 3
    # What the interruption left of the round's mean loss is not the matter here.
    first["judge"]["curve"][0]["train/loss"] = whole.curve[0]["train/loss"]
    torch.save(first, tmp_path / "killed" / "last.ckpt")
    resumed = trained(tmp_path / "killed", TARGET, KIDNEY, LIVER, **fields)
    assert same(weights(whole), weights(resumed))
    assert resumed.curve == whole.curve


# what nothing is chosen on


def test_thresholds_and_stain_are_the_target_s_alone(tmp_path):
    fields = {"evaluation.threshold_from": "labelled", "auxiliary.sampling": "even"}
    card = trained(tmp_path, TARGET, KIDNEY, **fields).detector.card
    assert card.threshold_chosen_on.startswith("3 labelled")


# crops


def crops(sampling, count=240, *, sources=(KIDNEY, LIVER), size_px=32, **fields):
    recipe = toy_recipe(**{"auxiliary.sampling": sampling, "patches.size_px": size_px, **fields})
    patches = numbered_patches(toy_detector(seed=0), TARGET, sources, recipe)
    drawn = [patches.sampler.patch(number) for number in range(count)]
    return drawn, [bool(patches[number]["is_target"]) for number in range(count)]


def counted_by_source(drawn):
    ids = {sample.id: name for name, part in parts().items() for sample in part}
    found = [ids[patch.sample_id] for patch in drawn]
    return {name: found.count(name) for name in parts()}


def parts():
    return {"target": TARGET, "kidney": KIDNEY.samples, "liver": LIVER.samples}


def test_by_size_all_images_are_visited_equally_often():
    drawn, is_target = crops("size")  # ten passes over six images, four crops each
    ids = [patch.sample_id for patch in drawn]
    assert {ids.count(sample.id) for sample in SAMPLES[:6]} == {40}
    assert is_target == [name in {s.id for s in TARGET} for name in ids]


def test_evenly_half_are_the_target_s_and_sources_have_equal_parts():
    drawn, is_target = crops("even")
    assert counted_by_source(drawn) == {"target": 120, "kidney": 60, "liver": 60}
    assert is_target == [patch.sample_id in {s.id for s in TARGET} for patch in drawn]


@pytest.mark.parametrize("size", [2, 4])
def test_every_batch_has_a_target_half_however_small_the_target(size):
    _, is_target = crops("even", 40, **{"train.batch_size": size})
    batches = np.array(is_target).reshape(-1, size)
    assert (batches.sum(axis=1) == size // 2).all()


def test_batches_of_odd_size_alternate_between_one_more_of_either():
    _, is_target = crops("even", 30, **{"train.batch_size": 3})
    assert np.array(is_target).reshape(-1, 3).sum(axis=1).tolist() == [2, 1] * 5


def test_sources_are_drawn_by_their_weights():
    sources = (replace(KIDNEY, weight=3.0), replace(LIVER, weight=1.0))
    counts = counted_by_source(crops("similarity", sources=sources)[0])
    assert counts == {"target": 120, "kidney": 90, "liver": 30}


def test_the_order_of_sources_is_mixed_and_of_the_seed():
    one, two, other = (
        [patch.sample_id for patch in crops("even", 60, seed=seed)[0][1::2]] for seed in (0, 0, 1)
    )
    assert one == two != other
    liver = [name == LIVER.samples[0].id for name in one]
    assert liver != [False, True] * 15
    assert liver != [True, False] * 15


def test_the_target_s_crops_are_those_of_a_training_on_it_alone():
    recipe = toy_recipe(**{"patches.size_px": 32})
    alone = numbered_patches(toy_detector(seed=0), TARGET, (), recipe)
    drawn, _ = crops("even", 20)
    for number, patch in enumerate(drawn[::2]):
        assert np.array_equal(patch.image, alone.sampler.patch(number).image)
        assert patch.number == 2 * number


def test_two_sources_of_the_same_images_draw_unlike_crops():
    twins = (AuxiliarySource("one", KIDNEY.samples), AuxiliarySource("two", KIDNEY.samples))
    images = [patch.image.tobytes() for patch in crops("even", 60, sources=twins)[0][1::2]]
    assert len(set(images)) == len(images)


def test_a_crop_is_the_same_whatever_was_drawn_before():
    recipe = toy_recipe(**{"auxiliary.sampling": "even", "patches.size_px": 32})
    ahead = numbered_patches(toy_detector(seed=0), TARGET, (KIDNEY, LIVER), recipe)
    later = ahead.sampler.patch(301).image
    drawn, _ = crops("even", 302)
    assert np.array_equal(later, drawn[301].image)


def test_images_of_another_scale_are_brought_to_that_of_the_training():
    """At twice the µm per pixel an image is twice as large at the training's."""
    coarse = toy_samples(1, size=64, n_nuclei=5)[0]
    coarse.mpp = 2 * MPP
    recipe = toy_recipe(**{"auxiliary.sampling": "even"})
    patches = numbered_patches(
        toy_detector(seed=0), TARGET, [AuxiliarySource("coarse", (coarse,))], recipe
    )
    source = patches.sampler.sources[0]
    assert source.cache.size(source.indices[0]) == (128, 128)
    _, annotation = source.cache.get(source.indices[0])
    # Pixel centres at integers: the first pixel's left edge, -0.5, stays where it is.
    assert np.allclose(annotation.points, 2 * (coarse.annotation().points + 0.5) - 0.5, atol=1e-4)


# nearness


def figures(name="x", **fields):
    plain = dict.fromkeys(("stain_spread", "nuclei_per_mm2"))
    known = {
        "density_mean": (0.5, 0.6, 0.4),
        "density_sd": (0.2, 0.2, 0.2),
        "diameter_um": 6.0,
        "diameter_from": "outlines",
        "neighbour_um": 10.0,
    }
    rest = {"name": name, "organ": "o", "n_images": 3, "n_nuclei": 9}
    return OrganFigures(**{**rest, **plain, **known, **fields})


def test_a_source_twice_as_far_in_stain_has_half_the_weight():
    near = figures(density_mean=(0.6, 0.6, 0.4))
    far = figures(density_mean=(0.7, 0.6, 0.4))
    one, other = nearness(figures(), [near, far])
    assert one == pytest.approx(1 / 0.1)
    assert other == pytest.approx(1 / 0.2)


def test_stain_size_and_density_are_put_together_as_one_distance():
    source = figures(density_mean=(0.8, 0.6, 0.4), diameter_um=12.0, neighbour_um=7.0)
    (weight,) = nearness(figures(), [source])
    distance = math.sqrt(0.3**2 + math.log(2) ** 2 + math.log(10 / 7) ** 2)
    assert weight == pytest.approx(1 / distance)


def test_what_one_source_cannot_tell_is_left_out_for_all():
    silent = figures(diameter_um=None, diameter_from=None, density_mean=(0.6, 0.6, 0.4))
    large = figures(diameter_um=12.0, density_mean=(0.6, 0.6, 0.4))
    one, other = nearness(figures(), [silent, large])
    assert one == pytest.approx(other)


def test_the_target_s_twin_does_not_take_all_crops():
    assert nearness(figures(), [figures(), figures()]) == pytest.approx([20, 20])


def test_sources_that_cannot_be_compared_are_refused():
    nothing = {"density_mean": None, "diameter_um": None, "neighbour_um": None}
    with pytest.raises(UserError, match=r"cannot be told, since eye, glass have neither tissue"):
        nearness(figures("eye"), [figures("glass", **nothing, diameter_from=None)])


def test_defaults_are_naive_pooling_without_auxiliary_data():
    settings = AuxiliarySettings()
    assert (settings.sources, settings.gamma, settings.sampling) == ((), 1.0, "size")
