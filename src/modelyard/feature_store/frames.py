"""Checks the frames that a project writes to the feature store, so that every reader can rely on them."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from modelyard.errors import DataContractError
from modelyard.feature_store.objects import EVENT_TIME
from modelyard.feature_store.schema import FeatureView

if TYPE_CHECKING:
    import polars as pl


def polars_dtype(dtype: str) -> "pl.DataType":
    """Returns the polars type of a schema's dtype."""
    import polars as pl

    return {
        "string": pl.String(),
        "int64": pl.Int64(),
        "float64": pl.Float64(),
        "float32": pl.Float32(),
        "bool": pl.Boolean(),
        "float32_list": pl.List(pl.Float32),
        "int64_list": pl.List(pl.Int64),
    }[dtype]


def checked_frames(views: Sequence[FeatureView], frames: "Mapping[str, pl.DataFrame]") -> "dict[str, pl.DataFrame]":
    """Returns the frames with the schema's columns and dtypes, sorted by entity and time.

    Rows of one entity and time keep their order; the last of them is used. NaN becomes null, because an online store
    has only one kind of missing value.

    Args:
        views: The project's feature schema.
        frames: View name to frame (entity, ``event_time``, features).

    Raises:
        DataContractError: A view or column is missing or unknown, a type does not fit, an entity or time is null, a
            list column holds lists of different lengths or missing elements.
    """
    expected, found = [view.name for view in views], list(frames)
    if sorted(expected) != sorted(found):
        raise _broken(f"The feature views are {_listed(found)}, not {_listed(expected)}.", "derive_features")
    return {view.name: _checked(view, frames[view.name]) for view in views}


def _checked(view: FeatureView, frame: "pl.DataFrame") -> "pl.DataFrame":
    import polars as pl

    where = f"feature view '{view.name}'"
    wanted = [view.entity, EVENT_TIME, *(feature.name for feature in view.features)]
    if set(wanted) != set(frame.columns):
        missing, unknown = set(wanted) - set(frame.columns), set(frame.columns) - set(wanted)
        found = [f"{word} {_listed(names)}" for word, names in (("lacks", missing), ("has unknown", unknown)) if names]
        raise _broken(f"A frame of features {' and '.join(found)}.", where)
    dtypes = {
        view.entity: polars_dtype(view.entity_dtype),
        EVENT_TIME: pl.Datetime("us", "UTC"),
        **{feature.name: polars_dtype(feature.dtype) for feature in view.features},
    }
    columns = [_as_dtype(frame[name], dtypes[name], where) for name in wanted]
    for column in columns[:2]:
        if column.null_count():
            raise _broken(f"{column.null_count()} rows have no value.", f"{where}, column '{column.name}'")
    return pl.DataFrame(columns).sort(view.entity, EVENT_TIME, maintain_order=True)


def _as_dtype(column: "pl.Series", dtype: "pl.DataType", where: str) -> "pl.Series":
    import polars as pl

    where = f"{where}, column '{column.name}'"
    if not _fits(column.dtype, dtype):
        raise _broken(f"The column holds {column.dtype}, the schema says {dtype}.", where)
    try:
        cast = column.cast(dtype)
    except pl.exceptions.InvalidOperationError as error:
        raise _broken(f"Values do not fit into {dtype}.", where) from error
    if dtype.is_float():
        return cast.fill_nan(None)
    if isinstance(dtype, pl.List):
        lengths = cast.list.len().drop_nulls()
        if lengths.n_unique() > 1:
            raise _broken(f"Lists have different lengths: {sorted(lengths.unique())[:5]}.", where)
        if cast.explode(empty_as_null=False, keep_nulls=False).null_count():
            raise _broken("Lists have missing elements.", where)
    return cast


def _fits(found: "pl.DataType", wanted: "pl.DataType") -> bool:
    """Returns whether a cast keeps the meaning: wider numbers, text from categories; never text to number or back."""
    import polars as pl

    if isinstance(wanted, pl.List):
        inner: Any = getattr(found, "inner", None)
        return isinstance(found, (pl.List, pl.Array)) and _fits(inner, wanted.inner)  # type: ignore[arg-type]  # an instance
    if isinstance(wanted, pl.Datetime):
        return isinstance(found, pl.Datetime) and found.time_zone is not None
    if wanted == pl.String:
        return isinstance(found, (pl.String, pl.Categorical, pl.Enum, pl.Null))
    if wanted.is_float():
        return found.is_float() or found.is_integer() or found == pl.Null
    if wanted.is_integer():
        return found.is_integer() or found == pl.Null
    return found in (wanted, pl.Null)


def _broken(found: str, where: str) -> DataContractError:
    return DataContractError(found, where=where, way_out="make derive_features and the project's feature_views agree")


def _listed(names: Any) -> str:
    return ", ".join(sorted(names)) or "none"
