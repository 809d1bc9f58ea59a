"""Finds a registered version by its alias, and loads one by its number."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelyard.errors import StorageError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CHAMPION, CHALLENGER = "champion", "challenger"

HISTORY_TAG = "champion_history"
"""Tag of the registered model: the champions in order, the latest last."""


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
    """Returns the project's model of a registered version.

    Raises:
        StorageError: Its files are not those that were registered.
    """
    from modelyard.model_registry.mlflow_model import load

    with tempfile.TemporaryDirectory() as temporary:
        return load(*version_files(project, version, Path(temporary)))


def check_version_files(project: str, version: str) -> None:
    """Checks that a version's files are those that were registered.

    Raises:
        StorageError: They are not, or they cannot be brought here.
    """
    from mlflow.exceptions import MlflowException

    from modelyard.model_registry.mlflow_model import check_files

    with tempfile.TemporaryDirectory() as temporary:
        try:
            files = version_files(project, version, Path(temporary))
        except (MlflowException, OSError) as error:
            raise StorageError(
                f"The files of {project} version {version} cannot be read.",
                where=f"{project} version {version}",
                way_out="restore them, or register the version again",
            ) from error
        check_files(*files)


def version_files(project: str, version: str, folder: Path) -> tuple[Path, str]:
    """Returns the folder of a version's downloaded files and the digest that the registry has of them."""
    from modelyard.model_registry.mlflow_model import FILES_TAG
    from modelyard.tracking.mlflow_store import client, download_version

    tags = client().get_model_version(project, version).tags
    return download_version(project, version, folder), tags.get(FILES_TAG, "")
