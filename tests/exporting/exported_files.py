"""One tiny detector and its files, which the tests of exported files share."""

from __future__ import annotations

import pytest
from exporting.exported import SUFFIXES, skip_without, tiny_detector

from transfer_kit.exporting import export_detector


@pytest.fixture(scope="session")
def detector():
    """The one whose files the tests share; no test changes it."""
    return tiny_detector("fcrn_a")


@pytest.fixture(scope="session")
def files(detector, tmp_path_factory):
    """The file of a format and the difference that was told of it, written at the first asking."""
    folder, written = tmp_path_factory.mktemp("exported"), {}

    def file(format):
        skip_without(format)
        if format not in written:
            path = folder / f"tiny{SUFFIXES[format]}"
            written[format] = path, export_detector(detector, path)
        return written[format]

    return file
