from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from toy import toy_detector, toy_recipe, toy_samples

from transfer_kit.codecs import ProximityCodec
from transfer_kit.detector import Detector
from transfer_kit.errors import UserError
from transfer_kit.evaluation import best_threshold, examine
from transfer_kit.networks import MicroNet
from transfer_kit.training.batches import patch_sampler
from transfer_kit.training.train import train


def weights(detector):
    return {name: value.clone() for name, value in detector.network.state_dict().items()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def trained(folder, *, recipe=None, detector=None, validation=True, **fields):
    samples = toy_samples(4)
    recipe = (recipe or toy_recipe()).replaced(**fields)
    detector = detector or toy_detector(seed=recipe.seed)
    held = samples[3:] if validation else []
    return train(detector, samples[:3], held, recipe, folder=folder)


def test_the_loss_falls_and_the_curve_says_so(tmp_path):
    done = trained(tmp_path, **{"train.steps": 40, "train.validate_every": 10})
    losses = [point["train/loss"] for point in done.curve]
    assert [point["step"] for point in done.curve] == [10, 20, 30, 40]
    assert losses[-1] < losses[0]
    assert done.steps == 40


def test_the_same_seed_gives_the_same_weights_and_another_does_not(tmp_path):
    one = weights(trained(tmp_path / "1").detector)
    two = weights(trained(tmp_path / "2").detector)
    other = weights(trained(tmp_path / "3", seed=1).detector)
    assert same(one, two)
    assert not same(one, other)


def test_a_training_with_worker_processes_gives_the_same_weights(tmp_path):
    one = weights(trained(tmp_path / "1").detector)
    two = weights(trained(tmp_path / "2", **{"train.workers": 2}).detector)
    assert same(one, two)


def test_steps_that_are_no_multiple_of_the_rounds_are_all_taken(tmp_path):
    done = trained(tmp_path, **{"train.steps": 7, "train.validate_every": 3})
    assert [point["step"] for point in done.curve] == [3, 6, 7]


HANG = """
import sys, time
from pathlib import Path
from toy import toy_detector, toy_recipe, toy_samples
from transfer_kit.training import judge
from transfer_kit.evaluation import best_threshold, examine
from transfer_kit.training.train import train

folder = Path(sys.argv[1])
keep = judge.Judge.on_train_batch_end

def hang(self, trainer, *rest):
    keep(self, trainer, *rest)
    if trainer.global_step == 8:
        (folder / "hangs").touch()
        time.sleep(600)

judge.Judge.on_train_batch_end = hang
samples = toy_samples(4)
train(toy_detector(seed=0), samples[:3], samples[3:], toy_recipe(), folder=folder)
"""


def test_a_killed_and_resumed_training_equals_an_uninterrupted_one(tmp_path):
    whole = trained(tmp_path / "whole")
    folder = tmp_path / "killed"
    folder.mkdir()
    paths = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, "-c", HANG, str(folder)], env={**os.environ, "PYTHONPATH": paths}
    )
    until = time.monotonic() + 180
    while not (folder / "hangs").exists() and time.monotonic() < until:
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert (folder / "last.ckpt").is_file()
    resumed = trained(folder)
    assert same(weights(whole.detector), weights(resumed.detector))
    assert resumed.curve == whole.curve
    assert resumed.detector.card.threshold == whole.detector.card.threshold


@pytest.mark.parametrize("before", [1000.0, None], ids=["timed", "of a version without time"])
def test_the_seconds_of_a_resumed_training_are_those_of_all_its_parts(
    before, tmp_path, monkeypatch
):
    def interrupt(self, trainer, *rest):
        self._loss_count += 1
        if trainer.global_step == 8:
            raise KeyboardInterrupt

    monkeypatch.setattr("transfer_kit.training.judge.Judge.on_train_batch_end", interrupt)
    began = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path)
    monkeypatch.undo()
    checkpoint = tmp_path / "last.ckpt"
    state = torch.load(checkpoint, weights_only=True)
    assert 0 < state.pop("seconds") < time.perf_counter() - began
    torch.save(state if before is None else state | {"seconds": before}, checkpoint)
    began, before = time.perf_counter(), before or 0.0
    resumed = trained(tmp_path)
    assert before < resumed.seconds < before + time.perf_counter() - began
    kept = torch.load(checkpoint, weights_only=True)["seconds"]
    assert before < kept < resumed.seconds
    assert trained(tmp_path).seconds > kept  # of one that had ended, too


def test_resuming_a_finished_training_changes_nothing(tmp_path):
    first = trained(tmp_path)
    again = trained(tmp_path)
    assert same(weights(first.detector), weights(again.detector))
    assert first.curve == again.curve


def test_the_best_round_is_kept_not_the_last(tmp_path):
    done = trained(tmp_path, **{"train.steps": 12, "train.validate_every": 3})
    f1 = [point["val/f1"] for point in done.curve]
    best = [point["step"] for point in done.curve][int(np.argmax(f1))]
    assert done.best_step == best


def test_without_validation_the_last_weights_are_kept_and_the_card_says_so(tmp_path):
    done = trained(tmp_path, validation=False)
    assert done.best_step == done.steps
    assert "training images" in done.detector.card.threshold_chosen_on


