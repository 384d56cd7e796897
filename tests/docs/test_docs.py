"""What README and docs/ say is what the kit does."""

from __future__ import annotations

import importlib.util
import re
from itertools import groupby

import pytest
import typer
import yaml
from docs_pages import REPOSITORY, anchors, blocks, commands, links, pages
from PIL import Image

from transfer_kit import __version__
from transfer_kit.cli.app import app
from transfer_kit.data.card import DatasetCard
from transfer_kit.data.formats import FORMATS
from transfer_kit.recipe import Recipe, parse_setting
from transfer_kit.stores.recipes import find_recipe

pytest_plugins = ["mlflow_stores"]

CALLS = [
    pytest.param(words, id=f"{block} {' '.join(words[:2])}")
    for block in blocks("bash")
    for words in commands(block, "transfer-kit")
]
PYTHON = {page: list(found) for page, found in groupby(blocks("python"), lambda b: b.page)}
CARD = {"name": "tiny", "organ": "eye", "stain": "H&E", "mpp": 0.25, "licence": "private"}


def parsed(words):
    """The command of a call and its options, as the command line would understand them."""
    command, words = typer.main.get_command(app), list(words)
    while hasattr(command, "commands"):
        assert words, f"{command.name} is a group: which command of it?"
        assert words[0] in command.commands, f"there is no command {words[0]!r}"
        command = command.commands[words.pop(0)]
    with command.make_context(command.name, words) as context:
        return command, context.params


@pytest.mark.parametrize("words", CALLS)
def test_every_command_in_the_docs_parses(words):
    command, params = parsed(words)
    if command.name == "finetune":
        fields = dict(parse_setting(setting) for setting in params["set_"] or [])
        Recipe(target="eye").replaced(**fields)
        if params["recipe"] and not params["recipe"].endswith(".yaml"):
            find_recipe(params["recipe"])


def test_the_docs_show_every_command():
    shown = {parsed(call.values[0])[0].name for call in CALLS}
    known, groups = set(), [typer.main.get_command(app)]
    while groups:
        for command in groups.pop().commands.values():
            if hasattr(command, "commands"):
                groups.append(command)
            else:
                known.add(command.name)
    assert known <= shown


@pytest.mark.parametrize("words", [["finetun"], ["finetune", "--bas", "eye"], ["data"]])
def test_a_command_that_does_not_exist_does_not_parse(words):
    with pytest.raises(Exception, match=r"no command|[Nn]o such option|is a group"):
        parsed(words)


def test_every_make_target_in_the_docs_exists():
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = {words[0] for block in blocks("bash") for words in commands(block, "make")}
    assert {"demo", "test"} <= targets
    assert all(re.search(rf"^{target}:", makefile, flags=re.MULTILINE) for target in targets)


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_every_recipe_and_card_in_the_docs_is_valid(block):
    fields = yaml.safe_load(block.text)
    if set(fields) <= set(Recipe.model_fields):
        Recipe.model_validate({"target": "eye", **fields})
    else:
        DatasetCard.model_validate({**CARD, **fields})


@pytest.fixture
def tiny_home(tmp_path, working, monkeypatch):
    """The working folder of the docs: `image.png`, and embedded organs of few small images."""
    from transfer_kit.data.synthetic import draw, make_dataset

    home = tmp_path / "home"
    monkeypatch.setenv("TRANSFER_KIT_HOME", str(home))
    monkeypatch.setenv("TRANSFER_KIT_DATA", "")
    for organ in ("breast", "eye"):
        folder = home / "cache" / "datasets" / f"{organ}-{__version__}"
        make_dataset(organ, folder, cases=6, size=128)
    Image.fromarray(draw("eye", case=0, size=128, seed=1)[0]).save(working / "image.png")
    return home


@pytest.mark.parametrize("page", PYTHON, ids=lambda page: page.name)
def test_every_python_block_in_the_docs_runs(page, tiny_home, monkeypatch):
    from transfer_kit.stores.locations import shipped

    weights = shipped("models") / "micronet-breast" / "detector.safetensors"
    if not weights.is_file():
        pytest.skip(f"the shipped model is not there yet: {weights}")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    names: dict[str, object] = {}
    for block in PYTHON[page]:
        # Blank lines before it, so that an error names the page's own line.
        code = compile("\n" * (block.line - 1) + block.text, str(page), "exec")
        exec(code, names)


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_link_in_the_docs_leads_somewhere(page):
    broken = []
    for link in links(page):
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_the_index_leads_to_every_page():
    docs = REPOSITORY / "docs"
    named = {(docs / link).resolve() for link in links(docs / "index.md")}
    assert {page for page in docs.glob("*.md") if page.name != "index.md"} <= named


def loaded(script):
    place = REPOSITORY / "docs" / f"{script}.py"
    spec = importlib.util.spec_from_file_location(script, place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_of_recipe_fields_is_current():
    script = loaded("make_recipe_table")
    page = script.PAGE.read_text(encoding="utf-8")
    assert page == script.with_table(page), "run: python docs/make_recipe_table.py"


def test_every_recipe_field_has_a_meaning():
    rows = loaded("make_recipe_table").rows()
    assert len(rows) > 40
    assert [field for field, _, _, meaning in rows if not meaning] == []


@pytest.mark.parametrize("names", [FORMATS, DatasetCard.model_fields], ids=["formats", "fields"])
def test_own_data_names_every_format_and_every_field_of_the_card(names):
    page = (REPOSITORY / "docs" / "own-data.md").read_text(encoding="utf-8")
    assert [name for name in names if f"`{name}`" not in page] == []


def test_every_doctor_check_is_explained(monkeypatch):
    from transfer_kit import diagnosis

    monkeypatch.setattr(diagnosis.imports, "probe_torch", lambda: None)
    monkeypatch.setattr(diagnosis, "_survived", lambda name, check: diagnosis.Check(name, "ok", ""))
    names = [check.name for check in diagnosis.diagnose()]
    page = (REPOSITORY / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    first_column = " ".join(re.findall(r"^\| ([a-z, ]+) \|", page, flags=re.MULTILINE))
    assert len(names) > 10
    assert [name for name in names if name not in first_column] == []


def test_every_example_is_named_in_the_index():
    examples = {path.name for path in (REPOSITORY / "examples").iterdir() if path.is_file()}
    index = (REPOSITORY / "docs" / "index.md").read_text(encoding="utf-8")
    assert [name for name in sorted(examples) if name not in index] == []


def test_the_readme_and_the_zoo_show_what_was_measured():
    script = loaded("make_readme_tables")
    for page in script.PAGES:
        text = page.read_text(encoding="utf-8")
        assert text == script.with_tables(text), "run: python docs/make_readme_tables.py"


def test_the_readme_s_figures_of_colon_are_those_of_its_folds():
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    f1, interval, median = re.search(
        r"F1 (0\.\d+) \((0\.\d+ to 0\.\d+)\),\s+median\s+distance\s+(\d\.\d+) px", text
    ).groups()
    table = (REPOSITORY / "docs" / "results" / "colon.md").read_text(encoding="utf-8")
    (pooled,) = (line for line in table.splitlines() if "pooled" in line)
    cells = [cell.strip() for cell in pooled.strip("|").split("|")]
    assert cells[2:4] == [f1, interval]
    assert cells[6].startswith(f"{median} (")
