"""Slides in memory, a folder to label, the page served to a test, and a browser to open it in."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import uvicorn
from PIL import Image
from viewer.array_slide import smooth_pixels
from viewer.browsing import READY

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.formats import write_geojson
from transfer_kit.data.slides import open_slide
from transfer_kit.viewer.opening import open_places
from transfer_kit.viewer.web import Site

KEY = "the-key"
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        return self.json["error"]


class Client:
    """Asks the page that is served at a port, as a browser or an attacker would."""

    def __init__(self, port):
        self.port = port
        self.page = f"http://127.0.0.1:{port}/{KEY}/"

    def ask(self, path, method="GET", body=None, headers=None, key=KEY):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        own = {"Content-Type": "application/json"} if body is not None else {}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        try:
            connection.request(method, f"/{key}/{path}", body, {**own, **(headers or {})})
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()


@pytest.fixture
def served():
    """`served(opened)` starts the page and gives back a Client; all end with the test."""
    running = []

    def start(opened, opener=open_slide, host="127.0.0.1"):
        listener = socket.create_server(("127.0.0.1", 0))
        site = Site(opened, opener)
        config = uvicorn.Config(site.app(key=KEY, host=host), log_level="error", lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        running.append((server, thread, listener))
        return Client(listener.getsockname()[1])

    yield start
    for server, thread, listener in running:
        server.should_exit = True
        thread.join(20)
        listener.close()


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two images in images/, the second with annotations; and detections of the first in found/."""
    place = tmp_path / "lab"
    (place / "images").mkdir(parents=True)
    for number, name in enumerate("ab"):
        pixels = Image.fromarray(smooth_pixels(300, 400, number))
        pixels.save(place / "images" / f"{name}.png", dpi=(25_400 / 0.25,) * 2)
    known = Annotation(np.array([[110, 120], [230.5, 140.25]], np.float32), ("tumour", ""))
    write_geojson(place / "annotations" / "b.geojson", known)
    points = np.array([[50, 60], [52, 60], [300, 200]], np.float32)
    found = Annotation(points, ("tumour", "stroma", "tumour"))
    write_geojson(tmp_path / "found" / "a.geojson", found, scores=[0.9, 0.4, 0.6])
    return place


@pytest.fixture
def client(folder, served) -> Client:
    """The page on `folder`."""
    return served(open_places([str(folder)], nuclei=folder.parent / "found"))


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM:
        pytest.skip("there is no Chromium or Chrome on this machine")
    with sync_api.sync_playwright() as started:
        opened = started.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield opened
        opened.close()


@pytest.fixture
def new_page(browser):
    """Opens pages, and ends in a fault if one had any, or asked another machine."""
    pages, faults = [], []

    def opened(client, width=1280, height=800):
        page = browser.new_page(viewport={"width": width, "height": height})
        pages.append(page)
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on(
            "console",
            lambda said: faults.append(said.text) if said.type == "error" else None,
        )
        page.on(
            "request",
            lambda asked: (
                None
                if asked.url.startswith((f"http://127.0.0.1:{client.port}/", "blob:", "data:"))
                else faults.append(asked.url)
            ),
        )
        page.goto(client.page)
        page.wait_for_selector(READY.format(0))
        return page

    yield opened
    for page in pages:
        page.close()
    assert [fault for fault in faults if "409" not in fault] == []
