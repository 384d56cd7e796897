"""Write the table of all recipe fields into docs/recipes.md, from the schema itself.

    python docs/make_recipe_table.py

A field's meaning is its description in the schema; for augmentations, which another class explains,
it is that class's docstring.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from transfer_kit.data.augment import Augmentation
from transfer_kit.recipe import Recipe

PAGE = Path(__file__).with_name("recipes.md")
BEGIN, END = "<!-- fields:begin -->", "<!-- fields:end -->"


def rows() -> list[tuple[str, str, str, str]]:
    """Field, type, default and meaning of every field, in the schema's order."""
    schema = Recipe.model_json_schema()
    explained = docstring_attributes(Augmentation)
    found = []
    for field, facts in _fields(schema, schema, ""):
        leaf = field.removeprefix("augment.")
        meaning = facts.get("description") or explained.get(leaf, "")
        if facts.get("type") == "object":  # its default is made anew each time, by a factory
            part, name = field.split(".")
            facts["default"] = getattr(getattr(Recipe(target="eye"), part), name)
        found.append((field, _type(facts), _default(facts), meaning.rstrip(".")))
    return found


def table() -> str:
    """The rows as Markdown."""
    lines = ["| field | type | default | meaning |", "|---|---|---|---|"]
    for field, kind, default, meaning in rows():
        escaped = (text.replace("|", "\\|") for text in (kind, default, meaning))
        lines.append(f"| `{field}` | {' | '.join(escaped)} |")
    return "\n".join(lines)


def with_table(page: str) -> str:
    """The page with what stands between the marks replaced by the table."""
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def docstring_attributes(documented: type) -> dict[str, str]:
    """The `Attributes:` of a Google docstring."""
    section = (documented.__doc__ or "").partition("Attributes:\n")[2].partition("\n\n")[0]
    entries = re.findall(r"^        (\w+): (.*(?:\n {12}.*)*)", section, flags=re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}


def _fields(
    part: Mapping[str, Any], schema: Mapping[str, Any], prefix: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, facts in part["properties"].items():
        reference = facts.get("$ref")
        if reference:
            inner = schema["$defs"][reference.rsplit("/", 1)[-1]]
            yield from _fields(inner, schema, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", facts


def _type(facts: Mapping[str, Any]) -> str:
    if "anyOf" in facts:
        return " or ".join(_type(option) for option in facts["anyOf"])
    if "enum" in facts:
        return ", ".join(f"`{word}`" for word in facts["enum"])
    if "prefixItems" in facts:
        return f"[{', '.join(_type(item) for item in facts['prefixItems'])}]"
    words = {"integer": "whole number", "boolean": "true, false", "string": "text"}
    words |= {"object": "fields", "null": "`null`", "array": "list"}
    limits = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {facts[key]:g}" for key, sign in limits.items() if key in facts]
    kind = facts.get("type", "")
    return " ".join([words.get(kind, kind), ", ".join(bounds)]).strip()


def _default(facts: Mapping[str, Any]) -> str:
    if "default" not in facts:
        return "needed"
    written = yaml.safe_dump(facts["default"], default_flow_style=True, allow_unicode=True)
    return f"`{written.removesuffix('...' + chr(10)).strip()}`"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
