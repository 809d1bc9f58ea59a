"""What must a series be, and which forecasts can be made of it? What cannot be a regular series is refused."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import Field

from modelyard.errors import DataContractError
from modelyard.parameters import Parameters
from pipelines.climate_pattern_recognition.oscillations import OSCILLATIONS, step_number, time_of

if TYPE_CHECKING:
    import polars as pl

logger = logging.getLogger(__name__)

COVARIATES = (
    "nino3_index",
    "nino4_index",
    "soi_index",
    "pdo_index",
    "np_index",
    "tna_index",
    "tsa_index",
    "whwp_index",
    "qbo_index",
)
"""Other indices of the same month that may help."""

VALUES = ("first_index", "second_index", *COVARIATES)

_STEP_DAYS = {"day": (0.9, 1.1), "month": (28.0, 31.0)}
_MAX_IRREGULAR_SHARE = 0.05


class PeriodParameters(Parameters):
    """The split by the time that is forecast: the oldest train, the latest test."""

    test_share: float = Field(
        0.3, gt=0, lt=1, description="Share of the series, by time, that is the test; public data bring their own."
    )
    valid_share: float = Field(0.25, gt=0, lt=1, description="Share of the time before the test that validates.")


def regular(series: pl.DataFrame, oscillation: str, where: str) -> pl.DataFrame:
    """Puts a series on its steps: sorted, one row per step, gaps left out.

    Args:
        series: ``series`` (its name), ``event_time``, ``first_index``, any of :data:`VALUES`, perhaps ``parse_errors``
            (rows that have some stay, and are rejected with their reason by validation).
        oscillation: Says whether steps are months or days.
        where: File or data set, for messages.

    Returns:
        All of :data:`VALUES` (null where missing), ``oscillation``, ``step`` (see :func:`step_number`),
        ``event_time`` (the step's first instant) and ``parse_errors``, ordered by series and time.

    Raises:
        DataContractError: The steps are no months (or days), or a step has two different values.
    """
    import polars as pl

    n_untimed = series["event_time"].null_count()
    if n_untimed:
        logger.warning("%s: %d rows without a readable time are left out", where, n_untimed)
    series = series.filter(pl.col("event_time").is_not_null())
    if not series["event_time"].is_sorted() and series["series"].n_unique() == 1:
        logger.info("%s: the rows are not in the order of time; sorted", where)
    series = series.sort("series", "event_time", maintain_order=True)
    _check_steps(series, oscillation, where)
    filled = series.with_columns(
        pl.lit(oscillation).alias("oscillation"),
        *(pl.lit(None, dtype=pl.Float64).alias(name) for name in VALUES if name not in series.columns),
        *([] if "parse_errors" in series.columns else [pl.lit(None, dtype=pl.String).alias("parse_errors")]),
    ).with_columns(step_number().alias("step"))
    filled = _without_duplicates(filled, where)
    _tell_gaps(filled, where)
    return filled.with_columns(time_of(pl.col("step")).alias("event_time"))


def _check_steps(series: pl.DataFrame, oscillation: str, where: str) -> None:
    """Most neighbouring times must be one step apart."""
    import polars as pl

    step = OSCILLATIONS[oscillation].step
    gaps = series.select((pl.col("event_time").diff().over("series").dt.total_seconds() / 86_400).alias("gap")).filter(
        pl.col("gap") > 0
    )["gap"]
    usual, shortest, longest = gaps.median(), *_STEP_DAYS[step]
    if not isinstance(usual, float):
        raise DataContractError(
            f"The series has {series.height} rows at {series['event_time'].n_unique()} times.",
            where=where,
            way_out="bring a longer series",
        )
    short_share = (gaps < shortest * 0.9).sum() / len(gaps)
    if not shortest <= usual <= longest or short_share > _MAX_IRREGULAR_SHARE:
        raise DataContractError(
            f"The times are {usual:g} days apart (median; {short_share:.0%} are closer than a {step}), and"
            f" '{oscillation}' needs one row for each {step}.",
            where=f"{where}, column 'event_time'",
            way_out=f"average the values to one for each {step}, or set ingest.oscillation to "
            + " or ".join(name for name in OSCILLATIONS if name != oscillation),
        )


def _without_duplicates(series: pl.DataFrame, where: str) -> pl.DataFrame:
    """Equal copies of a step become one row; different ones are refused, since nobody knows which is right."""
    import polars as pl

    distinct = series.unique(["series", "step", *VALUES, "parse_errors"], maintain_order=True)
    if distinct.height < series.height:
        logger.warning("%s: %d repeated rows are left out", where, series.height - distinct.height)
    clashing = distinct.filter(pl.len().over("series", "step") > 1)
    if clashing.height:
        times = ", ".join(f"{time:%Y-%m-%d}" for time in clashing["event_time"].unique(maintain_order=True)[:3])
        raise DataContractError(
            f"{clashing.height} rows have different values for {clashing['step'].n_unique()} steps, first at {times}.",
            where=f"{where}, column 'event_time'",
            way_out="keep one row for each step, or name the series in a column 'series' if there are several",
        )
    return distinct


def _tell_gaps(series: pl.DataFrame, where: str) -> None:
    import polars as pl

    known = series.filter(pl.col("first_index").is_not_null())
    missing = known.select((pl.col("step").diff().over("series") - 1).alias("n"))["n"].drop_nulls()
    if missing.sum():
        logger.info("%s: %d missing steps in %d gaps", where, missing.sum(), (missing > 0).sum())


def records_of(series: pl.DataFrame, leads: Sequence[int]) -> pl.DataFrame:
    """One row for each issue time and lead whose outcome is known.

    Args:
        series: What :func:`regular` returns.
        leads: Steps ahead, each at least 1.

    Returns:
        ``forecast_id``, ``lead_count``, ``target_at``, ``target_index``, ``target_second_index``, ``block`` and the
        series' columns at the issue time. A gap has no rows; unreadable values keep theirs, with ``parse_errors``.
    """
    import polars as pl

    now = series.filter(pl.col("first_index").is_not_null() | pl.col("parse_errors").is_not_null())
    later = now.select(
        "series",
        "step",
        pl.col("event_time").alias("target_at"),
        pl.col("first_index").alias("target_index"),
        pl.col("second_index").alias("target_second_index"),
        pl.col("parse_errors").alias("target_errors"),
    )
    parts = [
        now.with_columns(pl.lit(lead, pl.Int64).alias("lead_count")).join(
            later.with_columns(pl.col("step") - lead), on=["series", "step"], how="inner", maintain_order="left"
        )
        for lead in leads
    ]
    target = pl.col("target_at")
    half = target.dt.offset_by("-6mo").dt.year()
    return (
        pl.concat(parts)
        .sort("series", "step", "lead_count")
        .with_columns(
            pl.format("{}_{}_{}", "series", pl.col("event_time").dt.strftime("%Y-%m-%d"), "lead_count").alias(
                "forecast_id"
            ),
            pl.when(pl.col("oscillation") == "mjo")
            .then(pl.format("{}-Q{}", target.dt.year(), target.dt.quarter()))
            .otherwise(pl.format("{}/{}", half, half + 1))
            .alias("block"),
            pl.coalesce("parse_errors", pl.format("at the time that is forecast: {}", "target_errors")).alias(
                "parse_errors"
            ),
        )
        .drop("step", "target_errors")
    )


def split_by_target(
    records: pl.DataFrame, periods: PeriodParameters, test_begin: datetime | None = None
) -> pl.DataFrame:
    """Fills in ``split`` by the time that is forecast, so that no outcome of the test was known in training.

    Args:
        records: Has ``target_at``.
        periods: Shares of the time.
        test_begin: First instant of the test, where it is given; ``periods.test_share`` decides otherwise.

    Raises:
        DataContractError: A part of the split would be empty: the series ends too early or begins too late.
    """
    import polars as pl

    begin, end = records["target_at"].min(), records["target_at"].max()
    if not isinstance(begin, datetime) or not isinstance(end, datetime):
        raise DataContractError(
            "There is nothing to forecast: no value is followed by another one at a lead.",
            where="columns 'event_time' and 'first_index'",
            way_out="bring a longer series, or shorter ingest.leads",
        )
    test_begin = test_begin or end - (end - begin) * periods.test_share
    valid_begin = test_begin - (test_begin - begin) * periods.valid_share
    if not begin < valid_begin < test_begin <= end:
        raise DataContractError(
            f"The series spans {begin:%Y-%m-%d} to {end:%Y-%m-%d}; the test begins at {test_begin:%Y-%m-%d}.",
            where="column 'event_time'",
            way_out="bring a series that reaches from before the test into it",
        )
    target = pl.col("target_at")
    split = pl.when(target < valid_begin).then(pl.lit("train")).when(target < test_begin).then(pl.lit("valid"))
    return records.with_columns(split.otherwise(pl.lit("test")).alias("split"))
