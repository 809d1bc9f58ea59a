"""Selects the columns that the request log and the monitor watch, and those that identify a row."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

    from modelyard.project import Project


def is_watchable(dtype: "pl.DataType") -> bool:
    """Whether a column of this type can be summarised: numbers, booleans, text, and lists of numbers."""
    import polars as pl

    if isinstance(dtype, (pl.List, pl.Array)):
        return bool(getattr(dtype.inner, "is_numeric", bool)())
    return dtype.is_numeric() or dtype in (pl.Boolean, pl.String) or isinstance(dtype, (pl.Categorical, pl.Enum))


def identifying_columns(project: "Project") -> list[str]:
    """Returns the columns that identify a row: key, group, entities of the features, event time."""
    contract = project.contract
    names = [contract.key, contract.group, *(view.entity for view in project.feature_views), contract.event_time]
    return [name for name in dict.fromkeys(names) if name]


def sensitive_columns(project: "Project") -> set[str]:
    """Returns the columns whose values must not be logged."""
    return {column.name for column in project.contract.columns if column.sensitive}


def watched_columns(project: "Project", inputs: "pl.DataFrame") -> list[str]:
    """Returns the watched columns of ``inputs``: all but identifiers, times, targets, media and sensitive columns."""
    contract = project.contract
    left_out = {*identifying_columns(project), *sensitive_columns(project), contract.target, "split"}
    left_out |= {media.name for media in contract.media}
    return [name for name, dtype in inputs.schema.items() if name not in left_out and is_watchable(dtype)]


def flat(series: "pl.Series") -> "pl.Series":
    """Returns the mean of each list, which is what is watched of a list column; other columns unchanged."""
    import polars as pl

    if isinstance(series.dtype, pl.Array):
        return series.arr.mean()
    return series.list.mean() if isinstance(series.dtype, pl.List) else series
