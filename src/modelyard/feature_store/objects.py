"""Feast's objects, made from a project's schema."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modelyard.feature_store.schema import FeatureView

CREATED_COLUMN = "created_at"

_TYPES = {
    "string": "String",
    "int64": "Int64",
    "float64": "Float64",
    "float32": "Float32",
    "bool": "Bool",
}


def feast_objects(views: Sequence[FeatureView], sources: Path) -> tuple[list[Any], list[Any]]:
    """Entities and feature views for ``store.apply``.

    Args:
        views: The project's schema.
        sources: Folder of the views' Parquet files, ``<view>.parquet``.

    Returns:
        Feast entities, Feast feature views (in the order of ``views``).
    """
    import feast
    from feast.value_type import ValueType

    entities = {
        view.entity: feast.Entity(
            name=view.entity, join_keys=[view.entity], value_type=ValueType[view.entity_dtype.upper()]
        )
        for view in views
    }
    feature_views = [_feature_view(view, entities[view.entity], sources) for view in views]
    return list(entities.values()), feature_views


def _feature_view(view: FeatureView, entity: Any, sources: Path) -> Any:
    import feast
    from feast import types

    schema = [feast.Field(name=view.entity, dtype=getattr(types, _TYPES[view.entity_dtype]))]
    for feature in view.features:
        if feature.dtype.endswith("_list"):
            dtype = types.Array(getattr(types, _TYPES[feature.dtype.removesuffix("_list")]))
        else:
            dtype = getattr(types, _TYPES[feature.dtype])
        tags = {"unit": feature.unit} if feature.unit else {}
        schema.append(feast.Field(name=feature.name, dtype=dtype, description=feature.description, tags=tags))
    return feast.FeatureView(
        name=view.name,
        entities=[entity],
        ttl=view.ttl,
        schema=schema,
        online=True,
        description=view.description,
        source=feast.FileSource(
            name=f"{view.name}_source", path=str(sources / f"{view.name}.parquet"), timestamp_field="event_time"
        ),
    )
