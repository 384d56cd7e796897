from __future__ import annotations

import pytest
import torch
from toy import toy_detector

from transfer_kit.settings import TrainSettings
from transfer_kit.training.module import DetectorModule
from transfer_kit.training.trainer import make_trainer


def precision(settings, device="cpu"):
    module = DetectorModule(toy_detector(), settings, seed=0)
    return make_trainer(settings, module, device, []).precision


@pytest.mark.parametrize(
    ("capabilities", "chosen"),
    [
        ({"avx512_bf16": True}, "bf16-mixed"),
        ({"avx512_bf16": False, "amx_bf16": True}, "bf16-mixed"),
        ({"avx512_f": True}, "32-true"),
    ],
)
def test_a_cpu_computes_in_16_bits_where_it_has_instructions_for_it(
    monkeypatch, capabilities, chosen
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert precision(TrainSettings()) == chosen


def test_what_the_recipe_says_of_precision_holds(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    assert precision(TrainSettings(precision="32-true")) == "32-true"


def test_a_resumed_training_has_the_steps_that_are_left():
    settings = TrainSettings(steps=10, validate_every=4)
    module = DetectorModule(toy_detector(), settings, seed=0)
    module.start_step = 4
    trainer = make_trainer(settings, module, "cpu", [])
    assert (trainer.max_steps, trainer.max_epochs) == (6, 2)
