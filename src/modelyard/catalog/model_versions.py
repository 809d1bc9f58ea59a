"""Kedro datasets on MLflow's model registry: the current champion, and the version that a run registers."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset

from modelyard.catalog.documents import JsonDocument
from modelyard.errors import StorageError
from modelyard.model_registry.registration import SCHEMA_TAG, create_version, version_by_digest
from modelyard.model_registry.versions import CHALLENGER, CHAMPION, load_version, version_by_alias

if TYPE_CHECKING:
    from modelyard.model_registry.registration import Registration


@dataclass(frozen=True, kw_only=True)
class Champion:
    """The current champion.

    Args:
        model: The project's model.
        version: Version number in the registry.
        feature_schema_digest: Digest of the feature schema that it was trained on.
    """

    model: Any
    version: str
    feature_schema_digest: str


class ChampionModel(AbstractDataset[None, "Champion | None"]):
    """The version with the alias ``champion``; loads as None if there is none yet."""

    def __init__(self, *, project: str) -> None:
        self._project = project

    def load(self) -> "Champion | None":
        """Reads the registry and loads the model's files.

        Raises:
            BusyError: Another process has locked MLflow's database for long.
            StorageError: The database cannot be read.
        """
        from modelyard.tracking.mlflow_store import client, readable_failures

        with readable_failures():
            version = version_by_alias(client(), self._project, CHAMPION)
            if version is None:
                return None
            return Champion(
                model=load_version(self._project, version.version),
                version=version.version,
                feature_schema_digest=version.tags.get(SCHEMA_TAG, ""),
            )

    def save(self, data: None) -> None:
        """Raises an error, because a person or the promotion policy moves the alias, never a node.

        Raises:
            StorageError: Always.
        """
        raise StorageError("A node must not promote a model.", where=self._project, way_out="move the alias in MLflow")

    def _describe(self) -> dict[str, Any]:
        return {"project": self._project}


class RegisteredVersion(AbstractDataset["Registration", dict[str, Any]]):
    """Registers a model version, or finds the existing one with the same digest.

    Args:
        project: The registered model's name.
        filepath: JSON file with the version that this run registered.
    """

    def __init__(self, *, project: str, filepath: str) -> None:
        self._project = project
        self._document = JsonDocument(filepath=filepath)

    def load(self) -> dict[str, Any]:
        """Returns ``{"version", "is_new", "digest", "aliases"}``."""
        document: dict[str, Any] = self._document.load()
        return document

    def save(self, data: "Registration") -> None:
        """Registers, sets tags, and points ``challenger`` at the version if its gate passed.

        Raises:
            BusyError: Another process has locked MLflow's database for long.
            StorageError: The disk is full.
        """
        from modelyard.tracking.mlflow_store import client, readable_failures

        with readable_failures():
            store = client()
            version = version_by_digest(store, self._project, data.digest)
            is_new = version is None
            if version is None:
                version = create_version(store, self._project, data)
            if data.evaluation["gate"]["passed"]:
                store.set_registered_model_alias(self._project, CHALLENGER, version.version)
            aliases = sorted(store.get_model_version(self._project, version.version).aliases)
        self._document.save(
            {"version": int(version.version), "is_new": is_new, "digest": data.digest, "aliases": aliases}
        )

    def _exists(self) -> bool:
        return bool(self._document._exists())

    def _describe(self) -> dict[str, Any]:
        return {"project": self._project}
