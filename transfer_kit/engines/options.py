"""What of a cluster a task may use, as the command line says it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from transfer_kit.errors import UserError, nearest_hint


@dataclass(frozen=True)
class RayOptions:
    """Of `--engine ray`.

    Attributes:
        address: Of a running cluster, `host:6379` or `ray://host:10001`; auto finds the one of this
            machine.
        cpus: That each task gets.
        gpus: That each task gets; None is one where the cluster has any.
        tries: After the loss of a task's machine, until it counts as failed.
    """

    address: str = "auto"
    cpus: float = 1
    gpus: float | None = None
    tries: int = 3


@dataclass(frozen=True)
class SlurmOptions:
    """Of `--engine slurm`.

    Attributes:
        minutes: After which Slurm ends a task; begun again, it goes on where it was.
        partition: Of the cluster; its default where none is named.
        account: Whom it is charged to; the user's default where none is named.
        cpus: That each task gets.
        gpus: That each task gets.
        memory_gb: That each task gets.
        look_every: Seconds between looks at what has ended.
        array: Tasks submitted together; no more than the cluster's MaxArraySize less one.
    """

    minutes: int = 240
    partition: str | None = None
    account: str | None = None
    cpus: int = 1
    gpus: int = 0
    memory_gb: int | None = None
    look_every: float = 5.0
    array: int = 1000


KINDS: dict[str, type] = {"ray": RayOptions, "slurm": SlurmOptions}


def options_of(engine: str, settings: Sequence[str]) -> RayOptions | SlurmOptions | None:
    """The options of an engine from `name=value`; none for `local`, which has none.

    Raises:
        UserError: the engine or a name is not known, or a value is none of its type.
    """
    if engine == "local":
        if settings:
            raise UserError(
                f"--engine-set {settings[0]} is for --engine ray or slurm; leave it out, or name "
                "one of them."
            )
        return None
    if engine not in KINDS:
        raise UserError(f"There is no engine {engine!r}. {nearest_hint(engine, ['local', *KINDS])}")
    kind = KINDS[engine]
    known = {each.name: str(each.type) for each in fields(kind)}
    values: dict[str, object] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or name not in known:
            raise UserError(
                f"--engine-set {setting}: {engine} knows {', '.join(known)}, each as name=value."
            )
        values[name] = _value(setting, text, known[name])
    made: RayOptions | SlurmOptions = kind(**values)
    return made


def _value(setting: str, text: str, wanted: str) -> object:
    number = {"int": int, "float": float}.get(wanted.split(" ")[0])
    if number is None:
        return text
    try:
        value = number(text)
    except ValueError:
        raise UserError(f"--engine-set {setting}: {text!r} is no number; give one.") from None
    if not 0 <= value < float("inf"):
        raise UserError(f"--engine-set {setting}: {text} is out of range; give 0 or more.")
    return value
