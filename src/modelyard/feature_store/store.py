"""A project's feature store on Feast: Parquet sources, a registry that all projects share, an online store."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from modelyard import telemetry
from modelyard.errors import ConfigurationError, StorageError
from modelyard.feature_store.objects import feast_objects
from modelyard.feature_store.schema import FeatureView
from modelyard.files import atomic_file, writing

if TYPE_CHECKING:
    import feast
    import polars as pl

_ONLINE_BATCH_ROWS = 20_000


@dataclass(frozen=True)
class FeatureStore:
    """The features of one project.

    Args:
        project: Its name; also Feast's project, so that names of two projects never meet.
        views: Its schema.
        folder: Holds the views' Parquet files and the online store.
        registry: SQLite file of Feast's registry; ``MODELYARD_FEAST_REGISTRY`` (a database URL) takes its place.
    """

    project: str
    views: tuple[FeatureView, ...]
    folder: Path
    registry: Path

    def write(self, tables: "Mapping[str, pl.DataFrame]") -> None:
        """Publishes features: the views' files, Feast's registry, then the latest row of each entity online.

        Args:
            tables: View name to frame with the entity, ``event_time`` (UTC) and the view's features.

        Raises:
            ConfigurationError: The frames are not what the schema says.
            StorageError: The disk is full or the folder cannot be written to.
        """
        for view in self.views:
            _check(view, tables)
        for view in self.views:
            with atomic_file(self.source(view)) as temporary:
                tables[view.name].sort(view.entity, "event_time", maintain_order=True).write_parquet(temporary)
        entities, feature_views = feast_objects(self.views, self.folder)
        with writing(self.registry):
            self.registry.parent.mkdir(parents=True, exist_ok=True)
            # SQLite lets one write at a time; Feast reads, then writes, so appliers take turns.
            with FileLock(f"{self.registry}.lock"):
                self.feast.apply([*entities, *feature_views])
            for view, feature_view in zip(self.views, feature_views, strict=True):
                self._materialise(view, feature_view, tables[view.name])

    def historical(self, entities: "pl.DataFrame") -> "pl.DataFrame":
        """Features as known at each row's moment.

        Args:
            entities: Entity keys of all views and ``event_time``, N rows.

        Returns:
            All features of all views, N rows in the same order; null where nothing was known.
        """
        import polars as pl

        self._require_published()
        keys = dict.fromkeys(view.entity for view in self.views)
        asked = entities.select(*keys, pl.col("event_time").alias("event_timestamp")).to_arrow()
        refs = [f"{view.name}:{feature.name}" for view in self.views for feature in view.features]
        # Feast's interface says pandas; the offline store takes an Arrow table as well, which spares two conversions.
        found: Any = pl.from_arrow(self.feast.get_historical_features(entity_df=asked, features=refs).to_arrow())
        return found.select(feature.name for view in self.views for feature in view.features)

    def online(self, view: str, keys: Sequence[Any]) -> "pl.DataFrame":
        """The latest known features of some entities.

        Args:
            view: Name of a view.
            keys: Entity keys, N values.

        Returns:
            The view's features, N rows in the order of ``keys``; null for an unknown entity.
        """
        import polars as pl

        self._require_published()
        found = next(one for one in self.views if one.name == view)
        answer = self.feast.get_online_features(
            features=[f"{view}:{feature.name}" for feature in found.features],
            entity_rows=[{found.entity: key} for key in keys],
        ).to_dict()
        return pl.DataFrame({feature.name: answer[feature.name] for feature in found.features}, strict=False)

    def source(self, view: FeatureView) -> Path:
        """The view's Parquet file."""
        return self.folder / f"{view.name}.parquet"

    @cached_property
    def feast(self) -> "feast.FeatureStore":
        """Feast's own object over the same files."""
        telemetry.switch_off()
        import feast

        registry = os.environ.get("MODELYARD_FEAST_REGISTRY") or f"sqlite:///{self.registry}"
        redis = os.environ.get("MODELYARD_ONLINE_STORE")
        online = (
            {"type": "redis", "connection_string": redis.removeprefix("redis://")}
            if redis
            else {"type": "sqlite", "path": str(self.folder / "online.db")}
        )
        return feast.FeatureStore(
            config=feast.RepoConfig(
                project=self.project,
                provider="local",
                registry={"registry_type": "sql", "path": registry, "cache_ttl_seconds": 60},
                offline_store={"type": "modelyard.feature_store.asof.AsofOfflineStore"},
                online_store=online,
                entity_key_serialization_version=3,
            )
        )

    def _materialise(self, view: FeatureView, feature_view: Any, table: "pl.DataFrame") -> None:
        """Writes each entity's latest row online.

        Feast's own ``materialize`` turns every row of the interval into protobuf before it drops the older ones.
        """
        latest = table.sort("event_time", maintain_order=True).unique(view.entity, keep="last", maintain_order=True)
        for batch in latest.iter_slices(_ONLINE_BATCH_ROWS):
            self.feast.write_to_online_store(feature_view.name, batch.to_pandas(), allow_registry_cache=True)

    def _require_published(self) -> None:
        for view in self.views:
            if not self.source(view).exists():
                raise StorageError(
                    f"Features '{view.name}' have not been published.",
                    where=str(self.source(view)),
                    way_out=f"kedro run --pipeline={self.project}",
                )


def _check(view: FeatureView, tables: "Mapping[str, pl.DataFrame]") -> None:
    wanted = [view.entity, "event_time", *(feature.name for feature in view.features)]
    found = tables[view.name].columns if view.name in tables else []
    if missing := [name for name in wanted if name not in found]:
        raise ConfigurationError(
            f"The features of view '{view.name}' lack {', '.join(missing)}.",
            where=f"derive_features of the project; it gave {', '.join(found) or 'no such view'}",
            way_out="make derive_features and the schema agree",
        )
