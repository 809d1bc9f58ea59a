"""The API: the latest months or days of an oscillation in, a distribution of what comes out.

Features are computed by the code that trained on them. A shorter history is allowed; what it lacks counts as average.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, create_model, model_validator

from pipelines.climate_pattern_recognition.features import LONGEST_LOOK, FeatureParameters, derive_features
from pipelines.climate_pattern_recognition.gaussian import quantile
from pipelines.climate_pattern_recognition.oscillations import Name, step_number, time_of
from pipelines.climate_pattern_recognition.series import COVARIATES

if TYPE_CHECKING:
    import polars as pl

_SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)
_LONGEST = LONGEST_LOOK


def _as_list(value: Any) -> Any:
    """Array columns of MLflow arrive as numpy arrays."""
    return value.tolist() if hasattr(value, "tolist") else value


_Index = Annotated[float, Field(ge=-20, le=20, allow_inf_nan=False)]
_History = Annotated[list[_Index], BeforeValidator(_as_list)]
_OptionalHistory = Annotated[list[_Index] | None, BeforeValidator(_as_list)]


class IndexHistory(BaseModel):
    """The indices of the last steps up to the issue time; :data:`ForecastRequest` adds the other indices."""

    model_config = ConfigDict(extra="forbid")

    series: str = Field("request", min_length=1, max_length=100, description="Name of the series.")
    oscillation: Name = Field(description="mjo: a value for each day; the others: for each month.")
    event_time: AwareDatetime = Field(description="The latest month or day of the history, with its offset from UTC.")
    lead_count: int = Field(ge=1, le=90, description="How many months or days ahead.")
    first_indices: _History = Field(
        min_length=1,
        max_length=_LONGEST,
        description="RMM1, Niño 3.4 anomalies in °C, or the like, the latest last; 120 are enough for every feature.",
    )
    second_indices: _OptionalHistory = Field(None, description="RMM2, as long as `first_indices`.")

    @model_validator(mode="after")
    def _have_one_length(self) -> IndexHistory:
        for name in ("second_indices", *_histories()):
            values = getattr(self, name, None)
            if values is not None and len(values) != len(self.first_indices):
                raise ValueError(
                    f"{name} has {len(values)} values and first_indices {len(self.first_indices)}: give one for each"
                )
        return self


def _histories() -> dict[str, str]:
    """Field of the request to column."""
    return {name.removesuffix("_index") + "_indices": name for name in COVARIATES}


_FIELDS: dict[str, Any] = {
    field: (_OptionalHistory, Field(None, description=f"The {name.removesuffix('_index')} index, standardised."))
    for field, name in _histories().items()
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
    linear_mean: float | None = Field(description="What the linear rule says about the first index.")


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
    """Requests to a frame that ``predict`` takes, row for row."""
    import polars as pl

    records = _as_records(requests)
    features = derive_features(records, FeatureParameters())["oscillation_state"]
    latest = pl.DataFrame(
        {
            "series": [str(number) for number in range(len(requests))],
            "name": [request.series for request in requests],
            "lead_count": [request.lead_count for request in requests],
        }
    )
    last = records.group_by("series", maintain_order=True).last()
    keys = ["series", "event_time"]
    joined = latest.join(last, on="series", how="left", maintain_order="left").join(
        features, on=keys, how="left", maintain_order="left"
    )
    return joined.with_columns(series=pl.col("name")).drop("name")


def _as_records(requests: Sequence[IndexHistory]) -> pl.DataFrame:
    """One row for each step of each history; ``series`` is the request's number."""
    import polars as pl

    columns = {"first_indices": "first_index", "second_indices": "second_index", **_histories()}
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
            pl.lit(request.event_time.astimezone(UTC)).dt.cast_time_unit("us").alias("issued"),
        )
        frames.append(frame.with_columns((step_number("issued") - pl.col("back")).alias("step")))
    rows = pl.concat(frames).with_columns(time_of(pl.col("step")).alias("event_time"))
    return rows.select("series", "oscillation", "event_time", *columns.values())


def encode(predictions: pl.DataFrame) -> list[ForecastResponse]:
    """Predictions to one response for each request, in order."""
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
    return None if mean is None or spread is None else [quantile(mean, spread, share) for share in _SHARES]
