"""The small fit of the tests: a hundred machines for sixty weeks."""

from typing import Any

import polars as pl

from pipelines.starter_project.data import IngestParameters, SimulationParameters
from pipelines.starter_project.evaluate import ceiling
from pipelines.starter_project.model import FitParameters
from pipelines.starter_project.pipeline import PROJECT
from pipelines.starter_project.serve import PartReadings
from tests.pipelines.small_fit import SmallFit


def as_requests(examples: pl.DataFrame, rows: pl.DataFrame) -> list[PartReadings]:
    """The readings of the last four weeks, as a client would send them."""
    return [_request(examples, row) for row in rows.iter_rows(named=True)]


def _request(examples: pl.DataFrame, row: dict[str, Any]) -> PartReadings:
    past = examples.filter(pl.col("part_id") == row["part_id"], pl.col("event_time") <= row["event_time"])
    past = past.sort("event_time").tail(4)
    return PartReadings(
        age_d=row["age_d"],
        temperatures_c=past["temperature_c"].to_list(),
        vibrations_mm_s=past["vibration_mm_s"].to_list(),
    )


SMALL = SmallFit(
    project=PROJECT,
    ingest=IngestParameters(simulation=SimulationParameters(n_machines=100, n_weeks=60)),
    fit=FitParameters(epochs=6),
    ceiling=lambda params: ceiling(params.simulation),
    as_requests=as_requests,
)
