"""The Kedro dataset of features: saves frames to Feast, loads a :class:`FeatureStore`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset

from modelyard.feature_store.store import FeatureStore
from modelyard.paths import data_directory

if TYPE_CHECKING:
    import polars as pl


class FeastFeatures(AbstractDataset["dict[str, pl.DataFrame]", FeatureStore]):
    """A project's features: saves view name to frame, loads a :class:`FeatureStore`.

    Args:
        project: The project's name; its record gives the feature views.
        filepath: The project's folder; None: ``04_feature/<project>`` in the data folder.
        registry: SQLite file or database URL of the registry that all projects share; None: ``04_feature/registry.db``.
    """

    def __init__(self, *, project: str, filepath: str | None = None, registry: str | None = None) -> None:
        features = data_directory() / "04_feature"
        self._project = project
        self._folder = Path(filepath or features / project)
        self._registry = registry or str(features / "registry.db")

    def load(self) -> FeatureStore:
        """Returns the feature store, which reads its files on use."""
        from modelyard.projects import load_project

        views = load_project(self._project).feature_views
        return FeatureStore(self._project, views, folder=self._folder, registry=self._registry)

    def save(self, data: "dict[str, pl.DataFrame]") -> None:
        """Writes sources and online store and registers the definitions."""
        self.load().write(data)

    def _exists(self) -> bool:
        return self.load().exists()

    def _describe(self) -> dict[str, Any]:
        return {"project": self._project, "filepath": str(self._folder), "registry": self._registry}
