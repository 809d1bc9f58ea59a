"""What is registered: boosted trees and a network on the same inputs, blended and calibrated into one probability.

blended log-odds = (1 - network_share) * trees + network_share * network
probability      = sigmoid(slope * blended + intercept)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from modelyard.model_files import load_booster, load_network, load_parameters, save_model
from modelyard.parameters import Parameters
from modelyard.tasks.boosting import BoosterParameters, booster_logits
from modelyard.tasks.calibration import sigmoid
from modelyard.tasks.further_inputs import FurtherInput
from modelyard.training.parameters import LoopParameters
from pipelines.fraud_detection.inputs import STEP_NUMBERS, Inputs, input_columns

if TYPE_CHECKING:
    import xgboost as xgb

    from pipelines.fraud_detection.network import CardNetwork

Floats = NDArray[np.float64]

_MAX_REASONS = 3


class NetworkParameters(Parameters):
    """The network and its training."""

    width: int = Field(64, ge=4, le=1024, description="Units of each of the two hidden layers.")
    attention_dim: int = Field(32, ge=4, le=256, description="Units of queries, keys and values.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Share of hidden units dropped while training.")
    loop: LoopParameters = Field(
        LoopParameters(epochs=8, patience=3, batch_size=256, learning_rate=2e-3, weight_decay=0.01),
        description="The training; validation fills in its best epoch.",
    )


class BlendParameters(Parameters):
    """How the two models become one probability; all of it is filled in by validation."""

    network_share: float | None = Field(
        None, ge=0, le=1, description="Weight of the network's log-odds, the trees have the rest. None: one half."
    )
    slope: float | None = Field(None, gt=0, description="Factor of the blended log-odds. None: 1.")
    intercept: float | None = Field(
        None,
        description="Added to the blended log-odds. None: 0.",
        json_schema_extra={"unbounded": "log-odds have any sign and size"},
    )


class AlertParameters(Parameters):
    """When the served model raises an alert."""

    cards_per_day: int = Field(100, ge=1, description="Cards that people can look at in a day.")
    threshold: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Probability from which on there is an alert; filled in by validation so that `cards_per_day`"
        " cards are alerted on a mean day. None: 0.5.",
    )


class FitParameters(Parameters):
    """Everything that training needs, and that rebuilds the model."""

    booster: BoosterParameters = Field(
        BoosterParameters(colsample_bytree=0.3, max_bin=1024),
        description="The boosted trees; few large amounts need more bins than the usual 256.",
    )
    network: NetworkParameters = Field(NetworkParameters(), description="The network.")
    blend: BlendParameters = Field(BlendParameters(), description="How both become one probability.")
    alert: AlertParameters = Field(AlertParameters(), description="When there is an alert.")
    further: tuple[FurtherInput, ...] = Field(
        (), description="Further columns of own data, as the training rows have them; they fill it in."
    )
    currency: str = Field(
        "EUR", pattern=r"^[A-Z]{3}$", description="What reasons and figures state amounts in; the training rows say it."
    )


@dataclass(frozen=True, kw_only=True)
class FraudModel:
    """A trained model.

    Args:
        params: What it was fitted with; everything that validation rows decided is filled in.
        booster: Columns to log-odds.
        network: Columns and sequence to log-odds; on the CPU, in evaluation mode.
    """

    params: FitParameters
    booster: xgb.Booster
    network: CardNetwork


class Answers(NamedTuple):
    """What the model says about N rows, each float64 of shape (N,).

    Args:
        probability: Calibrated probability of fraud.
        booster_logit: The trees' log-odds.
        network_logit: The network's log-odds.
    """

    probability: Floats
    booster_logit: Floats
    network_logit: Floats


def answers_of(model: FraudModel, inputs: Inputs) -> Answers:
    """Returns both models' log-odds and the probability that follows from them."""
    trees, network = booster_logits(model.booster, inputs.columns), network_logits(model.network, inputs)
    return Answers(probabilities(trees, network, model.params.blend), trees, network)


