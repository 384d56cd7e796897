"""`transfer-kit models push`, `pull` and `promote`."""

from __future__ import annotations

import pytest
from laboratory import BASE, transfer_kit

pytest_plugins = ["lab_fixtures", "mlflow_stores"]


def test_a_detector_goes_through_the_registry_and_back(lab):
    pushed = transfer_kit("models", "push", BASE, "--name", "lab-eye", "--json").json
    assert (pushed["name"], pushed["version"], pushed["aliases"]) == ("lab-eye", "1", [])
    promoted = transfer_kit("models", "promote", "lab-eye", 1, "--as", "champion", "--json").json
    assert promoted["aliases"] == ["champion"]
    pulled = transfer_kit("models", "pull", "lab-eye@champion", "--json").json
    assert pulled["path"].startswith(str(lab / "home"))
    shown = transfer_kit("models", "show", "lab-eye", "--json").json
    assert shown["sha256"] == pushed["sha256"]
    assert shown["organ"] == "breast"


def test_pushing_says_how_to_get_it_and_may_name_an_alias(lab):
    said = transfer_kit("models", "push", BASE, "--as", "champion").out
    assert said == (
        "tiny-breast version 1 is in the registry. Get it with: transfer-kit models pull "
        "tiny-breast@champion\n"
    )


def test_a_model_that_is_not_registered_is_told(lab):
    error = transfer_kit("models", "pull", "nothing@champion", code=2).error
    assert error.startswith("There is no model 'nothing' in the registry of sqlite:")


@pytest.mark.parametrize(
    "words",
    [("push", BASE), ("pull", "eye@champion"), ("promote", "eye", "1", "--as", "champion")],
)
def test_a_registry_that_is_away_is_told_without_its_password(lab, closed_port, impatient, words):
    store = f"http://ann:secret@127.0.0.1:{closed_port}"
    said = transfer_kit("models", *words, "--store", store, code=2)
    assert "does not answer" in said.error
    assert "secret" not in said.out + said.err
