"""The page in a real browser: what a person does with it, and what then lies on the disk."""

from __future__ import annotations

import numpy as np
import shapely
from dataset_folders import write_card
from viewer.array_slide import ArraySlide, smooth_pixels
from viewer.browsing import (
    READY,
    click,
    drag,
    label,
    settle,
    until,
    wait_for_text,
    wait_until_saved,
)

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.dataset import Dataset
from transfer_kit.data.formats import FORMATS, ImageInfo, write_geojson
from transfer_kit.viewer.label_file import LabelFile
from transfer_kit.viewer.shown import Opened, Shown

NUCLEI = [(110, 90), (160.4, 110), (200, 150.6), (130, 200), (250, 190)]


def test_five_nuclei_in_a_region_are_labelled_saved_and_read_as_a_dataset(client, folder, new_page):
    page = new_page(client)
    label(page, [(90, 70), (150, 120), (280, 220)], NUCLEI)

    path, image = folder / "annotations" / "a.geojson", ImageInfo.of(folder / "images" / "a.png")
    annotation = FORMATS["geojson"].read((path,), image)
    np.testing.assert_allclose(annotation.points, NUCLEI, atol=1)
    (region,) = annotation.labelled_regions
    np.testing.assert_allclose(region.bounds, (90, 70, 280, 220), atol=1)
    assert {properties["origin"] for properties in annotation.properties} == {"person"}

    page.keyboard.press("z")
    wait_for_text(page, "label-counts", "4 nuclei, 1 labelled region")
    wait_until_saved(page)
    assert len(FORMATS["geojson"].read((path,), image)) == 4
    page.keyboard.press("Shift+Z")
    wait_until_saved(page)

    page.reload()
    page.wait_for_selector(READY.format(0))
    wait_for_text(page, "label-counts", "5 nuclei, 1 labelled region")
    page.keyboard.press("n")
    page.wait_for_selector(READY.format(1))
    assert page.text_content("#image-name") == "b.png"
    wait_for_text(page, "label-counts", "2 nuclei, 0 labelled regions")

    write_card(folder, name="mine")
    sample = Dataset.open(folder)[0]
    assert sample.id == "a"
    assert len(sample.annotation()) == 5
    assert len(sample.annotation().labelled_regions) == 1


def test_nuclei_are_moved_renamed_and_removed_and_areas_drawn_and_deleted(client, folder, new_page):
    page = new_page(client)
    page.keyboard.press("n")
    page.wait_for_selector(READY.format(1))
    page.keyboard.press("c")
    drag(page, [(110, 120), (90, 80), (60, 100)])
    page.fill("#new-class", "mitosis")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=mitosis")
    page.click("#stage button[aria-label^='Nuclei']")
    page.keyboard.down("Shift")
    click(page, 230.5, 140.25)
    page.keyboard.up("Shift")
    click(page, 200, 200)
    click(page, 220, 200)
    click(page, 220, 200)

    page.fill("#area-name", "stroma")
    page.click("#stage button[aria-label^='Outline']")
    for x, y in [(100, 100), (180, 110), (150, 170)]:
        click(page, x, y)
    page.keyboard.press("Enter")
    page.check("input[name=area][value=labelled]")
    drag(page, [(250, 100), (350, 100), (350, 200), (250, 200)])
    page.keyboard.press("Delete")
    wait_until_saved(page)

    image = ImageInfo.of(folder / "images" / "b.png")
    labels = FORMATS["geojson"].read((folder / "annotations" / "b.geojson",), image)
    np.testing.assert_allclose(labels.points, [(60, 100), (230.5, 140.25), (200, 200)], atol=1)
    assert labels.points[1].tolist() == [230.5, 140.25]
    assert labels.classes == ("tumour", "mitosis", "mitosis")
    assert labels.labelled_regions == ()
    ((name, area),) = labels.region_labels
    assert name == "stroma"
    expected = shapely.Polygon([(100, 100), (180, 110), (150, 170)])
    assert area.symmetric_difference(expected).area < 0.05 * expected.area


