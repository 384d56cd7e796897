from __future__ import annotations

import pytest
import torch
from laboratory import BASE, OWN, TARGET, part_of, tiny_base, transfer_kit
from toy import toy_detector

from transfer_kit import __version__
from transfer_kit.data.synthetic import make_dataset
from transfer_kit.detector import Detector
from transfer_kit.errors import UserError
from transfer_kit.evaluation import evaluate, examine
from transfer_kit.labels import labelled_samples
from transfer_kit.ranking import rank_bases
from transfer_kit.stores.datasets import find_dataset
from transfer_kit.stores.models import add_model

pytest_plugins = ["lab_fixtures"]


@pytest.fixture
def store(lab, monkeypatch):
    """A store of two detectors of the user's own, beside none that ships."""
    monkeypatch.setattr("transfer_kit.stores.models.shipped", lambda kind: lab / "nothing" / kind)
    for name, seed in (("mine", 1), ("theirs", 2)):
        tiny_base(lab / "base.safetensors", name=name)
        detector = Detector.load(lab / "base.safetensors")
        if seed == 2:
            detector = Detector(toy_detector(seed=seed).network, detector.codec, detector.card)
        add_model(detector, name)
    return lab


def ranked(*words, code=0):
    return transfer_kit("rank", "--target", TARGET, *words, "--json", code=code).json


def test_all_detectors_of_the_store_are_ranked_on_the_labelled_images(store):
    document = ranked("--labels", 6)
    assert (document["target"], document["labels"], document["n_images"]) == (TARGET, "6", 6)
    assert document["cross_validated_over"] == "case"
    assert {base["name"] for base in document["bases"]} == {"mine", "theirs"}
    f1 = [base["recalibrated"]["f1"] for base in document["bases"]]
    assert f1 == sorted(f1, reverse=True)
    first, second = document["bases"]
    assert first["against_best"]["difference"] == 0
    assert second["against_best"]["difference"] == pytest.approx(f1[1] - f1[0])
    assert (document["excluded"], first["own_organ"]) == ([], OWN)
    assert first["feature_distance"] > 0
    assert first["stain_distance"] >= 0


def test_the_figures_are_of_the_images_that_a_fine_tuning_would_learn_from(store):
    document = ranked("--labels", 4, "--models", "mine", "--radius-um", 3, "--seed", 2)
    train, validation = labelled_samples([find_dataset(TARGET)], "4", seed=2)
    detector = Detector.load(store / "home" / "models" / "mine" / "detector.safetensors")
    pairs = examine(detector, [*train, *validation])
    scores = evaluate(pairs, radius_um=3, threshold=detector.card.threshold)
    (base,) = document["bases"]
    assert base["as_is"]["f1"] == scores.f1
    assert document["n_nuclei"] == scores.n_nuclei
    assert document["radius_um"] == 3


def test_files_and_names_can_be_chosen_and_one_is_not_ranked_twice(store):
    path = store / "home" / "models" / "mine" / "detector.safetensors"
    document = ranked("--labels", 4, "--models", f"{BASE}, mine,{path}")
    assert sorted(base["name"] for base in document["bases"]) == sorted([BASE, str(path)])


