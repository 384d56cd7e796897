from __future__ import annotations

import pytest

from transfer_kit.viewer.guard import Guard


@pytest.mark.parametrize(
    "host", ["127.0.0.1:5000", "localhost:5000", "LOCALHOST", "[::1]:5000", "127.0.0.1"]
)
def test_this_machine_is_answered(client, host):
    assert client.ask("api/images", headers={"Host": host}).status == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil", "", "[::2]"],
)
def test_names_that_were_made_to_point_here_are_refused(client, host):
    for method, body in (("GET", None), ("PUT", {})):
        answer = client.ask("api/images/0/labels", method, body, headers={"Host": host})
        assert answer.status == 403
        assert "is not the address of this page" in answer.error


def test_without_the_key_nothing_is_read_or_written(client, folder):
    before = (folder / "annotations" / "b.geojson").read_bytes()
    for key in ("", "wrong-key", "the-key/.."):
        for path, method in (("api/images/1/labels", "PUT"), ("api/images", "GET"), ("", "GET")):
            body = {"version": "", "nuclei": [], "regions": []} if method == "PUT" else None
            answer = client.ask(path, method, body, key=key)
            assert answer.status == 404
            assert "open the whole address" in answer.error
    assert (folder / "annotations" / "b.geojson").read_bytes() == before


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://"]
)
def test_another_page_cannot_write(client, folder, origin):
    answer = client.ask("api/classes", "POST", {"name": "x"}, headers={"Origin": origin})
    assert (answer.status, answer.error) == (403, "Another page may not change anything here.")
    own = {"Origin": f"http://127.0.0.1:{client.port}"}
    assert client.ask("api/classes", "POST", {"name": "x"}, headers=own).status == 200


def test_a_form_cannot_write(client):
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        headers = {"Content-Type": kind}
        answer = client.ask("api/classes", "POST", b'{"name": "x"}', headers=headers)
        assert (answer.status, answer.error) == (403, "Only JSON is taken here.")


def test_browsers_are_told_to_load_nothing_from_elsewhere(client):
    for path in ("", "api/images", "static/main.js", "nothing"):
        headers = client.ask(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "http" not in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "Access-Control-Allow-Origin" not in headers


def test_the_host_that_is_listened_on_is_answered(monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "slidebox")
    monkeypatch.setattr("socket.getfqdn", lambda: "slidebox.lab")
    one, every = Guard(None, "10.0.0.7"), Guard(None, "0.0.0.0")
    assert one._refused("GET", {"host": "10.0.0.7:80"}) == ""
    assert one._refused("GET", {"host": "10.0.0.8:80"})
    for host in ("10.0.0.8:80", "slidebox:80", "slidebox.lab", "[fe80::1]:80"):
        assert every._refused("GET", {"host": host}) == ""
    assert every._refused("GET", {"host": "evil.example"})
