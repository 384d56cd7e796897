"""A Detector as an MLflow model that `mlflow models serve` can serve."""

from __future__ import annotations

import errno
import importlib.metadata
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import transfer_kit

if TYPE_CHECKING:
    from mlflow import MlflowClient

WEIGHTS = "detector.safetensors"
"""The file in a model's folder `data` that holds weights and card."""


def log_detector(
    client: MlflowClient, weights: Path, name: str, *, run_id: str, experiment_id: str
) -> str:
    """Log a weights file as a model of a run; returns the model's identifier.

    The model holds the safetensors file and transfer-kit's own code, no pickle. A run has one model
    of a name: where it is there already, nothing is logged again, and what an interruption left of
    one is deleted.
    """
    from mlflow.entities import LoggedModelOutput

    if not weights.is_file():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(weights))
    model_id = _logged(client, name, run_id=run_id, experiment_id=experiment_id)
    if not model_id:
        model_id = upload_detector(client, weights, name, run_id=run_id, experiment=experiment_id)
    known = client.get_run(run_id).outputs
    linked = {each.model_id for each in known.model_outputs} if known else set()
    if model_id not in linked:
        client.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])
    return model_id


def upload_detector(
    client: MlflowClient, weights: Path, name: str, *, run_id: str | None, experiment: str
) -> str:
    """Make a logged model of a weights file; returns its identifier.

    Args:
        client: Of the store.
        weights: A detector's safetensors file.
        name: Of the model.
        run_id: The run that it came from, where there is one.
        experiment: Identifier of the experiment that it belongs to.
    """
    model = client.create_logged_model(experiment, name, run_id, model_type="nucleus detector")
    try:
        with tempfile.TemporaryDirectory(prefix="transfer-kit-model-") as folder:
            saved = Path(folder) / "model"
            _save(weights, saved, name, run_id=run_id, model_id=model.model_id)
            client.log_model_artifacts(model.model_id, str(saved))
    except BaseException:
        client.finalize_logged_model(model.model_id, "FAILED")
        raise
    client.finalize_logged_model(model.model_id, "READY")
    return str(model.model_id)


def _logged(client: MlflowClient, name: str, *, run_id: str, experiment_id: str) -> str:
    """The run's whole model of this name, or ""; models that were not finished are deleted."""
    models = client.search_logged_models([experiment_id], f"source_run_id = '{run_id}'")
    ready = ""
    for model in models:
        if model.name != name:
            continue
        if str(model.status) == "READY":
            ready = str(model.model_id)
        else:
            client.delete_logged_model(model.model_id)
    return ready


def _save(weights: Path, folder: Path, name: str, *, run_id: str | None, model_id: str) -> None:
    import mlflow.pyfunc
    from mlflow.models import Model

    with tempfile.TemporaryDirectory(prefix="transfer-kit-code-") as aside:
        code = _own_code(Path(aside))
        mlflow.pyfunc.save_model(
            str(folder),
            loader_module="transfer_kit.served_model",
            data_path=str(weights),
            code_paths=[str(code)],
            signature=_signature(),
            pip_requirements=_requirements(),
            mlflow_model=Model(artifact_path=name, run_id=run_id, model_id=model_id),
        )


def _own_code(aside: Path) -> Path:
    """A copy of the package without the recipes and weights that ship with it."""
    source = Path(transfer_kit.__file__).parent
    leave_out = shutil.ignore_patterns("_shipped", "__pycache__")
    return shutil.copytree(source, aside / source.name, ignore=leave_out)


def _signature() -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

    return ModelSignature(
        outputs=Schema(
            [
                ColSpec("long", "image"),
                ColSpec("double", "x"),
                ColSpec("double", "y"),
                ColSpec("double", "score"),
                ColSpec("string", "class"),
            ]
        ),
        params=ParamSchema(
            [ParamSpec("mpp", "double", None), ParamSpec("threshold", "double", None)]
        ),
    )


def _requirements() -> list[str]:
    """What transfer-kit needs, at the versions installed here."""
    try:
        needed = importlib.metadata.requires("transfer-kit") or []
    except importlib.metadata.PackageNotFoundError:  # a checkout that was not installed
        needed = ["mlflow"]
    core = (re.split(r"[^\w.-]", each, maxsplit=1)[0] for each in needed if "extra ==" not in each)
    return [pinned for pinned in map(_pinned, core) if pinned]


def _pinned(name: str) -> str:
    try:
        # "+cpu" and the like are not on the package index.
        return f"{name}=={importlib.metadata.version(name).split('+')[0]}"
    except importlib.metadata.PackageNotFoundError:  # it runs without it here, and will there
        return ""
