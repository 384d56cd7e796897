"""MLflow's web interface as a process of its own that ends with the block that started it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from transfer_kit.errors import UserError
from transfer_kit.tracking.links import ui_root
from transfer_kit.tracking.location import artifact_root

# Browsers refuse to open these (ERR_UNSAFE_PORT), whatever listens there.
REFUSED_BY_BROWSERS = frozenset({5060, 5061, 6000, 6566, *range(6665, 6670), 6697, 10080})
START_SECONDS = 120.0
STOP_SECONDS = 5.0


@contextmanager
def serving(store: str, *, host: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run `mlflow server` on a store; the block begins when it answers.

    Raises:
        UserError: the port is taken, or the server ends or stays silent.
    """
    check_port(host, port)
    with tempfile.TemporaryDirectory(prefix="transfer-kit-ui-") as folder:
        log = Path(folder) / "server.log"
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and arguments
                _command(store, host, port),
                env=_environment(store),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                _wait(process, ui_root(store, port, _reachable(host)), log)
                yield process
            finally:
                _end(process)


def check_port(host: str, port: int) -> None:
    """Refuse a port that is taken, or that no browser opens.

    Raises:
        UserError: naming a port that is free.
    """
    if port in REFUSED_BY_BROWSERS:
        why = f"Browsers refuse to open port {port}"
    elif _is_free(host, port):
        return
    else:
        why = f"Port {port} on {host} is taken, perhaps by another `transfer-kit ui`"
    others = (*range(port + 1, min(port + 100, 65536)), *range(5001, 5200))
    free = next(each for each in others if each not in REFUSED_BY_BROWSERS and _is_free(host, each))
    raise UserError(f"{why}; use --port {free}, which is free.")


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except socket.gaierror:
            raise UserError(f"There is no host {host!r}; use --host 127.0.0.1.") from None
        except OSError:
            return False
    return True


def _command(store: str, host: str, port: int) -> list[str]:
    command = [sys.executable, "-m", "mlflow", "server", "--host", host, "--port", str(port)]
    root = artifact_root(store)
    return [*command, "--workers", "1", *(("--artifacts-destination", root) if root else ())]


def _environment(store: str) -> dict[str, str]:
    environment = {
        **os.environ,
        # Not on the command line, where every user of the machine could read its password.
        "MLFLOW_BACKEND_STORE_URI": store,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GIT_PYTHON_REFRESH": "quiet",
    }
    environment.pop("MLFLOW_TRACKING_URI", None)
    return environment


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared only


def _wait(process: subprocess.Popen[bytes], root: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise UserError(f"The MLflow server ended at once: {last_line(log)}")
        if _answers(f"{root}/health"):
            return
        time.sleep(0.2)
    raise UserError(f"The MLflow server did not answer in {START_SECONDS:.0f} s: {last_line(log)}")


def _answers(address: str) -> bool:
    # A proxy of the environment must not be asked for this machine's own pages.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(address, timeout=2) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def last_line(log: Path) -> str:
    """The last thing that a server said."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing."


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the server and its workers; a second Ctrl-C while waiting ends them at once."""
    try:
        _signal_all(process, "SIGTERM")
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
    finally:
        _signal_all(process, "SIGKILL")  # workers that outlived their parent, too
        process.wait()


def _signal_all(process: subprocess.Popen[bytes], name: str) -> None:
    if sys.platform == "win32":
        taskkill = ["taskkill", "/T", "/F", "/PID", str(process.pid)]
        subprocess.run(taskkill, capture_output=True, check=False)  # noqa: S603 - fixed words
        return
    # The server was started as the head of a process group of its own.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, getattr(signal, name))
