"""The API: a part's latest readings in, its risk out; features are computed by the code that trained on them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipelines.starter_project.features import FeatureParameters, derive_features

_ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)


class PartRequest(BaseModel):
    """The weekly readings of one part over the last four weeks, as far as it has that many."""

    model_config = ConfigDict(extra="forbid")

    age_d: float = Field(ge=0, description="Time since the part was installed, in days.")
    temperatures_c: list[float] = Field(min_length=1, max_length=4, description="Weekly, the latest last, in °C.")
    vibrations_mm_s: list[float] = Field(min_length=1, max_length=4, description="Weekly, the latest last, in mm/s.")

    @model_validator(mode="after")
    def _have_one_length(self) -> PartRequest:
        if len(self.temperatures_c) != len(self.vibrations_mm_s):
            raise ValueError(
                f"{len(self.temperatures_c)} temperatures and {len(self.vibrations_mm_s)} vibrations: give one of each"
                " for every week"
            )
        return self


class PartResponse(BaseModel):
    """The answer."""

    failure_probability: float = Field(description="How likely the part fails within a week.")


EXAMPLE = PartRequest(age_d=140.0, temperatures_c=[61.5, 62.0, 63.8, 64.1], vibrations_mm_s=[3.1, 3.3, 3.9, 4.4])
"""A valid request."""


def decode(requests: Sequence[PartRequest]) -> pl.DataFrame:
    """Requests to a frame that ``predict`` takes, row for row."""
    latest = pl.DataFrame(
        {
            "part_id": [str(number) for number in range(len(requests))],
            "event_time": _ANY_TIME,
            "age_d": [request.age_d for request in requests],
            "temperature_c": [request.temperatures_c[-1] for request in requests],
            "vibration_mm_s": [request.vibrations_mm_s[-1] for request in requests],
        }
    )
    features = derive_features(_as_records(requests), FeatureParameters())["part_condition"]
    return latest.join(features, on=["part_id", "event_time"], how="left", maintain_order="left")


def _as_records(requests: Sequence[PartRequest]) -> pl.DataFrame:
    """One row for each reading, a week apart, the latest at :data:`_ANY_TIME`; ``part_id`` is the request's number."""
    rows = [
        (str(number), _ANY_TIME - timedelta(weeks=len(request.temperatures_c) - 1 - week), temperature, vibration)
        for number, request in enumerate(requests)
        for week, (temperature, vibration) in enumerate(
            zip(request.temperatures_c, request.vibrations_mm_s, strict=True)
        )
    ]
    return pl.DataFrame(rows, ["part_id", "event_time", "temperature_c", "vibration_mm_s"], orient="row")


def encode(predictions: pl.DataFrame) -> list[PartResponse]:
    """Predictions to one response for each request, in order."""
    return [PartResponse(failure_probability=value) for value in predictions["failure_probability"]]
