"""From an empty folder to an adapted detector: labelled in the page, then `finetune`."""

from __future__ import annotations

import numpy as np
import pytest
from laboratory import BASE, SHORT, transfer_kit
from PIL import Image
from toy import toy_image
from viewer.browsing import READY, label

from transfer_kit.viewer.opening import open_places

pytest_plugins = ["lab_fixtures"]

MPP, SIDE, NAMES = 0.5, 160, "abc"


@pytest.fixture
def tissue(lab):
    """Images of three cases without a label, and where five nuclei of each are."""
    folder, nuclei = lab / "my-eye", []
    (folder / "images").mkdir(parents=True)
    for number, name in enumerate(NAMES):
        image, points = toy_image(number, SIDE, 40)
        Image.fromarray(image).save(folder / "images" / f"{name}.png", dpi=(25_400 / MPP,) * 2)
        inside = (np.abs(points - SIDE / 2) < 36).all(axis=1)  # in view also from near
        nuclei.append(points[inside][:5].tolist())
    return folder, nuclei


def test_a_detector_is_adapted_to_what_was_labelled_in_the_page(tissue, served, new_page):
    folder, nuclei = tissue
    page = new_page(served(open_places([str(folder)])))
    for number, points in enumerate(nuclei):
        page.wait_for_selector(READY.format(number))
        label(page, [(40, 40), (60, 80), (120, 120)], points)
        page.keyboard.press("n")
    about = ("--organ", "eye", "--stain", "H&E", "--licence", "private")
    assert "Labels: 15 by a person." in transfer_kit("data", "add", folder, *about).out
    words = ("finetune", "--base", BASE, "--target", folder, *SHORT)
    document = transfer_kit(*words, "--json").json
    assert (document["n_train_images"], document["n_train_nuclei"]) == (2, 10)
    tested = document["finetuned"]["test"]
    assert (tested["n_images"], tested["n_nuclei"]) == (1, 5)
    assert np.isfinite(tested["f1"])
