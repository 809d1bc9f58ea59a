"""An offline store for Feast over Parquet files, with our own point-in-time join.

Feast finds the class by its dotted path in ``offline_store.type``; nothing else imports this module, so Feast is
imported at its top. It returns the rows of Feast's dask store, except where that store loses some: an entity row
without a match keeps its place with nulls, duplicated entity rows stay, rows stay in the order of the entity frame,
and a null entity key matches nothing.
"""

from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
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
    floats_with_nan,
    gather,
    instants,
    known_rows,
    latest_rows,
    unit_of,
    validity_of,
)

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from feast.data_source import DataSource
    from feast.feature_view import FeatureView
    from feast.infra.registry.base_registry import BaseRegistry
    from feast.repo_config import RepoConfig
    from numpy.typing import NDArray

EVENT_TIMESTAMP = "event_timestamp"
"""Feast's name for the time column of an entity frame."""


class AsofOfflineStoreConfig(FeastConfigBaseModel):
    """Configuration of :class:`AsofOfflineStore`; the type is the only setting."""

    type: Literal["modelyard.feature_store.asof.AsofOfflineStore"] = "modelyard.feature_store.asof.AsofOfflineStore"


class AsofRetrievalJob(RetrievalJob):
    """A retrieval that runs when its result is read."""

    def __init__(
        self,
        evaluate: Callable[[], pa.Table],
        *,
        full_feature_names: bool = False,
        on_demand_feature_views: list[OnDemandFeatureView] | None = None,
        metadata: RetrievalMetadata | None = None,
        given: Collection[str] | None = None,
    ) -> None:
        """``given``: columns of the caller's entity frame; ``gather`` makes all others. None: not known."""
        self._evaluate = evaluate
        self._full_feature_names = full_feature_names
        self._on_demand_feature_views = on_demand_feature_views or []
        self._metadata = metadata
        self._given = given

    @property
    def full_feature_names(self) -> bool:
        """Returns whether columns are called ``view__feature``."""
        return self._full_feature_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        """Returns the transformations that Feast applies to the result."""
        return self._on_demand_feature_views

    @property
    def metadata(self) -> RetrievalMetadata | None:
        """Returns Feast's metadata of the retrieval."""
        return self._metadata

    def to_df(self, validation_reference: Any = None, timeout: int | None = None) -> "pd.DataFrame":
        """Returns the result as pandas, without the copy that Feast makes and that takes longer than the join."""
        import pandas as pd

        table = self.to_arrow(validation_reference=validation_reference, timeout=timeout)
        ready = {}
        if self._given is not None and not self._on_demand_feature_views:
            made = {name: floats_with_nan(table[name]) for name in set(table.column_names).difference(self._given)}
            ready = {name: values for name, values in made.items() if values is not None}
        frame = table.drop_columns(list(ready)).to_pandas(split_blocks=True)
        frame.index = range(table.num_rows)
        if ready:
            every = {name: ready[name] if name in ready else frame[name] for name in table.column_names}
            frame = pd.DataFrame(every, copy=False)
        for name, column in frame.items():
            flags = getattr(column.values, "flags", None)  # to_numpy() would turn times into objects
            if flags is not None and not flags.writeable:  # Arrow's memory, perhaps that of the caller's entity frame
                frame[name] = column.copy()
        return frame

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
            entity_df: Entity keys and one time column. Feast's interface also accepts an Arrow table, which saves two
                conversions.
            registry: Feast's.
            project: Feast's.
            full_feature_names: Call columns ``view__feature``.
            filter_by_created_timestamp: Leave out rows created after the entity row's time.

        Raises:
            ValueError: ``entity_df`` is not a table, a key's type does not fit the source's, or a feature has the name
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
                if clash := columns.keys() & set(result.column_names):
                    raise ValueError(f"columns {sorted(clash)} would be there twice; pass full_feature_names=True")
                for column, values in columns.items():
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
            evaluate,
            full_feature_names=full_feature_names,
            on_demand_feature_views=on_demand,
            metadata=metadata,
            given=entities.column_names,
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
        """Returns the latest row of each entity between two times (both included)."""
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
        """Returns all rows between two times (both included)."""
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
) -> dict[str, pa.Array]:
    """Returns the view's features for each row of ``entities``, under their names in the result."""
    source = _file_source(view.batch_source)
    path, stored = _path(config, source), _stored_names(source)
    rows, found = _rows_at(view, source, path, entities, moments, only_created)
    projection: Any = view.projection
    prefix = f"{projection.name_to_use()}__" if full_feature_names else ""
    validity = validity_of(found)

    def gathered(name: str) -> pa.Array:
        return gather(_read(path, [stored.get(name, name)]).to_series(), rows, found, validity)

    # Two columns at a time, so that only the result is in memory as a whole.
    with ThreadPoolExecutor(2) as pool:
        return dict(zip((prefix + name for name in names), pool.map(gathered, names), strict=True))


