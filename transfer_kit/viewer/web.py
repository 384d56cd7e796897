"""The addresses of the page, and what is answered at each."""

from __future__ import annotations

import json
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import cv2
import numpy as np
from shapely.geometry import mapping
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from transfer_kit.errors import UserError
from transfer_kit.viewer.cells import Cells
from transfer_kit.viewer.comparison import Comparison
from transfer_kit.viewer.detections import Detections, Layer
from transfer_kit.viewer.guard import Guard
from transfer_kit.viewer.labelling import Labelling
from transfer_kit.viewer.open_slides import Opener
from transfer_kit.viewer.page import Page
from transfer_kit.viewer.palette import Palette
from transfer_kit.viewer.pictures import Pictures
from transfer_kit.viewer.query import hidden_in, number_in, whole_number_in, window_in
from transfer_kit.viewer.refusal import Refused
from transfer_kit.viewer.shown import Opened
from transfer_kit.viewer.tiles import TILE_PX, depth_of

MOST_BYTES = 64 * 2**20
"""Of a request's body."""

_LARGEST_PICTURE = 1024
_FOREVER = {"Cache-Control": "private, max-age=86400, immutable"}


class Site:
    """All answers; each is a method of one request.

    Args:
        opened: What the page shows.
        opener: How a file becomes a Slide.
    """

    def __init__(self, opened: Opened, opener: Opener) -> None:
        self.opened = opened
        self.pictures = Pictures(opened, opener)
        self.palette = Palette(opened.classes)
        self.detections = Detections(self.pictures)
        self.comparison = Comparison(self.pictures, self.detections)
        self.labelling = Labelling(self.pictures, self.detections, self.palette)

    def app(self, *, key: str, host: str) -> Starlette:
        """The application, all of it below `/key/`."""
        page = Page(self.opened)
        image = "/api/images/{number:int}"
        routes = [
            Route("/", page.document),
            Route("/static/{name:path}", page.static),
            Route("/api/images", self.images),
            Route("/api/classes", _with_body(self.add_class), methods=["POST"]),
            Route("/tiles/{number:int}/{level:int}/{column:int}_{row:int}.jpg", self.tile),
            Route(image, self.image),
            Route(f"{image}/counts", self.counts),
            Route(f"{image}/found", self.found),
            Route(f"{image}/found/{{column:int}}_{{row:int}}", self.found_cell),
            Route(f"{image}/known", self.known),
            Route(f"{image}/known/{{column:int}}_{{row:int}}", self.known_cell),
            Route(f"{image}/view", self.view),
            Route(f"{image}/density.png", self.density),
            Route(f"{image}/judged", self.judged),
            Route(f"{image}/labels", self.labels),
            Route(f"{image}/labels", _with_body(self.save), methods=["PUT"]),
            Route(f"{image}/accepted", _with_body(self.accepted), methods=["POST"]),
        ]
        return Starlette(
            routes=[Mount(f"/{key}", routes=routes)],
            middleware=[Middleware(Guard, host=host)],
            exception_handlers={
                Refused: _refused,
                UserError: _user_error,
                HTTPException: _not_found,
            },
        )

    def images(self, request: Request) -> Response:
        """The list."""
        names = [{"name": image.name} for image in self.opened.images]
        return JSONResponse({"title": self.opened.title, "images": names})

    def image(self, request: Request) -> Response:
        """Size and scale of an image, which is all that showing it needs."""
        number = request.path_params["number"]
        measures = self.pictures.measures(number)
        height, width = measures.size
        return JSONResponse(
            {
                "name": self.pictures.shown(number).name,
                "width": width,
                "height": height,
                "mpp": measures.mpp,
                "tile": TILE_PX,
                "depth": depth_of(measures.size),
            }
        )

    def counts(self, request: Request) -> Response:
        """How many detections and labels an image has; None where there are none."""
        number = request.path_params["number"]
        known = self.comparison.known(number)
        return JSONResponse(
            {
                "found": self.detections.count(number),
                "known": None if known is None else len(known.cells),
                "regions": 0 if known is None else len(known.annotation.labelled_regions),
            }
        )

    def tile(self, request: Request) -> Response:
        """A tile of an image."""
        data = self.pictures.tile(**request.path_params)
        return Response(data, media_type="image/jpeg", headers=_FOREVER)

    def found(self, request: Request) -> Response:
        """What there is to say of an image's detections at large; null where there are none."""
        layer = self.detections.of(request.path_params["number"])
        if layer is None:
            return JSONResponse(None)
        scores = layer.found.nuclei.scores
        return JSONResponse(
            {
                **self._layout(layer.cells),
                "lowest": float(scores.min()) if len(scores) else 0.0,
                "highest": float(scores.max()) if len(scores) else 1.0,
                "model": layer.found.model,
                "radius_um": layer.found.radius_um,
            }
        )

    def found_cell(self, request: Request) -> Response:
        """The detections of one cell, as `Cells.packed` gives them."""
        return _cell(self._layer(request).cells, request)

    def known(self, request: Request) -> Response:
        """What there is to say of what is known of an image; null where nothing is."""
        known = self.comparison.known(request.path_params["number"])
        if known is None:
            return JSONResponse(None)
        regions = [_rings(region) for region in known.annotation.labelled_regions]
        layout = {**self._layout(known.cells), "where": known.where, "version": known.version}
        return JSONResponse({**layout, "regions": regions})

    def known_cell(self, request: Request) -> Response:
        """The annotated nuclei of one cell."""
        known = self.comparison.known(request.path_params["number"])
        if known is None:
            raise Refused(404, "Nothing is known of this image.")
        return _cell(known.cells, request)

    def view(self, request: Request) -> Response:
        """How many detections of each class are in view."""
        cells = self._layer(request).cells
        shown = cells.shown(window_in(request), number_in(request, "threshold"), hidden_in(request))
        return JSONResponse({"counts": cells.counts(shown)})

    def density(self, request: Request) -> Response:
        """How dense they are, as a picture over the window."""
        layer, window, bin_px = (
            self._layer(request),
            window_in(request),
            whole_number_in(request, "bin"),
        )
        sides = (window.right - window.left, window.bottom - window.top)
        if not all(1 <= side / bin_px <= _LARGEST_PICTURE for side in sides):
            raise Refused(400, "The picture would be too large or empty.")
        shown = layer.cells.shown(window, number_in(request, "threshold"), hidden_in(request))
        level = layer.cells.density(shown, window, bin_px)
        return Response(_as_png(level), media_type="image/png")

    def judged(self, request: Request) -> Response:
        """uint32 length of the figures, these as JSON, a byte a detection, a byte a nucleus."""
        judged = self.comparison.judged(
            request.path_params["number"],
            threshold=number_in(request, "threshold"),
            radius_px=number_in(request, "radius_px"),
        )
        figures = json.dumps(judged.figures()).encode()
        states = judged.found.tobytes() + judged.truth.tobytes()
        return Response(
            struct.pack("<I", len(figures)) + figures + states,
            media_type="application/octet-stream",
        )

    def labels(self, request: Request) -> Response:
        """The labels of an image."""
        return JSONResponse(self.labelling.document(request.path_params["number"]))

    def save(self, request: Request, body: bytes) -> Response:
        """Replace the labels of an image."""
        return JSONResponse(self.labelling.save(request.path_params["number"], body))

    def accepted(self, request: Request, body: bytes) -> Response:
        """Detections as labels."""
        return JSONResponse(self.labelling.accepted(request.path_params["number"], body))

    def add_class(self, request: Request, body: bytes) -> Response:
        """A class with its colour."""
        try:
            name = json.loads(body)["name"]
        except (ValueError, KeyError, TypeError, RecursionError):
            name = ""
        return JSONResponse(self.labelling.add_class(name if isinstance(name, str) else ""))

    def _layer(self, request: Request) -> Layer:
        layer = self.detections.of(request.path_params["number"])
        if layer is None:
            raise Refused(404, "There are no detections for this image.")
        return layer

    def _layout(self, cells: Cells) -> dict[str, Any]:
        nuclei = cells.nuclei
        counts = np.bincount(nuclei.kinds, minlength=len(nuclei.classes)).tolist()
        return {
            "count": len(cells),
            "side": cells.side,
            "rows": cells.shape[0],
            "columns": cells.shape[1],
            "classes": [
                {"name": name, "colour": self.palette.css(name), "count": count}
                for name, count in zip(nuclei.classes, counts, strict=True)
            ],
        }


