from __future__ import annotations

import base64
import io
import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from mlflow.exceptions import MlflowException
from PIL import Image

from transfer_kit.data.nuclei import Nuclei
from transfer_kit.errors import UserError
from transfer_kit.served_model import COLUMNS, ServedDetector
from transfer_kit.tracking.operations import DetectorFile
from transfer_kit.tracking.sender import Sender

pytest_plugins = ["mlflow_stores"]


class BrightPixels:
    """A detector whose nuclei are the pixels of value 255 in the red channel."""

    card = types.SimpleNamespace(mpp=0.5)

    def __init__(self, path=None):
        self.path = path
        self.asked = []

    @classmethod
    def load(cls, path):
        return cls(Path(path))

    def predict(self, image, mpp, *, threshold=None):
        assert image.dtype == np.uint8
        self.asked.append((image.shape, mpp, threshold))
        rows, columns = np.nonzero(image[..., 0] == 255)
        points = np.stack([columns, rows], 1).astype(np.float32)
        return Nuclei(points, np.full(len(points), 0.9), ("nucleus",) * len(points))


def picture(*points):
    image = np.zeros((8, 12, 3), np.uint8)
    for x, y in points:
        image[y, x, 0] = 255
    return image


def as_png(image):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def as_bmp(image):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "BMP")
    return base64.b64encode(stream.getvalue()).decode()


def rows(table):
    return [tuple(row) for row in table[["image", "x", "y"]].to_numpy().tolist()]


def test_arrays_and_png_give_the_same_nuclei():
    images = [picture((3, 5)), picture((1, 2), (11, 7))]
    expected = [(0, 3, 5), (1, 1, 2), (1, 11, 7)]
    served = ServedDetector(BrightPixels())
    params = {"mpp": 0.25, "threshold": None}
    for given in (np.stack(images), np.stack(images).tolist(), [as_png(each) for each in images]):
        table = served.predict(given, params)
        assert list(table.columns) == COLUMNS
        assert rows(table) == expected
        assert set(table["class"]) == {"nucleus"}
    assert rows(served.predict(images[0], params)) == [(0, 3, 5)]


def test_a_table_with_an_image_column_is_read():
    import pandas as pd

    table = pd.DataFrame({"image": [as_png(picture((3, 5)))]})
    assert rows(ServedDetector(BrightPixels()).predict(table, {"mpp": 0.25})) == [(0, 3, 5)]


def test_scale_and_threshold_reach_the_detector():
    detector = BrightPixels()
    ServedDetector(detector).predict(picture(), {"mpp": 0.5, "threshold": 0.3})
    assert detector.asked == [((8, 12, 3), 0.5, 0.3)]


def test_an_image_without_nuclei_gives_an_empty_table():
    table = ServedDetector(BrightPixels()).predict(picture(), {"mpp": 0.25})
    assert list(table.columns) == COLUMNS
    assert len(table) == 0


@pytest.mark.parametrize(
    ("given", "params", "sentence"),
    [
        (picture(), None, "params.mpp is missing"),
        (picture(), {"mpp": None}, "params.mpp is missing"),
        (np.zeros((4, 4)), {"mpp": 1}, r"must be \(N, H, W, 3\), but got \(4, 4\)"),
        (np.full((4, 4, 3), 300), {"mpp": 1}, "numbers from 0 to 255"),
        (["%%%"], {"mpp": 1}, "Image 0 is not base64"),
        (["aGVsbG8="], {"mpp": 1}, "Image 0 is no PNG"),
        ([""], {"mpp": 1}, "Image 0 is no PNG"),
        ([as_png(picture()), as_png(picture())[:60]], {"mpp": 1}, "Image 1 is (no PNG|damaged)"),
        ([as_bmp(picture())], {"mpp": 1}, "Image 0 is no PNG"),
        ([as_png(np.zeros((8001, 8001, 3), np.uint8))], {"mpp": 0.1}, "more than 64 million"),
        ([[[[1, 2, 3]]], [[[1, 2, 3], [4, 5, 6]]]], {"mpp": 1}, "must be of one size"),
        (np.zeros((1, 0, 4, 3)), {"mpp": 1}, r"must be \(N, H, W, 3\)"),
        (np.full((4, 4, 3), np.nan), {"mpp": 1}, "numbers from 0 to 255"),
        (np.full((4, 4, 3), 0.5), {"mpp": 1}, "whole numbers from 0 to 255"),
        ([["a", "b"], ["c", "d"]], {"mpp": 1}, r"must be \(N, H, W, 3\)"),
        (17, {"mpp": 1}, r"must be \(N, H, W, 3\)"),
        (None, {"mpp": 1}, r"must be \(N, H, W, 3\)"),
        ({"picture": ["x"]}, {"mpp": 1}, "no column `image`"),
        (picture(), {"mpp": 0}, "from 0.01 to 20, but got 0"),
        (picture(), {"mpp": -0.25}, "from 0.01 to 20"),
        (picture(), {"mpp": float("nan")}, "from 0.01 to 20, but got nan"),
        (picture(), {"mpp": 1, "threshold": float("inf")}, "threshold must be a number"),
        (np.zeros((1000, 1000, 3), np.uint8), {"mpp": 20}, "1600 million pixels at the detector"),
    ],
)
def test_bad_requests_are_told(given, params, sentence):
    with pytest.raises(MlflowException, match=sentence) as told:
        ServedDetector(BrightPixels()).predict(given, params)
    assert told.value.get_http_status_code() == 400


