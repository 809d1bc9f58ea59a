"""The small fit of the tests: four halls for three hundred days."""

from typing import Any

import polars as pl

from modelyard.training.parameters import LoopParameters
from pipelines.starter_project.data import LEADS, SPLITS, IngestParameters
from pipelines.starter_project.features import SPAN
from pipelines.starter_project.model import LEVELS, FitParameters
from pipelines.starter_project.pipeline import PROJECT
from pipelines.starter_project.serve import ForecastRequest
from pipelines.starter_project.simulator import SimulationParameters, known_ceiling
from tests.pipelines.small_fit import SmallFit


def ceiling(params: IngestParameters) -> dict[str, float]:
    """The loss of the best forecast on the test rows; the first outcome is on day 1."""
    n_days = params.simulation.n_days
    return known_ceiling(params.simulation, LEADS, LEVELS, 1 + int(SPLITS["test"] * (n_days - 1)))


def as_requests(examples: pl.DataFrame, rows: pl.DataFrame) -> list[ForecastRequest]:
    """The latest days of each hall, as a client would send them."""
    days = examples.unique(["series", "event_time"]).sort("event_time")
    return [_request(days, row) for row in rows.iter_rows(named=True)]


def _request(days: pl.DataFrame, row: dict[str, Any]) -> ForecastRequest:
    past = days.filter(pl.col("series") == row["series"], pl.col("event_time") <= row["event_time"]).tail(SPAN)
    return ForecastRequest(
        last_day=row["event_time"].date(), used_kwh=past["used_kwh"].to_list(), lead_count=row["lead_count"]
    )


SMALL = SmallFit(
    project=PROJECT,
    ingest=IngestParameters(simulation=SimulationParameters(n_halls=4, n_days=300)),
    fit=FitParameters(loop=LoopParameters(epochs=5, batch_size=128, learning_rate=5e-3)),
    ceiling=ceiling,
    as_requests=as_requests,
)
