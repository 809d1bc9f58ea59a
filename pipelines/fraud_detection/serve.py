"""The API: a transaction with its features in, the probability of fraud and the reasons out.

The features are those of the feature store at the moment of the transaction, including it. A feature that is left out
is unknown to the model, not zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import polars as pl
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, create_model

from modelyard.feature_store.schema import Feature
from modelyard.records import CURRENCY
from modelyard.tasks.further_inputs import GIVEN, FurtherValues, further_frame
from pipelines.fraud_detection.data import CONTRACT, LARGEST_AMOUNT
from pipelines.fraud_detection.features import FEATURE_VIEWS
from pipelines.fraud_detection.identifiers import Identifier

_FEATURES = tuple(feature for view in FEATURE_VIEWS for feature in view.features)
_LISTS = tuple(feature.name for feature in _FEATURES if feature.dtype.endswith("_list"))
_LENGTH = "customer_recent_length"
_LONGEST = 256
_MOST = 10**9
"""Largest count that can be right: transactions of a card or at a terminal."""


class FraudTransaction(BaseModel):
    """The transaction itself; :data:`FraudRequest` adds its features, further columns come last."""

    model_config = ConfigDict(extra="forbid")

    event_time: AwareDatetime = Field(description="When the card was used, with its offset from UTC.")
    customer_id: Identifier = Field(description="Who holds the card, as in the training data.")
    terminal_id: Identifier = Field(description="Where it was used.")
    amount: float = Field(
        ge=0, le=LARGEST_AMOUNT, allow_inf_nan=False, description="Amount, in the currency of the training data."
    )


class FraudResponse(BaseModel):
    """The answer."""

    fraud_probability: float = Field(description="Calibrated probability that the transaction is a fraud.")
    is_alert: bool = Field(description="Whether the card is among the few that people should look at today.")
    reasons: list[str] = Field(description="What makes it suspicious, strongest first; empty without an alert.")


def _plausible(values: list[float] | None) -> list[float] | None:
    if values is not None and not 1 <= len(values) <= _LONGEST:
        raise ValueError(f"the list has {len(values)} entries; give 1 to {_LONGEST}, or leave the feature out")
    if values is not None and not all(0 <= value <= LARGEST_AMOUNT for value in values):
        raise ValueError(f"every number of the list must lie between 0 and {LARGEST_AMOUNT:,.0f}")
    return values


def _field(feature: Feature) -> tuple[Any, Any]:
    """Type and field of one feature: counts, means and ages are not negative, risks are shares of one."""
    unit = "the currency of the training data" if feature.unit == CURRENCY else feature.unit
    text = f"{feature.description} Unit: {unit}." if unit else feature.description
    if feature.name in _LISTS:
        values = Annotated[list[float] | None, AfterValidator(_plausible)]
        return values, Field(None, description=text)
    if feature.dtype == "int64":
        return int | None, Field(None, ge=0, le=_MOST, description=text)
    most = 1.0 if "_risk_" in feature.name else LARGEST_AMOUNT * 100  # over a cent
    return float | None, Field(None, ge=0, le=most, allow_inf_nan=False, description=text)


_FIELDS: dict[str, Any] = {feature.name: _field(feature) for feature in _FEATURES}
_TAKEN = {GIVEN, *FraudTransaction.model_fields, *_FIELDS, *(column.name for column in CONTRACT.columns)}


def _are_further(values: dict[str, Any]) -> dict[str, Any]:
    if taken := sorted(_TAKEN & set(values)):
        raise ValueError(f"{', '.join(taken)}: no further column has this name")
    return values


_FIELDS[GIVEN] = (
    Annotated[FurtherValues, AfterValidator(_are_further)],
    Field(
        {},
        description="Further columns (`ingest.further_columns`) that the model was trained with, by name; what is not"
        " known may be left out, and a column that the model does not have is refused.",
    ),
)

FraudRequest = create_model(
    "FraudRequest",
    __base__=FraudTransaction,
    __doc__="A transaction and its features in one flat record; what is not known may be left out.",
    **_FIELDS,
)
"""One field for each feature of the schema, so that neither can be forgotten when the other changes."""


EXAMPLE = FraudRequest.model_validate(
    {
        "event_time": datetime(2024, 5, 17, 19, 40, tzinfo=UTC),
        "customer_id": "1734",
        "terminal_id": "9021",
        "amount": 189.9,
        "customer_tx_count_1d": 3,
        "customer_tx_count_7d": 16,
        "customer_tx_count_30d": 61,
        "customer_amount_mean_1d": 83.4,
        "customer_amount_mean_7d": 47.2,
        "customer_amount_mean_30d": 39.8,
        "customer_amount_std_30d": 27.1,
        "customer_amount_max_30d": 189.9,
        "customer_amount_ratio_30d": 5.1,
        "customer_tx_count_1h": 2,
        "customer_days_since_previous": 0.03,
        "customer_terminal_uses": 0,
        "customer_new_terminal_count_7d": 6,
        "customer_known_fraud_count_30d": 0,
        "customer_recent_length": 6,
        "customer_recent_amounts": [35.5, 41.2, 12.9, 28.4, 32.1, 189.9],
        "customer_recent_ages_h": [53.1, 40.7, 29.3, 21.5, 0.7, 0.0],
        "customer_recent_hours_of_day": [14.6, 3.0, 14.4, 22.2, 19.0, 19.7],
        "customer_recent_terminal_uses": [2.0, 0.0, 5.0, 1.0, 0.0, 0.0],
        "customer_recent_terminal_risks_7d": [0.0, 0.0, 0.0, 0.0, 0.0, 0.4],
        "terminal_tx_count_1d": 1,
        "terminal_tx_count_7d": 5,
        "terminal_tx_count_30d": 28,
        "terminal_risk_1d": 1.0,
        "terminal_risk_7d": 0.4,
        "terminal_risk_30d": 0.07,
        "terminal_known_fraud_count_30d": 2,
        "terminal_days_since_known_fraud": 7.2,
        "terminal_days_since_first_known_fraud": 8.4,
        "terminal_activity_1h": 1,
        "terminal_activity_1d": 3,
        "terminal_amount_mean_1h": 189.9,
    }
)
"""A valid request: a large amount, at a terminal that has turned bad lately."""


def decode(requests: Sequence[FraudTransaction]) -> pl.DataFrame:
    """Returns the frame that ``predict`` takes, a row for each request.

    Lists may be shorter than those of the feature store: they are padded in front, as there. Without a
    ``customer_recent_length`` all their entries are real.
    """
    records = [request.model_dump() | {"event_time": request.event_time.astimezone(UTC)} for request in requests]
    further = further_frame([record.pop(GIVEN) for record in records])
    longest = max((len(record[name]) for record in records for name in _LISTS if record[name]), default=1)
    for record in records:
        lengths = [len(record[name]) for name in _LISTS if record[name]]
        if record[_LENGTH] is None or record[_LENGTH] > max(lengths, default=0):
            record[_LENGTH] = max(lengths, default=0)
        for name in _LISTS:
            record[name] = [0.0] * (longest - len(record[name])) + record[name] if record[name] else None
    return pl.DataFrame(records, schema=_schema()).hstack(further)


def _schema() -> dict[str, Any]:
    dtypes: dict[str, Any] = {"int64": pl.Int64, "float64": pl.Float64, "float32_list": pl.List(pl.Float32)}
    return {
        "event_time": pl.Datetime("us", "UTC"),
        "customer_id": pl.String,
        "terminal_id": pl.String,
        "amount": pl.Float64,
        **{feature.name: dtypes[feature.dtype] for feature in _FEATURES},
    }


def encode(predictions: pl.DataFrame) -> list[FraudResponse]:
    """Returns one response for each prediction, in order."""
    return [
        FraudResponse(
            fraud_probability=row["score"],
            is_alert=row["is_alert"],
            reasons=row["reasons"].split("; ") if row["reasons"] else [],
        )
        for row in predictions.select("score", "is_alert", "reasons").iter_rows(named=True)
    ]
