"""Addresses of pages of MLflow's web interface."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from transfer_kit.tracking.location import is_server

# Without it the page opens in its view for language models, which does not list trainings.
_TRAINING_VIEW = "workflowType=machine_learning"


def ui_root(store: str, port: int = 5000, host: str = "127.0.0.1") -> str:
    """Root of the interface: the server itself, else the one that `transfer-kit ui` starts."""
    if not is_server(store):
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    parts = urlsplit(store)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])).rstrip("/")


def experiment_page(root: str, experiment_id: str) -> str:
    """The table and charts of an experiment's runs."""
    return f"{root}/#/experiments/{experiment_id}/runs?{_TRAINING_VIEW}"


def run_page(root: str, experiment_id: str, run_id: str) -> str:
    """The page of one run."""
    return f"{root}/#/experiments/{experiment_id}/runs/{run_id}?{_TRAINING_VIEW}"
