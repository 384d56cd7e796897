from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import transfer_kit

PACKAGE = Path(transfer_kit.__file__).parent
ARCHITECTURE = PACKAGE.parent / "docs" / "architecture.md"
HEAVY = ("torch", "torchvision", "lightning", "mlflow", "albumentations", "cv2", "scipy", "pandas")
FACE = "transfer_kit"
"""The package's own `__init__`: what all import, and the one place that offers the rest."""


def layers() -> dict[str, int]:
    """Module or package of each row of the table in docs/architecture.md, 0 the highest."""
    text = ARCHITECTURE.read_text(encoding="utf-8")
    table = text.split("## Who may import whom")[1].split("## Conventions")[0]
    rows = re.findall(r"^\| (`.+?) \|", table, re.MULTILINE)
    found = {}
    for height, row in enumerate(rows):
        for name in re.findall(r"`([\w/.]+)`", row):
            found[f"transfer_kit.{name.removesuffix('.py').strip('/').replace('/', '.')}"] = height
    bottom = len(rows) - 1
    return found | {"transfer_kit.stores.locations": bottom, FACE: len(rows)}


LAYERS = layers()


def layer_of(module: str) -> int:
    parts = module.split(".")
    for length in range(len(parts), 1, -1):
        if (name := ".".join(parts[:length])) in LAYERS:
            return LAYERS[name]
    assert module == FACE, f"{module} is in no layer of {ARCHITECTURE.name}"
    return LAYERS[FACE]


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_for_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def imports(tree: ast.AST) -> list[tuple[int, str]]:
    """Line and module of every import of ours, also inside functions; not for types alone."""
    found = []
    for node in ast.iter_child_nodes(tree):
        if is_for_type_checking(node):
            continue
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [(node.lineno, imported(node.module, alias.name)) for alias in node.names]
        found += imports(node)
    return [(line, name) for line, name in found if name.split(".")[0] == FACE]


def imported(module: str, name: str) -> str:
    """`from a.b import c` imports a.b.c where that is a module, else a.b."""
    path = PACKAGE.parent.joinpath(*module.split("."), name)
    return f"{module}.{name}" if path.is_dir() or path.with_suffix(".py").exists() else module


MODULES = sorted(PACKAGE.rglob("*.py"))


def test_every_module_is_in_a_layer():
    assert len(set(LAYERS.values())) > 8
    for path in MODULES:
        layer_of(module_name(path))


def test_every_name_in_the_table_is_a_module():
    for name in LAYERS:
        path = PACKAGE.parent.joinpath(*name.split("."))
        assert path.is_dir() or path.with_suffix(".py").is_file(), name


def test_no_module_imports_what_stands_above_it():
    upwards = [
        f"{module_name(path)}, line {line}: {name}"
        for path in MODULES
        if module_name(path) != FACE
        for line, name in imports(ast.parse(path.read_text(encoding="utf-8")))
        if layer_of(name) < layer_of(module_name(path))
    ]
    assert upwards == []


def test_the_package_itself_imports_none_of_its_parts_until_asked():
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert imports(ast.Module(top, [])) == []


def test_the_reader_of_imports_sees_nested_ones_and_skips_those_for_types():
    source = """
from typing import TYPE_CHECKING
import transfer_kit.run as r
from transfer_kit import plan
if TYPE_CHECKING:
    from transfer_kit.cli import app
def f():
    from transfer_kit.detector import Detector
"""
    names = [name for _, name in imports(ast.parse(source))]
    assert names == ["transfer_kit.run", "transfer_kit.plan", "transfer_kit.detector"]


@pytest.mark.parametrize(
    "module", ["transfer_kit", "transfer_kit.recipe", "transfer_kit.cli", "transfer_kit.cli.app"]
)
def test_light_modules_import_nothing_heavy(module):
    code = f"import sys, {module}; print([n for n in {HEAVY!r} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_and_version_work_where_nothing_heavy_can_be_imported():
    heavy = (*HEAVY, "transfer_kit.settings")  # whose models take a quarter of a second
    code = (
        "import sys\n"
        f"for name in {heavy!r}: sys.modules[name] = None\n"  # importing it raises ImportError
        "from transfer_kit.cli import main\n"
        "main()"
    )
    for words in (["--help"], ["finetune", "--help"], ["data", "--help"], ["--version"]):
        done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip()
