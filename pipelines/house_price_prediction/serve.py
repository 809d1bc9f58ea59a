"""The API: what is known of a home in, its price, the range of it and the reasons out.

What is left out is unknown to the model, not zero. A model knows the attributes of the homes that it learnt from: one
of census blocks reads those of blocks, one of sales those of homes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import polars as pl
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, create_model, model_validator

from pipelines.house_price_prediction.attributes import ATTRIBUTES, Attribute
from pipelines.house_price_prediction.evaluate import predict
from pipelines.house_price_prediction.model import HouseModel
from pipelines.house_price_prediction.reasons import reasons

_LARGEST = 1e8
_LONGEST = 40
_LEAST = {
    "a home": ("living_area_sqft", "overall_quality", "year_built"),
    "a census block": ("longitude_deg", "latitude_deg", "median_income"),
}
"""Without these a price would be a guess about any home."""

_BOUNDS = {
    "longitude_deg": (-180.0, 180.0),
    "latitude_deg": (-90.0, 90.0),
    "overall_quality": (1, 10),
    "overall_condition": (1, 10),
}


class House(BaseModel):
    """When it is sold; :data:`HouseRequest` adds what is known of the home."""

    model_config = ConfigDict(extra="forbid")

    event_time: AwareDatetime | None = Field(
        None, description="When it is sold, with its offset from UTC; left out: in the middle of the training's sales."
    )

    @model_validator(mode="after")
    def _is_enough_known(self) -> House:
        missing = {what: [name for name in names if getattr(self, name) is None] for what, names in _LEAST.items()}
        if all(missing.values()):
            wanted = "; ".join(f"{what} also needs {', '.join(names)}" for what, names in missing.items())
            raise ValueError(f"too little is known: {wanted}")
        return self


class HouseResponse(BaseModel):
    """The answer, in the currency of the training data."""

    price: float = Field(description="Price; at most the cap of the training data, if they have one.")
    price_low: float = Field(description="Nine of ten prices lie above this and below the upper end.")
    price_high: float | None = Field(description="Upper end; null where the price may well be above the cap.")
    currency: str = Field(description="What prices are in (ISO 4217).")
    is_above_cap_probability: float | None = Field(
        description="Probability that the price is at or above the cap; null where training prices have none."
    )
    is_far_from_training: bool = Field(description="Whether nothing like it was sold near it: the price is a guess.")
    new_area_price: float = Field(description="The price, had nobody sold in its area: what the home alone says.")
    reasons: list[str] = Field(description="What raises or lowers the price, the strongest first.")


def _field(attribute: Attribute) -> tuple[Any, Any]:
    low, high = _BOUNDS.get(attribute.name, (0, _LARGEST))
    match attribute.dtype:
        case "string":
            levels = f" One of {', '.join(attribute.levels)}, worst first." if attribute.levels else ""
            return str | None, Field(None, max_length=_LONGEST, description=attribute.description + levels)
        case "int64":
            return int | None, Field(None, ge=low, le=high, description=attribute.description)
        case _:
            return float | None, Field(None, ge=low, le=high, allow_inf_nan=False, description=attribute.description)


_FIELDS: dict[str, Any] = {attribute.name: _field(attribute) for attribute in ATTRIBUTES}

HouseRequest = create_model(
    "HouseRequest", __base__=House, __doc__="A home, or a census block; what is not known may be left out.", **_FIELDS
)
"""One field for each attribute of the contract."""

EXAMPLE = HouseRequest.model_validate(
    {
        "event_time": datetime(2023, 12, 20, 12, tzinfo=UTC),
        "longitude_deg": -122.26,
        "latitude_deg": 47.62,
        "living_area_sqft": 1850.0,
        "lot_area_sqft": 6200.0,
        "overall_quality": 6,
        "overall_condition": 5,
        "year_built": 1984,
        "full_baths": 2,
        "garage_cars": 1,
        "bedrooms": 3,
        "neighbourhood": "District 7",
    }
)
"""A valid request: a home of the simulated city."""

BLOCK_EXAMPLE = HouseRequest.model_validate(
    {
        "longitude_deg": -118.36,
        "latitude_deg": 34.04,
        "housing_median_age": 41,
        "total_rooms": 2200,
        "total_bedrooms": 450,
        "population": 1150,
        "households": 430,
        "median_income": 38_000.0,
        "ocean_proximity": "<1H OCEAN",
    }
)
"""A census block in Los Angeles."""

SALE_EXAMPLE = HouseRequest.model_validate(
    {
        "living_area_sqft": 1500.0,
        "lot_area_sqft": 9500.0,
        "overall_quality": 6,
        "overall_condition": 5,
        "year_built": 1975,
        "year_remodelled": 1995,
        "neighbourhood": "NAmes",
        "basement_sqft": 1000.0,
        "full_baths": 2,
        "garage_cars": 2,
        "kitchen_quality": "TA",
    }
)
"""A home in Ames."""


def decode(requests: Sequence[House]) -> pl.DataFrame:
    """Returns the frame that ``predict`` takes, a row for each request."""
    dtypes: dict[str, Any] = {"string": pl.String, "int64": pl.Int64, "float64": pl.Float64}
    schema = {"event_time": pl.Datetime("us", "UTC")} | {each.name: dtypes[each.dtype] for each in ATTRIBUTES}
    records = [request.model_dump() for request in requests]
    for record in records:
        if record["event_time"] is not None:
            record["event_time"] = record["event_time"].astimezone(UTC)
    return pl.DataFrame(records, schema=schema)


def answer(model: HouseModel, frame: pl.DataFrame) -> pl.DataFrame:
    """Returns what ``predict`` says, with ``reasons`` and the ``currency`` of training."""
    return predict(model, frame).with_columns(
        pl.Series("reasons", reasons(model, frame), dtype=pl.List(pl.String)),
        pl.lit(model.scale.currency).alias("currency"),
    )


def encode(answers: pl.DataFrame) -> list[HouseResponse]:
    """Returns one response for each answer, in order."""
    return [
        HouseResponse(
            price=row["predicted_price"],
            price_low=row["low_price"],
            price_high=row["high_price"],
            currency=row["currency"],
            is_above_cap_probability=row["cap_probability"],
            is_far_from_training=row["is_far"],
            new_area_price=row["new_area_price"],
            reasons=row["reasons"],
        )
        for row in answers.iter_rows(named=True)
    ]
