"""Weekly sensor readings of machine parts: simulated with a known ceiling, or your own file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import polars as pl
from pydantic import Field

from modelyard.own_data.format import TableSourceParameters
from modelyard.own_data.table import read_own_source
from modelyard.records import Column, Contract
from pipelines.starter_project.simulator import SimulationParameters, simulate

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

CONTRACT = Contract(
    key="reading_id",
    event_time="event_time",
    target="is_failing",
    group="part_id",
    columns=(
        Column(name="reading_id", dtype="string", description="Identifies the reading."),
        Column(name="event_time", dtype="datetime", description="When the sensors were read."),
        Column(name="part_id", dtype="string", description="Which part; its successor has another id."),
        Column(name="age_d", dtype="float64", description="Time since the part was installed.", unit="d"),
        Column(name="temperature_c", dtype="float64", description="At the part's bearing.", unit="°C"),
        Column(name="vibration_mm_s", dtype="float64", description="Velocity, root mean square.", unit="mm/s"),
        Column(name="is_failing", dtype="bool", description="Whether the part failed within the following week."),
    ),
)
"""What records promise."""

_PLAUSIBLE = (
    ("age_d", 0, 36_525, "a century"),
    ("temperature_c", -50, 250, "beyond it the sensor is broken"),
    ("vibration_mm_s", 0, 100, "beyond it the sensor is broken"),
)
"""Columns with their least and largest believable value, and why."""

RULE_OF_THUMB = "age_d"
"""The one column that a person without a model would look at."""


class IngestParameters(TableSourceParameters):
    """Where readings come from. There is no well-known public data set for this toy, so none is offered."""

    source: Literal["simulated", "own"] = Field("simulated", description="Which source.")
    simulation: SimulationParameters = Field(SimulationParameters(), description="The simulated plant.")
    timezone: str | None = Field(None, description="Own data: IANA zone of times without an offset.")


def ingest(params: IngestParameters) -> pl.DataFrame:
    """Brings the configured source's readings.

    Args:
        params: See :class:`IngestParameters`; a path names a CSV or Parquet file, or a folder of Parquet files.

    Returns:
        Columns of :data:`CONTRACT`; own data may bring ``split`` and ``parse_errors``.

    Raises:
        ConfigurationError: ``source`` is ``own`` and no path is given, or nothing is there.
        DataContractError: The user's file cannot be read or lacks columns.
    """
    if params.source == "simulated":
        return simulate(params.simulation).select(column.name for column in CONTRACT.columns)
    return read_own_source(params, CONTRACT, params.timezone)


def expectations(params: IngestParameters) -> list[Expectation]:
    """What readings must look like; the spine adds what the contract says (columns, types, key, missing values).

    Args:
        params: Those of :func:`ingest`; not needed here.
    """
    import great_expectations.expectations as gxe

    return [
        gxe.ExpectColumnValuesToBeBetween(
            column=name, min_value=low, max_value=high, description=f"'{name}' lies between {low} and {high} ({why})."
        )
        for name, low, high, why in _PLAUSIBLE
    ]
