"""What a check answers, and running Python code that may crash."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Status = Literal["ok", "warning", "failed"]

PROBE_SECONDS = 180

_VERSIONS_FIRST = """
import importlib.metadata, json, sys
sys.path[:] = [place for place in sys.path if place]  # not the files of the working folder
def version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
print(json.dumps({name: version(name) for name in json.loads(sys.argv[1])}), flush=True)
"""


@dataclass(frozen=True)
class Check:
    """What one check found.

    Attributes:
        name: What was looked at.
        status: ok; warning: works, with a drawback; failed: something will not run.
        message: What was seen.
        mend: What to do, a command where there is one; empty where all is well.
    """

    name: str
    status: Status
    message: str
    mend: str = ""

    def as_dict(self) -> dict[str, str]:
        """For `--json`."""
        return asdict(self)


@dataclass(frozen=True)
class Probe:
    """What Python code in a process of its own told.

    Attributes:
        versions: Installed version of each distribution asked for; None where it is not installed.
        facts: What the code printed as JSON; None where it failed.
        error: The last line of its error; empty where it ran.
    """

    versions: dict[str, str | None]
    facts: dict[str, Any] | None
    error: str = ""

    def named(self, distribution: str) -> str:
        """The distribution and its version."""
        return f"{distribution} {self.versions.get(distribution) or '(not installed)'}"


def probe(code: str, distributions: Sequence[str]) -> Probe:
    """Run code that prints its facts as one line of JSON; whatever it does, this returns."""
    command = [sys.executable, "-c", _VERSIONS_FIRST + code, json.dumps(list(distributions))]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and code
            command, capture_output=True, text=True, timeout=PROBE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return Probe({}, None, f"no answer within {PROBE_SECONDS} s")
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    versions = json.loads(lines[0]) if lines else {}
    if done.returncode == 0 and len(lines) > 1:
        return Probe(versions, json.loads(lines[-1]))
    return Probe(versions, None, _error(done))


def _error(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode < 0:
        return f"the process was ended by {signal.Signals(-done.returncode).name}"
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return lines[-1][:300] if lines else f"exit code {done.returncode}"
