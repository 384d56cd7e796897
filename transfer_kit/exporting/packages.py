"""Packages that only some formats need."""

from __future__ import annotations

import importlib.util

from transfer_kit.errors import UserError


def require(*packages: str, extra: str, what: str) -> None:
    """Raise a UserError that names the extra, where one of `packages` is not installed."""
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise UserError(
                f"{what} needs {package}; install it with pip install 'transfer-kit[{extra}]'."
            )
