"""A PostgreSQL of a test's own, on a free port of this machine."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PASSWORD = "s3cret-of-the-test"
_PLACES = ("/usr/lib/postgresql", "/usr/local/pgsql")


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        several = [path for place in _PLACES for path in Path(place).glob(f"**/bin/{name}")]
        if not several:
            pytest.skip(f"no PostgreSQL: {name} is not installed")
        found = str(sorted(several)[-1])
    return found


def _ordinary_user() -> str | None:
    """Whom the server runs as; it refuses to run as root."""
    if os.getuid():
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    pytest.skip("PostgreSQL does not run as root, and there is no ordinary user")
    return None


@contextmanager
def running() -> Iterator[str]:
    """The URL of an empty database, with a password; the server ends with the block."""
    pytest.importorskip("psycopg")
    initdb, server = _program("initdb"), _program("postgres")
    user = _ordinary_user()
    with tempfile.TemporaryDirectory(prefix="transfer-kit-postgresql-") as folder:
        data, secret = Path(folder) / "data", Path(folder) / "password"
        secret.write_text(PASSWORD, encoding="utf-8")
        if user is not None:
            for path in (Path(folder), secret):
                shutil.chown(path, user)
        words = ["-D", str(data), "-U", "lab", "-A", "scram-sha-256", "--pwfile", str(secret)]
        made = [initdb, *words, "--no-sync", "-E", "UTF8", "--locale=C"]
        subprocess.run(made, user=user, check=True, capture_output=True, cwd=folder, timeout=300)
        port = _free_port()
        options = ["-p", str(port), "-h", "127.0.0.1", "-k", folder, "-F"]
        with subprocess.Popen(
            [server, "-D", str(data), *options],
            user=user,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                yield _made_database(port)
            finally:
                process.send_signal(signal.SIGINT)  # SIGTERM would wait for all who are connected
                process.wait(60)


def _made_database(port: int) -> str:
    import psycopg

    deadline = time.monotonic() + 120
    while True:
        try:
            address = f"postgresql://lab:{PASSWORD}@127.0.0.1:{port}/postgres"
            with psycopg.connect(address, autocommit=True, connect_timeout=10) as connection:
                connection.execute("CREATE DATABASE sweeps")
            return f"postgresql://lab:{PASSWORD}@127.0.0.1:{port}/sweeps"
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