Endpoint = Callable[[Request], Awaitable[Response]]


def _with_body(answer: Callable[[Request, bytes], Response]) -> Endpoint:
    """Reads the body first, as far as it is not too large."""

    async def endpoint(request: Request) -> Response:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > MOST_BYTES:
                raise Refused(413, f"That is more than {MOST_BYTES // 2**20} MB at once.")
        return await run_in_threadpool(answer, request, bytes(body))

    return endpoint


async def _refused(request: Request, error: Exception) -> Response:
    status = error.status if isinstance(error, Refused) else 400
    return JSONResponse({"error": str(error)}, status)


async def _user_error(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 422)


async def _not_found(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    sentence = "There is nothing here; open the whole address that `transfer-kit view` printed."
    return JSONResponse({"error": sentence}, status)


def _cell(cells: Cells, request: Request) -> Response:
    place = request.path_params["column"], request.path_params["row"]
    if place not in cells:
        raise Refused(404, "There is no such cell.")
    return Response(cells.packed(*place), media_type="application/octet-stream")


def _rings(region: Any) -> list[Any]:
    """All rings of a polygon, or of several."""
    drawn = mapping(region)
    parts = [drawn["coordinates"]] if drawn["type"] == "Polygon" else drawn["coordinates"]
    return [ring for part in parts for ring in part]


def _as_png(level: np.ndarray[Any, Any]) -> bytes:
    """Deep blue, the denser the less transparent."""
    picture = np.zeros((*level.shape, 4), np.uint8)
    picture[..., :3] = (140, 40, 10)  # blue, green, red
    picture[..., 3] = level // 4 * 3
    return bytes(cv2.imencode(".png", picture)[1].tobytes())
