"""YAML that people write: where each field stands, and what is wrong with it, all at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from transfer_kit.errors import UserError, nearest_hint

Location = tuple[str | int, ...]


def parse_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, safely loaded.

    Raises:
        UserError: the file is missing, unreadable, no YAML, or holds something else.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; check the path.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error}); is it a text file?") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "bad syntax"
        raise UserError(f"{path}{where} is not valid YAML: {problem}; mend that line.") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise UserError(
            f"{path} holds a {type(document).__name__}, not fields; write 'name: value' lines."
        )
    return document


def line_of(path: Path) -> dict[Location, int]:
    """The line, counted from 1, on which each field of a YAML file stands."""
    lines: dict[Location, int] = {}

    def walk(node: yaml.Node | None, at: Location) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                here = (*at, str(key.value))
                lines[here] = key.start_mark.line + 1
                walk(value, here)
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                lines[(*at, index)] = value.start_mark.line + 1
                walk(value, (*at, index))

    walk(yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader), ())
    return lines


def explain_faults(
    error: ValidationError,
    model: type[BaseModel],
    path: Path | None,
    lines: Mapping[Location, int],
) -> str:
    """All faults that `model` found, with file, line and the nearest valid word of each."""
    faults = [_explain(dict(fault), model, lines) for fault in error.errors()]
    where = f"{path}" if path else f"The {model.__name__.lower()}"
    if len(faults) == 1:
        return f"{where}: {faults[0]}"
    listed = "; ".join(fault.rstrip(".") for fault in faults)
    return f"{where} has {len(faults)} faults: {listed}."


def _explain(
    fault: Mapping[str, Any], model: type[BaseModel], lines: Mapping[Location, int]
) -> str:
    at: Location = tuple(fault["loc"])
    name = ".".join(str(part) for part in at)
    line = f"line {lines[at]}: " if at in lines else ""
    if fault["type"] == "extra_forbidden":
        return f"{line}there is no field {name!r}. {nearest_hint(str(at[-1]), _fields(model, at))}"
    if fault["type"] == "missing":
        return f"{name} is missing; add it."
    message = str(fault["msg"]).removeprefix("Value error, ")
    wanted = message[0].lower() + message[1:]
    return f"{line}{name}: {wanted}, but got {fault['input']!r}."


def _fields(model: type[BaseModel], at: Location) -> list[str]:
    """Names that are valid beside the unknown one at `at`."""
    for part in at[:-1]:
        field = model.model_fields.get(str(part))
        inner = getattr(field, "annotation", None)
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return list(model.model_fields)