def network_logits(network: CardNetwork, inputs: Inputs) -> Floats:
    """Returns the network's log-odds, shape (N,)."""
    from modelyard.training.prediction import predict

    return predict(network, inputs._asdict()).astype(np.float64)


def blended(trees: Floats, network: Floats, network_share: float) -> Floats:
    """Returns the weighted mean of log-odds, shape (N,)."""
    return (1 - network_share) * trees + network_share * network


def probabilities(trees: Floats, network: Floats, params: BlendParameters) -> Floats:
    """Returns blended and calibrated probabilities, shape (N,); what is not decided stays neutral.

    Args:
        trees: Log-odds, shape (N,).
        network: Log-odds, shape (N,).
        params: Share, slope and intercept.
    """
    share = 0.5 if params.network_share is None else params.network_share
    slope = 1.0 if params.slope is None else params.slope
    intercept = 0.0 if params.intercept is None else params.intercept
    return sigmoid(slope * blended(trees, network, share) + intercept)


def reasons(booster: xgb.Booster, inputs: Inputs, params: FitParameters) -> list[str]:
    """Returns why each transaction is suspicious: at most three topics that raise the trees' log-odds, in words.

    A topic weighs the sum of its columns' Shapley values; its strongest column gives the text. The network is not
    explained. Shapley values of trees: Lundberg et al. 2020, https://doi.org/10.1038/s42256-019-0138-9.

    Args:
        booster: The trees.
        inputs: Of N rows.
        params: What amounts are in, and which further columns there are.

    Returns:
        For each row the reasons, strongest first, joined by ``"; "``; empty where nothing raises the odds.
    """
    import xgboost as xgb

    if not len(inputs.columns):
        return []
    shares = booster.predict(xgb.DMatrix(inputs.columns), pred_contribs=True)[:, :-1]
    return [_in_words(row, values, params) for row, values in zip(shares, inputs.columns, strict=True)]


def _in_words(shares: NDArray[np.float32], values: NDArray[np.float32], params: FitParameters) -> str:
    weight: dict[str, float] = {}
    strongest: dict[str, tuple[float, str]] = {}
    columns = input_columns(params.further).values()
    for column, share, value in zip(columns, shares.tolist(), values.tolist(), strict=True):
        if math.isnan(value):
            continue
        weight[column.topic] = weight.get(column.topic, 0.0) + share
        if share > strongest.get(column.topic, (0.0, ""))[0]:
            strongest[column.topic] = (share, column.text.format(column.number(value), currency=params.currency))
    topics = sorted((topic for topic in strongest if weight[topic] > 0), key=lambda topic: -weight[topic])
    return "; ".join(strongest[topic][1] for topic in topics[:_MAX_REASONS])


def build_network(params: FitParameters, fraud_share: float = 0.5) -> CardNetwork:
    """Returns the untrained network; its first weights are drawn from torch's generator.

    Args:
        params: Its widths, and the further columns.
        fraud_share: Of the training rows; what it answers before it has learnt anything.
    """
    from pipelines.fraud_detection.network import CardNetwork

    return CardNetwork(
        n_columns=len(input_columns(params.further)),
        n_numbers=STEP_NUMBERS,
        width=params.network.width,
        attention_dim=params.network.attention_dim,
        dropout=params.network.dropout,
        fraud_share=fraud_share,
    )


def save(model: FraudModel, folder: Path) -> None:
    """Writes ``booster.ubj``, ``network.safetensors`` and ``params.json`` into an empty folder."""
    save_model(folder, params=model.params, booster=model.booster, network=model.network)


def load(folder: Path) -> FraudModel:
    """Returns what :func:`save` wrote; the model answers the same, to the bit.

    Raises:
        StorageError: A file is missing or damaged.
        ConfigurationError: The model was trained on other inputs than this version of the code derives.
    """
    params = load_parameters(folder, FitParameters)
    network = load_network(folder, build_network(params))
    return FraudModel(params=params, booster=load_booster(folder), network=network)
