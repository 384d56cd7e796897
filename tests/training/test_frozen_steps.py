"""What is frozen changes at its exact step, also in a training that was interrupted."""

from __future__ import annotations

import pytest
import torch
from toy import toy_detector, toy_recipe, toy_samples

from transfer_kit.training.train import train
from transfer_kit.transfer.batchnorm import recalibrate

SCHEDULE = {0: 9, 4: ("input", "down*"), 6: 0, 8: 3}


def trained(folder, *, steps=12, interrupt_after=None, monkeypatch=None, **fields):
    """Rounds of three steps; optionally killed in the step after `interrupt_after`."""
    recipe = toy_recipe(
        base="toy",
        **{"freeze": SCHEDULE, "train.steps": steps, "train.optimizer.weight_decay": 0.1, **fields},
    )
    if interrupt_after is not None:

        def interrupt(self, trainer, *rest):
            self._loss_count += 1
            if trainer.global_step == interrupt_after:
                raise KeyboardInterrupt

        monkeypatch.setattr("transfer_kit.training.judge.Judge.on_train_batch_end", interrupt)
    samples = toy_samples(3)
    return train(toy_detector(seed=3), samples[:2], samples[2:], recipe, folder=folder)


@pytest.mark.parametrize("schedule", ["one_cycle", "decay", "constant", "plateau"])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_resumed_training_of_a_schedule_is_bit_equal_to_an_uninterrupted_one(
    optimizer, schedule, tmp_path, monkeypatch
):
    fields = {
        "train.schedule": {"name": schedule, "decay_every": 4, "patience_steps": 3},
        "train.optimizer": {"name": optimizer, "block_decay": 0.8, "learning_rate": 1e-3},
        "train.l2_sp": 0.01,
    }
    whole = trained(tmp_path / "whole", **fields)
    # Killed in the round after step 6: what was frozen there begins anew exactly at a change.
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "killed", interrupt_after=8, monkeypatch=monkeypatch, **fields)
    monkeypatch.undo()
    assert torch.load(tmp_path / "killed" / "last.ckpt", weights_only=True)["step"] == 6
    resumed = trained(tmp_path / "killed", **fields)
    one, two = (done.detector.network.state_dict() for done in (whole, resumed))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert [p["val/f1"] for p in whole.curve] == [p["val/f1"] for p in resumed.curve]
    last = [torch.load(tmp_path / name / "last.ckpt", weights_only=True) for name in
            ("whole", "killed")]  # fmt: skip
    for name, value in last[0]["network"].items():
        assert torch.equal(value, last[1]["network"][name]), name


@pytest.mark.parametrize("steps", range(1, 10))
def test_blocks_have_changed_exactly_where_they_have_learned(steps, tmp_path, monkeypatch):
    seen = {}

    def look(self, trainer, module, *rest):
        seen[module.step] = {
            name: [value.detach().clone() for value in (*block.parameters(), *block.buffers())]
            for name, block in module.network.blocks
        }
        self._loss_count += 1

    monkeypatch.setattr("transfer_kit.training.judge.Judge.on_train_batch_end", look)
    before = {
        name: [value.detach().clone() for value in (*block.parameters(), *block.buffers())]
        for name, block in toy_detector(seed=3).network.blocks
    }
    trained(tmp_path, steps=steps, **{"train.schedule.name": "constant"})
    states = [before, *(seen[step] for step in range(1, steps + 1))]
    names = list(before)
    for step in range(steps):
        frozen = _frozen(step, names)
        for name in names:
            equal = all(map(torch.equal, states[step][name], states[step + 1][name]))
            assert equal == (name in frozen), (step, name)


def _frozen(step, names):
    """Worked by hand from `SCHEDULE`."""
    if step < 4:
        return names[:9]
    if step < 6:
        return names[:5]
    return [] if step < 8 else names[:3]


def test_a_recalibrated_training_is_not_recalibrated_again_when_it_goes_on(tmp_path, monkeypatch):
    calls = []

    def counted(*arguments, **options):
        calls.append(1)
        recalibrate(*arguments, **options)

    monkeypatch.setattr("transfer_kit.training.train.recalibrate", counted)
    fields = {"train.batch_norm": "recalibrate", "train.schedule.name": "constant"}
    whole = trained(tmp_path / "whole", **fields).detector.network.state_dict()
    assert len(calls) == 1
    trained(tmp_path / "parts", steps=6, **fields)
    resumed = trained(tmp_path / "parts", **fields).detector.network.state_dict()
    assert len(calls) == 2
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_names_of_blocks_freeze_them_in_the_middle_of_a_network(tmp_path):
    before = toy_detector(seed=3).network.state_dict()
    done = trained(tmp_path, steps=3, freeze=("down*", "up4"))
    after = done.detector.network.state_dict()
    kept = {name.split(".")[0] for name in before if torch.equal(before[name], after[name])}
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"input", "up1", "up2", "up3", "output"}
    assert {"down1", "down2", "down3", "down4", "up4"} <= kept
