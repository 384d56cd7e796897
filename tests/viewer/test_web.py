from __future__ import annotations

import io
import json
import struct

import numpy as np
import pytest
import shapely
from PIL import Image
from shapely.geometry import mapping

from transfer_kit.data.annotation import Annotation
from transfer_kit.data.formats import FORMATS, ImageInfo, write_geojson
from transfer_kit.data.images import read_image
from transfer_kit.data.nuclei import Nuclei
from transfer_kit.evaluation import Evaluated, evaluate
from transfer_kit.viewer.opening import open_places
from transfer_kit.viewer.web import MOST_BYTES

AREA = dict(mapping(shapely.box(40, 50, 100, 100)))


def test_the_page_needs_nothing_from_elsewhere(client):
    page = client.ask("")
    assert page.status == 200
    assert page.headers["Content-Type"].startswith("text/html")
    text = page.body.decode()
    assert "http://" not in text
    assert "https://" not in text
    scripts = client.ask("static/main.js")
    assert scripts.headers["Content-Type"].startswith("text/javascript")
    assert client.ask("static/openseadragon/openseadragon.min.js").body.startswith(
        b"//! openseadragon"
    )


def test_each_script_imports_only_scripts_that_are_there(client):
    waiting, seen = ["main.js"], set()
    while waiting:
        name = waiting.pop()
        seen.add(name)
        answer = client.ask(f"static/{name}")
        assert answer.status == 200, name
        for line in answer.body.decode().splitlines():
            if line.startswith(("import", "} from")) and " from " in line:
                other = line.split('"')[1].removeprefix("./")
                if other not in seen:
                    waiting.append(other)
    assert len(seen) > 15


def test_the_list_has_counts(client):
    assert [image["name"] for image in client.ask("api/images").json["images"]] == [
        "a.png",
        "b.png",
    ]
    assert client.ask("api/images/0/counts").json == {"found": 3, "known": None, "regions": 0}
    assert client.ask("api/images/1/counts").json == {"found": None, "known": 2, "regions": 0}


def test_tiles_are_the_pixels_of_the_image(client, folder):
    facts = client.ask("api/images/0").json
    assert (facts["width"], facts["height"], facts["tile"]) == (400, 300, 512)
    assert facts["mpp"] == pytest.approx(0.25, rel=1e-4)
    answer = client.ask(f"tiles/0/{facts['depth']}/0_0.jpg")
    assert answer.headers["Content-Type"] == "image/jpeg"
    sent = np.asarray(Image.open(io.BytesIO(answer.body))).astype(int)
    assert np.abs(sent - read_image(folder / "images" / "a.png")).max() < 12


@pytest.mark.parametrize(
    "path",
    [
        "tiles/0/9/1_0.jpg",
        "tiles/0/9/0_7.jpg",
        "tiles/0/10/0_0.jpg",
        "tiles/0/-1/0_0.jpg",
        "tiles/2/9/0_0.jpg",
        "tiles/99999999999999999999/9/0_0.jpg",
        "tiles/0/9/0_0.png",
        "api/images/2",
        "api/images/2/labels",
        "api/images/0/found/9_9",
        "api/images/1/found/0_0",
        "api/images/0/known/0_0",
        "api/images/0/judged?threshold=0&radius_px=8",
        "api/nothing",
        "static/nothing.js",
    ],
)
def test_what_is_not_there_is_not_found(client, path):
    answer = client.ask(path)
    assert answer.status == 404
    assert len(answer.error) > 10


@pytest.mark.parametrize(
    "path",
    [
        "static/../web.py",
        "static/%2e%2e/web.py",
        "static/..%2fweb.py",
        "static//etc/passwd",
        "static/%2fetc%2fpasswd",
        "tiles/..%2f..%2fetc/9/0_0.jpg",
        "tiles//etc/passwd/0_0.jpg",
        "api/images/%2fetc%2fpasswd",
        "api/images/..%5c..%5csecret",
        "api/images/0/../../../../../../etc/passwd",
        "static/openseadragon/LICENSE.txt%00.js",
    ],
)
def test_no_path_leads_out_of_the_list(client, path):
    answer = client.ask(path)
    assert answer.status == 404
    assert b"root:" not in answer.body


