"""Feast's objects and configuration, created from a project's feature schema.

All Modelyard projects share one registry, each as a separate Feast project: names need to be unique only within a
project, one UI shows everything, and no project writes a row that another one reads.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelyard.back_ends.online_store_address import ONLINE_STORE_VARIABLE, check_online_store_url
from modelyard.errors import ConfigurationError
from modelyard.feature_store.schema import Feature, FeatureView

if TYPE_CHECKING:
    import feast
    from feast.types import FeastType

EVENT_TIME = "event_time"
"""The column with the time from which a row of a view is valid."""

REGISTRY_VARIABLE = "MODELYARD_FEATURE_REGISTRY"
"""A database URL (``postgresql+psycopg://...``) instead of the SQLite file."""

DATABASE_PATIENCE_S = 60
"""How long to wait for a locked database."""


def check_views(views: Sequence[FeatureView]) -> None:
    """Checks a feature schema for errors that Feast would report late or not at all.

    Raises:
        ConfigurationError: Two views have the same name; a feature's name is used twice, or is that of a key or of
            ``event_time``; an entity has two types.
    """
    keys = {view.entity for view in views}
    entity_types = {(view.entity, view.entity_dtype) for view in views}
    problems = [
        *(f"there are two views '{name}'" for name in _repeated([view.name for view in views])),
        *(f"the feature '{name}' is there twice" for name in _repeated([f.name for v in views for f in v.features])),
        *(
            f"'{feature.name}' is the name of a key column or of the time and cannot be a feature"
            for view in views
            for feature in view.features
            if feature.name in {*keys, EVENT_TIME}
        ),
        *(f"the entity '{name}' is of two types" for name in _repeated([entity for entity, _ in entity_types])),
    ]
    if problems:
        raise ConfigurationError(
            f"The feature schema does not hold together: {'; '.join(problems)}.",
            where="the project's feature_views",
            way_out="rename or remove what is named above",
        )


def feast_objects(views: Sequence[FeatureView], folder: Path) -> "tuple[list[feast.Entity], list[feast.FeatureView]]":
    """Returns entities and feature views; the source of a view is the file ``<view>.parquet`` in ``folder``."""
    import feast

    value_types = {"string": feast.ValueType.STRING, "int64": feast.ValueType.INT64}
    entities = {
        view.entity: feast.Entity(name=view.entity, join_keys=[view.entity], value_type=value_types[view.entity_dtype])
        for view in views
    }
    feast_views = [
        feast.FeatureView(
            name=view.name,
            entities=[entities[view.entity]],
            ttl=view.ttl,
            schema=[feast.Field(name=view.entity, dtype=_feast_dtype(view.entity_dtype)), *map(_field, view.features)],
            source=feast.FileSource(
                name=view.name, path=str(source_path(folder, view.name)), timestamp_field=EVENT_TIME
            ),
            online=True,
            description=view.description,
        )
        for view in views
    ]
    return list(entities.values()), feast_views


def source_path(folder: Path, view_name: str) -> Path:
    """Returns the file that holds a view's rows."""
    return folder / f"{view_name}.parquet"


def repo_config(project: str, folder: Path, registry: str, schema: str = "") -> "feast.RepoConfig":
    """Returns Feast's configuration of one project.

    Args:
        project: The project's name.
        folder: Folder of the project's sources and its SQLite online store.
        registry: Path of a SQLite file or a database URL; :data:`REGISTRY_VARIABLE` overrides it.
        schema: Digest of the feature schema.

    Raises:
        ConfigurationError: :data:`ONLINE_STORE_VARIABLE` cannot be read.
    """
    import feast

    url = registry_url(registry)
    options: dict[str, Any] = {"connect_args": {"timeout": DATABASE_PATIENCE_S}}
    if not is_file(url):
        options = {"pool_pre_ping": True}
    return feast.RepoConfig(
        project=project,
        provider="local",
        registry={"registry_type": "sql", "path": url, "sqlalchemy_config_kwargs": {"echo": False, **options}},
        offline_store={"type": "modelyard.feature_store.asof.AsofOfflineStore"},
        online_store=online_store(folder, schema),
        entity_key_serialization_version=3,
    )


def registry_url(registry: str) -> str:
    """Returns the registry as a database URL."""
    place = os.environ.get(REGISTRY_VARIABLE) or registry
    return place if "://" in place else f"sqlite:///{Path(place).absolute()}"


def is_file(url: str) -> bool:
    """Returns whether a database URL names a SQLite file."""
    return url.startswith("sqlite:")


def online_store(folder: Path, schema: str = "") -> dict[str, str]:
    """Returns the configuration of the online store: ``online.db`` in ``folder``, or Redis if the environment names it.

    Args:
        folder: The project's folder.
        schema: Digest of the feature schema that is read or written.

    Raises:
        ConfigurationError: The environment names something other than Redis.
    """
    url = os.environ.get(ONLINE_STORE_VARIABLE)
    if not url:
        return {"type": "sqlite", "path": str(folder / "online.db")}
    check_online_store_url(url)
    return {"type": "modelyard.feature_store.online_redis.ExchangedRedisOnlineStore", "schema_digest": schema}


def _field(feature: Feature) -> "feast.Field":
    import feast

    tags = {"unit": feature.unit} if feature.unit else {}
    return feast.Field(name=feature.name, dtype=_feast_dtype(feature.dtype), description=feature.description, tags=tags)


def _feast_dtype(dtype: str) -> "FeastType":
    from feast import types

    dtypes: dict[str, FeastType] = {
        "string": types.String,
        "int64": types.Int64,
        "float64": types.Float64,
        "float32": types.Float32,
        "bool": types.Bool,
        "float32_list": types.Array(types.Float32),
        "int64_list": types.Array(types.Int64),
    }
    return dtypes[dtype]


def _repeated(names: list[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})
