"""Forecasts of daily use of electricity: each row is an issue day, a lead, and what was used so many days later."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import polars as pl
from pydantic import Field

from modelyard.own_data.format import TableSourceParameters
from modelyard.own_data.table import read_own_source
from modelyard.records import Column, Contract
from modelyard.tasks.series.leads import with_outcomes
from modelyard.tasks.series.splits import split_by_target
from modelyard.tasks.series.steps import regular
from pipelines.starter_project.simulator import SimulationParameters, simulate

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

LEADS = (1, 2, 3, 7)
"""Days ahead."""

SPLITS = {"train": 0.0, "valid": 0.7, "test": 0.85}
"""Share of the days, by time, before the first outcome of each split."""

CONTRACT = Contract(
    key="forecast_id",
    event_time="event_time",
    target="outcome_kwh",
    group="issue_week",
    columns=(
        Column(name="forecast_id", dtype="string", description="Hall, issue day and lead."),
        Column(name="series", dtype="string", description="Which hall."),
        Column(name="event_time", dtype="datetime", description="Issue time: the latest day that is known."),
        Column(name="issue_week", dtype="string", description="Week of the issue day: its forecasts are alike."),
        Column(name="lead_count", dtype="int64", description="How many days ahead is forecast."),
        Column(name="target_at", dtype="datetime", description="The day that is forecast."),
        Column(name="used_kwh", dtype="float64", description="What was used on the issue day.", unit="kWh"),
        Column(name="outcome_kwh", dtype="float64", description="What was used at `target_at`.", unit="kWh"),
        Column(name="split", dtype="string", description="By the day that is forecast.", nullable=True),
    ),
)
"""What records promise."""

_OWN = replace(
    CONTRACT,
    key="series",
    target=None,
    group=None,
    columns=tuple(CONTRACT.column(name) for name in ("series", "event_time", "used_kwh")),
)
"""The columns of a user's own table, which has a row for each day of a hall."""


class IngestParameters(TableSourceParameters):
    """Where the series come from. There is no well-known public data set for this toy, so none is offered."""

    source: Literal["simulated", "own"] = Field("simulated", description="Which source.")
    simulation: SimulationParameters = Field(SimulationParameters(), description="The simulated plant.")
    timezone: str | None = Field(None, description="Own data: IANA zone of times without an offset.")
    max_kwh: float = Field(1e7, gt=0, le=1e12, description="Largest use of a day that can be right, in kWh.")


def ingest(params: IngestParameters) -> pl.DataFrame:
    """Brings the configured source's series, and makes forecasts of them that are yet to be answered.

    Args:
        params: See :class:`IngestParameters`; a path names a CSV or Parquet file with the columns ``series``,
            ``event_time`` and ``used_kwh``.

    Returns:
        Columns of :data:`CONTRACT` and ``parse_errors``.

    Raises:
        ConfigurationError: ``source`` is ``own`` and no path is given, or nothing is there.
        DataContractError: The user's file cannot be read or lacks columns, or its rows are not a day apart.
    """
    if params.source == "simulated":
        days, where = simulate(params.simulation), "the simulation"
    else:
        days, where = read_own_source(params, _OWN, params.timezone), params.path
    return _with_split(_forecasts(regular(days, "day", ["used_kwh"], where)))


def _forecasts(days: pl.DataFrame) -> pl.DataFrame:
    """Returns a row for each day and lead that has an outcome."""
    rows = with_outcomes(days, LEADS, {"outcome_kwh": "used_kwh"})
    day = pl.col("event_time").dt.strftime("%Y-%m-%d")
    return rows.with_columns(
        pl.format("{}_{}_{}", "series", day, "lead_count").alias("forecast_id"),
        pl.col("event_time").dt.strftime("%G-W%V").alias("issue_week"),
    )


def _with_split(rows: pl.DataFrame) -> pl.DataFrame:
    days = rows["target_at"].drop_nulls().unique().sort()
    return split_by_target(rows, {name: days[int(share * len(days))] for name, share in SPLITS.items()}).drop("step")


def expectations(params: IngestParameters) -> list[Expectation]:
    """What forecasts must look like; the spine adds what the contract says (columns, types, key, missing values).

    Args:
        params: Those of :func:`ingest`; they decide which amounts are plausible.
    """
    import great_expectations.expectations as gxe

    return [
        gxe.ExpectColumnValuesToBeBetween(
            column=name,
            min_value=0,
            max_value=params.max_kwh,
            description=f"'{name}' lies between 0 and {params.max_kwh:g}: a hall gives nothing back.",
        )
        for name in ("used_kwh", "outcome_kwh")
    ]
