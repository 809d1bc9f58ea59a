"""The feature schema of a project; it does not import Feast."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Literal

FeatureDtype = Literal["string", "int64", "float64", "float32", "bool", "float32_list", "int64_list"]


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One feature.

    Args:
        name: snake_case, with the unit as suffix where it has one; unique within a project.
        dtype: Stored type; ``*_list`` columns hold one fixed-length list per row.
        description: One sentence: what it counts or measures, over which window, as known when.
        unit: Unit, empty where there is none.
    """

    name: str
    dtype: FeatureDtype
    description: str
    unit: str = ""


@dataclass(frozen=True, kw_only=True)
class FeatureView:
    """Features of one entity, each row valid from its ``event_time`` on.

    Args:
        name: snake_case noun, unique within a project (``customer_spending``).
        entity: The column that identifies the entity, in the view's rows and in the records (``customer_id``).
        entity_dtype: ``string`` or ``int64``.
        ttl: Largest age of a feature row at the record's time. None: a row never expires.
        features: The view's features, in column order.
        description: One sentence.
    """

    name: str
    entity: str
    entity_dtype: Literal["string", "int64"]
    ttl: timedelta | None
    features: tuple[Feature, ...]
    description: str


def feature_names(views: Iterable[FeatureView]) -> list[str]:
    """Returns the names of all features, view by view, in column order."""
    return [feature.name for view in views for feature in view.features]


def schema_digest(views: Iterable[FeatureView]) -> str:
    """Returns the hex sha256 over the views' content; a changed name, type, unit or ttl is a new schema."""
    return sha256(json.dumps([asdict(view) for view in views], sort_keys=True, default=str).encode()).hexdigest()