def test_the_table_is_narrow_and_says_how_to_go_on(store, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    words = ("rank", "--target", TARGET, "--labels", 6)
    said = transfer_kit(*words).out
    *table, command = said.strip().splitlines()
    assert max(len(line) for line in table) <= 80
    best = ranked("--labels", 6)["bases"][0]
    assert f"{best['recalibrated']['f1']:.3f} (" in said
    assert "LogME" in said
    assert "6 labelled images of" in said
    expected = f"transfer-kit finetune --base {best['name']} --target {TARGET} --labels 6"
    assert command == f"Go on with: {expected}"


def test_the_order_can_be_by_another_score(store):
    document = ranked("--labels", 6, "--by", "logme")
    scores = [base["logme"] for base in document["bases"]]
    assert scores == sorted(scores, reverse=True)
    assert document["by"] == "logme"


def test_a_base_that_learned_from_the_targets_test_is_left_out_with_the_cases(store):
    target = find_dataset(TARGET)
    test = target.split("test").cases
    tiny_base(store / "leaky.safetensors", data=[part_of(TARGET, "train", *test)])
    words = ("--labels", 4, "--models", "mine,leaky.safetensors")
    document = ranked(*words)
    (excluded,) = document["excluded"]
    assert (excluded["name"], excluded["cases"]) == ("leaky.safetensors", list(test))
    assert [base["name"] for base in document["bases"]] == ["mine"]
    said = transfer_kit("rank", "--target", TARGET, *words).out
    sentence = f"it learned from cases that test {TARGET} ({', '.join(test)})"
    assert f"Not ranked: leaky.safetensors: {sentence}" in said


def test_a_base_that_learned_from_the_labelled_images_is_left_out(store):
    learned = find_dataset(TARGET).split("train").cases
    tiny_base(store / "earlier.safetensors", data=[part_of(TARGET, "train", *learned)])
    document = ranked("--models", "mine,earlier.safetensors")
    (excluded,) = document["excluded"]
    assert (excluded["name"], excluded["cases"]) == ("earlier.safetensors", list(learned))
    assert "it would be judged by" in excluded["reason"]
    assert [base["name"] for base in document["bases"]] == ["mine"]


def test_the_targets_test_images_are_not_looked_at(store):
    for sample in find_dataset(TARGET).split("test"):
        sample.image_path.write_bytes(b"")
    assert len(ranked("--labels", 4)["bases"]) == 2


def test_images_of_the_question_do_not_stand_for_a_bases_own_organ(store):
    """Else the distance from the target would be that to its own test images."""
    test = find_dataset(TARGET).split("test").cases
    fields = {"organ": "unheard-of", "held_out": [part_of(TARGET, "test", *test)]}
    tiny_base(store / "sibling.safetensors", **fields)
    (base,) = ranked("--labels", 4, "--models", "sibling.safetensors")["bases"]
    assert (base["own_organ"], base["feature_distance"], base["stain_distance"]) == ("", None, None)
    said = transfer_kit(
        "rank", "--target", TARGET, "--labels", 4, "--models", "sibling.safetensors"
    ).out
    assert "–" in said


def test_a_broken_detector_does_not_end_the_ranking_of_the_others(store):
    weights = store / "home" / "models" / "theirs" / "detector.safetensors"
    detector = Detector.load(weights)
    torch.nn.init.constant_(next(detector.network.parameters()), float("nan"))
    detector.save(weights)
    (store / "torn.safetensors").write_bytes(b"no weights")
    document = ranked("--labels", 4, "--models", "mine,theirs,torn.safetensors")
    assert [base["name"] for base in document["bases"]] == ["mine"]
    reasons = {each["name"]: each["reason"] for each in document["excluded"]}
    assert "weights" in reasons["theirs"]
    assert "is no safetensors file" in reasons["torn.safetensors"]


def test_where_all_are_left_out_the_reasons_are_told(store):
    (store / "torn.safetensors").write_bytes(b"no weights")
    said = transfer_kit(
        "rank", "--target", TARGET, "--labels", 4, "--models", "torn.safetensors"
    ).out
    assert "Not ranked: torn.safetensors" in said
    assert "Go on with" not in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--labels", 1), "ask for more labels"),
        (("--models", "mien"), "no base organ or model 'mien'. Did you mean 'mine'?"),
        (("--by", "h score"), "cannot be ordered by 'h score'. Did you mean 'h-score'?"),
        (("--labels", "many"), "many"),
        (("--device", "abacus"), "The device 'abacus' cannot be used"),
    ],
)
def test_what_cannot_be_ranked_is_told_in_a_sentence(store, words, message):
    assert message in transfer_kit("rank", "--target", TARGET, *words, code=2).error


def test_who_asks_for_the_best_is_told_why_there_is_none(store):
    (store / "torn.safetensors").write_bytes(b"no weights")
    target, begun = find_dataset(TARGET), []
    ranking = rank_bases(
        [target],
        target.split("train").samples,
        models=["torn.safetensors"],
        progress=lambda *told: begun.append(told),
    )
    assert begun == [("torn.safetensors", 0, 1)]
    with pytest.raises(UserError, match=r"torn\.safetensors is no .*--base none"):
        _ = ranking.best


def test_an_embedded_organ_in_place_of_the_bases_own_cases_has_a_star(store):
    make_dataset("liver", store / "home/cache/datasets" / f"liver-{__version__}", cases=3, size=128)
    tiny_base(store / "far.safetensors", organ="liver", held_out=[])
    words = ("--target", TARGET, "--labels", 4, "--models", "far.safetensors")
    (base,) = transfer_kit("rank", *words, "--json").json["bases"]
    assert (base["own_organ"], base["own_organ_stands_in"]) == ("liver-synthetic", True)
    said = transfer_kit("rank", *words).out
    assert f"{base['stain_distance']:.2f}*" in said
    assert "*: from the embedded organ" in said


def test_an_empty_store_says_how_to_fill_it(lab, monkeypatch):
    monkeypatch.setattr("transfer_kit.stores.models.shipped", lambda kind: lab / "nothing" / kind)
    error = transfer_kit("rank", "--target", TARGET, "--labels", 4, code=2).error
    assert "no detector in the store" in error
    assert "transfer-kit models add" in error