@pytest.mark.parametrize("method", ["DELETE", "POST", "PATCH", "OPTIONS"])
def test_other_methods_are_refused(client, method):
    assert client.ask("api/images/0/labels", method, {}).status == 405


def test_counts_and_density_in_view(client):
    query = "left=0&top=0&right=400&bottom=300&threshold=0.5"
    assert client.ask(f"api/images/0/view?{query}").json == {"counts": [2, 0]}
    assert client.ask(f"api/images/0/view?{query}&hidden=0").json == {"counts": [0, 0]}
    answer = client.ask(f"api/images/0/density.png?{query}&bin=100")
    picture = np.asarray(Image.open(io.BytesIO(answer.body)))
    assert picture.shape == (3, 4, 4)
    assert np.argwhere(picture[..., 3]).tolist() == [[0, 0], [2, 3]]


@pytest.mark.parametrize(
    "query",
    [
        "left=0&top=0&right=400&bottom=300",
        "left=a&top=0&right=400&bottom=300&threshold=0",
        "left=nan&top=0&right=400&bottom=300&threshold=0",
        "left=0&top=0&right=inf&bottom=300&threshold=0",
        "left=0&top=0&right=400&bottom=300&threshold=0&hidden=a",
        "left=0&top=0&right=400&bottom=300&threshold=0&bin=0",
        "left=0&top=0&right=400&bottom=300&threshold=0&bin=1.5",
        "left=0&top=0&right=40000&bottom=30000&threshold=0&bin=1",
        "left=9&top=0&right=0&bottom=300&threshold=0&bin=1",
    ],
)
def test_queries_without_sense_are_refused(client, query):
    answer = client.ask(f"api/images/0/density.png?{query}")
    assert answer.status == 400
    assert answer.error.endswith(".")


def test_the_judgement_is_that_of_evaluate(client, folder):
    truth = Annotation.of_points([[51, 61], [200, 200]])
    write_geojson(folder / "annotations" / "a.geojson", truth)
    body = client.ask("api/images/0/judged?threshold=0.5&radius_px=8").body
    (length,) = struct.unpack_from("<I", body)
    figures = json.loads(body[4 : 4 + length])
    points = np.array([[50, 60], [300, 200]])
    nuclei = Nuclei(points, np.array([0.9, 0.6]), ("", ""))
    scores = evaluate(
        [Evaluated("a", "a", 0.25, (300, 400), truth, nuclei)], radius_um=2, threshold=0.5
    )
    assert (figures["n_true"], figures["n_false"], figures["n_missed"]) == (1, 1, 1)
    assert figures["f1"] == pytest.approx(scores.f1)
    assert figures["precision"] == pytest.approx(scores.precision)
    assert body[4 + length :] == bytes([1, 0, 2, 1, 3])


def test_labels_are_saved_and_read_by_the_formats_reader(client, folder):
    before = client.ask("api/images/0/labels").json
    assert (before["nuclei"], before["regions"], before["version"]) == ([], [], "nothing")
    nucleus = {"x": 10.25, "y": 20.5, "name": "tumour", "properties": {"origin": "person"}}
    document = {"nuclei": [nucleus], "regions": [{"name": None, "outline": AREA}]}
    saved = client.ask("api/images/0/labels", "PUT", {"version": "nothing", **document})
    assert saved.status == 200
    path = folder / "annotations" / "a.geojson"
    image = ImageInfo.of(folder / "images" / "a.png")
    annotation = FORMATS["geojson"].read((path,), image)
    assert annotation.points.tolist() == [[10.25, 20.5]]
    assert annotation.classes == ("tumour",)
    assert annotation.properties[0]["origin"] == "person"
    assert annotation.labelled_regions[0].equals(shapely.box(40, 50, 100, 100))
    after = client.ask("api/images/0/labels").json
    assert after["version"] == saved.json["version"]
    assert after["nuclei"][0]["x"] == 10.25
    assert after["regions"][0]["name"] is None


def test_a_second_tab_does_not_overwrite_the_first(client, folder):
    version = client.ask("api/images/1/labels").json["version"]
    document = {"version": version, "nuclei": [{"x": 1, "y": 2}], "regions": []}
    assert client.ask("api/images/1/labels", "PUT", document).status == 200
    second = client.ask("api/images/1/labels", "PUT", {**document, "nuclei": []})
    assert (second.status, second.error) == (
        409,
        "b.geojson was changed elsewhere since it was read here.",
    )
    assert len(client.ask("api/images/1/labels").json["nuclei"]) == 1


