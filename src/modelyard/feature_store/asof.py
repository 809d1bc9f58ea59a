"""Feast's offline store interface over Parquet files, with our own point-in-time join.

Feast finds the class by its dotted path in ``offline_store.type``; nothing else imports this module, so Feast is
imported at its top. It gives the rows of Feast's dask store, except where that store loses some: an entity row
without a match keeps its place with nulls, duplicated entity rows stay, rows stay in the order of the entity frame,
and a null entity key matches nothing.
"""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import polars as pl
import pyarrow as pa
from feast import errors
from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL
from feast.infra.offline_stores.file_source import FileSource
from feast.infra.offline_stores.offline_store import OfflineStore, RetrievalJob, RetrievalMetadata
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.repo_config import FeastConfigBaseModel
from feast.utils import _get_requested_feature_views_to_features_dict, _get_requested_on_demand_feature_views

from modelyard.feature_store.point_in_time import (
    CREATED,
    TIME,
    duration,
    gather,
    instants,
    known_rows,
    latest_rows,
    unit_of,
)

if TYPE_CHECKING:
    import pandas as pd
    from feast.data_source import DataSource
    from feast.feature_view import FeatureView
    from feast.infra.registry.base_registry import BaseRegistry
    from feast.repo_config import RepoConfig

EVENT_TIMESTAMP = "event_timestamp"
"""Feast's name for the moment column of an entity frame."""


class AsofOfflineStoreConfig(FeastConfigBaseModel):
    """Configuration of :class:`AsofOfflineStore`; there is nothing to configure but the type."""

    type: Literal["modelyard.feature_store.asof.AsofOfflineStore"] = "modelyard.feature_store.asof.AsofOfflineStore"


class AsofRetrievalJob(RetrievalJob):
    """A retrieval that runs when its result is asked for."""

    def __init__(
        self,
        evaluate: Callable[[], pa.Table],
        *,
        full_feature_names: bool = False,
        on_demand_feature_views: list[OnDemandFeatureView] | None = None,
        metadata: RetrievalMetadata | None = None,
    ) -> None:
        self._evaluate = evaluate
        self._full_feature_names = full_feature_names
        self._on_demand_feature_views = on_demand_feature_views or []
        self._metadata = metadata

    @property
    def full_feature_names(self) -> bool:
        """Whether columns are called ``view__feature``."""
        return self._full_feature_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        """Transformations that Feast applies to the result."""
        return self._on_demand_feature_views

    @property
    def metadata(self) -> RetrievalMetadata | None:
        """What was asked for."""
        return self._metadata

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        return self._evaluate()

    def _to_df_internal(self, timeout: int | None = None) -> "pd.DataFrame":
        return self._evaluate().to_pandas()


