"""What is told of unsent records that were sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transfer_kit.wording import counted

if TYPE_CHECKING:
    from transfer_kit.tracking.unsent import Sent


def in_words(sent: Sent) -> str:
    """One line a file."""
    parts = [f"{counted(sent.n_sent, 'record')} sent"] if sent.n_sent else []
    if sent.n_unsent:
        parts.append(f"{counted(sent.n_unsent, 'record')} still unsent")
    if sent.n_refused:
        parts.append(f"{counted(sent.n_refused, 'record')} refused and kept")
    said = ", ".join(parts)
    if sent.why:
        said = f"{said} ({sent.why})" if said else sent.why
    return f"{sent.file}: {said or 'sent'}"