@pytest.mark.parametrize("body", [b"", b"{", b"null", b'{"version": 7}', b"\x00\xff"])
def test_bad_json_is_refused_and_changes_nothing(client, folder, body):
    path = folder / "annotations" / "b.geojson"
    before = path.read_bytes()
    for address in ("api/images/1/labels", "api/images/0/accepted", "api/classes"):
        method = "PUT" if address.endswith("labels") else "POST"
        answer = client.ask(address, method, body)
        assert answer.status == 400
        assert answer.error.endswith(".")
    assert path.read_bytes() == before


def test_a_vast_body_is_refused(client):
    answer = client.ask("api/images/1/labels", "PUT", b" " * (MOST_BYTES + 1))
    assert (answer.status, answer.error) == (413, "That is more than 64 MB at once.")


def test_detections_in_an_area_become_labels_that_name_their_model(client):
    wanted = {"outline": AREA, "threshold": 0.5}
    (nucleus,) = client.ask("api/images/0/accepted", "POST", wanted).json
    assert (nucleus["x"], nucleus["y"], nucleus["name"]) == (50, 60, "tumour")
    assert nucleus["properties"]["origin"] == "model"
    assert nucleus["properties"]["measurements"]["Detection score"] == pytest.approx(0.9)
    wanted = {"outline": AREA, "threshold": 0, "hidden": [0]}
    (nucleus,) = client.ask("api/images/0/accepted", "POST", wanted).json
    assert nucleus["name"] == "stroma"
    assert client.ask("api/images/1/accepted", "POST", wanted).status == 404


def test_a_class_is_added_with_a_colour_of_its_own(client):
    one = client.ask("api/classes", "POST", {"name": " mitosis "}).json
    other = client.ask("api/classes", "POST", {"name": "lymphocyte"}).json
    assert one["name"] == "mitosis"
    assert one["colour"] != other["colour"]
    for name in ("", "Region: x", "labelled region", "n" * 101, 7):
        assert client.ask("api/classes", "POST", {"name": name}).status == 400


def test_what_cannot_be_read_is_told_in_its_sentence(folder, served):
    (folder / "images" / "a.png").write_bytes(b"no image")
    (folder / "annotations" / "b.geojson").write_text('{"type":')
    (folder.parent / "found" / "a.geojson").write_text("[")
    client = served(open_places([str(folder)], nuclei=folder.parent / "found"))
    for path in ("api/images/0", "tiles/0/0/0_0.jpg", "api/images/1/labels", "api/images/1/known"):
        answer = client.ask(path)
        assert answer.status == 422
        assert "lab/" in answer.error


def test_labels_that_are_not_ours_are_shown_and_refused(folder, served):
    (folder / "annotations").chmod(0o555)
    try:
        client = served(open_places([str(folder)]))
        said = client.ask("api/images/1/labels").json
        assert "cannot be written" in said["read_only"]
        document = {"version": said["version"], "nuclei": [], "regions": []}
        assert client.ask("api/images/1/labels", "PUT", document).status == 403
    finally:
        (folder / "annotations").chmod(0o755)


def test_regions_are_cut_out_as_they_are_saved(folder, served, tmp_path):
    client = served(open_places([str(folder)], label=tmp_path / "set"))
    version = client.ask("api/images/1/labels").json["version"]
    assert version != "nothing"
    document = {"version": version, "nuclei": [], "regions": [{"name": None, "outline": AREA}]}
    assert client.ask("api/images/1/labels", "PUT", document).json["cut"] == 1
    (image,) = (tmp_path / "set" / "images").iterdir()
    version = client.ask("api/images/1/labels").json["version"]
    vast = dict(mapping(shapely.box(0, 0, 9000, 20)))
    document = {"version": version, "nuclei": [], "regions": [{"name": None, "outline": vast}]}
    answer = client.ask("api/images/1/labels", "PUT", document)
    assert answer.status == 200
    assert "more than the 8,192 px" in answer.json["fault"]
    assert answer.json["version"] == client.ask("api/images/1/labels").json["version"]
    assert image.name == "b_x0_y0_165x165.png"
    assert (folder / "annotations" / "b.geojson").is_file()
