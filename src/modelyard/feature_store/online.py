"""The online store: the latest row of each entity, written and read through Feast.

Feast's own ``materialize`` turns every row into protobuf objects and then discards all but the last. Here the rows are
reduced first, with one pass over the sorted frame.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelyard.errors import StorageError
from modelyard.feature_store.frames import polars_dtype
from modelyard.feature_store.objects import EVENT_TIME, feast_objects, repo_config
from modelyard.feature_store.schema import FeatureView, schema_digest

if TYPE_CHECKING:
    import feast
    import polars as pl
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

_WRITE_ROWS, _READ_ROWS = 10_000, 10_000
"""Rows per batch: bounds the memory when writing, and SQLite's number of parameters per query when reading."""

_VALUE_FIELDS = {"string": "string_val", "int64": "int64_val", "float64": "double_val", "float32": "float_val"}
_VALUE_FIELDS |= {"bool": "bool_val", "float32_list": "float_list_val", "int64_list": "int64_list_val"}
"""Dtype to field of Feast's protobuf ``Value``."""


def materialise(
    project: str,
    views: Sequence[FeatureView],
    frames: "Mapping[str, pl.DataFrame]",
    *,
    until: datetime | None,
    folder: Path,
    registry: str,
) -> Callable[[], None]:
    """Writes each entity's latest row at ``until`` to the online store (a SQLite file in ``folder``, or Redis).

    Args:
        project: The project's name.
        views: Its feature schema.
        frames: View name to frame, as :func:`modelyard.feature_store.frames.checked_frames` returns them.
        until: The time; later rows and rows that have expired by then are left out. None: no rows at all.
        folder: Folder of the SQLite file.
        registry: The registry's path or URL, for Feast's configuration only.

    Returns:
        A function that makes the new rows visible to readers; with SQLite, exchanging the folder does so already.

    Raises:
        StorageError: The online store cannot be written.
    """
    import sqlite3

    from feast.infra.provider import get_provider

    schema = schema_digest(views)
    config = repo_config(project, folder, registry, schema)
    publish = _nothing_to_publish
    if config.online_store.type != "sqlite":
        from modelyard.feature_store import online_redis

        generation = online_redis.new_generation()
        config = online_redis.writing_to(config, generation)
        publish = partial(online_redis.publish, project, generation, schema)
    provider = get_provider(config)
    entities, feast_views = feast_objects(views, folder)
    try:
        provider.update_infra(config.project, [], feast_views, [], entities, partial=True)
        for view, feast_view in zip(views, feast_views, strict=True):
            latest = known_at(view, frames[view.name], until)
            for start in range(0, latest.height, _WRITE_ROWS):
                rows = list(_rows(view, latest.slice(start, _WRITE_ROWS)))
                provider.online_write_batch(config, feast_view, rows, None)
    except sqlite3.OperationalError as error:
        raise StorageError(
            f"The online store cannot be written: {error}.",
            where=str(folder),
            way_out="free space or make the folder writable, then run the same command again",
        ) from error
    return publish


def _nothing_to_publish() -> None:
    """Does nothing: exchanging the folder publishes the SQLite file."""


def known_at(view: FeatureView, frame: "pl.DataFrame", moment: datetime | None) -> "pl.DataFrame":
    """Returns each entity's latest row that is valid at ``moment``, from a frame sorted by entity and time."""
    import polars as pl

    valid = pl.col(EVENT_TIME) <= moment if moment else pl.lit(False)
    if moment and view.ttl:
        valid &= pl.col(EVENT_TIME) >= moment - view.ttl
    return frame.filter(valid).unique(view.entity, keep="last", maintain_order=True)


def read(store: "feast.FeatureStore", view: FeatureView, keys: "pl.Series", *, at: datetime | None) -> "pl.DataFrame":
    """Returns the stored features of ``keys``: one row each, in their order, nulls for unknown keys.

    Args:
        store: The project's Feast store.
        view: The view to read.
        keys: Entity keys (N) of the view's dtype; repeated and null keys are allowed.
        at: Time at which expired rows are left out; None: return all stored rows.
    """
    import polars as pl

    # Feast would determine this by importing all its online stores, which takes seconds; both of ours support it.
    store._get_provider().online_store._versioned_read_supported = True
    names = [feature.name for feature in view.features]
    dtypes = {view.entity: polars_dtype(view.entity_dtype)}
    dtypes |= {feature.name: polars_dtype(feature.dtype) for feature in view.features}
    known = keys.drop_nulls().unique(maintain_order=True)
    parts = [pl.DataFrame(schema=dtypes)]
    for start in range(0, len(known), _READ_ROWS):
        wanted = known.slice(start, _READ_ROWS)
        response = store.get_online_features(
            features=[f"{view.name}:{name}" for name in names], entity_rows={view.entity: wanted.to_list()}
        )
        values = response.to_dict()
        part = pl.DataFrame({name: values[name] for name in dtypes}, schema=dtypes)
        parts.append(part if at is None or not view.ttl else part.filter(_fresh(response, at - view.ttl)))
    return keys.alias(view.entity).to_frame().join(pl.concat(parts), on=view.entity, how="left", maintain_order="left")


def _fresh(response: Any, oldest: datetime) -> list[bool]:
    """Returns whether each row is from ``oldest`` or later, to the second, the precision of Feast's SQLite store."""
    times = response.proto.results[-1].event_timestamps
    return [time.ToDatetime(oldest.tzinfo) + timedelta(seconds=1) > oldest for time in times]


def _rows(
    view: FeatureView, latest: "pl.DataFrame"
) -> "Iterator[tuple[EntityKey, dict[str, Value], datetime, datetime | None]]":
    """Yields rows in the form that Feast's ``online_write_batch`` takes."""
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey

    names = [feature.name for feature in view.features]
    keys = _values(latest[view.entity], view.entity_dtype)
    columns = [_values(latest[feature.name], feature.dtype) for feature in view.features]
    for key, time, *values in zip(keys, latest[EVENT_TIME].to_list(), *columns, strict=True):
        entity_key = EntityKey(join_keys=[view.entity], entity_values=[key])
        yield entity_key, dict(zip(names, values, strict=True)), time, None


def _values(column: "pl.Series", dtype: str) -> "list[Value]":
    """Returns a column as protobuf values; null is a value with no field set."""
    from feast.protos.feast.types.Value_pb2 import FloatList, Int64List, Value

    field = _VALUE_FIELDS[dtype]
    wrap: Any = {"float32_list": lambda v: FloatList(val=v), "int64_list": lambda v: Int64List(val=v)}.get(dtype)
    return [
        Value() if value is None else Value(**{field: wrap(value) if wrap else value}) for value in column.to_list()
    ]
