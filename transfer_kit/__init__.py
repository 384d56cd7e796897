"""transfer-kit: adapt a nucleus detector to a new organ with few labels, honestly measured."""

from __future__ import annotations

__version__ = "0.1.0"
