"""Kedro datasets for models and for the work folders of long stages."""

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset

from modelyard.errors import StorageError
from modelyard.files import atomic_directory
from modelyard.projects import load_project


class ModelFolder(AbstractDataset[Any, Any]):
    """A project's model in its own pickle-free format; the folder appears whole or not at all.

    Args:
        project: Name of the project, whose ``model_format`` writes and reads the folder.
        filepath: The folder.
    """

    def __init__(self, *, project: str, filepath: str) -> None:
        self._project = project
        self._path = Path(filepath)

    def load(self) -> Any:
        """Returns the model.

        Raises:
            StorageError: There is no model yet.
        """
        if not self._path.is_dir():
            raise StorageError(
                "There is no model yet.",
                where=str(self._path),
                way_out=f"kedro run --pipeline={self._project}",
            )
        return load_project(self._project).model_format.load(self._path)

    def save(self, data: Any) -> None:
        """Writes the model."""
        with atomic_directory(self._path) as temporary:
            load_project(self._project).model_format.save(data, temporary)

    def _exists(self) -> bool:
        return self._path.is_dir()

    def _describe(self) -> dict[str, Any]:
        return {"project": self._project, "filepath": str(self._path)}


class WorkFolder(AbstractDataset[Path, Path]):
    """A folder for the files from which a stage resumes after a kill (checkpoints, the tuning study)."""

    def __init__(self, *, filepath: str) -> None:
        self._path = Path(filepath)

    def load(self) -> Path:
        """Returns the folder; creates it if it is missing."""
        self._path.mkdir(parents=True, exist_ok=True)
        return self._path

    def save(self, data: Path) -> None:
        """Raises an error, because only the stage itself writes its work folder.

        Raises:
            StorageError: Always.
        """
        raise StorageError("A work folder is no node's output.", where=str(self._path))

    def _exists(self) -> bool:
        return self._path.is_dir()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._path)}
