"""Finds a registered version by its alias, and loads one by its number."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CHAMPION, CHALLENGER = "champion", "challenger"


def version_by_alias(store: "MlflowClient", project: str, alias: str) -> "ModelVersion | None":
    """Returns the version of ``project`` that has ``alias``, or None."""
    from mlflow.exceptions import MlflowException

    try:
        return store.get_model_version_by_alias(project, alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def load_version(project: str, version: str) -> Any:
    """Returns the project's model of a registered version."""
    from modelyard.model_registry.mlflow_model import load
    from modelyard.tracking.mlflow_store import download_version

    with tempfile.TemporaryDirectory() as temporary:
        return load(download_version(project, version, Path(temporary)))
