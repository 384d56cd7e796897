from __future__ import annotations

from types import SimpleNamespace

import pytest

from transfer_kit.training.progress import ShowProgress


@pytest.mark.parametrize(
    ("judged", "said"),
    [
        ({}, ""),
        ({"val/f1": 0.8, "val/threshold": 0.4}, ", validation F1 0.800"),
        ({"val/f1": 0.8, "val/class_f1": 0.61}, ", validation class F1 0.610"),
        ({"val/f1": 0.8, "val/aji": 0.5314}, ", validation AJI 0.531"),
    ],
    ids=["no validation", "centres", "classes", "whole nuclei"],
)
def test_a_round_says_the_figure_that_chooses_the_best_weights(judged, said, capsys):
    judge = SimpleNamespace(curve=[{"step": 3, "train/loss": 0.25, **judged}])
    module = SimpleNamespace(step=3, settings=SimpleNamespace(steps=9))
    shown = ShowProgress("training", judge)
    shown.on_train_start(None, module)
    shown.on_train_epoch_end(None, module)
    shown.on_train_end(None, module)
    assert f"training: step 3/9, loss 0.250{said}\n" in capsys.readouterr().err
