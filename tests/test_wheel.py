"""The wheel, built, unpacked elsewhere and run there: what ships is found without the checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from toy import toy_detector

from transfer_kit import __version__
from transfer_kit.stores.models import write_model

REPOSITORY = Path(__file__).parents[1]
PARTS = ("transfer_kit", "recipes", "studies", "stores", "pyproject.toml", "README.md", "LICENSE")
LEFT_OUT = shutil.ignore_patterns("__pycache__", ".*", "_shipped")


def copied_checkout(folder: Path) -> Path:
    """What the wheel is made of, with one model more, so that the test needs none that ships."""
    folder.mkdir()
    for part in PARTS:
        source = REPOSITORY / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=LEFT_OUT)
        else:
            shutil.copy(source, folder)
    write_model(
        toy_detector(organ="tooth"), "micronet-tooth", folder / "stores/models/micronet-tooth"
    )
    return folder


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    return copied_checkout(tmp_path_factory.mktemp("source") / "checkout")


@pytest.fixture(scope="module")
def wheel(checkout):
    words = ["-m", "build", "--wheel", "--no-isolation", "--outdir", checkout.parent / "dist"]
    done = subprocess.run(
        [sys.executable, *words], cwd=checkout, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = (checkout.parent / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder that Python looks in before the checkout, as `pip install --target` makes it."""
    folder = tmp_path_factory.mktemp("installed")
    words = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        folder,
        wheel,
    ]
    subprocess.run([sys.executable, *words], check=True, capture_output=True)
    return folder


def run(installed, tmp_path, *words):
    """Standard output of Python there, in a working folder that is neither."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(installed),
        "TRANSFER_KIT_HOME": str(tmp_path / "home"),
        "TRANSFER_KIT_DATA": "",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, *words], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_holds_every_module_recipe_and_store_and_no_test(wheel, checkout):
    names = set(zipfile.ZipFile(wheel).namelist())
    places = {
        "transfer_kit": "transfer_kit",
        "recipes": "transfer_kit/_shipped/recipes",
        "studies": "transfer_kit/_shipped/studies",
        "stores": "transfer_kit/_shipped/stores",
    }
    for part, place in places.items():
        for path in (checkout / part).rglob("*"):
            if path.is_file():
                assert f"{place}/{path.relative_to(checkout / part).as_posix()}" in names
    assert "transfer_kit/py.typed" in names
    assert not [name for name in names if "test_" in name or name.endswith(".pyc")]
    assert f"transfer_kit-{__version__}.dist-info/licenses/LICENSE" in names


def test_the_installed_package_is_the_one_that_runs(installed, tmp_path):
    place = run(installed, tmp_path, "-c", "import transfer_kit; print(transfer_kit.__file__)")
    assert Path(place.strip()).is_relative_to(installed)
    assert run(installed, tmp_path, "-m", "transfer_kit", "--version") == (
        f"transfer-kit {__version__}\n"
    )


def test_shipped_datasets_pairs_and_models_are_found(installed, tmp_path, checkout):
    rows = json.loads(run(installed, tmp_path, "-m", "transfer_kit", "data", "list", "--json"))
    shipped = {row["name"] for row in rows if row["origin"] == "shipped"}
    assert shipped == {path.stem for path in (checkout / "stores/datasets").glob("*.yaml")}
    assert {"breast", "eye"} <= {row["name"] for row in rows if row["origin"] == "embedded"}
    pairs = json.loads(run(installed, tmp_path, "-m", "transfer_kit", "pairs", "list", "--json"))
    files = (checkout / "stores/pairs").glob("*.yaml")
    assert {row["name"] for row in pairs} == {path.stem for path in files} >= {"breast-eye"}
    rows = json.loads(run(installed, tmp_path, "-m", "transfer_kit", "models", "list", "--json"))
    models = {path.parent.name for path in (checkout / "stores/models").glob("*/card.yaml")}
    assert {row["name"] for row in rows} == models >= {"micronet-tooth"}
    assert all(row["ships"] and Path(row["path"]).is_relative_to(installed) for row in rows)


def test_shipped_recipes_and_weights_are_read(installed, tmp_path, checkout):
    code = (
        "import json, transfer_kit as tk\n"
        "from transfer_kit.recipe import Recipe\n"
        "from transfer_kit.stores.recipes import find_recipe, list_recipes\n"
        "steps = {name: Recipe.read(find_recipe(name), target='eye').train.steps\n"
        "         for name in list_recipes()}\n"
        "print(json.dumps([steps, tk.load('tooth').card.organ]))"
    )
    steps, organ = json.loads(run(installed, tmp_path, "-c", code))
    folder = checkout / "recipes"
    files = {str(path.relative_to(folder).with_suffix("")): path for path in folder.rglob("*.yaml")}
    files = {name: path for name, path in files.items() if not name.startswith("sweeps/")}
    assert steps.keys() == files.keys() >= {"everyday/finetune", "papers/micronet"}
    for name, path in files.items():
        said = yaml.safe_load(path.read_text()).get("train", {}).get("steps")
        assert said is None or steps[name] == said
    assert organ == "tooth"


def test_the_command_that_the_wheel_installs_is_the_same(installed):
    (entry,) = installed.glob("*.dist-info/entry_points.txt")
    assert "transfer-kit = transfer_kit.cli:main" in entry.read_text()
    assert (installed / "bin" / "transfer-kit").is_file()
