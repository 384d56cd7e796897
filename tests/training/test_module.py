from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import pytest
import torch
from toy import toy_detector, toy_recipe, toy_samples

from transfer_kit.codecs import ProximityCodec
from transfer_kit.detector import Detector
from transfer_kit.settings import OptimizerSettings
from transfer_kit.training.module import build_optimizer
from transfer_kit.training.train import train


@dataclass(frozen=True, kw_only=True)
class Scheduled(ProximityCodec):
    """Learns nothing before step 5, and notes the steps that it was asked for."""

    name: ClassVar[str] = "scheduled"
    asked: list[int] = field(default_factory=list)
    silent: bool = False

    def at_step(self, step):
        self.asked.append(step)
        return replace(self, silent=step < 5)

    def loss(self, output, target, weight):
        return super().loss(output, target, weight) * (0.0 if self.silent else 1.0)


def trained(folder, steps, *, codec):
    detector = toy_detector(seed=0)
    detector = Detector(detector.network, codec, detector.card)
    recipe = toy_recipe(
        **{
            "train.steps": steps,
            "train.optimizer.weight_decay": 0.0,
            "train.schedule": {"name": "constant"},  # others begin anew with other steps
        }
    )
    return train(detector, toy_samples(3), [], recipe, folder=folder)


def test_a_codec_is_asked_for_its_loss_at_each_step(tmp_path):
    codec = Scheduled()
    done = trained(tmp_path, 9, codec=codec)
    assert codec.asked == list(range(9))
    losses = [point["train/loss"] for point in done.curve]
    # Rounds of three steps: 0 to 2 are silent, of 3 to 5 the last is not.
    assert losses[0] == 0
    assert min(losses[1:]) > 0


def test_an_interrupted_training_goes_on_with_the_loss_of_its_step(tmp_path):
    trained(tmp_path, 3, codec=Scheduled())
    codec = Scheduled()
    trained(tmp_path, 9, codec=codec)
    assert codec.asked == list(range(3, 9))


@pytest.mark.parametrize("steps", [3, 6])
def test_steps_without_loss_leave_the_last_layer_as_it_was(tmp_path, steps):
    before = toy_detector(seed=0).network.state_dict()["output.maps.weight"]
    after = trained(tmp_path, steps, codec=Scheduled()).detector.network.state_dict()
    assert torch.equal(after["output.maps.weight"], before) == (steps == 3)


@pytest.mark.parametrize("nesterov", [True, False])
def test_the_momentum_of_sgd_is_nesterov_s_or_plain_as_the_recipe_says(nesterov):
    settings = OptimizerSettings(name="sgd", nesterov=nesterov)
    optimizer = build_optimizer(toy_detector(seed=0).network, settings)
    assert {group["nesterov"] for group in optimizer.param_groups} == {nesterov}
