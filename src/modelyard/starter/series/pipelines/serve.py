"""The API: a hall's latest days in, quantiles of a coming day out; features are computed by the code for training."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from pipelines.starter_project.evaluate import QUANTILES
from pipelines.starter_project.features import SPAN, FeatureParameters, derive_features


class ForecastRequest(BaseModel):
    """The latest days of one hall, and the day that is wanted."""

    model_config = ConfigDict(extra="forbid")

    last_day: date = Field(description="The latest day that is known.")
    used_kwh: list[float] = Field(
        min_length=1, max_length=SPAN, description="Use of each day, the latest last, in kWh; 28 tell all there is."
    )
    lead_count: Literal[1, 2, 3, 7] = Field(description="How many days ahead.")


class ForecastResponse(BaseModel):
    """The answer."""

    quantiles_kwh: list[float] = Field(description="10, 30, 50, 70 and 90 % of the outcomes lie below these, in kWh.")


EXAMPLE = ForecastRequest(
    last_day=date(2024, 3, 3),
    used_kwh=[
        1210.0,
        1190.0,
        1175.0,
        1230.0,
        1160.0,
        790.0,
        655.0,
        1195.0,
        1205.0,
        1180.0,
        1220.0,
        1150.0,
        800.0,
        640.0,
    ],
    lead_count=1,
)
"""A valid request: two weeks until a Sunday; what will Monday be?"""


def decode(requests: Sequence[ForecastRequest]) -> pl.DataFrame:
    """Requests to a frame that ``predict`` takes, row for row."""
    latest = pl.DataFrame(
        {
            "series": [str(number) for number in range(len(requests))],
            "event_time": [_instant(request.last_day) for request in requests],
            "used_kwh": [request.used_kwh[-1] for request in requests],
            "lead_count": [request.lead_count for request in requests],
        },
        schema_overrides={"event_time": pl.Datetime("us", "UTC"), "lead_count": pl.Int64},
    )
    features = derive_features(_as_records(requests), FeatureParameters())["hall_use"]
    return latest.join(features, on=["series", "event_time"], how="left", maintain_order="left")


def _as_records(requests: Sequence[ForecastRequest]) -> pl.DataFrame:
    """One row for each day; ``series`` is the request's number."""
    rows = [
        (str(number), _instant(request.last_day) - timedelta(days=len(request.used_kwh) - 1 - day), used)
        for number, request in enumerate(requests)
        for day, used in enumerate(request.used_kwh)
    ]
    schema: dict[str, Any] = {"series": pl.String, "event_time": pl.Datetime("us", "UTC"), "used_kwh": pl.Float64}
    return pl.DataFrame(rows, schema, orient="row")


def _instant(day: date) -> datetime:
    return datetime.combine(day, datetime.min.time(), UTC)


def encode(predictions: pl.DataFrame) -> list[ForecastResponse]:
    """Predictions to one response for each request, in order."""
    return [ForecastResponse(quantiles_kwh=list(row)) for row in predictions.select(QUANTILES).iter_rows()]
