"""`mlflow models serve` on a detector: a real process, asked over HTTP."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from docs_pages import blocks
from mlflow_stores import free_port
from PIL import Image
from toy import MPP, toy_detector, toy_image

from transfer_kit.detector import Detector

pytest_plugins = ["mlflow_stores"]

START_SECONDS = 600.0
JSON = "application/json"


@pytest.fixture
def weights(working) -> Path:
    detector = toy_detector()
    detector.card.threshold = 0.0  # untrained, so that its scores are low
    return detector.save(working / "detector.safetensors")


@pytest.fixture
def address(tracking, weights):
    """Of the serving process."""
    with tracking.start_run("model", tags={}) as run:
        run.log_detector(weights)
    (output,) = tracking.client.get_run(run.run_id).outputs.model_outputs
    folder = tracking.client.get_logged_model(output.model_id).artifact_location
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", folder]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    # As in an activated environment, where MLflow finds uvicorn.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    with Path("serve.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env=environment, start_new_session=True
        )
    try:
        wait(f"http://127.0.0.1:{port}/ping", process)
        yield f"http://127.0.0.1:{port}/invocations"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


def wait(page: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(page, timeout=5).close()
        except OSError:
            time.sleep(0.5)
        else:
            return
    raise RuntimeError(Path("serve.log").read_text())


def ask(address: str, body: object, content_type: str = JSON) -> tuple[int, str]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(address, data, {"Content-Type": content_type})
    try:
        with urllib.request.urlopen(request, timeout=300) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def as_png(image: np.ndarray) -> str:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def bad_requests(png: str) -> list[tuple[object, str, str]]:
    """Body, content type, and words of the answer."""
    mpp = {"mpp": MPP}
    return [
        ({"inputs": [png]}, JSON, "params.mpp is missing"),
        ({"inputs": [png], "params": {"mpp": -1}}, JSON, "from 0.01 to 20"),
        ({"inputs": [png], "params": {"mpp": "half"}}, JSON, "mpp"),
        ({"inputs": [png[:40]], "params": mpp}, JSON, "Image 0 is"),
        ({"inputs": ["%%%"], "params": mpp}, JSON, "Image 0 is not base64"),
        ({"inputs": [[1, 2], [3, 4]], "params": mpp}, JSON, "must be (N, H, W, 3)"),
        ({"inputs": [[[[900, 0, 0]]]], "params": mpp}, JSON, "numbers from 0 to 255"),
        ({"instances": {"image": 1}, "params": mpp}, JSON, ""),
        ({"nuclei": "please", "params": mpp}, JSON, ""),
        (b"{not json", JSON, "valid JSON"),
        (b"[]", JSON, ""),
        (b"\xff\xfe\x00", JSON, ""),
        (b"image\n" + png.encode(), "text/csv", "params.mpp is missing"),
        (b"\x89PNG", "image/png", "only supports"),
    ]


def ask_as_documented(address: str) -> list[dict]:
    """The rows that the example of docs/serve.md gets."""
    (example,) = [block for block in blocks("py") if block.page.name == "serve.md"]
    names: dict[str, list[dict]] = {}
    exec(example.text.replace("http://127.0.0.1:5001/invocations", address), names)
    return names["nuclei"]


@pytest.mark.slow
def test_nuclei_over_http_are_predict_s_and_bad_requests_are_told(address, weights):
    detector = Detector.load(weights)
    images = [toy_image(seed)[0] for seed in range(2)]
    expected = []
    for number, image in enumerate(images):
        nuclei = detector.predict(image, MPP)
        assert len(nuclei.points)
        expected += [
            {"image": number, "x": x, "y": y, "score": pytest.approx(score, abs=1e-6)}
            for (x, y), score in zip(nuclei.points.tolist(), nuclei.scores.tolist(), strict=True)
        ]

    def answered(inputs):
        status, text = ask(address, {"inputs": inputs, "params": {"mpp": MPP}})
        assert status == 200, text
        rows = json.loads(text)["predictions"]
        return [{key: row[key] for key in ("image", "x", "y", "score")} for row in rows]

    pngs = [as_png(image) for image in images]
    assert answered(pngs) == expected
    assert answered(np.stack(images).tolist()) == expected

    Path("image.png").write_bytes(base64.b64decode(pngs[0]))
    assert len(ask_as_documented(address)) > 0

    bad = bad_requests(pngs[0])
    alone = [row for row in expected if row["image"] == 0]
    for number in range(100):
        if number % 3 == 0:
            assert answered(pngs[:1]) == alone
            continue
        body, content_type, words = bad[number % len(bad)]
        status, text = ask(address, body, content_type)
        assert 400 <= status < 500, (body, status, text)
        assert words in text, (body, text)
        assert text.strip()