@pytest.fixture
def logged(tracking, monkeypatch):
    """The folder of a logged model, whose detector is `BrightPixels`."""
    module = types.ModuleType("transfer_kit.detector")
    module.Detector = BrightPixels
    monkeypatch.setitem(sys.modules, "transfer_kit.detector", module)
    monkeypatch.setattr(sys, "path", list(sys.path))
    weights = Path("detector.safetensors")
    weights.write_bytes(b"weights")
    with tracking.start_run("model", tags={}) as run:
        run.log_detector(weights, "micronet/eye")
    assert run.n_unsent == 0
    (output,) = tracking.client.get_run(run.run_id).outputs.model_outputs
    return tracking.client.get_logged_model(output.model_id)


def test_what_the_detector_itself_refuses_is_told():
    class Refusing(BrightPixels):
        def predict(self, image, mpp, *, threshold=None):
            raise UserError("Its weights are broken.")

    with pytest.raises(MlflowException, match="Image 0: Its weights are broken") as told:
        ServedDetector(Refusing()).predict(picture(), {"mpp": 1})
    assert told.value.get_http_status_code() == 400


def test_a_detector_is_logged_once_however_often_it_is_sent(tracking, logged):
    run_id = logged.source_run_id
    send = Sender(tracking.client, tracking.store)
    send.run_id, send.experiment_id = run_id, tracking.experiment_id
    left = tracking.client.create_logged_model(tracking.experiment_id, logged.name, run_id)
    send.send([DetectorFile(str(Path("detector.safetensors").absolute()), logged.name)])
    models = tracking.client.search_logged_models([tracking.experiment_id])
    assert [each.model_id for each in models] == [logged.model_id]
    assert left.model_id != logged.model_id  # what an interruption left is gone
    outputs = tracking.client.get_run(run_id).outputs.model_outputs
    assert [each.model_id for each in outputs] == [logged.model_id]


def test_a_logged_detector_is_a_model_of_its_run(logged):
    assert logged.name == "micronet-eye"
    assert str(logged.status) == "READY"
    folder = Path(logged.artifact_location.removeprefix("file://"))
    assert (folder / "data" / "detector.safetensors").read_bytes() == b"weights"
    assert (folder / "code" / "transfer_kit" / "served_model.py").is_file()
    assert not list(folder.rglob("*.pkl"))
    assert "transfer-kit==" not in (folder / "requirements.txt").read_text()


def test_a_logged_detector_answers_mlflows_scoring_server(logged):
    import mlflow.pyfunc
    from mlflow.pyfunc.scoring_server import invocations

    model = mlflow.pyfunc.load_model(logged.artifact_location)
    request = {"inputs": [as_png(picture((3, 5)))], "params": {"mpp": 0.25}}
    answer = invocations(json.dumps(request), "application/json", model, None)
    assert answer.status == 200
    (found,) = json.loads(answer.response)["predictions"]
    assert found == {
        "image": 0,
        "x": 3.0,
        "y": 5.0,
        "score": pytest.approx(0.9),
        "class": "nucleus",
    }
    request["inputs"] = picture((1, 2))[np.newaxis].tolist()
    answer = invocations(json.dumps(request), "application/json", model, None)
    assert [(each["x"], each["y"]) for each in json.loads(answer.response)["predictions"]] == [
        (1.0, 2.0)
    ]


def test_a_missing_weights_file_is_told_and_the_run_ends_well(tracking, caplog):
    with tracking.start_run("model", tags={}) as run:
        run.log_detector("nowhere.safetensors")
    assert tracking.client.get_run(run.run_id).info.status == "FINISHED"
    assert "refused DetectorFile" in caplog.text
