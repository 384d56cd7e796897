from __future__ import annotations

import shutil

import pytest
from laboratory import BASE, OWN, TARGET
from safetensors.torch import load_file
from study_fields import SCRATCH, TINY, carried_out, study

from transfer_kit.errors import UserError
from transfer_kit.studies import learning, work
from transfer_kit.studies.cache import RESULT, read
from transfer_kit.studies.conduct import prepare
from transfer_kit.studies.identity import Identities
from transfer_kit.studies.rows import HELD_OUT
from transfer_kit.studies.trials import trials_of

pytest_plugins = ["lab_fixtures"]


@pytest.fixture
def trainings(monkeypatch):
    """The titles of all that is trained or gone on with."""
    titles = []
    real = learning.learn

    def counted(recipe, checkpoints, *, title):
        titles.append(title)
        return real(recipe, checkpoints, title=title)

    monkeypatch.setattr(work, "learn", counted)
    return titles


def weights(prepared, place=0):
    return load_file(prepared.cache.detector(prepared.tasks.trials[place].key))


def equal(one, other):
    return one.keys() == other.keys() and all((one[name] == other[name]).all() for name in one)


def test_nothing_is_trained_or_measured_twice_by_this_study_or_another(lab, trainings, monkeypatch):
    folder = lab / "studies"
    first = carried_out(study(columns=["base", "recalibrated", "trained"]), folder)
    assert trainings == ["start=tuned,seed=0", "start=scratch,seed=0"]
    monkeypatch.setattr(work, "examine", None)  # nothing is looked at from here on
    # Other axes, other names, and what a training from scratch does not feel.
    other = study(
        set={**TINY, "target": TARGET, "name": "other", "evaluation.figures": False, "freeze": 2},
        vary={"way": {"a": SCRATCH, "b": {"base": BASE, "freeze": 0}}},
        columns=["base", "trained"],
        summary={"kind": "compare", "x": "way"},
    )
    second = carried_out(other, folder)
    assert len(trainings) == 2
    assert {task.key for task in second.tasks.trials} == {task.key for task in first.tasks.trials}
    frame = first.found().frame
    assert set(zip(frame["start"], frame["column"], strict=True)) == {
        ("tuned", "base"), ("tuned", "recalibrated"), ("tuned", "trained"), ("scratch", "trained"),
    }  # fmt: skip


def test_a_killed_training_goes_on_and_ends_as_if_nothing_had_happened(lab, monkeypatch):
    asked = study(vary={"start": {"tuned": {"base": BASE, "freeze": 2}}})
    whole = carried_out(asked, lab / "whole")
    real = learning.train_plan

    def killed_in_the_second_round(*arguments, **options):
        def stop(point, step):
            if step == 8:
                raise KeyboardInterrupt

        return real(*arguments, **options, record=stop)

    monkeypatch.setattr(learning, "train_plan", killed_in_the_second_round)
    with pytest.raises(KeyboardInterrupt):
        carried_out(asked, lab / "killed")
    prepared = prepare(asked, lab / "killed")
    (task,) = prepared.tasks.trials
    assert prepared.cache.has_begun(task.key)
    assert not task.is_done(prepared.cache)
    monkeypatch.setattr(learning, "train_plan", real)
    carried_out(asked, lab / "killed")
    assert equal(weights(whole), weights(prepared))
    told = [read(each.cache.training(task.key) / RESULT) for each in (whole, prepared)]
    assert told[0]["test"] == told[1]["test"]
    assert told[0]["curve"] == told[1]["curve"]


