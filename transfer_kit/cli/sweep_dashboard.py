"""Optuna's dashboard of a sweep, on this machine alone."""

from __future__ import annotations

from socketserver import ThreadingMixIn
from threading import Thread
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from transfer_kit.errors import UserError
from transfer_kit.sweeps.place import Place

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication


def serve_dashboard(place: Place, port: int) -> None:
    """Optuna's dashboard of a sweep on this machine alone, until Ctrl-C."""
    try:
        from optuna_dashboard import wsgi
    except ImportError:
        raise UserError(
            "The dashboard needs the package optuna-dashboard; install it with "
            "pip install 'transfer-kit[sweeps]'."
        ) from None
    from transfer_kit.sweeps.opened import open_sweep
    from transfer_kit.tracking.server import check_port

    opened = open_sweep(place)
    check_port("127.0.0.1", port)
    print(f"http://127.0.0.1:{port}/dashboard", flush=True)
    _serve(wsgi(opened.storage), port)


def _serve(application: WSGIApplication, port: int) -> None:
    """Answer on the loopback until Ctrl-C, which a request that is being answered must not eat."""
    with make_server("127.0.0.1", port, application, _Server, _Silent) as server:
        serving = Thread(target=server.serve_forever, name="dashboard", daemon=True)
        serving.start()
        try:
            while serving.is_alive():
                serving.join(1)
        except KeyboardInterrupt:
            server.shutdown()
    print("Stopped.")


class _Server(ThreadingMixIn, WSGIServer):
    """Answers several requests at a time, as a page asks for them."""

    daemon_threads = True


class _Silent(WSGIRequestHandler):
    """Prints no line a request."""

    def log_message(self, format: str, *values: object) -> None:
        """Nothing."""
