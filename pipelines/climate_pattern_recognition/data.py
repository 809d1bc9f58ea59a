"""Forecasts of an oscillation: each row is an issue time, a lead, and the outcome."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

import polars as pl
from pydantic import Field, field_validator, model_validator

from modelyard.errors import DataContractError
from modelyard.own_data.cells import with_problem
from modelyard.own_data.format import TableSourceParameters
from modelyard.own_data.table import read_own_source
from modelyard.parameters import Parameters
from modelyard.records import Column, Contract
from modelyard.tasks.series.leads import with_outcomes
from modelyard.tasks.series.splits import split_by_target
from modelyard.tasks.series.steps import regular
from pipelines.climate_pattern_recognition.oscillations import COVARIATES, OSCILLATIONS, STATE, Name, by_step
from pipelines.climate_pattern_recognition.simulator import SimulationParameters, simulate
from pipelines.climate_pattern_recognition.sources import PUBLIC_SERIES, read_hindcast

if TYPE_CHECKING:
    import great_expectations.expectations as gxe

CONTRACT = Contract(
    key="forecast_id",
    event_time="event_time",
    target="target_index",
    group="block",
    columns=(
        Column(name="forecast_id", dtype="string", description="Series, issue time and lead."),
        Column(
            name="event_time", dtype="datetime", description="Issue time: the latest month, week or day that is known."
        ),
        Column(name="series", dtype="string", description="Which series."),
        Column(name="oscillation", dtype="string", description="What kind of series; it says the step of time."),
        Column(name="lead_count", dtype="int64", description="How many steps (months, weeks, days) ahead is forecast."),
        Column(name="target_at", dtype="datetime", description="The month, week or day that is forecast."),
        Column(
            name="first_index",
            dtype="float64",
            description="At the issue time: anomaly of the Niño 3.4 sea surface temperature in °C, RMM1 (no unit), or"
            " what carbon dioxide (ppm) or global temperature (°C) is beyond the decade before; or any other series.",
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
            description="What is resampled together: July to June for months, a quarter of a year for others.",
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
"""What a file of one's own holds: a row for each month, week or day."""


class PeriodParameters(Parameters):
    """The split by the time that is forecast: the oldest train, the latest test."""

    test_share: float = Field(
        0.3, gt=0, lt=1, description="Share of the series, by time, that is the test; public data bring their own."
    )
    valid_share: float = Field(0.25, gt=0, lt=1, description="Share of the time before the test that validates.")


class IngestParameters(TableSourceParameters):
    """Where the series comes from."""

    source: Literal["simulated", "public", "own"] = Field("simulated", description="Which of the three sources.")
    dataset: Literal["mjo_rmm", "psl_climate_indices", "core_co2_ppm", "core_global_temp"] = Field(
        "mjo_rmm", description="Public data set."
    )
    simulation: SimulationParameters = Field(SimulationParameters(), description="The simulated oscillation.")
    path: str = Field("", description="Own data: a CSV or Parquet file with a row for each month, week or day.")
    oscillation: Name = Field(
        "enso",
        description="Own data: what they are. mjo (days), enso, carbon_dioxide, temperature (months): anomalies."
        " monthly, weekly, daily: any other series, in its own unit.",
    )
    name: str = Field(
        "",
        max_length=100,
        description="Own data: name of the series with its unit, such as 'Elbe at Dresden, cm'. None: the file's.",
    )
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
    max_index: float = Field(
        6.0, gt=0, description="Larger amounts of an index that is an anomaly are absurd and are rejected."
    )
    min_value: float | None = Field(
        None,
        description="Own data, monthly, weekly or daily: less is rejected.",
        json_schema_extra={"unbounded": "any unit"},
    )
    max_value: float | None = Field(
        None,
        description="Own data, monthly, weekly or daily: more is rejected.",
        json_schema_extra={"unbounded": "any unit"},
    )

    @field_validator("leads")
    @classmethod
    def _are_different(cls, leads: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(leads)) < len(leads):
            raise ValueError(f"leads are different numbers of steps, not {list(leads)}")
        return tuple(sorted(leads))

    @model_validator(mode="after")
    def _leave_room(self) -> Self:
        if self.min_value is not None and self.max_value is not None and self.min_value >= self.max_value:
            raise ValueError(f"min_value ({self.min_value:g}) is below max_value ({self.max_value:g})")
        return self


