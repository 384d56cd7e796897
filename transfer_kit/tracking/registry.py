"""MLflow's model registry: versions of a model, and aliases that point to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from transfer_kit.errors import UserError, nearest_hint
from transfer_kit.tracking.detector_model import WEIGHTS, upload_detector
from transfer_kit.tracking.experiments import experiment_id_of
from transfer_kit.tracking.faults import is_away, reason
from transfer_kit.tracking.location import artifact_root, quiet_mlflow, redacted

if TYPE_CHECKING:
    from mlflow import MlflowClient

HASH = "sha256"
"""The tag of a version that holds the hash of its weights file."""

EXPERIMENT = "models"
"""Where models that no run of the store made are logged."""

_ABSENT = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND")
_NO_SUCH_PAGE = ("ENDPOINT_NOT_FOUND", "NOT_IMPLEMENTED", "FEATURE_DISABLED")


class Version(NamedTuple):
    """A version of a registered model.

    Attributes:
        sha256: Of its weights file; empty where it was not registered by transfer-kit.
    """

    name: str
    number: str
    sha256: str
    run_id: str
    aliases: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name} version {self.number}"


class Registry:
    """The registry of a store.

    Args:
        client: Of the store, from `open_client`.
        store: Its address.
    """

    def __init__(self, client: MlflowClient, store: str) -> None:
        self._client = client
        self._store = store

    def push(
        self,
        weights: Path,
        name: str,
        *,
        sha256: str,
        run_id: str = "",
        tags: Mapping[str, str] | None = None,
    ) -> Version:
        """Register a weights file as a new version; what is registered already is found again.

        Args:
            weights: The file, which is called `detector.safetensors`.
            name: Of the registered model, made where it does not exist.
            sha256: Of the file.
            run_id: The run that made it; left out where this store does not know it.
            tags: Of the version, beside the hash.

        Raises:
            UserError: the store has no registry, or refuses the name.
        """
        with self._explained():
            self._make(name)
            for version in self._versions(name):
                if version.sha256 == sha256:
                    return version
            known_run, experiment = self._run(run_id)
            model_id = upload_detector(
                self._client, weights, name, run_id=known_run, experiment=experiment
            )
            made = self._client.create_model_version(
                name,
                f"models:/{model_id}",
                run_id=known_run,
                model_id=model_id,
                tags={**(tags or {}), HASH: sha256},
            )
        return _version(made)

    def find(self, wanted: str) -> Version:
        """The version that `NAME@ALIAS`, `NAME/NUMBER` or `NAME` (the newest) names.

        Raises:
            UserError: there is no such model, alias or version, or the store has no registry.
        """
        name, at, alias = wanted.partition("@")
        name, slash, number = name.partition("/") if not at else (name, "", "")
        with self._explained():
            versions = self._versions(name)
            if not versions:
                raise UserError(self._no_model(name))
            if at:
                return self._by_alias(name, alias, versions)
            if not slash:
                return max(versions, key=lambda each: int(each.number))
            return self._by_number(name, number, versions)

    def promote(self, name: str, number: str, alias: str) -> Version:
        """Let an alias point to a version; other versions lose it.

        Raises:
            UserError: there is no such model or version, MLflow refuses the alias, or the store has
                no registry.
        """
        version = self.find(f"{name}/{number}")
        with self._explained():
            self._client.set_registered_model_alias(name, alias, number)
        return version

    def download(self, version: Version, folder: Path) -> Path:
        """The weights file of a version, copied into a folder.

        Raises:
            UserError: the version holds no detector of transfer-kit, or its files are gone.
        """
        from mlflow.artifacts import download_artifacts

        uri = f"models:/{version.name}/{version.number}/data/{WEIGHTS}"
        try:
            path = download_artifacts(
                artifact_uri=uri,
                dst_path=str(folder),
                tracking_uri=self._store,
                registry_uri=self._store,
            )
        except Exception as error:
            raise UserError(
                f"{version} in {redacted(self._store)} gives no {WEIGHTS} ({reason(error)}); push "
                "it again with `transfer-kit models push`."
            ) from None
        return Path(path)

    def _make(self, name: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS"):
                raise

    def _versions(self, name: str) -> list[Version]:
        quoted = name.replace("'", "")
        # A search says nothing of aliases: the model itself does.
        found = self._client.search_model_versions(f"name = '{quoted}'")
        aliases = self._client.get_registered_model(name).aliases if found else {}
        return [
            _version(each)._replace(
                aliases=tuple(alias for alias, n in aliases.items() if str(n) == str(each.version))
            )
            for each in found
        ]

    def _by_alias(self, name: str, alias: str, versions: list[Version]) -> Version:
        for version in versions:
            if alias in version.aliases:
                return version
        known = sorted({alias for version in versions for alias in version.aliases})
        numbers = ", ".join(sorted((each.number for each in versions), key=int))
        raise UserError(
            f"The registered model {name} has no alias {alias!r}. {nearest_hint(alias, known)} "
            f"Give one with `transfer-kit models promote {name} VERSION --as {alias}` (versions: "
            f"{numbers})."
        )

    def _by_number(self, name: str, number: str, versions: list[Version]) -> Version:
        for version in versions:
            if version.number == number:
                return version
        numbers = ", ".join(sorted((each.number for each in versions), key=int))
        raise UserError(
            f"The registered model {name} has no version {number}; it has {numbers or 'none'}."
        )

    def _no_model(self, name: str) -> str:
        known = [each.name for each in self._client.search_registered_models()]
        return (
            f"There is no model {name!r} in the registry of {redacted(self._store)}. "
            f"{nearest_hint(name, known)}"
        )

    def _run(self, run_id: str) -> tuple[str | None, str]:
        """The run, where this store knows it, and the experiment that a model of it belongs to."""
        from mlflow.exceptions import MlflowException

        if run_id:
            try:
                run = self._client.get_run(run_id)
            except MlflowException as error:
                if error.error_code not in _ABSENT:
                    raise
            else:
                return run_id, str(run.info.experiment_id)
        root = artifact_root(self._store)
        return None, experiment_id_of(self._client, EXPERIMENT, root)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        quiet_mlflow()
        from mlflow.exceptions import MlflowException

        try:
            yield
        except MlflowException as error:
            raise UserError(self._sentence(error)) from None

    def _sentence(self, error: Any) -> str:
        where, why = redacted(self._store), reason(error)
        status = error.get_http_status_code()
        if error.error_code in _NO_SUCH_PAGE or "registry" in str(error).lower() or status == 404:
            return (
                f"The MLflow store {where} has no model registry ({why}); set MLFLOW_TRACKING_URI "
                "to a server of MLflow 2.3 or newer, a database or a sqlite file."
            )
        if is_away(error):
            return f"The MLflow store {where} does not answer ({why}); try again when it does."
        return f"The registry of {where} refuses this ({why}); see the message and try again."


def _version(found: Any) -> Version:
    return Version(
        str(found.name),
        str(found.version),
        str(found.tags.get(HASH, "")),
        str(found.run_id or ""),
        tuple(found.aliases or ()),
    )
