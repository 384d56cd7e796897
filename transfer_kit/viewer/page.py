"""The page itself and its files, all of them from the package: no other machine is asked."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

import transfer_kit
from transfer_kit.viewer.refusal import Refused
from transfer_kit.viewer.shown import Opened

_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


class Page:
    """One document, and the scripts and styles by their names."""

    def __init__(self, opened: Opened) -> None:
        environment = Environment(
            loader=PackageLoader("transfer_kit.viewer", ""),
            autoescape=True,
            undefined=StrictUndefined,
        )
        self._document = environment.get_template("page.html.jinja").render(
            title=opened.title, version=transfer_kit.__version__
        )
        self._files = dict(_below(files("transfer_kit.viewer") / "static", ""))

    def document(self, request: Request) -> Response:
        """The HTML."""
        return HTMLResponse(self._document)

    def static(self, request: Request) -> Response:
        """A script or style; only what the package holds has a name here."""
        name = request.path_params["name"]
        if name not in self._files:
            raise Refused(404, "There is no such file.")
        suffix = name[name.rindex(".") :]
        return Response(self._files[name], media_type=_TYPES[suffix])


def _below(folder: Traversable, prefix: str) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for item in folder.iterdir():
        if item.is_dir():
            found += _below(item, f"{prefix}{item.name}/")
        elif item.name[item.name.rindex(".") :] in _TYPES:
            found.append((prefix + item.name, item.read_bytes()))
    return found
