"""The API: the latest months, weeks or days of a series in, a distribution of what comes out.

Features are computed by the code that trained on them. A shorter history is allowed; what it lacks counts as average.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import numpy as np
import polars as pl
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, create_model, model_validator

from modelyard.tasks.series.scores import gaussian_quantiles
from modelyard.tasks.series.steps import step_begin
from pipelines.climate_pattern_recognition.features import MAX_HISTORY, FeatureParameters, derive_features
from pipelines.climate_pattern_recognition.oscillations import COVARIATES, OSCILLATIONS, Name, by_step, steps_of

_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)

_HISTORIES = {name.removesuffix("_index") + "_indices": name for name in COVARIATES}
"""Field of the request to column, of the other indices."""


_MAX_ANOMALY = 20.0
_Index = Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)]


class IndexHistory(BaseModel):
    """The indices of the last steps up to the issue time; :data:`ForecastRequest` adds the other indices."""

    model_config = ConfigDict(extra="forbid")

    series: str = Field("request", min_length=1, max_length=100, description="Name of the series.")
    oscillation: Name = Field(
        description="mjo and daily: a value for each day; weekly: for each week; the others: for each month."
    )
    event_time: AwareDatetime = Field(
        description="The latest month, week or day of the history; the date as it is written counts, not that in UTC."
    )
    lead_count: int = Field(ge=1, le=90, description="How many months, weeks or days ahead.")
    first_indices: list[_Index] = Field(
        min_length=1,
        max_length=MAX_HISTORY,
        description="RMM1, Niño 3.4 anomalies in °C, or the series in its own unit, the latest last; 120 are enough for"
        " every feature.",
    )
    second_indices: list[_Index] | None = Field(None, description="RMM2, as long as `first_indices`.")

    @model_validator(mode="after")
    def _fit_together(self) -> IndexHistory:
        if OSCILLATIONS[self.oscillation].is_anomaly and max(map(abs, self.first_indices)) > _MAX_ANOMALY:
            raise ValueError(
                f"first_indices of {self.oscillation} are anomalies, within {_MAX_ANOMALY:g} of 0: give none beyond"
            )
        for name in ("second_indices", *_HISTORIES):
            values = getattr(self, name, None)
            if values is not None and len(values) != len(self.first_indices):
                raise ValueError(
                    f"{name} has {len(values)} values and first_indices {len(self.first_indices)}: give one for each"
                )
        return self


_FIELDS: dict[str, Any] = {
    field: (list[_Index] | None, Field(None, description=f"The {name.removesuffix('_index')} index, standardised."))
    for field, name in _HISTORIES.items()
}

ForecastRequest = create_model(
    "ForecastRequest", __base__=IndexHistory, __doc__="A history and the lead that is wanted.", **_FIELDS
)
"""A history of the oscillation, perhaps of the other indices too, and the lead that is wanted."""


class ForecastResponse(BaseModel):
    """The answer; null throughout where the model forecasts another oscillation or other leads."""

    first_mean: float | None = Field(description="Middle of the forecast, in the unit of the first index.")
    first_spread: float | None = Field(description="Standard deviation of the forecast.")
    first_quantiles: list[float] | None = Field(description="5, 25, 50, 75 and 95 % of the outcomes lie below these.")
    second_mean: float | None = Field(description="RMM2; means nothing where the model learnt one index only.")
    second_spread: float | None = Field(description="Standard deviation.")
    phase: str | None = Field(description="The likeliest phase.")
    phase_probability: float | None = Field(description="How likely it is.")
    active_probability: float | None = Field(description="How likely the oscillation is active at all.")
    linear_mean: float | None = Field(description="What the linear baseline says about the first index.")


EXAMPLE = ForecastRequest.model_validate(
    {
        "series": "rmm",
        "oscillation": "mjo",
        "event_time": datetime(2017, 1, 20, tzinfo=UTC),
        "lead_count": 10,
        "first_indices": [-1.2, -1.3, -1.2, -1.0, -0.7, -0.4, 0.0, 0.4],
        "second_indices": [0.4, 0.1, -0.2, -0.6, -0.9, -1.1, -1.2, -1.2],
    }
)
"""A valid request: an active MJO that moves over the Indian Ocean."""


def decode(requests: Sequence[IndexHistory]) -> pl.DataFrame:
    """Returns a frame that ``predict`` takes, row for row."""
    histories = _as_records(requests)
    features = derive_features(histories, FeatureParameters())["oscillation_state"]
    # Each request is a series of its own; its row is that of its latest step.
    latest = histories.group_by("series", maintain_order=True).last()
    rows = latest.join(features, on=["series", "event_time"], how="left", maintain_order="left")
    return rows.with_columns(
        pl.Series("series", [request.series for request in requests]),
        pl.Series("lead_count", [request.lead_count for request in requests], dtype=pl.Int64),
    )


def _as_records(requests: Sequence[IndexHistory]) -> pl.DataFrame:
    """Returns one row for each step of each history; ``series`` is the request's number."""
    columns = {"first_indices": "first_index", "second_indices": "second_index", **_HISTORIES}
    frames = []
    for number, request in enumerate(requests):
        length = len(request.first_indices)
        values = {
            name: pl.Series(getattr(request, field) or [None] * length, dtype=pl.Float64)
            for field, name in columns.items()
        }
        frame = pl.DataFrame({"back": range(length - 1, -1, -1), **values}).with_columns(
            pl.lit(str(number)).alias("series"),
            pl.lit(request.oscillation).alias("oscillation"),
            pl.lit(request.event_time.replace(tzinfo=UTC)).dt.cast_time_unit("us").alias("issued"),
        )
        frames.append(frame)
    step = steps_of("issued") - pl.col("back")
    begin = by_step(lambda kind: step_begin(step, kind)).alias("event_time")
    return pl.concat(frames).select("series", "oscillation", begin, *columns.values())


def encode(predictions: pl.DataFrame) -> list[ForecastResponse]:
    """Returns one response for each request, in order."""
    return [
        ForecastResponse(
            first_mean=row["forecast_first"],
            first_spread=row["forecast_first_spread"],
            first_quantiles=_quantiles(row["forecast_first"], row["forecast_first_spread"]),
            second_mean=row["forecast_second"],
            second_spread=row["forecast_second_spread"],
            phase=row["phase"],
            phase_probability=row["phase_probability"],
            active_probability=row["active_probability"],
            linear_mean=row["linear_first"],
        )
        for row in predictions.iter_rows(named=True)
    ]


def _quantiles(mean: float | None, spread: float | None) -> list[float] | None:
    if mean is None or spread is None:
        return None
    found: list[float] = gaussian_quantiles(np.array(mean), np.array(spread), _LEVELS).tolist()
    return found
