"""Regular series: one row for each day, week or month. What cannot be one is refused, or leaves for quarantine."""

import logging
from collections.abc import Sequence
from typing import Literal

import polars as pl

from modelyard.errors import DataContractError
from modelyard.own_data.cells import PARSE_ERRORS

logger = logging.getLogger(__name__)

Step = Literal["day", "week", "month"]
"""Time between two values of a series. Weeks begin on Monday, as in ISO 8601."""

_DAY_US = 86_400_000_000
_MONDAY = 3
"""Days from a Monday to 1970-01-01."""

_STEP_DAYS = {"day": (0.9, 1.1), "week": (6.5, 7.5), "month": (28.0, 31.0)}
"""Range of the median distance of neighbouring times."""

_MAX_IRREGULAR_SHARE = 0.05


def step_number(time: pl.Expr, step: Step) -> pl.Expr:
    """Returns the number of the step that holds ``time``, int64; neighbouring steps differ by one.

    Args:
        time: A datetime in UTC with microseconds.
        step: Months are counted from year 0, days and weeks from 1970-01-01.
    """
    if step == "month":
        return time.dt.year().cast(pl.Int64) * 12 + time.dt.month().cast(pl.Int64) - 1
    day = time.to_physical() // _DAY_US
    return day if step == "day" else (day + _MONDAY) // 7


def step_begin(number: pl.Expr, step: Step) -> pl.Expr:
    """Returns the first instant (UTC) of a step of :func:`step_number`."""
    if step == "month":
        return pl.datetime(number // 12, number % 12 + 1, 1, time_unit="us", time_zone="UTC")
    day = number if step == "day" else number * 7 - _MONDAY
    return (day * _DAY_US).cast(pl.Datetime("us", "UTC"))


def regular(rows: pl.DataFrame, step: Step, values: Sequence[str], where: str) -> pl.DataFrame:
    """Puts series on their steps. A gap stays a gap: a step without a row gets none.

    Args:
        rows: ``series`` (its name), ``event_time``, columns ``values``, perhaps ``parse_errors``; in any order.
        step: The time between two rows of a series.
        values: Columns that equal copies of a row must share.
        where: File or data set, for messages.

    Returns:
        The rows in the order of series and time with ``step`` (int64, see :func:`step_number`), ``event_time`` (the
        step's first instant) and ``parse_errors``. A row that has no readable time, or repeats another one, has no
        ``step`` and says so in ``parse_errors``: it lends nothing to its neighbours, and belongs into quarantine.

    Raises:
        DataContractError: The times are not that step apart, or a step has two different values.
    """
    if PARSE_ERRORS not in rows.columns:
        rows = rows.with_columns(pl.lit(None, dtype=pl.String).alias(PARSE_ERRORS))
    rows = rows.sort("series", "event_time", nulls_last=True, maintain_order=True)
    _check_distance(rows.filter(pl.col("event_time").is_not_null()), step, where)
    rows = rows.with_columns(step_number(pl.col("event_time"), step).alias("step"))
    rows = _without_copies(rows, values)
    _check_one_value(rows, where)
    known = rows.filter(pl.col("step").is_not_null() & pl.any_horizontal(pl.col(values).is_not_null()))
    missing = known.select(pl.col("step").diff().over("series") - 1).to_series().drop_nulls()
    if missing.sum():
        logger.info("%s: %d missing steps in %d gaps", where, missing.sum(), (missing > 0).sum())
    return rows.with_columns(step_begin(pl.col("step"), step).alias("event_time"))


def _check_distance(rows: pl.DataFrame, step: Step, where: str) -> None:
    """Refuses times of which most are not one step from the next."""
    days = pl.col("event_time").diff().over("series").dt.total_seconds() / 86_400
    gaps = rows.select(days.alias("gap")).filter(pl.col("gap") > 0)["gap"]
    median, (shortest, longest) = gaps.median(), _STEP_DAYS[step]
    if not isinstance(median, float):
        raise DataContractError(
            f"The series has {rows.height} rows at {rows['event_time'].n_unique()} times.",
            where=where,
            way_out="bring a longer series",
        )
    short_share = (gaps < shortest * 0.9).sum() / len(gaps)
    if not shortest <= median <= longest or short_share > _MAX_IRREGULAR_SHARE:
        raise DataContractError(
            f"The times are {median:g} days apart (median; {short_share:.0%} are closer than a {step}), where one row"
            f" for each {step} is needed.",
            where=f"{where}, column 'event_time'",
            way_out=f"average the values to one for each {step}, or choose a kind of series with the step that it has",
        )


def _without_copies(rows: pl.DataFrame, values: Sequence[str]) -> pl.DataFrame:
    """Takes the step from all but the first of equal rows, and tells why; rows without a time tell that too."""
    is_copy = pl.col("step").is_not_null() & ~pl.struct("series", "step", *values, PARSE_ERRORS).is_first_distinct()
    reason = (
        pl.when(is_copy)
        .then(pl.format("event_time: repeats the row of {}", pl.col("event_time").dt.strftime("%Y-%m-%d")))
        .when(pl.col("step").is_null() & pl.col(PARSE_ERRORS).is_null())
        .then(pl.lit("event_time: is missing"))
        .otherwise(PARSE_ERRORS)
    )
    return rows.with_columns(pl.when(~is_copy).then("step").alias("step"), reason.alias(PARSE_ERRORS))


def _check_one_value(rows: pl.DataFrame, where: str) -> None:
    """Refuses a step with two different values: which is right cannot be known."""
    clashing = rows.filter(pl.col("step").is_not_null() & (pl.len().over("series", "step") > 1))
    if clashing.height:
        times = ", ".join(f"{time:%Y-%m-%d}" for time in clashing["event_time"].unique(maintain_order=True)[:3])
        raise DataContractError(
            f"{clashing.height} rows have different values for {clashing['step'].n_unique()} steps, first at {times}.",
            where=f"{where}, column 'event_time'",
            way_out="keep one row for each step, or name the series in a column 'series' if there are several",
        )