def test_a_snapshot_is_what_a_training_of_so_many_steps_gives(lab, trainings):
    recipe = {"target": OWN, **SCRATCH, **TINY}
    (lab / "base.yaml").write_text("name: own\n", encoding="utf-8")
    asked = study(
        bases={"own": {"recipe": "base.yaml", "set": recipe, "snapshots": [4, 8]}},
        vary={"base": ["own@4", "own@8"]},
        summary={"kind": "line", "x": "base"},
        forgetting=True,
    )
    prepared = carried_out(asked, lab / "studies")
    assert trainings == ["base own@4", "base own@8", "base=own@4", "base=own@8"]
    direct = study(set=recipe, vary={"train.steps": [8]}, summary={"kind": "line", "x": "seed"}
                   | {"x": "train.steps"})  # fmt: skip
    whole = carried_out(direct, lab / "direct")
    ((_, last),) = prepared.tasks.bases
    assert equal(weights(whole), load_file(prepared.cache.detector(last.key)))
    frame = prepared.found().frame
    held_out = frame[frame["tested_on"] == HELD_OUT]
    assert sorted(zip(held_out["base"], held_out["column"], strict=True)) == [
        ("own@4", "base"), ("own@4", "trained"), ("own@8", "base"), ("own@8", "trained"),
    ]  # fmt: skip


def test_what_a_training_learns_from_and_how_make_its_identity(lab):
    def of(**fields):
        (trial,) = trials_of(study(vary={"seed": [0]}, summary={"kind": "line", "x": "seed"},
                                   set={**TINY, "target": TARGET, **fields}))  # fmt: skip
        return Identities().of_training(trial.recipe)

    plain = of(base=BASE)
    assert of(base=BASE, description="other words") == plain
    assert of(base=str(lab / BASE), target=str(lab / TARGET)) == plain  # by what they are
    unlike = [
        of(), of(base=BASE, freeze=1), of(base=BASE, labels="5"), of(base=BASE, target=OWN),
        of(base=BASE, **{"codec.name": "proximity"}),
    ]  # fmt: skip
    assert len({plain, *unlike}) == len(unlike) + 1
    annotation = next((lab / TARGET / "annotations").iterdir())
    annotation.write_text(annotation.read_text() + "50,50\n")
    changed = of(base=BASE)
    assert changed != plain
    shutil.copy(lab / BASE, lab / "other.safetensors")
    assert changed == of(base=BASE)


def test_names_that_are_not_known_are_told_before_anything_runs(lab):
    with pytest.raises(UserError, match=r"There is no detector at nowhere\.safetensors"):
        prepare(study(set={**TINY, "target": TARGET},
                      vary={"base": ["nowhere.safetensors"]},
                      summary={"kind": "line", "x": "base"}), lab / "studies")  # fmt: skip
    with pytest.raises(UserError, match="There is no organ, dataset or folder 'eye-lbb'"):
        prepare(study(set={**TINY, "target": "eye-lbb"}), lab / "studies")
    assert not (lab / "studies").exists()


def test_a_trained_detector_is_measured_on_other_datasets_too(lab):
    asked = study(vary={"start": {"scratch": SCRATCH}}, test_also=[TARGET, OWN])
    frame = carried_out(asked, lab / "studies").found().frame
    assert list(frame["tested_on"]) == ["target", OWN]
    assert (frame["n_nuclei"] > 0).all()


def test_labelled_regions_are_learned_from_as_such(lab):
    asked = study(
        data={
            "part": {"of": TARGET, "share": 0.25, "outside": "unknown"},
            "dark": {"of": TARGET, "share": 0.25, "outside": "background"},
        },
        set={**TINY, **SCRATCH},
        vary={"target": ["part", "dark", TARGET]},
        summary={"kind": "compare", "x": "target"},
    )
    prepared = carried_out(asked, lab / "studies")
    frame = prepared.found().frame.set_index("target")
    assert len({task.key for task in prepared.tasks.trials}) == 3
    assert frame["n_nuclei"].nunique() == 1  # the test images are whole
    part, dark, whole = (frame["n_train_nuclei"][name] for name in ("part", "dark", TARGET))
    assert 0 < part == dark < whole
    assert not equal(weights(prepared, 0), weights(prepared, 1))
