"""What a person does in the page, and waiting for what comes of it."""

from __future__ import annotations

import time

READY = 'body[data-shown="{}"]'
"""There when the image of that number is shown."""


def on_screen(page, x, y):
    """Where a place of the image is on the screen, by OpenSeadragon's own reckoning.

    It counts from the corner of the first pixel, the kit from its centre.
    """
    place = page.evaluate(
        """([x, y]) => {
            const viewer = OpenSeadragon.getViewer(document.getElementById("slide"));
            const at = viewer.viewport.imageToWindowCoordinates(new OpenSeadragon.Point(x, y));
            return [at.x, at.y];
        }""",
        [x + 0.5, y + 0.5],
    )
    return place[0], place[1]


def click(page, x, y, **options):
    page.mouse.click(*on_screen(page, x, y), **options)


def drag(page, places):
    for at, (x, y) in enumerate(places):
        page.mouse.move(*on_screen(page, x, y))
        if at == 0:
            page.mouse.down()
    page.mouse.up()


def label(page, region, nuclei):
    """Zooms in, draws a labelled region, clicks nuclei, and waits until they are saved."""
    page.keyboard.press("+")
    settle(page)
    page.keyboard.press("r")
    drag(page, region)
    page.keyboard.press("c")
    for x, y in nuclei:
        click(page, x, y)
    wait_for_text(page, "label-counts", f"{len(nuclei)} nuclei, 1 labelled region")
    wait_until_saved(page)


def wait_until_saved(page):
    wait_for_text(page, "save-state", "Saved")


def wait_for_text(page, identifier, text):
    page.wait_for_selector(f'#{identifier}:text-is("{text}")', state="attached")


def until(page, script):
    """Waits until a script in the page gives true; the page itself may evaluate none."""
    deadline = time.monotonic() + 30
    while not page.evaluate(script):
        assert time.monotonic() < deadline, script
        page.wait_for_timeout(20)


def settle(page):
    """Waits for the zoom's animation to end."""
    until(
        page,
        """() => {
            const viewport = OpenSeadragon.getViewer(document.getElementById("slide")).viewport;
            const still = viewport.getZoom(true) === viewport.getZoom();
            return still && viewport.getCenter(true).equals(viewport.getCenter());
        }""",
    )
