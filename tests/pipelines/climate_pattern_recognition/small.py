"""The small fit of the tests: twelve years of a simulated oscillation."""

from typing import Any

import polars as pl

from modelyard.training.parameters import LoopParameters
from pipelines.climate_pattern_recognition.data import IngestParameters, known_ceiling
from pipelines.climate_pattern_recognition.pipeline import PROJECT
from pipelines.climate_pattern_recognition.serve import ForecastRequest
from pipelines.climate_pattern_recognition.simulator import SimulationParameters
from pipelines.climate_pattern_recognition.train import FitParameters, NetworkParameters
from tests.pipelines.small_fit import SmallFit


def as_requests(examples: pl.DataFrame, rows: pl.DataFrame) -> list[ForecastRequest]:
    """The histories that a client would send at these issue times."""
    series = examples.unique("event_time").sort("event_time")
    return [_request(series, row) for row in rows.iter_rows(named=True)]


def _request(series: pl.DataFrame, row: dict[str, Any]) -> ForecastRequest:
    known = series.filter(pl.col("event_time") <= row["event_time"]).tail(120)
    return ForecastRequest(
        oscillation="mjo",
        event_time=row["event_time"],
        lead_count=row["lead_count"],
        first_indices=known["first_index"].to_list(),
        second_indices=known["second_index"].to_list(),
    )


SMALL = SmallFit(
    project=PROJECT,
    ingest=IngestParameters(simulation=SimulationParameters(n_years=12), leads=(1, 5, 10, 20)),
    fit=FitParameters(
        network=NetworkParameters(members=2, width=16),
        loop=LoopParameters(epochs=5, batch_size=64, learning_rate=3e-3),
    ),
    ceiling=known_ceiling,
    as_requests=as_requests,
)
