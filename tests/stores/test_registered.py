"""Detectors in a model registry: pushed, found by alias and version, pulled, promoted."""

from __future__ import annotations

import http.server
import shutil
import sys
import threading
from pathlib import Path

import pytest
from toy import toy_detector

from transfer_kit.detector import Detector
from transfer_kit.errors import UserError
from transfer_kit.stores.models import add_model, find_weights
from transfer_kit.stores.registered import pull_model, push_model
from transfer_kit.tracking.registry import HASH, Registry
from transfer_kit.weights_file import read_card, weights_hash

pytest_plugins = ["mlflow_stores"]


@pytest.fixture
def registry(tracking, monkeypatch) -> Registry:
    monkeypatch.setenv("TRANSFER_KIT_HOME", str(Path("home").absolute()))
    return Registry(tracking.client, tracking.store)


@pytest.fixture
def weights(tmp_path) -> Path:
    return toy_detector(name="eye-lab", organ="eye").save(tmp_path / "detector.safetensors")


def test_what_is_pulled_is_what_was_pushed_byte_for_byte(registry, weights):
    version = push_model(weights, "eye-lab", registry)
    registry.promote("eye-lab", version.number, "champion")
    found = registry.find("eye-lab@champion")
    assert found.sha256 == weights_hash(weights)
    model = pull_model(found, registry)
    assert model.weights.read_bytes() == weights.read_bytes()
    assert (model.folder / "card.yaml").is_file()
    assert find_weights("eye-lab") == model.weights
    assert pull_model(found, registry) == model


def test_the_registered_model_loads_with_mlflows_own_loader(
    registry, tracking, weights, monkeypatch
):
    # The loader puts the model's copy of the package before the one that is tested.
    monkeypatch.setattr(sys, "path", list(sys.path))
    import mlflow.artifacts
    import mlflow.pyfunc

    version = push_model(weights, "eye-lab", registry)
    folder = mlflow.artifacts.download_artifacts(
        f"models:/eye-lab/{version.number}",
        tracking_uri=tracking.store,
        registry_uri=tracking.store,
    )
    model = mlflow.pyfunc.load_model(folder)
    kept = Detector.load(weights).network.state_dict()
    served = model._model_impl.detector.network.state_dict()
    assert all((served[name] == value).all() for name, value in kept.items())


def test_a_registered_card_bears_the_registered_name_and_keeps_its_run(registry, tracking, weights):
    with tracking.start_run("training", tags={}) as run:
        pass
    version = push_model(weights, "champion-of-eyes", registry, run_id=run.run_id)
    assert version.run_id == run.run_id
    model = pull_model(registry.find("champion-of-eyes/1"), registry)
    assert read_card(model.weights).name == "champion-of-eyes"
    assert read_card(weights).name == "eye-lab"
    (known,) = tracking.client.search_model_versions("name = 'champion-of-eyes'")
    assert known.tags["organ"] == "eye"


def test_the_same_weights_are_registered_once_and_others_are_the_next_version(registry, weights):
    first = push_model(weights, "eye-lab", registry)
    assert push_model(weights, "eye-lab", registry).number == first.number == "1"
    other = toy_detector(seed=1, name="eye-lab").save(weights)
    assert push_model(other, "eye-lab", registry).number == "2"
    assert registry.find("eye-lab").number == "2"
    assert registry.find("eye-lab/1").sha256 == first.sha256


def test_an_alias_points_to_one_version_at_a_time(registry, weights):
    push_model(weights, "eye-lab", registry)
    push_model(toy_detector(seed=1, name="eye-lab").save(weights), "eye-lab", registry)
    for number in ("1", "2"):
        registry.promote("eye-lab", number, "champion")
        assert registry.find("eye-lab@champion").number == number
    assert registry.find("eye-lab/1").aliases == ()


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ("eyelab", r"There is no model 'eyelab' in the registry of .*\. Did you mean 'eye-lab'\?"),
        ("eye-lab@champoin", r"has no alias 'champoin'\. Did you mean 'champion'\? Give one with"),
        ("eye-lab/7", "has no version 7; it has 1"),
        ("eye-lab/", "has no version ; it has 1"),
    ],
)
def test_what_the_registry_does_not_hold_is_told(registry, weights, wanted, sentence):
    push_model(weights, "eye-lab", registry)
    registry.promote("eye-lab", "1", "champion")
    with pytest.raises(UserError, match=sentence):
        registry.find(wanted)


def test_an_alias_that_mlflow_keeps_for_itself_is_told(registry, weights):
    push_model(weights, "eye-lab", registry)
    with pytest.raises(UserError, match=r"refuses this .*'latest' alias name .* is reserved"):
        registry.promote("eye-lab", "1", "latest")


def test_other_weights_of_the_same_name_are_not_overwritten(registry, weights):
    version = push_model(weights, "eye-lab", registry)
    own = add_model(toy_detector(seed=5), "eye-lab")
    before = own.weights.read_bytes()
    with pytest.raises(
        UserError, match=r"A model eye-lab with other weights is in .*; add --replac"
    ):
        pull_model(version, registry)
    assert own.weights.read_bytes() == before
    beside = pull_model(version, registry, name="eye-2")
    assert read_card(beside.weights).name == "eye-2"
    assert pull_model(version, registry, name="eye-2") == beside
    assert pull_model(version, registry, replace=True).weights.read_bytes() == weights.read_bytes()


def test_files_that_were_changed_in_the_registry_are_refused(registry, tracking, weights):
    version = push_model(weights, "eye-lab", registry)
    (kept,) = Path("mlartifacts").rglob("data/detector.safetensors")
    toy_detector(seed=9, name="eye-lab").save(kept)
    with pytest.raises(UserError, match="was registered; the file was changed or damaged"):
        pull_model(version, registry)
    shutil.rmtree(kept.parent)
    with pytest.raises(UserError, match=r"eye-lab version 1 in .* gives no detector.safetensors"):
        pull_model(version, registry)
    tracking.client.delete_model_version_tag("eye-lab", "1", HASH)
    assert registry.find("eye-lab/1").sha256 == ""


def test_a_name_that_cannot_be_a_folder_is_refused(registry, weights):
    with pytest.raises(UserError, match=r"'\.\./eye' is no model name"):
        push_model(weights, "../eye", registry)


class NoRegistry(http.server.BaseHTTPRequestHandler):
    """A tracking server of the kind that knows runs and no models."""

    def do_GET(self):
        self.send_response(404)
        self.end_headers()
        self.wfile.write(b"no such page")

    do_POST = do_GET  # noqa: N815 - the library's name

    def log_message(self, *arguments):
        pass


def test_a_store_without_a_registry_is_told_without_its_password(impatient):
    from mlflow import MlflowClient

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), NoRegistry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    store = f"http://ann:secret@127.0.0.1:{server.server_port}"
    registry = Registry(MlflowClient(tracking_uri=store, registry_uri=store), store)
    with pytest.raises(UserError) as told:
        registry.find("eye-lab@champion")
    assert "has no model registry" in str(told.value)
    assert "secret" not in str(told.value)
