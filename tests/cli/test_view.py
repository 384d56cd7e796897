from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest
from laboratory import subprocess_environment, transfer_kit
from PIL import Image

COMMAND = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
from transfer_kit.cli import main
main()
"""


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "a.png"
    Image.new("RGB", (60, 40), (220, 160, 200)).save(path)
    return path


def test_it_serves_the_page_until_ctrl_c_also_while_a_browser_is_connected(image, tmp_path):
    words = ["view", image, "--no-browser", "--host", "0.0.0.0", "--label", tmp_path / "set"]
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=subprocess_environment(),
    )
    try:
        page = process.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{20,}/", page)
        with urllib.request.urlopen(page, timeout=60) as answer:
            assert b"openseadragon" in answer.read()
        with urllib.request.urlopen(f"{page}api/images/0/labels", timeout=60) as answer:
            assert json.load(answer)["file"] == "a.geojson"
        port = int(page.split(":")[2].split("/")[0])
        with socket.create_connection(("127.0.0.1", port)):  # asks nothing, and keeps the line
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert said.startswith("Warning: at 0.0.0.0 other machines can reach this page")
    assert said.endswith("Stopped. Nothing was left half-written.\n")
    assert "Traceback" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]  # looking writes nothing


def test_a_taken_port_is_told(image):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = transfer_kit("view", image, "--no-browser", "--port", port, code=2)
    assert f"Port {port} on 127.0.0.1 cannot be used" in said.error


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nowhere.svs"], "nowhere.svs is no slide, image or folder here"),
        (["a.png", "--nuclei", "none"], "none does not exist; check --nuclei"),
        (["a.png", "--truth", "none"], "There is no organ, dataset or folder 'none'"),
        (["a.png", "--host", "no.such.host.invalid"], "There is no host 'no.such.host.invalid'"),
    ],
)
def test_what_is_not_there_is_one_sentence(image, monkeypatch, words, sentence):
    monkeypatch.chdir(image.parent)
    monkeypatch.setenv("TRANSFER_KIT_HOME", str(image.parent / "home"))
    assert sentence in transfer_kit("view", *words, "--no-browser", code=2).error
