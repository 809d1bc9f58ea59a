"""The API: a transaction with its features in, the probability of fraud and the reasons out.

The features are those of the feature store at the moment of the transaction, including it. A feature that is left out
is unknown to the model, not zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, create_model

from modelyard.feature_store.schema import Feature
from pipelines.fraud_detection.features import FEATURE_VIEWS, FeatureParameters

if TYPE_CHECKING:
    import polars as pl

_FEATURES = tuple(feature for view in FEATURE_VIEWS for feature in view.features)
_LENGTH = FeatureParameters().sequence_length


class FraudTransaction(BaseModel):
    """The transaction itself."""

    model_config = ConfigDict(extra="forbid")

    event_time: AwareDatetime = Field(description="When the card was used; with an offset from UTC.")
    customer_id: int = Field(ge=0, description="Who holds the card.")
    terminal_id: int = Field(ge=0, description="Where it was used.")
    amount_eur: float = Field(ge=0, le=1e6, allow_inf_nan=False, description="Amount, EUR.")


def _as_list(value: Any) -> Any:
    """Array columns of MLflow arrive as numpy arrays."""
    return value.tolist() if hasattr(value, "tolist") else value


def _field(feature: Feature) -> tuple[Any, Any]:
    """Type and pydantic field of one feature: counts, means and ages are not negative, risks are shares."""
    text = f"{feature.description} Unit: {feature.unit}." if feature.unit else feature.description
    number: Any = Annotated[float, Field(ge=0, allow_inf_nan=False)]
    if feature.dtype.endswith("_list"):
        values: Any = list[number]
        return (
            Annotated[values | None, BeforeValidator(_as_list)],
            Field(None, min_length=1, max_length=_LENGTH, description=text),
        )
    if "_risk_" in feature.name:
        return float | None, Field(None, ge=0, le=1, description=text)
    kind = int if feature.dtype == "int64" else float
    return kind | None, Field(None, ge=0, description=text)


FraudRequest = create_model(
    "FraudRequest",
    __base__=FraudTransaction,
    __doc__="A transaction and its features, one flat record; unknown features may be left out.",
    **{feature.name: _field(feature) for feature in _FEATURES},
)


class FraudResponse(BaseModel):
    """The answer."""

    fraud_probability: float = Field(description="Calibrated probability that the transaction is a fraud.")
    is_alert: bool = Field(description="Whether the card is among those that people should look at today.")
    reasons: list[str] = Field(description="What makes it suspicious, strongest first; empty without an alert.")