def ingest(params: IngestParameters) -> pl.DataFrame:
    """Brings the configured source's series, as one row for each issue time and lead whose outcome is known.

    Args:
        params: See :class:`IngestParameters`.

    Returns:
        Columns of :data:`CONTRACT` and ``parse_errors``, ordered by series, time and lead. Rows of own data that have
        no time or repeat another one stand at the end, with that reason and without an outcome.

    Raises:
        DataContractError: The series is not regular, has two values for one step, or is too short for its split.
        ConfigurationError: ``source`` is ``own`` and its file cannot be found.
        FetchError: The public data cannot be brought here.
    """
    match params.source:
        case "simulated":
            oscillation = params.simulation.oscillation
            series = simulate(params.simulation).with_columns(pl.lit(f"simulated_{oscillation}").alias("series"))
            return records_of(series, oscillation, params, where="the simulation")
        case "public":
            return _public(params)
        case "own":
            return records_of(_own(params), params.oscillation, params, where=params.path)


def records_of(
    series: pl.DataFrame,
    oscillation: str,
    params: IngestParameters,
    where: str,
    test_begins: datetime | None = None,
) -> pl.DataFrame:
    """Makes forecasts of a series, with their split.

    Args:
        series: ``series`` (its name), ``event_time``, any of the indices, perhaps ``parse_errors``.
        oscillation: A name of :data:`.oscillations.OSCILLATIONS`.
        params: Give leads and split.
        where: File or data set, for messages.
        test_begins: First instant of the test. None: the shares of ``params`` decide.

    Returns:
        See :func:`ingest`.

    Raises:
        DataContractError: See :func:`ingest`.
    """
    values = (*STATE, *COVARIATES)
    absent = [pl.lit(None, dtype=pl.Float64).alias(name) for name in values if name not in series.columns]
    series = series.with_columns(pl.lit(oscillation).alias("oscillation"), *absent)
    steps = regular(series, OSCILLATIONS[oscillation].step, values, where)
    # A step without a value is a gap: no forecast begins or ends there. A cell that cannot be read is none.
    has_value = pl.col("first_index").is_not_null() | pl.col("parse_errors").is_not_null()
    forecasts = with_outcomes(
        steps.filter(pl.col("step").is_not_null() & has_value),
        params.leads or OSCILLATIONS[oscillation].leads,
        {"target_index": "first_index", "target_second_index": "second_index"},
    )
    rejected = steps.filter(pl.col("step").is_null())
    records = pl.concat([forecasts, rejected], how="diagonal").drop("step")
    begins = _begins_of(records["target_at"], params.periods, test_begins)
    return split_by_target(records.with_columns(_forecast_id(), _block()), begins)


def _forecast_id() -> pl.Expr:
    day = pl.col("event_time").dt.strftime("%Y-%m-%d")
    return pl.format("{}_{}_{}", "series", day, "lead_count").alias("forecast_id")


def _block() -> pl.Expr:
    """Returns what is resampled together: July to June for months, a quarter of a year for weeks and days."""
    target = pl.col("target_at")
    half = target.dt.offset_by("-6mo").dt.year()
    july_to_june, quarter = (
        pl.format("{}/{}", half, half + 1),
        pl.format("{}-Q{}", target.dt.year(), target.dt.quarter()),
    )
    return by_step(lambda step: july_to_june if step == "month" else quarter).alias("block")


