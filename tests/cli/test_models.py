from __future__ import annotations

import json
import shutil

import pytest
import torch
import yaml
from laboratory import BASE, OWN, TARGET, listing, part_of, tiny_base, transfer_kit

import transfer_kit as tk
from transfer_kit.card import Measurement
from transfer_kit.data.stain import find_reference
from transfer_kit.detector import Detector
from transfer_kit.errors import UserError
from transfer_kit.stores.models import find_weights
from transfer_kit.weights_file import weights_hash

pytest_plugins = ["lab_fixtures"]


def names():
    return {row["name"]: row for row in transfer_kit("models", "list", "--json").json}


def test_an_added_model_is_listed_and_found_by_name(lab):
    said = transfer_kit("models", "add", BASE, "--name", "micronet-tooth")
    assert "micronet-tooth is in the store" in said.out
    row = names()["micronet-tooth"]
    assert (row["organ"], row["mpp"], row["network"], row["ships"]) == (
        "breast",
        0.5,
        "micronet",
        False,
    )
    table = transfer_kit("models", "list").out
    assert "micronet-tooth" in table
    assert find_weights("micronet-tooth") == find_weights("tooth")
    one, other = tk.load("tooth"), Detector.load(BASE)
    assert one.card.name == "micronet-tooth"
    for name, value in other.network.state_dict().items():
        assert torch.equal(value, one.network.state_dict()[name])


