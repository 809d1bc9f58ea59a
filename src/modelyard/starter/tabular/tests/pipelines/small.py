"""The small fit of the tests: a hundred machines for sixty weeks."""

from typing import Any

import polars as pl

from modelyard.training.parameters import LoopParameters
from pipelines.starter_project.data import IngestParameters
from pipelines.starter_project.model import FitParameters
from pipelines.starter_project.pipeline import PROJECT
from pipelines.starter_project.serve import PartRequest
from pipelines.starter_project.simulator import SimulationParameters, known_ceiling
from tests.pipelines.small_fit import SmallFit


def as_requests(examples: pl.DataFrame, rows: pl.DataFrame) -> list[PartRequest]:
    """The readings of the last four weeks, as a client would send them."""
    return [_request(examples, row) for row in rows.iter_rows(named=True)]


def _request(examples: pl.DataFrame, row: dict[str, Any]) -> PartRequest:
    past = examples.filter(pl.col("part_id") == row["part_id"], pl.col("event_time") <= row["event_time"])
    past = past.sort("event_time").tail(4)
    return PartRequest(
        age_d=row["age_d"],
        temperatures_c=past["temperature_c"].to_list(),
        vibrations_mm_s=past["vibration_mm_s"].to_list(),
    )


SMALL = SmallFit(
    project=PROJECT,
    ingest=IngestParameters(simulation=SimulationParameters(n_machines=100, n_weeks=60)),
    fit=FitParameters(loop=LoopParameters(epochs=6, learning_rate=5e-3)),
    ceiling=lambda params: known_ceiling(params.simulation),
    as_requests=as_requests,
)
