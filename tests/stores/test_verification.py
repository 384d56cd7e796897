"""A card's figures are measured again."""

from laboratory import tiny_base

from transfer_kit.card import Measurement
from transfer_kit.stores import verification
from transfer_kit.stores.verification import verify_model


def card_of(aji):
    return Measurement(
        dataset="organ",
        organ="eye",
        split="test",
        scores={"f1": 0.8, "f1_low": 0.7, "f1_high": 0.9},
        segmentation={"aji": aji, "aji_low": 0.45, "aji_high": 0.55},
    )


def test_the_aji_of_whole_nuclei_is_compared_beside_f1(tmp_path, monkeypatch):
    weights = tiny_base(tmp_path / "whole.safetensors", measured=[card_of(0.5)])
    monkeypatch.setattr(verification, "measure", lambda *_, **__: card_of(0.3))
    f1, aji = verify_model(str(weights))
    assert (f1.said, f1.found, f1.verdict) == ("0.800 (0.700 to 0.900)", "0.800", "agrees")
    assert (aji.dataset, aji.said) == ("organ (AJI)", "0.500 (0.450 to 0.550)")
    assert (aji.found, aji.verdict, aji.failed) == ("0.300", "outside the card's interval", True)
