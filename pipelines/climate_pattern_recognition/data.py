"""Forecasts of an oscillation: each row is an issue time, a lead, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, field_validator

from modelyard.errors import ConfigurationError
from modelyard.parameters import SourceParameters
from modelyard.records import Column, Contract
from pipelines.climate_pattern_recognition.oscillations import OSCILLATIONS, Name
from pipelines.climate_pattern_recognition.series import (
    COVARIATES,
    PeriodParameters,
    records_of,
    regular,
    split_by_target,
)
from pipelines.climate_pattern_recognition.simulator import SimulationParameters, simulate

if TYPE_CHECKING:
    import great_expectations.expectations as gxe
    import polars as pl

CONTRACT = Contract(
    key="forecast_id",
    event_time="event_time",
    target="target_index",
    group="block",
    columns=(
        Column(name="forecast_id", dtype="string", description="Series, issue time and lead."),
        Column(name="event_time", dtype="datetime", description="Issue time: the latest month or day that is known."),
        Column(name="series", dtype="string", description="Which series."),
        Column(name="oscillation", dtype="string", description="mjo (days), or another one (months)."),
        Column(name="lead_count", dtype="int64", description="How many steps (months or days) ahead is forecast."),
        Column(name="target_at", dtype="datetime", description="The month or day that is forecast."),
        Column(
            name="first_index",
            dtype="float64",
            description="At the issue time: anomaly of the Niño 3.4 sea surface temperature in °C, RMM1 (no unit), or"
            " what carbon dioxide (ppm) or global temperature (°C) is beyond the decade before.",
        ),
        Column(
            name="second_index",
            dtype="float64",
            description="At the issue time: RMM2 (no unit), or simulated heat content; not known for Niño 3.4.",
            nullable=True,
        ),
        *(
            Column(
                name=name,
                dtype="float64",
                description=f"At the issue time: the {name.removesuffix('_index')} index, a standardised anomaly.",
                nullable=True,
            )
            for name in COVARIATES
        ),
        Column(name="target_index", dtype="float64", description="What `first_index` was at `target_at`."),
        Column(
            name="target_second_index",
            dtype="float64",
            description="What `second_index` was at `target_at`.",
            nullable=True,
        ),
        Column(
            name="dynamical_index",
            dtype="float64",
            description="RMM1 as NASA's dynamical model forecast it then; for the evaluation only, never a feature.",
            nullable=True,
        ),
        Column(
            name="block",
            dtype="string",
            description="What is resampled together: July to June for months, a quarter of a year for days.",
        ),
        Column(name="split", dtype="string", description="Filled in by `split_by_target`.", nullable=True),
    ),
)
"""What records promise."""

_SERIES = Contract(
    key="event_time",
    event_time="event_time",
    target="first_index",
    columns=(
        CONTRACT.column("event_time"),
        CONTRACT.column("first_index"),
        CONTRACT.column("second_index"),
        replace(CONTRACT.column("series"), nullable=True),
        *(CONTRACT.column(name) for name in COVARIATES),
    ),
)
"""What a file of one's own holds: a row for each month or day."""


class IngestParameters(SourceParameters):
    """Where the series comes from."""

    source: Literal["simulated", "public", "own"] = Field("simulated", description="Which of the three sources.")
    dataset: Literal["mjo_rmm", "psl_climate_indices", "core_co2_ppm", "core_global_temp"] = Field(
        "mjo_rmm", description="Public data set."
    )
    simulation: SimulationParameters = Field(SimulationParameters(), description="The simulated oscillation.")
    path: str = Field("", description="Own data: a CSV or Parquet file with a row for each month or day.")
    columns: Mapping[str, str] = Field(
        {}, description="Own data: our column to the file's, where they differ; names optional columns to read."
    )
    timezone: str | None = Field("UTC", description="Own data: IANA zone of times without an offset.")
    oscillation: Name = Field("enso", description="Own data: mjo (a row for each day), the others: each month.")
    missing_codes: tuple[float, ...] = Field(
        (-999.0, -999.9, -99.99, -99.9, -99.0),
        description="Own data: numbers that mean that nothing is known.",
        json_schema_extra={"unbounded": "a code may be any number"},
    )
    leads: tuple[Annotated[int, Field(ge=1, le=90)], ...] = Field(
        (),
        description="Steps ahead to forecast; none: those of the oscillation.",
        json_schema_extra={"unbounded": "each lead is bounded"},
    )
    periods: PeriodParameters = Field(PeriodParameters(), description="The split.")
    max_index: float = Field(6.0, gt=0, description="Larger amounts of an index are absurd and are rejected.")

    @field_validator("leads")
    @classmethod
    def _are_different(cls, leads: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(leads)) < len(leads):
            raise ValueError(f"leads are different numbers of steps, not {list(leads)}")
        return tuple(sorted(leads))


