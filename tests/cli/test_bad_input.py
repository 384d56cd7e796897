"""Faults that a user can cause: one sentence with the mend, exit code 2, nothing half-written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from dataset_folders import write_card, write_folder
from laboratory import (
    BASE,
    SHORT,
    TARGET,
    listing,
    subprocess_environment,
    tiny_base,
    transfer_kit,
)
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from transfer_kit.cli.faults import in_one_sentence
from transfer_kit.detector import Detector

pytest_plugins = ["lab_fixtures"]

FINETUNE = ("finetune", "--base", BASE, "--target", TARGET)


def refused(lab, *words):
    """The sentence; nothing may have been written, not even a folder."""
    before = listing(lab)
    said = transfer_kit(*words, code=2)
    assert listing(lab) == before
    assert said.out == ""
    assert said.err.count("\n") == 1
    return said.error


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["finetune", "--base", BASE, "--target", "eya"],
            "There is no organ, dataset or folder 'eya'. Did you mean 'eye'? 'transfer-kit data "
            "list' shows all.",
        ),
        (
            ["finetune", "--base", BASE, "--target", "./nowhere"],
            "There is no dataset at nowhere; check the path.",
        ),
        (
            ["finetune", "--base", BASE, "--target", "nowhere/dataset.yaml"],
            "There is no dataset at nowhere/dataset.yaml; check the path.",
        ),
        (
            ["finetune", "--base", "gone.safetensors", "--target", TARGET],
            "There is no detector at gone.safetensors; check the path.",
        ),
        (
            [*FINETUNE, "--recipe", "everyday/finetun"],
            "There is no recipe 'everyday/finetun'. Did you mean 'everyday/finetune'?",
        ),
        (
            [*FINETUNE, "--recipe", "mine.yaml"],
            "There is no recipe file mine.yaml; check the path.",
        ),
        (
            [*FINETUNE, "--set", "train.steps"],
            "--set 'train.steps' has no value; write it as --set train.steps=500.",
        ),
        (
            [*FINETUNE, "--freeze", "10"],
            "freeze: 10 is not possible: the network has 10 blocks (input, down1, down2, down3, "
            "down4, up1, up2, up3, up4, output) and at least the last must learn; choose 0 to 9.",
        ),
        (
            [*FINETUNE, "--freeze", "input,dwon1"],
            "freeze: the network has no block 'dwon1'. Did you mean 'down1'?",
        ),
        (
            [*FINETUNE, "--freeze", "0:2,500:11"],
            "freeze: 11 from step 500 on is not possible: the network has 10 blocks (input, down1, "
            "down2, down3, down4, up1, up2, up3, up4, output) and at least the last must learn; "
            "choose 0 to 9.",
        ),
        (
            [*FINETUNE, "--freeze", "0:2,500:*"],
            "freeze: * from step 500 on leaves nothing to learn; freeze less, so that at least one "
            "block learns.",
        ),
        (
            ["finetune", "--base", "none", "--target", TARGET, "--compare-scratch"],
            "--compare-scratch compares a fine-tuning with a training from scratch, and "
            "--base none is one; leave one of the two out.",
        ),
        (
            [*FINETUNE, "--labels", "lots"],
            "'lots' is not an amount of labels; write a percentage of the images ('20%'), a "
            "number of images ('5'), or of cases ('3 cases', '20% cases').",
        ),
        (
            ["evaluate", "--model", "./nowhere", "--target", TARGET],
            "There is no detector at nowhere; check the path.",
        ),
        (
            ["predict", "nowhere", "--model", BASE, "-o", "out"],
            "nowhere does not exist; check the path.",
        ),
        (
            ["models", "add", "nowhere", "--name", "mine"],
            "nowhere does not exist; check the path or see `transfer-kit models list`.",
        ),
    ],
)
def test_a_name_or_value_that_does_not_exist_is_one_sentence(lab, words, sentence):
    assert refused(lab, *words) == sentence


def test_an_unknown_base_names_the_nearest_organ(lab):
    transfer_kit("models", "add", BASE, "--name", "micronet-tooth")
    said = refused(lab, "finetune", "--base", "toth", "--target", TARGET)
    assert said.startswith("There is no base organ or model 'toth'. Did you mean '")
    assert "tooth'?" in said


def test_an_unknown_field_on_the_command_line_names_the_nearest(lab):
    said = refused(lab, *FINETUNE, "--set", "train.stepz=3")
    assert "there is no field 'train.stepz'. Did you mean 'steps'?" in said


def test_faults_of_a_recipe_are_told_with_file_and_line_all_at_once(lab):
    (lab / "mine.yaml").write_text("seed: 1\ntrain:\n  steps: many\n  stepz: 3\nfrieze: 2\n")
    said = refused(lab, *FINETUNE, "--recipe", "mine.yaml")
    assert said.startswith("mine.yaml has 3 faults: ")
    assert "line 3: train.steps: input should be a valid integer" in said
    assert "but got 'many'" in said
    assert "line 4: there is no field 'train.stepz'. Did you mean 'steps'?" in said
    assert "line 5: there is no field 'frieze'. Did you mean 'freeze'?" in said


def test_a_recipe_that_is_no_yaml_is_told_with_its_line(lab):
    (lab / "mine.yaml").write_text("seed: 1\ntrain: {steps: 3\nlabels: [\n")
    said = refused(lab, *FINETUNE, "--recipe", "mine.yaml")
    assert said.startswith("mine.yaml, line ")
    assert "is not valid YAML" in said


def test_a_folder_without_annotations_is_refused_with_or_without_a_card(lab):
    for path in (lab / TARGET / "annotations").iterdir():
        path.unlink()
    said = refused(lab, *FINETUNE)
    assert "has no annotation; add one, or leave the image out" in said
    (lab / TARGET / "dataset.yaml").unlink()
    said = refused(lab, *FINETUNE)
    assert said.startswith("eye-lab has 16 images, but no annotation for any;")


def test_a_folder_without_images_is_refused(lab):
    (lab / "empty").mkdir()
    said = refused(lab, "finetune", "--base", BASE, "--target", "./empty")
    assert "empty" in said
    assert "image" in said


def test_a_corrupt_image_is_named_before_anything_is_trained(lab):
    image = sorted((lab / TARGET / "images").iterdir())[5]
    image.write_bytes(image.read_bytes()[:3000])
    said = refused(lab, *FINETUNE)
    assert f"{TARGET}/images/{image.name} is damaged or cut short" in said
    assert said.endswith("copy it again from its source.")


@pytest.mark.parametrize("format", ["geojson", "coco"])
def test_an_annotation_file_cut_short_is_named_before_anything_is_trained(lab, format):
    transfer_kit("data", "convert", TARGET, "-o", "copy", "--format", format)
    file = max(
        (p for p in (lab / "copy").rglob("*json") if p.is_file()), key=lambda p: p.stat().st_size
    )
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    said = refused(lab, "finetune", "--base", BASE, "--target", "./copy")
    assert file.name in said
    assert "copy it again" in said or "cut short" in said


def test_a_target_without_validation_cases_is_refused_and_the_command_mends_it(lab):
    splits = {"train": ["c00", "c01"], "validation": [], "test": ["c02"]}
    write_folder(lab / "few", cases=4, per_case=1, side=64, name="few", splits=splits)
    words = ("finetune", "--base", BASE, "--target", "./few")
    said = refused(lab, *words)
    assert said == (
        "./few has no validation case (4 cases in all); choose one with 'transfer-kit data split "
        "./few --validation-case CASE'."
    )
    transfer_kit("data", "split", "./few", "--validation-case", "c03")
    assert "validation images" in transfer_kit(*words, "--dry-run").out


def test_an_embedded_organ_s_name_cannot_be_taken_for_a_model(lab):
    said = refused(lab, "finetune", "--base", "eye", "--target", TARGET)
    assert said.startswith("There is no base organ or model 'eye'.")


@pytest.mark.parametrize("command", ["finetune", "evaluate", "predict"])
def test_weights_that_are_no_safetensors_are_refused(lab, command):
    torch.save({"weights": torch.zeros(3)}, lab / "model.pt")
    words = {
        "finetune": ["finetune", "--base", "model.pt", "--target", TARGET],
        "evaluate": ["evaluate", "--model", "model.pt", "--target", TARGET],
        "predict": ["predict", f"{TARGET}/images", "--model", "model.pt", "-o", "out"],
    }[command]
    said = refused(lab, *words)
    assert said.startswith("model.pt is no safetensors file")
    assert said.endswith(
        "only files that transfer-kit saved are loaded, since other formats can run code."
    )


def test_weights_of_another_program_are_refused(lab):
    save_file({"a": torch.zeros(3)}, lab / "other.safetensors")
    said = refused(lab, "finetune", "--base", "other.safetensors", "--target", TARGET)
    assert said == ("other.safetensors has no transfer-kit card; was it saved by another program?")


def test_weights_of_another_architecture_than_their_card_are_refused(lab):
    wide = tiny_base(
        lab / "wide.safetensors", network={"name": "micronet", "options": {"width": 8}}
    )
    with safe_open(lab / BASE, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    with safe_open(wide, framework="pt") as file:
        card = file.metadata()
    save_file(tensors, lab / "mixed.safetensors", metadata=card)
    said = refused(lab, "finetune", "--base", "mixed.safetensors", "--target", TARGET)
    assert said.startswith("The weights in mixed.safetensors are of another architecture than its ")
    assert "micronet {'width': 8}" in said


def test_a_recipe_for_another_network_than_the_base_s_is_refused(lab):
    said = refused(lab, *FINETUNE, "--recipe", "papers/micronet")
    assert said.startswith("network: the recipe asks for micronet (width 32, dropout 0.5), but the")
    assert said.endswith("leave network out of the recipe, or train with --base none.")


def test_a_device_that_is_not_there_is_refused(lab):
    before = listing(lab)
    said = transfer_kit(*FINETUNE, "--device", "warp", code=2).error
    assert said.startswith("The device 'warp' cannot be used")
    assert said.endswith("try --device auto.")
    assert listing(lab) == before


def test_an_mlflow_store_that_cannot_be_used_leaves_no_run(lab, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "file:///tmp/mlruns")
    before = listing(lab)
    said = transfer_kit(*FINETUNE, *SHORT, code=2).error
    assert said.startswith("MLflow no longer stores runs in a folder of files")
    assert listing(lab) == before


def whole_files_alone(folder):
    """No temporary file, and what is there can be read."""
    for path in folder.rglob("*"):
        assert not path.name.startswith("."), path
    for path in folder.rglob("*.json"):
        json.loads(path.read_text())
    for path in folder.rglob("*.ckpt"):
        torch.load(path, weights_only=True)
    for path in folder.rglob("*.safetensors"):
        Detector.load(path)


@pytest.mark.parametrize(
    ("writer", "sentence"),
    [
        ("pathlib.Path.write_text", "No space is left to write runs/"),
        ("pathlib.Path.write_bytes", "No space is left to write runs/"),
        ("pandas.DataFrame.to_csv", "No space is left to write runs/"),
        ("tempfile.TemporaryFile", "The decoded images cannot be written to "),
        ("transfer_kit.run.write_results", "No space is left on a disk that is written to"),
    ],
)
def test_a_full_disk_in_a_training_is_one_sentence(lab, full_disk, writer, sentence):
    full_disk(writer)
    said = transfer_kit(*FINETUNE, *SHORT, "--set", "train.steps=4", code=2)
    assert said.error.startswith(sentence)
    assert "No space" in said.error
    whole_files_alone(lab / "runs")


def test_a_full_disk_that_another_library_tells_is_one_sentence(lab, monkeypatch):
    def fails(*arguments, **options):
        raise SafetensorError("Error while serializing: I/O error: No space left on device")

    monkeypatch.setattr("transfer_kit.weights_file.save", fails)
    before = listing(lab)
    said = transfer_kit("models", "add", BASE, "--name", "mine", code=2).error
    assert said.startswith("No space is left on a disk that is written to (the run folder,")
    assert {name for name in listing(lab) if name not in before} <= {"home", "home/models"}


def test_a_full_gpu_is_one_sentence(lab, monkeypatch):
    def fails(*arguments, **options):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB.")

    monkeypatch.setattr("transfer_kit.run.run_recipe", fails)
    said = refused_after_the_plan(*FINETUNE)
    assert said.startswith("The GPU's memory does not suffice; train with a smaller train.batch_si")


def refused_after_the_plan(*words):
    return transfer_kit(*words, code=2).error


def test_a_place_that_cannot_be_used_is_one_sentence(lab):
    (lab / "figures").write_text("mine")
    words = ("evaluate", "--model", BASE, "--target", TARGET, "-o", "figures")
    assert transfer_kit(*words, code=2).error == (
        "figures cannot be used (File exists); choose another place."
    )
    assert (lab / "figures").read_text() == "mine"
    (lab / "runs").write_text("mine")
    said = transfer_kit(*FINETUNE, *SHORT, code=2).error
    assert "is a file, not a folder; choose another place" in said


def test_a_fault_of_the_program_stays_a_traceback():
    assert in_one_sentence(ValueError("x")) is None
    assert in_one_sentence(OSError(5, "Input/output error")) is None
    assert "memory" in in_one_sentence(MemoryError())


def test_ctrl_c_before_a_command_says_stopped_and_exits_with_130(monkeypatch, lab):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("transfer_kit.inference.predict.predict_slide", interrupted)
    before = listing(lab)
    words = ("predict", f"{TARGET}/images", "--model", BASE, "--mpp", 0.25, "-o", "out")
    said = transfer_kit(*words, code=130)
    assert said.err == "Stopped. Nothing was left half-written.\n"
    assert listing(lab) == before


@pytest.mark.parametrize(
    "words", [["finetune", "--frieze", "2"], ["predict"], ["models", "lst"], ["finetune", "--seed"]]
)
def test_what_typer_refuses_exits_with_2(lab, words):
    said = transfer_kit(*words, code=2)
    assert "─ Error ─" in said.err
    assert said.out == ""


def in_a_process(*words, **environment):
    return subprocess.run(
        [Path(sys.executable).with_name("transfer-kit"), *words],
        env=subprocess_environment() | environment,
        capture_output=True,
        text=True,
    )


def test_the_installed_command_gives_the_same_line_and_exit_code(lab):
    done = in_a_process("finetune", "--base", BASE, "--target", "eya")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "Error: There is no organ, dataset or folder 'eya'. Did you mean 'eye'? 'transfer-kit data "
        "list' shows all.\n"
    )


def test_a_reader_that_goes_away_is_no_error(lab):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "transfer_kit", "data", "list", "--json"],
        env=subprocess_environment(),
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(write)
    assert "Traceback" not in done.stderr


def test_a_damaged_dataset_card_is_told_with_its_line(lab):
    write_card(lab / TARGET, name=TARGET, mpp="fine")
    said = refused(lab, *FINETUNE)
    assert said.startswith(f"{TARGET}/dataset.yaml: line 4: mpp: ")
