"""The small fit of the tests: twelve years of a simulated oscillation."""

from typing import Any

import polars as pl

from modelyard.scoring import rows_of
from modelyard.training.parameters import LoopParameters
from pipelines.climate_pattern_recognition.data import IngestParameters
from pipelines.climate_pattern_recognition.evaluate import ScoreParameters, floor, score
from pipelines.climate_pattern_recognition.model import FitParameters, NetworkParameters
from pipelines.climate_pattern_recognition.pipeline import PROJECT
from pipelines.climate_pattern_recognition.serve import ForecastRequest
from pipelines.climate_pattern_recognition.simulator import SimulationParameters, known_ceiling
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


def ceiling(params: IngestParameters) -> dict[str, float]:
    """Metrics of a forecast that knows the simulator's dynamics, beside the same floor as the model."""
    examples = SMALL.examples()
    test = rows_of(examples, "test")
    rows = test.hstack(floor(rows_of(examples, "train"), test))
    return score(known_ceiling(rows, params.simulation), ScoreParameters())


SMALL = SmallFit(
    project=PROJECT,
    ingest=IngestParameters(simulation=SimulationParameters(n_years=12), leads=(1, 5, 10, 20)),
    fit=FitParameters(
        network=NetworkParameters(ensemble_size=2, width=16),
        loop=LoopParameters(epochs=5, batch_size=64, learning_rate=3e-3),
    ),
    ceiling=ceiling,
    as_requests=as_requests,
)
