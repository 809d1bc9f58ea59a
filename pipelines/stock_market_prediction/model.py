"""What is registered: boosted trees for the direction, and a linear model of the logarithm of volatility.

The linear model is the heterogeneous autoregression of Corsi 2009 (https://doi.org/10.1093/jjfinec/nbp001): tomorrow's
log volatility from the means over one day, a week and a month, here with the market's deviation beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from modelyard.errors import ConfigurationError
from modelyard.model_files import load_booster, load_parameters, save_model
from modelyard.parameters import Parameters
from modelyard.tasks.boosting import BoosterParameters, booster_logits
from modelyard.tasks.calibration import sigmoid
from pipelines.stock_market_prediction.features import FEATURES

if TYPE_CHECKING:
    import xgboost as xgb

Floats = NDArray[np.float64]

DIRECTION_INPUTS = tuple(name for name in FEATURES if not name.startswith("market_"))
"""What the trees see. A number that is the same for all symbols tells the days apart: with some hundred days to learn
from, trees remember how each of them ended (in the walk-forward on ACL18 they were worse than chance with them)."""

_LOG_VOLATILITIES = ("log_volatility_1d", "log_volatility_5d", "log_volatility_20d")


class Period(Parameters):
    """What one step of the walk-forward found on days that its trees had not seen."""

    first_day: str = Field(description="First day that was predicted.")
    last_day: str = Field(description="Last such day.")
    n_rows: int = Field(ge=0, description="Labelled rows.")
    accuracy: float = Field(ge=0, le=1, description="Share of right predictions.")
    constant_accuracy: float = Field(ge=0, le=1, description="Of the better one of always up and always down.")
    matthews_corrcoef: float = Field(ge=-1, le=1, description="Correlation of predictions and moves.")


class FitParameters(Parameters):
    """Everything that training needs, and that rebuilds the model."""

    booster: BoosterParameters = Field(
        BoosterParameters(
            n_estimators=100,
            learning_rate=0.03,
            max_depth=3,
            min_child_weight=100.0,  # the sum of second derivatives is a quarter of the rows
            subsample=0.5,
            colsample_bytree=0.5,
            reg_lambda=10.0,
            num_parallel_tree=2,
        ),
        description="The trees of the direction; the walk-forward fills in the best iteration.",
    )
    threshold: float = Field(0.5, ge=0, le=1, description="Probability from which on a rise is predicted.")
    n_periods: int = Field(4, ge=1, le=50, description="Steps of the walk-forward; the last is the validation split.")
    embargo_days: int = Field(
        7, ge=0, le=365, description="Calendar days between the last target learnt from and the first bar predicted."
    )
    walk_forward: tuple[Period, ...] = Field((), description="What each step found; filled in by the walk-forward.")


class VolatilityModel(Parameters):
    """The linear model of the change of log volatility."""

    weights: tuple[float, ...] = Field(
        description="Of the constant, of the three means of logs less the latest, and of the market's log deviation"
        " less the latest."
    )
    residual_variance: float = Field(
        ge=0, description="Of what the weights leave open; its half turns the mean of the logarithm into a mean."
    )


class Inputs(Parameters):
    """Which features the model was trained on."""

    names: tuple[str, ...] = Field(DIRECTION_INPUTS, description="Of the columns that the trees see, in order.")


@dataclass(frozen=True, kw_only=True)
class StockModel:
    """A trained model.

    Args:
        params: What it was fitted with; everything that the walk-forward decided is filled in.
        booster: Features to log-odds of a rise.
        volatility: Features to the target day's volatility.
    """

    params: FitParameters
    booster: xgb.Booster
    volatility: VolatilityModel


def inputs_of(examples: pl.DataFrame) -> NDArray[np.float32]:
    """Returns what the trees see, float32 of shape (N, len(DIRECTION_INPUTS)); missing values are NaN."""
    inputs: NDArray[np.float32] = examples.select(
        pl.col(name).cast(pl.Float32).fill_null(float("nan")) for name in DIRECTION_INPUTS
    ).to_numpy()
    return inputs


def up_probabilities(booster: xgb.Booster, inputs: NDArray[np.float32], n_rounds: int = 0) -> Floats:
    """Returns the probability of a rise, shape (N,), that the first ``n_rounds`` rounds give (0: all)."""
    return sigmoid(booster_logits(booster, inputs, n_rounds))


def volatility_inputs(examples: pl.DataFrame) -> Floats:
    """Returns what the weights multiply, shape (N, 5); NaN where a window is not full."""
    names = (*_LOG_VOLATILITIES, "market_deviation_20d_pct")
    logs = examples.select(pl.col(name).cast(pl.Float64).fill_null(float("nan")) for name in names).to_numpy()
    latest = logs[:, 0]
    # On a year's scale like the rest; a market that never moved tells nothing.
    market = np.log(np.maximum(logs[:, 3] * np.sqrt(252), 1.0))
    return np.column_stack([np.ones(len(logs)), latest, logs[:, 1] - latest, logs[:, 2] - latest, market - latest])


def volatility_forecast(model: VolatilityModel, examples: pl.DataFrame) -> Floats:
    """Returns the target day's volatility in annualised percent, shape (N,); today's where a window is not full."""
    inputs = volatility_inputs(examples)
    change = np.zeros(len(inputs))
    for weight, column in zip(
        model.weights, inputs.T, strict=True
    ):  # term by term: no row depends on how many there are
        change = change + weight * column
    today = np.exp(inputs[:, 1])
    fallback = examples["volatility_pct"].cast(float).to_numpy()
    forecast: Floats = np.where(np.isnan(change), fallback, today * np.exp(change + model.residual_variance / 2))
    return forecast


def save(model: StockModel, folder: Path) -> None:
    """Writes ``booster.ubj``, ``params.json``, ``volatility.json`` and ``inputs.json`` into an empty folder."""
    save_model(folder, params=model.params, booster=model.booster, volatility=model.volatility, inputs=Inputs())


def load(folder: Path) -> StockModel:
    """Returns what :func:`save` wrote; the model predicts the same, to the bit.

    Raises:
        StorageError: A file is missing or damaged.
        ConfigurationError: The model was trained on other features than this version of the code derives.
    """
    if load_parameters(folder, Inputs, "inputs") != Inputs():
        raise ConfigurationError(
            "The model was trained on other features.", where=str(folder), way_out="train it again with this version"
        )
    return StockModel(
        params=load_parameters(folder, FitParameters),
        booster=load_booster(folder, n_threads=1),
        volatility=load_parameters(folder, VolatilityModel, "volatility"),
    )
