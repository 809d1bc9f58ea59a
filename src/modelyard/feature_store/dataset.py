"""The Kedro dataset by which a run publishes features and gets them back point in time."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset

from modelyard.feature_store.store import FeatureStore
from modelyard.registry import load_project

if TYPE_CHECKING:
    import polars as pl


class FeastFeatures(AbstractDataset["dict[str, pl.DataFrame]", FeatureStore]):
    """Saves a project's feature tables to Feast; loads as the store to ask.

    Args:
        project: Name of the project, whose record holds the schema.
        filepath: Folder of the Parquet sources and the online store.
        registry: SQLite file of Feast's registry, shared by all projects.
    """

    def __init__(self, *, project: str, filepath: str, registry: str) -> None:
        self._project = project
        self._folder, self._registry = Path(filepath), Path(registry)

    def load(self) -> FeatureStore:
        """The store."""
        views = load_project(self._project).feature_views
        return FeatureStore(project=self._project, views=views, folder=self._folder, registry=self._registry)

    def save(self, data: "dict[str, pl.DataFrame]") -> None:
        """Publishes the tables."""
        self.load().write(data)

    def _exists(self) -> bool:
        return self._folder.is_dir()

    def _describe(self) -> dict[str, Any]:
        return {"project": self._project, "filepath": str(self._folder)}