def test_early_stopping_ends_the_training(tmp_path):
    fields = {"train.steps": 60, "train.validate_every": 2, "train.early_stopping_steps": 4}
    done = trained(tmp_path, **fields, **{"train.optimizer.learning_rate": 1e-12})
    assert done.steps < 60


def test_the_plateau_schedule_lowers_the_rate_and_stops_below_its_limit(tmp_path):
    schedule = {"name": "plateau", "patience_steps": 2, "stop_below": 1e-6}
    done = trained(
        tmp_path,
        **{
            "train.steps": 80,
            "train.validate_every": 2,
            "train.schedule": schedule,
            "train.optimizer": {"name": "sgd", "learning_rate": 1e-5},
        },
    )
    rates = [point["learning_rate"] for point in done.curve]
    assert rates == sorted(rates, reverse=True)
    assert done.steps < 80


def test_the_decay_schedule_multiplies_the_rate_at_its_steps_also_after_an_interruption(tmp_path):
    schedule = {"name": "decay", "decay_every": 4, "decay_factor": 0.5}
    fields = {"train.validate_every": 2, "train.schedule": schedule}
    fields["train.optimizer"] = {"name": "sgd", "learning_rate": 1e-3, "nesterov": False}
    trained(tmp_path, **{**fields, "train.steps": 6})
    done = trained(tmp_path, **{**fields, "train.steps": 12})
    rates = {int(point["step"]): point["learning_rate"] for point in done.curve}
    assert rates == pytest.approx({step: 1e-3 * 0.5 ** (step // 4) for step in range(2, 13, 2)})


@pytest.mark.parametrize("radius_um", [3.0, 30.0])
def test_a_nucleus_outside_of_a_crop_reaches_in_however_far_it_reaches(radius_um):
    codec = ProximityCodec(radius_um=radius_um)
    detector = Detector(toy_detector(seed=0).network, codec, toy_detector(seed=0).card)
    sampler = patch_sampler(detector, toy_samples(1), toy_recipe())
    assert sampler.margin >= radius_um / detector.card.mpp


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_weights(
    tmp_path, monkeypatch
):
    calls = []
    loss = ProximityCodec.loss

    def breaks(self, *maps):
        calls.append(1)
        return loss(self, *maps) * (float("nan") if len(calls) == 6 else 1)

    monkeypatch.setattr(ProximityCodec, "loss", breaks)
    with pytest.raises(UserError) as caught:
        trained(tmp_path, **{"train.validate_every": 2})
    said = str(caught.value)
    assert "the loss is not finite at step 5" in said
    assert "the last good weights (step " in said
    assert "lower train.optimizer.learning_rate (now 0.002)" in said
    kept = Detector.load(tmp_path / "last_good.safetensors")
    assert all(torch.isfinite(value).all() for value in kept.network.state_dict().values())


def test_a_first_step_that_breaks_the_weights_is_explained(tmp_path):
    with pytest.raises(UserError, match="no round had ended, so there are no weights to keep"):
        trained(
            tmp_path,
            **{
                "train.validate_every": 1,
                "train.gradient_clip": None,
                "train.optimizer": {"name": "sgd", "learning_rate": 1e38},
                "train.schedule.name": "constant",
            },
        )


def test_frozen_blocks_come_out_of_a_training_byte_equal(tmp_path):
    detector = toy_detector(seed=3)
    before = weights(detector)
    done = trained(tmp_path, detector=detector, base="toy", freeze=2)
    after = weights(done.detector)
    frozen = [name for name in before if name.split(".")[0] in ("input", "down1")]
    assert frozen
    assert all(torch.equal(before[name], after[name]) for name in frozen)
    assert not torch.equal(before["output.maps.weight"], after["output.maps.weight"])


def test_batch_norms_learn_their_statistics_but_for_those_of_frozen_blocks(tmp_path):
    detector = toy_detector(seed=3)
    done = trained(tmp_path, detector=detector, base="toy", freeze=2)
    state = done.detector.network.state_dict()
    assert not state["input.norm.running_mean"].any()
    assert not state["down1.down.norm.running_mean"].any()
    assert state["down2.down.norm.running_mean"].any()
    assert state["output.join.norm.running_mean"].any()


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    trained(tmp_path)
    network = {"name": "micronet", "options": {"width": 8}}
    with pytest.raises(UserError, match=r"cannot be gone on from .* remove it to begin anew"):
        trained(tmp_path, detector=toy_detector(network=network))


def test_frozen_batch_norms_keep_the_bases_statistics_while_the_rest_learns(tmp_path):
    detector = toy_detector(seed=3)
    before = weights(detector)
    after = weights(
        trained(tmp_path, detector=detector, base="toy", **{"train.batch_norm": "frozen"}).detector
    )
    statistics = [name for name in before if "running" in name]
    assert statistics
    assert all(torch.equal(before[name], after[name]) for name in statistics)
    assert not torch.equal(before["input.norm.weight"], after["input.norm.weight"])


def test_a_fine_tuning_that_never_beats_its_base_gives_it_back(tmp_path):
    base = trained(tmp_path / "base", **{"train.steps": 40, "train.validate_every": 10}).detector
    before = weights(base)
    ruined = {"name": "sgd", "learning_rate": 1.0}
    fields = {"train.optimizer": ruined, "train.schedule.name": "constant"}
    done = trained(tmp_path / "tuned", detector=base, base="toy", **fields)
    assert done.curve[0]["step"] == 0
    assert done.curve[0]["val/f1"] > max(point["val/f1"] for point in done.curve[1:])
    assert done.best_step == 0
    assert same(before, weights(done.detector))


def test_a_training_from_scratch_does_not_judge_its_start(tmp_path):
    assert trained(tmp_path).curve[0]["step"] > 0


@pytest.mark.parametrize(
    ("images", "said"), [("validation", "1 validation"), ("labelled", "4 lab")]
)
def test_the_threshold_is_chosen_on_the_images_that_the_recipe_says(tmp_path, images, said):
    fields = {"train.steps": 40, "train.validate_every": 20, "evaluation.threshold_from": images}
    detector = trained(tmp_path, **fields).detector
    samples = toy_samples(4)
    chosen_on = samples[3:] if images == "validation" else samples
    expected = best_threshold(examine(detector, chosen_on), radius_um=2.0).value
    assert detector.card.threshold_chosen_on.startswith(said)
    assert detector.card.threshold == expected


no_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="half precision needs a GPU")


@pytest.mark.parametrize("precision", ["bf16-mixed", pytest.param("16-mixed", marks=no_gpu)])
def test_mixed_precision_learns_as_single_precision_does(tmp_path, precision):
    fields = {"train.steps": 40, "train.validate_every": 10}
    single = trained(tmp_path / "single", **fields)
    mixed = trained(tmp_path / "mixed", **fields, **{"train.precision": precision})
    assert single.curve[-1] != mixed.curve[-1]
    begun, *_, ended = (point["train/loss"] for point in single.curve)
    assert abs(mixed.curve[-1]["train/loss"] - ended) < 0.1 * (begun - ended)


def cramped(monkeypatch, room, after=0):
    """Steps from `after` on have room for so many crops; gives the sizes of batches seen."""
    seen, forward = [], MicroNet.forward

    def squeezed(self, image):
        if self.training:
            seen.append(len(image))
            if len(image) > room and len(seen) > after:
                raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(self, image)

    monkeypatch.setattr(MicroNet, "forward", squeezed)
    return seen


FROZEN_NORMS = {
    "base": "toy", "train.batch_norm": "frozen", "train.batch_size": 4, "train.steps": 6,
}  # fmt: skip


def without_dropout():
    return toy_detector(network={"name": "micronet", "options": {"width": 4, "dropout": 0.0}})


@pytest.mark.parametrize("after", [0, 4])
def test_a_step_that_does_not_fit_into_memory_is_taken_in_parts(
    tmp_path, monkeypatch, capsys, after
):
    whole = trained(tmp_path / "whole", detector=without_dropout(), **FROZEN_NORMS)
    seen = cramped(monkeypatch, 1, after)
    parts = trained(tmp_path / "parts", detector=without_dropout(), **FROZEN_NORMS)
    assert set(seen[-8:]) == {1}
    said = capsys.readouterr().err
    assert "not suffice for 4 crops at a time: going on with 2, 2 times a step" in said
    assert "going on with 1, 4 times a step (train.accumulate=4)" in said
    # Batch norms stand still, so the parts of a step add up to what the whole would be.
    assert [point["step"] for point in parts.curve] == [point["step"] for point in whole.curve]
    for one, other in zip(whole.curve, parts.curve, strict=True):
        assert other == pytest.approx(one, rel=1e-3)


def test_a_single_crop_that_does_not_fit_into_memory_is_explained(tmp_path, monkeypatch):
    cramped(monkeypatch, 0)
    with pytest.raises(UserError, match=r"not suffice for 1 crops? at a time; .*patches.size_px"):
        trained(tmp_path)


def test_parts_that_do_not_divide_a_step_are_refused():
    with pytest.raises(UserError, match="accumulate: 4 crops cannot be computed in 3 parts"):
        toy_recipe(**{"train.batch_size": 4, "train.accumulate": 3})


def test_a_compiled_network_learns_as_the_plain_one_does(tmp_path, monkeypatch):
    compiled = []

    def eager(function):
        compiled.append(function)
        return torch.compiler.disable(function)

    monkeypatch.setattr(torch, "compile", eager)
    plain = trained(tmp_path / "plain")
    fast = trained(tmp_path / "compiled", **{"train.compile": True})
    assert len(compiled) == 1
    assert same(weights(plain.detector), weights(fast.detector))


def test_maps_may_lie_in_memory_either_way(tmp_path):
    last = trained(tmp_path / "last", detector=without_dropout()).curve[-1]
    fields = {"train.channels_last": False}
    first = trained(tmp_path / "first", detector=without_dropout(), **fields).curve[-1]
    assert first["train/loss"] == pytest.approx(last["train/loss"], rel=1e-3)
