"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """One fault, where it is, and how to mend it.

    Attributes:
        severity: An error ruins a training or its test; a warning deserves a look.
        code: Short name of the rule, such as `exchanged-xy`.
        file: The image, annotation or yaml that it is about.
        message: One sentence or two, with the mend.
    """

    severity: Severity
    code: str
    file: str
    message: str