def _begins_of(targets: pl.Series, periods: PeriodParameters, test_begins: datetime | None) -> dict[str, datetime]:
    """Returns the first outcome of each split."""
    first, last = targets.min(), targets.max()
    if not isinstance(first, datetime) or not isinstance(last, datetime):
        raise DataContractError(
            "There is nothing to forecast: no value is followed by another one at a lead.",
            where="columns 'event_time' and 'first_index'",
            way_out="bring a longer series, or shorter ingest.leads",
        )
    test = test_begins or last - (last - first) * periods.test_share
    return {"train": first, "valid": test - (test - first) * periods.valid_share, "test": test}


def _public(params: IngestParameters) -> pl.DataFrame:
    public = PUBLIC_SERIES[params.dataset]
    records = records_of(public.read(), public.oscillation, params, params.dataset, public.test_begins)
    if params.dataset != "mjo_rmm":
        return records
    return records.join(read_hindcast(), on=["event_time", "lead_count"], how="left", maintain_order="left")


def _own(params: IngestParameters) -> pl.DataFrame:
    """Reads the user's series; cells that cannot be read stay, with the reason in ``parse_errors``."""
    # A series has its days and months where it was measured.
    table = read_own_source(params, _SERIES, as_written=("event_time",))
    if "series" not in table.columns:
        table = table.with_columns(pl.lit(params.name or Path(params.path).stem).alias("series"))
    is_code = pl.col(pl.Float64).is_in(list(params.missing_codes))
    table = table.drop("split", strict=False).with_columns(pl.when(~is_code).then(pl.col(pl.Float64)))
    return _without_future(table, datetime.now(UTC))


def _without_future(table: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """Returns rows of which none is later than ``now``: a later one loses its time, with the reason.

    A year with two digits becomes 2068 in many programs, and one such row would move the split of all others. Dates are
    taken as written, so the day of the easternmost zone is not in the future yet.
    """
    is_future = (pl.col("event_time") > now + timedelta(days=1)).fill_null(False)
    reason = pl.format("event_time: {} lies in the future", pl.col("event_time").dt.strftime("%Y-%m-%d"))
    table = with_problem(table, pl.when(is_future).then(reason))
    return table.with_columns(pl.when(~is_future).then("event_time").alias("event_time"))


def expectations(params: IngestParameters) -> "list[gxe.Expectation]":
    """Says what records must look like; the spine adds what follows from the contract (columns, types, key, missing).

    Args:
        params: Those of :func:`ingest`; they decide the plausible amounts and leads.

    Returns:
        Great Expectations objects, each with a ``description`` for people.
    """
    import great_expectations.expectations as gxe

    longest = max(params.leads or [lead for one in OSCILLATIONS.values() for lead in one.leads])
    is_anomaly = params.source != "own" or OSCILLATIONS[params.oscillation].is_anomaly
    return [
        *(_of_anomalies(params.max_index) if is_anomaly else _of_values(params.min_value, params.max_value)),
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
    ]


_INDICES = (*STATE, "target_index", "target_second_index")


def _of_anomalies(bound: float) -> "list[gxe.Expectation]":
    import great_expectations.expectations as gxe

    amounts = [
        gxe.ExpectColumnValuesToBeBetween(
            column=name,
            min_value=-bound,
            max_value=bound,
            description=f"'{name}' lies within {bound:g} of 0; -9.9 and 25 are a missing code and a temperature.",
        )
        for name in _INDICES
    ]
    mean = gxe.ExpectColumnMeanToBeBetween(
        column="target_index",
        min_value=-1,
        max_value=1,
        description="Anomalies are near 0 on average; measured values are not (ingest.oscillation: monthly for those).",
    )
    return [*amounts, mean]


def _of_values(low: float | None, high: float | None) -> "list[gxe.Expectation]":
    import great_expectations.expectations as gxe

    if low is None and high is None:
        return []
    words = " and ".join(
        f"at {side} {bound:g}" for side, bound in (("least", low), ("most", high)) if bound is not None
    )
    return [
        gxe.ExpectColumnValuesToBeBetween(
            column=name, min_value=low, max_value=high, description=f"'{name}' is {words}."
        )
        for name in _INDICES
    ]
