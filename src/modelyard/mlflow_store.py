"""The MLflow server or database that this repository writes to, ready to use.

Importing mlflow takes seconds, so only the stages that read or write the registry, and the tracking writer, import
this module's functions' contents.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from modelyard import telemetry
from modelyard.paths import data_directory, repository

if TYPE_CHECKING:
    from mlflow import MlflowClient


def _state_directory() -> Path:
    """Where the default database and artifacts lie: the repository, so that a bare ``mlflow ui`` there finds them.

    A run whose data live elsewhere (``MODELYARD_DATA_DIR``: tests, reproductions) keeps its tracking there too.
    """
    return data_directory() if os.environ.get("MODELYARD_DATA_DIR") else repository()


def tracking_uri() -> str:
    """``$MLFLOW_TRACKING_URI``, or a SQLite database beside the data."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{_state_directory() / 'mlflow.db'}"


def artifact_location(experiment: str) -> str | None:
    """Where a new experiment keeps its artifacts; None leaves it to the tracking server."""
    if os.environ.get("MLFLOW_TRACKING_URI"):
        return None
    return (_state_directory() / "mlartifacts" / experiment).as_uri()


def client() -> "MlflowClient":
    """A client on :func:`tracking_uri`; the database's tables are made by whoever comes first.

    Raises:
        BusyError: The database stays locked by another process.
    """
    telemetry.switch_off()
    import mlflow

    uri = tracking_uri()
    if uri.startswith("sqlite:///"):
        Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(os.environ.get("MLFLOW_REGISTRY_URI") or uri)
    return mlflow.MlflowClient()


def experiment_id(store: "MlflowClient", name: str) -> str:
    """Id of the experiment ``name``, made if it is missing (also when two processes make it at once)."""
    from mlflow.exceptions import MlflowException

    found = store.get_experiment_by_name(name)
    if found is None:
        try:
            return str(store.create_experiment(name, artifact_location=artifact_location(name)))
        except MlflowException:
            found = store.get_experiment_by_name(name)
            if found is None:
                raise
    return str(found.experiment_id)