def ingest(params: IngestParameters) -> pl.DataFrame:
    """Brings the configured source's series, as one row for each issue time and lead whose outcome is known.

    Args:
        params: See :class:`IngestParameters`.

    Returns:
        Columns of :data:`CONTRACT` (and ``parse_errors`` of own data), ordered by series, time and lead.

    Raises:
        DataContractError: The series is not regular, has two values for one step, or is too short for its split.
        ConfigurationError: ``source`` is ``own`` and its file cannot be found.
        FetchError: The public data cannot be brought here.
    """
    import polars as pl

    match params.source:
        case "simulated":
            oscillation = params.simulation.oscillation
            series = simulate(params.simulation).with_columns(pl.lit(f"simulated_{oscillation}").alias("series"))
            records = _records(series, oscillation, params, "the simulation")
        case "public":
            records = _public(params)
        case "own":
            records = _own(params)
    return records


def _records(series: pl.DataFrame, oscillation: str, params: IngestParameters, where: str) -> pl.DataFrame:
    from pipelines.climate_pattern_recognition.sources import TEST_BEGINS

    leads = params.leads or OSCILLATIONS[oscillation].leads
    begin = TEST_BEGINS[params.dataset] if params.source == "public" else None
    return split_by_target(records_of(regular(series, oscillation, where), leads), params.periods, begin)


def _public(params: IngestParameters) -> pl.DataFrame:
    from pipelines.climate_pattern_recognition import sources

    oscillation, read = {
        "mjo_rmm": ("mjo", sources.read_mjo),
        "psl_climate_indices": ("enso", sources.read_enso),
        "core_co2_ppm": ("carbon_dioxide", sources.read_carbon_dioxide),
        "core_global_temp": ("temperature", sources.read_temperature),
    }[params.dataset]
    records = _records(read(), oscillation, params, params.dataset).drop("parse_errors")
    if params.dataset != "mjo_rmm":
        return records
    return records.join(sources.read_hindcast(), on=["event_time", "lead_count"], how="left", maintain_order="left")


def _own(params: IngestParameters) -> pl.DataFrame:
    """The user's series; cells that cannot be read stay, and put the forecasts that need them into quarantine."""
    import polars as pl

    from modelyard.own_data.table import read_own_table

    if not params.path:
        raise ConfigurationError(
            "No file of an own series is named.",
            where="climate_pattern_recognition.ingest.path",
            way_out="set it to a CSV or Parquet file, or choose source: simulated",
        )
    path = Path(params.path)
    wanted = tuple(column for column in _SERIES.columns if not column.nullable or column.name in params.columns)
    table = read_own_table(path, replace(_SERIES, columns=wanted), params.columns, params.timezone)
    if "series" not in table.columns:
        table = table.with_columns(pl.lit(path.stem).alias("series"))
    numbers = [name for name, dtype in table.schema.items() if dtype == pl.Float64]
    table = table.drop("split", strict=False).with_columns(
        pl.when(~pl.col(name).is_in(list(params.missing_codes))).then(pl.col(name)) for name in numbers
    )
    return _records(table, params.oscillation, params, str(path))


def known_ceiling(params: IngestParameters) -> dict[str, float]:
    """Metrics of the best possible forecast on the simulated test rows; see :mod:`.ceiling`.

    Args:
        params: Those of a run with ``source: simulated``.
    """
    from pipelines.climate_pattern_recognition.ceiling import ceiling_scores

    return ceiling_scores(params)


def expectations(params: IngestParameters) -> list[gxe.Expectation]:
    """What records must look like; the spine adds what follows from the contract (columns, types, key, missing values).

    Args:
        params: Those of :func:`ingest`; they decide the plausible amounts and leads.

    Returns:
        Great Expectations objects, each with a ``description`` for people.
    """
    import great_expectations.expectations as gxe

    bound = params.max_index
    longest = max(params.leads or [lead for one in OSCILLATIONS.values() for lead in one.leads])
    bounded = [
        gxe.ExpectColumnValuesToBeBetween(
            column=name,
            min_value=-bound,
            max_value=bound,
            description=f"'{name}' lies within {bound:g} of 0; -9.9 and 25 are a missing code and a temperature.",
        )
        for name in ("first_index", "second_index", "target_index", "target_second_index")
    ]
    return [
        *bounded,
        gxe.ExpectColumnValuesToBeBetween(
            column="lead_count",
            min_value=1,
            max_value=longest,
            description=f"A forecast looks 1 to {longest} steps ahead.",
        ),
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A="target_at",
            column_B="event_time",
            description="What is forecast lies after the issue time.",
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="oscillation", value_set=list(OSCILLATIONS), description="The oscillation is one of the known ones."
        ),
        gxe.ExpectColumnDistinctValuesToBeInSet(
            column="split", value_set=["train", "valid", "test"], description="Every forecast is in a split."
        ),
        gxe.ExpectColumnMeanToBeBetween(
            column="target_index",
            min_value=-1,
            max_value=1,
            description="Anomalies are near 0 on average: a raw temperature is not.",
        ),
    ]
