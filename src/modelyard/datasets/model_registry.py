"""Kedro datasets on MLflow's model registry: today's champion, and the version a run registers."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset

from modelyard import tracking
from modelyard.datasets.documents import JsonDocument
from modelyard.errors import StorageError
from modelyard.paths import data_directory
from modelyard.registry import load_project

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

    from modelyard.stages.register import Registration

CHAMPION, CHALLENGER = "champion", "challenger"
DIGEST_TAG = "modelyard.digest"
SCHEMA_TAG = "feature_schema_digest"
DESCRIPTION_LIMIT = 5000
"""Characters of a version's description; MLflow leaves it to the database, and PostgreSQL insists."""


@dataclass(frozen=True, kw_only=True)
class Champion:
    """The version that serves today.

    Args:
        model: The project's model.
        version: Its number in the registry.
        feature_schema_digest: Of the features it was trained on.
    """

    model: Any
    version: str
    feature_schema_digest: str


class ChampionModel(AbstractDataset[None, "Champion | None"]):
    """The version that carries the alias ``champion``; loads as None where there is none yet."""

    def __init__(self, *, project: str) -> None:
        self._project = project

    def load(self) -> "Champion | None":
        """Reads the registry and loads the model's files.

        Raises:
            BusyError: Another process has locked MLflow's database for long.
            StorageError: The database cannot be read.
        """
        from modelyard.mlflow_store import client, readable_failures

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
        """Refuses: a person or the promotion policy moves the alias, never a node.

        Raises:
            StorageError: Always.
        """
        raise StorageError("A node must not promote a model.", where=self._project, way_out="move the alias in MLflow")

    def _describe(self) -> dict[str, Any]:
        return {"project": self._project}


class RegisteredVersion(AbstractDataset["Registration", dict[str, Any]]):
    """Registers a model version; the same registration (by digest) again finds the version it already has.

    Args:
        project: The registered model's name.
        filepath: JSON file that says which version this run registered.
    """

    def __init__(self, *, project: str, filepath: str) -> None:
        self._project = project
        self._document = JsonDocument(filepath=filepath)

    def load(self) -> dict[str, Any]:
        """``{"version", "is_new", "digest", "aliases"}``."""
        document: dict[str, Any] = self._document.load()
        return document

    def save(self, data: "Registration") -> None:
        """Registers, sets tags, and points ``challenger`` at the version if its gate passed.

        Raises:
            BusyError: Another process has locked MLflow's database for long.
            StorageError: The disk is full.
        """
        from modelyard.mlflow_store import client, readable_failures

        with readable_failures():
            store = client()
            version = _version_by_digest(store, self._project, data.digest)
            is_new = version is None
            if version is None:
                version = _create_version(store, self._project, data)
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


def version_by_alias(store: "MlflowClient", project: str, alias: str) -> "ModelVersion | None":
    """The version of ``project`` that carries ``alias``, or None."""
    from mlflow.exceptions import MlflowException

    try:
        return store.get_model_version_by_alias(project, alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def load_version(project: str, version: str) -> Any:
    """The project's model of a registered version."""
    from modelyard.mlflow_model import load
    from modelyard.mlflow_store import download_version

    with tempfile.TemporaryDirectory() as temporary:
        return load(download_version(project, version, Path(temporary)))


def _version_by_digest(store: "MlflowClient", project: str, digest: str) -> "ModelVersion | None":
    versions = store.search_model_versions(f"name = '{project}'")
    return next((version for version in versions if version.tags.get(DIGEST_TAG) == digest), None)


def _create_version(store: "MlflowClient", project: str, data: "Registration") -> "ModelVersion":
    """One new version, complete with tags and description from its first moment.

    MLflow makes the version in one database transaction after its files are stored: a kill before it leaves files
    that no version names, a kill after it leaves a whole version that a re-run finds by its digest.
    """
    from mlflow.exceptions import MlflowException

    from modelyard import mlflow_model
    from modelyard.mlflow_store import experiment_id
    from modelyard.monitoring.versions import write_reference

    try:
        store.create_registered_model(project, description=load_project(project).title)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    run_id = tracking.run_id()
    logged = store.create_logged_model(
        experiment_id(store, project), name=project, source_run_id=run_id, model_type=load_project(project).title
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        mlflow_model.save(load_project(project), data.model, folder)
        (folder / "model_card.md").write_text(data.card, encoding="utf-8")
        JsonDocument(filepath=str(folder / "run_record.json")).save(data.record)
        JsonDocument(filepath=str(folder / "evaluation.json")).save(data.evaluation)
        if data.reference is not None:
            write_reference(data.reference, folder)
        store.log_model_artifacts(logged.model_id, str(folder))
    store.finalize_logged_model(logged.model_id, "READY")
    return store.create_model_version(
        project,
        source=f"models:/{logged.model_id}",
        run_id=run_id,
        model_id=logged.model_id,
        description=_description(data.card, _figures(project, run_id)),
        tags=_tags(data),
    )


def _description(card: str, figures: str) -> str:
    """Card with figures; what is too long ends at a line, the whole card is among the artifacts."""
    whole = card.replace("\n## Data\n", f"{figures}\n## Data\n", 1)
    if len(whole) <= DESCRIPTION_LIMIT:
        return whole
    rest = "\n\n… (the whole card is `model_card.md` among the version's artifacts)\n"
    return whole[: DESCRIPTION_LIMIT - len(rest)].rpartition("\n")[0] + rest


def _figures(project: str, run_id: str | None) -> str:
    """Markdown that shows the run's figures on the version's page; the run brings the files to MLflow at its end."""
    names = sorted(path.name for path in (data_directory() / "08_reporting" / project / "figures").glob("*.png"))
    if run_id is None or not names:
        return ""
    address = f"get-artifact?run_uuid={run_id}&path=reports/figures"
    return "\n## Figures\n\n" + "\n\n".join(f"![{name}]({address}/{name})" for name in names) + "\n"


def _tags(data: "Registration") -> dict[str, str]:
    evaluation, record = data.evaluation, data.record
    name = evaluation["primary"]
    metric = evaluation["metrics"][name]
    tags = {
        DIGEST_TAG: data.digest,
        SCHEMA_TAG: record["feature_schema_digest"],
        "gate": "passed" if evaluation["gate"]["passed"] else "failed",
        "gate_reason": evaluation["gate"]["reason"],
        "source": record["source"],
        "data_digest": record["data_digest"],
        "commit": record["commit"] + ("-dirty" if record["is_dirty"] else ""),
        name: f"{metric['value']:.4f}",
        f"{name}_interval": f"{metric['low']:.4f} to {metric['high']:.4f}",
        f"{name}_floor": f"{evaluation['floor'][name]:.4f}",
    }
    if evaluation["champion"]:
        tags[f"{name}_champion"] = f"{evaluation['champion'][name]:.4f}"
    gain = evaluation.get("gain")
    if gain:
        tags[f"{name}_gain"] = (
            f"{gain['value']:+.4f} ({gain['low']:+.4f} to {gain['high']:+.4f}) over version {gain['champion_version']}"
        )
    return tags
