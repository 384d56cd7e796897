from __future__ import annotations

import itertools

import pytest
import torch
from toy import toy_detector, toy_recipe

from transfer_kit.settings import OptimizerSettings
from transfer_kit.training.module import DetectorModule
from transfer_kit.transfer.rates import block_rates, parameter_groups

SCHEDULES = ["one_cycle", "decay", "constant", "plateau"]


def rates_of(optimizer):
    return {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}


def test_each_block_further_from_the_last_learns_more_slowly():
    network = toy_detector().network
    settings = OptimizerSettings(learning_rate=1e-2, block_decay=0.8)
    rates = block_rates(network, settings)
    assert rates["output"] == 1e-2
    assert rates["up4"] == pytest.approx(8e-3)
    assert rates["input"] == pytest.approx(1e-2 * 0.8**9)


def test_one_rate_is_two_groups_and_a_rate_a_block_covers_each_parameter_once():
    network = toy_detector().network
    parameters = list(network.parameters())
    same = parameter_groups(network, parameters, OptimizerSettings())
    assert [group["weight_decay"] for group in same] == [1e-4, 0.0]
    groups = parameter_groups(network, parameters, OptimizerSettings(block_decay=0.5))
    held = [id(p) for group in groups for p in group["params"]]
    assert sorted(held) == sorted(map(id, parameters))
    assert groups[0]["lr"] == max(group["lr"] for group in groups)


def test_what_never_learns_is_in_no_group():
    network = toy_detector().network
    learning = list(network.output.parameters())
    groups = parameter_groups(network, learning, OptimizerSettings(block_decay=0.5))
    assert {id(p) for group in groups for p in group["params"]} == set(map(id, learning))


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_ratio_of_the_rates_stays_while_a_schedule_moves_them(schedule, optimizer):
    settings = toy_recipe(
        **{
            "train.schedule": {"name": schedule, "decay_every": 2},
            "train.optimizer": {"name": optimizer, "block_decay": 0.8},
        }
    ).train
    module = DetectorModule(toy_detector(), settings, seed=0)
    configured = module.configure_optimizers()
    scheduled = isinstance(configured, dict)
    moved = configured["optimizer"] if scheduled else configured
    expected = block_rates(module.network, settings.optimizer)
    seen = []
    for _ in range(settings.steps):
        rates = rates_of(moved)
        last = rates[id(module.network.output.maps.weight)]
        for name, block in module.network.blocks:
            ratio = expected[name] / expected["output"]
            assert all(rates[id(p)] == pytest.approx(last * ratio) for p in block.parameters())
        seen.append(last)
        moved.step()
        if scheduled:
            configured["lr_scheduler"]["scheduler"].step()
    if schedule == "one_cycle":
        assert max(seen) <= settings.optimizer.learning_rate
    assert (len(set(map(float, seen))) > 1) == (schedule in ("one_cycle", "decay"))


def test_the_plateau_divides_every_rate_by_ten(tmp_path):
    from toy import toy_samples

    from transfer_kit.training.train import train

    recipe = toy_recipe(
        **{
            "train.steps": 8,
            "train.validate_every": 2,
            "train.schedule": {"name": "plateau", "patience_steps": 2, "stop_below": 1e-9},
            "train.optimizer": {"name": "sgd", "learning_rate": 1e-7, "block_decay": 0.5},
        }
    )
    samples = toy_samples(3)
    done = train(toy_detector(), samples[:2], samples[2:], recipe, folder=tmp_path)
    groups = torch.load(tmp_path / "last.ckpt", weights_only=True)["optimizer"]["param_groups"]
    rates = sorted({group["lr"] for group in groups}, reverse=True)
    assert len(rates) == 10
    # The checkpoint is written after the judge has moved the rates of the round.
    assert rates[0] == pytest.approx(done.curve[-1]["learning_rate"] / 10)
    assert [low / high for high, low in itertools.pairwise(rates)] == pytest.approx([0.5] * 9)