class AsofOfflineStore(OfflineStore):
    """Point-in-time retrieval from Parquet files (``FileSource``)."""

    supports_filter_by_created_timestamp = True

    @staticmethod
    def get_historical_features(
        config: "RepoConfig",
        feature_views: "list[FeatureView]",
        feature_refs: list[str],
        entity_df: "pd.DataFrame | pa.Table",
        registry: "BaseRegistry",
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
        **_unused: Any,
    ) -> AsofRetrievalJob:
        """Joins features to the entity frame, each row as known at its ``event_timestamp``.

        Args:
            config: Feast's.
            feature_views: The views that ``feature_refs`` name.
            feature_refs: ``view:feature``.
            entity_df: Entity keys and one column of moments. Feast's own interface also lets an Arrow table through,
                which saves two conversions.
            registry: Feast's.
            project: Feast's.
            full_feature_names: Call columns ``view__feature``.
            filter_by_created_timestamp: Leave out rows created after the moment asked for.

        Raises:
            ValueError: ``entity_df`` is no table, a key's type does not fit the source's, or a feature has the name
                of a column of ``entity_df``.
            FeastEntityDFMissingColumnsError: A join key is missing.
        """
        entities = _as_table(entity_df)
        time_column = _time_column(entities.schema)
        on_demand = _get_requested_on_demand_feature_views(feature_refs, config.project, registry)
        requested, _ = _get_requested_feature_views_to_features_dict(feature_refs, feature_views, on_demand)
        moments = pl.Series(time_column, entities[time_column])

        def evaluate() -> pa.Table:
            result = entities
            for view, names in requested.items():
                columns = _features_at(
                    config, view, names, entities, moments, full_feature_names, filter_by_created_timestamp
                )
                if clash := set(columns.columns) & set(result.column_names):
                    raise ValueError(f"columns {sorted(clash)} would be there twice; pass full_feature_names=True")
                for column, values in zip(columns.columns, columns.to_arrow().columns, strict=True):
                    result = result.append_column(column, values)
            return result

        first, last = (moment if isinstance(moment, datetime) else None for moment in (moments.min(), moments.max()))
        metadata = RetrievalMetadata(
            features=feature_refs,
            keys=[name for name in entities.column_names if name != time_column],
            min_event_timestamp=first,
            max_event_timestamp=last,
        )
        return AsofRetrievalJob(
            evaluate, full_feature_names=full_feature_names, on_demand_feature_views=on_demand, metadata=metadata
        )

    @staticmethod
    def pull_latest_from_table_or_query(
        config: "RepoConfig",
        data_source: "DataSource",
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> AsofRetrievalJob:
        """The latest row of each entity between two moments (both included)."""
        names = _pulled(join_key_columns, feature_name_columns, timestamp_field, created_timestamp_column)

        def evaluate() -> pa.Table:
            rows = _between(config, data_source, names, timestamp_field, start_date, end_date)
            source = _source_times(rows.select(join_key_columns), rows, timestamp_field, created_timestamp_column)
            return _with_dummy_key(rows[latest_rows(source, join_key_columns)], join_key_columns).to_arrow()

        return AsofRetrievalJob(evaluate)

    @staticmethod
    def pull_all_from_table_or_query(
        config: "RepoConfig",
        data_source: "DataSource",
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> AsofRetrievalJob:
        """All rows between two moments (both included)."""
        names = _pulled(join_key_columns, feature_name_columns, timestamp_field, created_timestamp_column)

        def evaluate() -> pa.Table:
            rows = _between(config, data_source, names, timestamp_field, start_date, end_date)
            return _with_dummy_key(rows, join_key_columns).to_arrow()

        return AsofRetrievalJob(evaluate)


def _features_at(
    config: "RepoConfig",
    view: "FeatureView",
    names: list[str],
    entities: pa.Table,
    moments: pl.Series,
    full_feature_names: bool,
    only_created: bool,
) -> pl.DataFrame:
    """The view's features for each row of ``entities``, under the names that the result gives them."""
    source = _file_source(view.batch_source)
    path = _path(config, source)
    stored = {renamed: original for original, renamed in source.field_mapping.items()}
    asked_keys = [view.projection.join_key_map.get(key.name, key.name) for key in view.entity_columns]
    source_keys = [stored.get(key.name, key.name) for key in view.entity_columns]
    if missing := set(asked_keys) - set(entities.column_names):
        raise _missing_columns(set(asked_keys), missing)
    created = source.created_timestamp_column or None
    needed = [*source_keys, source.timestamp_field, *([created] if created else [])]
    rows = pl.read_parquet(path, columns=list(dict.fromkeys(needed))).rechunk()
    columns = [moments, rows[source.timestamp_field], *([rows[created]] if created else [])]
    asked_time, *source_times = instants(*columns)
    known = rows.select(pl.col(name).alias(key) for name, key in zip(source_keys, asked_keys, strict=True))
    known = known.with_columns(*(t.alias(n) for t, n in zip(source_times, (TIME, CREATED), strict=False)))
    asked = pl.DataFrame(
        [_like(pl.Series(key, entities[key]), known.schema[key]) for key in asked_keys] + [asked_time.alias(TIME)]
    )
    ttl = duration(view.ttl, unit_of(*columns))
    found_rows = known_rows(asked, known, asked_keys, ttl=ttl, only_created=only_created and created is not None)
    del rows, known, asked
    projection: Any = view.projection
    prefix = f"{projection.name_to_use()}__" if full_feature_names else ""
    stored_names = [stored.get(name, name) for name in names]
    features = pl.read_parquet(path, columns=list(dict.fromkeys(stored_names))).rechunk()
    result = features.select(pl.col(s).alias(prefix + name) for s, name in zip(stored_names, names, strict=True))
    return gather(result, *found_rows)


def _missing_columns(expected: set[str], missing: set[str]) -> Exception:
    error: Any = errors.FeastEntityDFMissingColumnsError
    exception: Exception = error(expected, missing)
    return exception


def _like(column: pl.Series, dtype: pl.DataType) -> pl.Series:
    """A key column as the source's dtype; pandas turns integers with gaps into floats, which must still match."""
    if column.dtype == dtype:
        return column
    if column.dtype == pl.Null:
        return column.cast(dtype)
    numbers = column.dtype.is_numeric() and dtype.is_integer()
    texts = isinstance(column.dtype, (pl.Categorical, pl.Enum)) and dtype == pl.String
    if not numbers and not texts:
        raise ValueError(f"key '{column.name}' is {column.dtype} in the entity frame and {dtype} in the source")
    cast = column.cast(dtype, strict=False)
    return cast.set(cast.cast(column.dtype, strict=False).ne_missing(column), None) if numbers else cast


def _as_table(entity_df: Any) -> pa.Table:
    if isinstance(entity_df, pa.Table):
        return entity_df
    if entity_df is None or isinstance(entity_df, str):
        raise ValueError("entity_df must be a table of entity keys and moments: a pandas DataFrame or an Arrow table")
    return pa.Table.from_pandas(entity_df, preserve_index=False)


def _time_column(schema: pa.Schema) -> str:
    if EVENT_TIMESTAMP in schema.names:
        return EVENT_TIMESTAMP
    times = [field.name for field in schema if pa.types.is_timestamp(field.type)]
    if len(times) != 1:
        raise errors.EntityTimestampInferenceException(EVENT_TIMESTAMP)
    return str(times[0])


def _file_source(source: "DataSource | None") -> FileSource:
    if not isinstance(source, FileSource):
        raise ValueError(f"{type(source).__name__} is not supported: sources must be Parquet files (FileSource)")
    return source


def _path(config: "RepoConfig", source: FileSource) -> str:
    return FileSource.get_uri_for_file_path(repo_path=config.repo_path, uri=source.path)


def _pulled(keys: list[str], features: list[str], timestamp: str, created: str | None) -> list[str] | None:
    """Columns to read; None (all) where Feast names no features."""
    return list(dict.fromkeys([*keys, *features, timestamp, *([created] if created else [])])) if features else None


def _between(
    config: "RepoConfig",
    source: "DataSource",
    names: list[str] | None,
    timestamp_field: str,
    start: datetime | None,
    end: datetime | None,
) -> pl.DataFrame:
    rows = pl.read_parquet(_path(config, _file_source(source)), columns=names)
    times, *bounds = instants(rows[timestamp_field], *(pl.Series([moment]) for moment in (start, end) if moment))
    kept = times.is_not_null()
    if start:
        kept &= times >= bounds[0].item()
    if end:
        kept &= times <= bounds[-1].item()
    return rows.filter(kept)


def _source_times(keys: pl.DataFrame, rows: pl.DataFrame, timestamp_field: str, created: str | None) -> pl.DataFrame:
    """``keys`` with the columns that :mod:`modelyard.feature_store.point_in_time` works on."""
    columns = {TIME: rows[timestamp_field], **({CREATED: rows[created]} if created else {})}
    times = instants(*columns.values())
    return keys.with_columns(*(series.alias(name) for name, series in zip(columns, times, strict=True)))


def _with_dummy_key(rows: pl.DataFrame, join_key_columns: list[str]) -> pl.DataFrame:
    """Feast's stand-in entity for a view without entities."""
    return rows if join_key_columns else rows.with_columns(pl.lit(DUMMY_ENTITY_VAL).alias(DUMMY_ENTITY_ID))