def test_the_threshold_and_the_radius_change_what_is_right(client, folder, new_page):
    write_geojson(folder / "annotations" / "a.geojson", Annotation.of_points([[51, 61], [200, 90]]))
    page = new_page(client)
    wait_for_text(page, "in-view", "3")
    wait_for_text(page, "n-true", "1")
    assert [page.text_content(f"#{name}") for name in ("n-false", "n-missed")] == ["2", "1"]
    assert page.text_content("#f1") == "0.400"
    page.fill("#threshold", "0.5")
    wait_for_text(page, "in-view", "2")
    wait_for_text(page, "f1", "0.500")
    page.fill("#radius", "0.5")
    wait_for_text(page, "n-true", "1")
    page.uncheck("#detection-classes li:first-child input")
    wait_for_text(page, "in-view", "0")
    for key, box in (("d", "#show-detections"), ("t", "#show-comparison"), ("l", "#show-labels")):
        page.keyboard.press(key)
        assert not page.is_checked(box)
    page.keyboard.press("?")
    assert page.is_visible("#help")


def test_detections_are_taken_as_labels_and_corrected(client, folder, new_page):
    page = new_page(client)
    wait_for_text(page, "in-view", "3")
    page.fill("#threshold", "0.5")
    page.keyboard.press("r")
    drag(page, [(30, 40), (200, 100), (370, 290)])
    page.click("#accept")
    wait_for_text(page, "label-counts", "2 nuclei, 1 labelled region")
    page.click("#accept")  # those that are there are not added again
    page.wait_for_selector("text=0 of 2 detections are labels now")
    page.keyboard.press("c")
    drag(page, [(300, 200), (320, 200), (330, 210)])
    wait_until_saved(page)
    image = ImageInfo.of(folder / "images" / "a.png")
    labels = FORMATS["geojson"].read((folder / "annotations" / "a.geojson",), image)
    np.testing.assert_allclose(labels.points, [(50, 60), (330, 210)], atol=1)
    assert [properties["origin"] for properties in labels.properties] == ["model", "corrected"]


def test_two_tabs_do_not_overwrite_each_other(client, folder, new_page):
    first, second = new_page(client), new_page(client)
    for page, place in ((first, (50, 50)), (second, (100, 100))):
        page.keyboard.press("c")
        click(page, *place)
        if page is first:
            wait_until_saved(page)
    second.wait_for_selector("#conflict:not([hidden])")
    assert "was changed elsewhere" in second.text_content("#conflict")
    second.click("#load-theirs")
    wait_for_text(second, "label-counts", "1 nucleus, 0 labelled regions")
    click(second, 100, 100)
    wait_until_saved(second)
    image = ImageInfo.of(folder / "images" / "a.png")
    labels = FORMATS["geojson"].read((folder / "annotations" / "a.geojson",), image)
    np.testing.assert_allclose(labels.points, [(50, 50), (100, 100)], atol=1)


def test_it_fits_on_a_telephone(client, new_page):
    page = new_page(client, width=390, height=844)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.is_visible("#slide canvas")
    page.click("#next")
    page.wait_for_selector(READY.format(1))


def test_a_large_slide_with_many_nuclei_shows_their_density_first(served, tmp_path, new_page):
    points = np.random.default_rng(0).uniform(0, 1199, (30_000, 2)).astype(np.float32)
    found = tmp_path / "a.csv"
    np.savetxt(found, points, "%.2f", ",", header="x,y", comments="")
    shown = Shown("a.svs", tmp_path / "a.svs", LabelFile(tmp_path / "a.geojson"), found=found)
    slide = ArraySlide(smooth_pixels(1200, 1200), (1, 4))
    page = new_page(served(Opened("a", (shown,)), lambda path: slide))
    wait_for_text(page, "in-view", "30,000")
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    for _ in range(4):
        page.keyboard.press("+")
        settle(page)
    until(page, "Number(document.getElementById('in-view').textContent.replace(',', '')) < 2000")
    page.wait_for_timeout(300)
    cells = [url for url in asked if "/found/" in url]
    assert 0 < len(cells) < 20
