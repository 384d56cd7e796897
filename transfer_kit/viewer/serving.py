"""The server of the page, on this machine, until it is stopped."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable

import uvicorn

from transfer_kit.data.slides import open_slide
from transfer_kit.errors import UserError
from transfer_kit.viewer.open_slides import Opener
from transfer_kit.viewer.shown import Opened
from transfer_kit.viewer.web import Site


def serve(
    opened: Opened,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    opener: Opener = open_slide,
    tell: Callable[[str], None] = print,
) -> None:
    """Show `opened` until the process is interrupted.

    Args:
        opened: What the page shows.
        host: The address that is listened on.
        port: 0 takes a free one.
        opener: How a file becomes a Slide.
        tell: Is called with the page's address as soon as it answers there.

    Raises:
        UserError: the address cannot be listened on.
        KeyboardInterrupt: Ctrl-C.
    """
    key = secrets.token_urlsafe(16)
    site = Site(opened, opener)
    with _listening(host, port) as listener:
        config = uvicorn.Config(
            site.app(key=key, host=host),
            log_level="error",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        tell(address(host, listener.getsockname()[1], key))
        try:
            uvicorn.Server(config).run(sockets=[listener])
        finally:
            site.pictures.slides.close()


def address(host: str, port: int, key: str) -> str:
    """Where the page is, for a browser on this machine."""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared only
    return f"http://{f'[{name}]' if ':' in name else name}:{port}/{key}/"


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except socket.gaierror:
        listener.close()
        raise UserError(f"There is no host {host!r}; use --host 127.0.0.1.") from None
    except OSError as error:
        listener.close()
        raise UserError(
            f"Port {port} on {host} cannot be used ({error.strerror}); leave --port out, which "
            "takes a free one."
        ) from None
    return listener