def _rows_at(
    view: "FeatureView",
    source: FileSource,
    path: str,
    entities: pa.Table,
    moments: pl.Series,
    only_created: bool,
) -> "tuple[NDArray[np.int64], NDArray[np.bool_]]":
    """Returns the result of :func:`known_rows` for each row of ``entities``."""
    stored = _stored_names(source)
    keys = {
        view.projection.join_key_map.get(key.name, key.name): stored.get(key.name, key.name)
        for key in view.entity_columns
    }
    if missing := keys.keys() - set(entities.column_names):
        raise _missing_columns(set(keys), missing)
    created = source.created_timestamp_column or None
    rows = _read(path, [*keys.values(), source.timestamp_field, *([created] if created else [])]).rechunk()
    times = [moments, rows[source.timestamp_field], *([rows[created]] if created else [])]
    entity_time, *source_times = instants(*times)
    known = pl.DataFrame(
        [rows[stored_key].alias(key) for key, stored_key in keys.items()]
        + [time.alias(name) for name, time in zip((TIME, CREATED), source_times, strict=False)]
    )
    entity_rows = pl.DataFrame(
        [_like(pl.Series(key, entities[key]), known.schema[key]) for key in keys] + [entity_time.alias(TIME)]
    )
    ttl = duration(view.ttl, unit_of(*times))
    return known_rows(entity_rows, known, list(keys), ttl=ttl, only_created=only_created and created is not None)


def _stored_names(source: FileSource) -> dict[str, str]:
    """Returns Feast's name of a column to the file's, where they differ."""
    return {renamed: original for original, renamed in source.field_mapping.items()}


def _missing_columns(expected: set[str], missing: set[str]) -> Exception:
    error: Any = errors.FeastEntityDFMissingColumnsError
    exception: Exception = error(expected, missing)
    return exception


def _like(column: pl.Series, dtype: pl.DataType) -> pl.Series:
    """Returns a key column in the source's dtype; pandas turns integers with gaps into floats, which must match."""
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


def _read(path: str, columns: list[str] | None) -> pl.DataFrame:
    return pl.read_parquet(path, columns=list(dict.fromkeys(columns)) if columns else None)


def _pulled(keys: list[str], features: list[str], timestamp: str, created: str | None) -> list[str] | None:
    """Returns the columns to read; None (all) if Feast names no features."""
    return list(dict.fromkeys([*keys, *features, timestamp, *([created] if created else [])])) if features else None


def _between(
    config: "RepoConfig",
    source: "DataSource",
    names: list[str] | None,
    timestamp_field: str,
    start: datetime | None,
    end: datetime | None,
) -> pl.DataFrame:
    rows = _read(_path(config, _file_source(source)), names)
    times, *bounds = instants(rows[timestamp_field], *(pl.Series([moment]) for moment in (start, end) if moment))
    kept = times.is_not_null()
    if start:
        kept &= times >= bounds[0].item()
    if end:
        kept &= times <= bounds[-1].item()
    return rows.filter(kept)


def _source_times(keys: pl.DataFrame, rows: pl.DataFrame, timestamp_field: str, created: str | None) -> pl.DataFrame:
    """Returns ``keys`` with the columns that :mod:`modelyard.feature_store.point_in_time` works on."""
    columns = {TIME: rows[timestamp_field], **({CREATED: rows[created]} if created else {})}
    times = instants(*columns.values())
    return keys.with_columns(*(series.alias(name) for name, series in zip(columns, times, strict=True)))


def _with_dummy_key(rows: pl.DataFrame, join_key_columns: list[str]) -> pl.DataFrame:
    """Returns the rows with Feast's dummy entity, for a view without entities."""
    return rows if join_key_columns else rows.with_columns(pl.lit(DUMMY_ENTITY_VAL).alias(DUMMY_ENTITY_ID))