def test_the_finished_run_is_added_with_its_figure(finished, tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFER_KIT_HOME", str(tmp_path))
    transfer_kit("models", "add", finished.run, "--name", "mine")
    test = finished.said.json["finetuned"]["test"]
    assert names()["mine"]["f1"] == test["f1"]
    shown = f"{test['f1']:.3f} ({test['f1_low']:.3f} to {test['f1_high']:.3f})"
    assert shown in transfer_kit("models", "list").out


def test_in_80_columns_the_list_has_a_line_for_each_model(lab, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    part = part_of(TARGET, "train", "c07").model_copy(update={"licence": "CC BY-NC-SA 4.0"})
    scores = {"f1": 0.8731, "f1_low": 0.8578, "f1_high": 0.9109}
    tiny_base(
        lab / "long.safetensors",
        organ="prostate",
        data=[part],
        licence=f"CC0-1.0 + {part.licence}",
        measured=[Measurement(dataset=TARGET, organ="eye", split="test", scores=scores)],
    )
    transfer_kit("models", "add", "long.safetensors", "--name", "segmitos-s-prostate")
    header, *lines = transfer_kit("models", "list").out.splitlines()
    found = {line.split()[0]: line.split() for line in lines[: len(names())]}
    assert set(found) == set(names())
    assert header.split() == ["model", "organ", "µm/px", "F1", "(95", "%)", "licence"]
    assert found["segmitos-s-prostate"][1:] == [
        *("prostate", "0.5", "0.873", "(0.858", "to", "0.911)", "non-commercial")
    ]
    assert "models show NAME" in lines[-1]


def test_show_gives_the_card_and_the_checksum(lab):
    document = transfer_kit("models", "show", BASE, "--json").json
    assert document["sha256"] == weights_hash(BASE)
    assert document["name"] == "tiny-breast"
    assert yaml.safe_load(transfer_kit("models", "show", BASE).out) == document


def test_a_name_is_taken_only_once_unless_it_is_to_be_replaced(lab):
    transfer_kit("models", "add", BASE, "--name", "mine")
    before = listing(lab / "home")
    said = transfer_kit("models", "add", BASE, "--name", "mine", code=2).error
    assert said == "A model mine is in the store already; add --replace or another --name."
    assert listing(lab / "home") == before
    tiny_base(lab / "other.safetensors", organ="ear")
    transfer_kit("models", "add", "other.safetensors", "--name", "mine", "--replace")
    assert names()["mine"]["organ"] == "ear"
    assert set(listing(lab / "home")) == set(before)


@pytest.mark.parametrize("name", ["../escape", "a b", ".hidden", ""])
def test_what_is_no_name_is_refused(lab, name):
    before = listing(lab)
    said = transfer_kit("models", "add", BASE, "--name", name, code=2).error
    assert said == f"{name!r} is no model name; use letters, digits, dots and dashes."
    assert listing(lab) == before


def test_a_run_that_has_not_ended_says_so(lab):
    (lab / "half").mkdir()
    with pytest.raises(UserError, match=r"no detector\.safetensors in half; has its training end"):
        find_weights("half")


def test_verify_measures_again_and_agrees(finished):
    (finding,) = transfer_kit("models", "verify", finished.run, "--json").json
    test = finished.said.json["finetuned"]["test"]
    assert finding["verdict"] == "agrees"
    assert finding["failed"] is False
    assert finding["found"] == f"{test['f1']:.3f}"
    assert "agrees" in transfer_kit("models", "verify", finished.run).out


def claims(lab, dataset=TARGET, **scores):
    measured = Measurement(dataset=dataset, organ="eye", split="test", scores=scores)
    tiny_base(lab / "claims.safetensors", measured=[measured])
    return "claims.safetensors"


def test_verify_exits_with_1_where_a_card_claims_too_much(lab):
    model = claims(lab, f1=0.99, f1_low=0.98, f1_high=1.0)
    said = transfer_kit("models", "verify", model, "--json", code=1)
    (finding,) = json.loads(said.out)
    assert finding["said"] == "0.990 (0.980 to 1.000)"
    assert finding["verdict"] == "outside the card's interval"


def test_a_figure_without_interval_is_shown_and_compared_by_itself(lab):
    transfer_kit("models", "add", claims(lab, f1=0.9, f1_low=None, f1_high=None), "--name", "one")
    assert "0.900" in transfer_kit("models", "list").out
    (finding,) = json.loads(transfer_kit("models", "verify", "one", "--json", code=1).out)
    assert finding["said"] == "0.900"
    assert finding["verdict"] == "outside 0.01 of the card's F1"
    found = float(finding["found"])
    exact = claims(lab, f1=found, f1_low=None, f1_high=None)
    assert transfer_kit("models", "verify", exact, "--json").json[0]["verdict"] == "agrees"


def test_verify_repeats_the_radius_of_the_measurement(lab):
    wide = transfer_kit("evaluate", "--model", BASE, "--target", TARGET, "--radius-um", 9, "--json")
    model = claims(lab, f1=wide.json["f1"], f1_low=None, f1_high=None, radius_um=9.0)
    assert transfer_kit("models", "verify", model, "--json").json[0]["verdict"] == "agrees"


def test_verify_without_the_data_or_a_measurement_says_so(lab):
    said = transfer_kit("models", "verify", BASE, code=2).error
    assert said == f"The card of {BASE} has no measurement to repeat."
    model = claims(lab, dataset="elsewhere", f1=0.9, f1_low=0.8, f1_high=1.0)
    said = transfer_kit("models", "verify", model, code=2).error
    assert said.startswith(f"None of the data that the card of {model} was measured on is on this")


def test_an_unreadable_model_in_the_store_is_named(lab):
    transfer_kit("models", "add", BASE, "--name", "mine")
    weights = lab / "home" / "models" / "mine" / "detector.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    said = transfer_kit("models", "list", code=2).error
    assert "mine/detector.safetensors is no safetensors file" in said


def test_load_takes_a_name_a_file_and_a_folder(lab):
    (lab / "run").mkdir()
    shutil.copy(BASE, lab / "run" / "detector.safetensors")
    transfer_kit("models", "add", BASE, "--name", "micronet-tooth")
    for name in (BASE, "run", "./run", "run/detector.safetensors", "micronet-tooth", "tooth"):
        assert tk.load(name).card.organ == "breast"
    with pytest.raises(UserError, match=r"There is no base organ or model 'toth'\. Did you mean '"):
        tk.load("toth")


def test_the_licences_and_cases_of_the_data_are_in_the_card(lab):
    document = transfer_kit("models", "show", BASE, "--json").json
    assert document["data"] == [part_of(OWN, "train", "c00").model_dump()]


def test_an_export_says_that_stain_normalisation_is_left_out(lab):
    reference = find_reference("tnbc")
    tiny_base(lab / "brought.safetensors", normalise="macenko", stain_reference=reference)
    said = transfer_kit("models", "export", "brought.safetensors", "--torch", "-o", "b.pt2").out
    assert "brought to the stain of its card by macenko" in " ".join(said.split())


def test_an_exported_network_gives_the_detector_s_maps(lab):
    said = transfer_kit("models", "export", BASE, "--torch", "-o", "base.pt2").out
    assert "differ from the network's by" in said
    program = torch.export.load(lab / "base.pt2").module()
    network = Detector.load(BASE).network
    image = torch.randn(1, 3, 80, 112, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(program(image), network(image), atol=1e-4, rtol=1e-4)
