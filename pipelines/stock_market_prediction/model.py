"""What is registered: boosted trees for the direction, and a line in logarithms for the volatility.

The line is the heterogeneous autoregression of Corsi 2009 (https://doi.org/10.1093/jjfinec/nbp001): tomorrow's
log volatility from the means over one day, a week and a month, here with the market's deviation beside it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from modelyard.errors import StorageError
from modelyard.files import atomic_file, write_text
from modelyard.parameters import Parameters
from pipelines.stock_market_prediction.features import FEATURES

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import xgboost as xgb
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

DIRECTION_INPUTS = tuple(name for name in FEATURES if not name.startswith("market_"))
"""What the trees see. A number that is the same for all symbols tells the days apart: with some hundred days to learn
from, trees remember how each of them ended (in the walk-forward on ACL18 they were worse than chance with them)."""

_LOG_VOLATILITIES = ("log_volatility_1d", "log_volatility_5d", "log_volatility_20d")


class Period(Parameters):
    """What one step of the walk-forward found on days that its trees had not seen."""

    first_day: str = Field(description="First day that was foreseen.")
    last_day: str = Field(description="Last such day.")
    n_rows: int = Field(ge=0, description="Labelled rows.")
    accuracy: float = Field(ge=0, le=1, description="Share of right calls.")
    constant_accuracy: float = Field(ge=0, le=1, description="Of the better one of always up and always down.")
    matthews_corrcoef: float = Field(ge=-1, le=1, description="Correlation of calls and moves.")


class FitParameters(Parameters):
    """The trees, and how many of them are kept (XGBoost, Chen and Guestrin 2016, https://arxiv.org/abs/1603.02754)."""

    max_rounds: int = Field(100, ge=10, le=5_000, description="Boosting rounds from which the walk-forward chooses.")
    rounds: int | None = Field(None, ge=1, description="Rounds kept; filled in by the walk-forward. None: max_rounds.")
    threshold: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Probability from which on a rise is called; filled in by the walk-forward so that as many rises "
        "are called as there were. None: 0.5.",
    )
    learning_rate: float = Field(0.03, gt=0, le=1, description="Share of each tree's answer that is added.")
    max_depth: int = Field(3, ge=1, le=10, description="Questions on the longest path through a tree.")
    min_child_weight: float = Field(100.0, ge=0, description="Least sum of second derivatives in a leaf (rows / 4).")
    row_share: float = Field(0.5, gt=0, le=1, description="Share of the rows drawn for each tree.")
    column_share: float = Field(0.5, gt=0, le=1, description="Share of the features drawn for each tree.")
    l2: float = Field(10.0, ge=0, description="Penalty on the squares of the leaves' answers.")
    trees_per_round: int = Field(2, ge=1, le=100, description="Trees that are averaged in each round.")
    n_periods: int = Field(4, ge=1, le=50, description="Steps of the walk-forward; the last is the validation split.")
    embargo_days: int = Field(
        7, ge=0, le=365, description="Calendar days between the last target learnt from and the first bar foreseen."
    )
    walk_forward: tuple[Period, ...] = Field((), description="What each step found; filled in by the walk-forward.")


@dataclass(frozen=True, kw_only=True)
class VolatilityLine:
    """Coefficients of the change of log volatility.

    Args:
        weights: Of the constant, the three means of logs less the latest, and the market's log deviation less the
            latest.
        variance: Of what the line leaves open; its half turns the mean of the logarithm into a mean.
    """

    weights: tuple[float, ...]
    variance: float


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
    volatility: VolatilityLine


def inputs_of(examples: pl.DataFrame) -> NDArray[np.float32]:
    """What the trees see, float32 of shape (N, len(DIRECTION_INPUTS)); missing values are NaN."""
    import polars as pl

    inputs: NDArray[np.float32] = examples.select(
        pl.col(name).cast(pl.Float32).fill_null(float("nan")) for name in DIRECTION_INPUTS
    ).to_numpy()
    return inputs


def up_probabilities(booster: xgb.Booster, inputs: NDArray[np.float32], rounds: int | None = None) -> Floats:
    """Probability of a rise, shape (N,), of the first ``rounds`` rounds (None: all)."""
    import numpy as np
    import xgboost as xgb

    if not len(inputs):
        return np.zeros(0)
    probabilities: Floats = booster.predict(xgb.DMatrix(inputs, nthread=1), iteration_range=(0, rounds or 0)).astype(
        np.float64
    )
    return probabilities


def volatility_inputs(examples: pl.DataFrame) -> Floats:
    """What the line multiplies, shape (N, 5); NaN where a window is not full."""
    import numpy as np
    import polars as pl

    names = (*_LOG_VOLATILITIES, "market_deviation_20d_pct")
    logs = examples.select(pl.col(name).cast(pl.Float64).fill_null(float("nan")) for name in names).to_numpy()
    latest = logs[:, 0]
    # On a year's scale like the rest; a market that never moved tells nothing.
    market = np.log(np.maximum(logs[:, 3] * np.sqrt(252), 1.0))
    return np.column_stack([np.ones(len(logs)), latest, logs[:, 1] - latest, logs[:, 2] - latest, market - latest])


def volatility_forecast(line: VolatilityLine, examples: pl.DataFrame) -> Floats:
    """Volatility of the target day in annualised percent, shape (N,); today's where a window is not full."""
    import numpy as np

    inputs = volatility_inputs(examples)
    change = np.zeros(len(inputs))
    for weight, column in zip(line.weights, inputs.T, strict=True):
        change = change + weight * column
    today = np.exp(inputs[:, 1])
    fallback = examples["volatility_pct"].cast(float).to_numpy()
    forecast: Floats = np.where(np.isnan(change), fallback, today * np.exp(change + line.variance / 2))
    return forecast


def save(model: StockModel, folder: Path) -> None:
    """Writes ``booster.ubj`` and ``model.json`` into an empty folder."""
    with atomic_file(folder / "booster.ubj") as temporary:
        temporary.write_bytes(model.booster.save_raw("ubj"))
    line = {"weights": model.volatility.weights, "variance": model.volatility.variance}
    content = {"params": model.params.model_dump(mode="json"), "volatility": line, "inputs": DIRECTION_INPUTS}
    write_text(folder / "model.json", json.dumps(content, indent=2))


def load(folder: Path) -> StockModel:
    """Reads what :func:`save` wrote; the model answers the same, to the bit.

    Raises:
        StorageError: A file is missing or damaged, or the model was trained on other features.
    """
    import xgboost as xgb

    try:
        content = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        params = FitParameters.model_validate(content["params"])
        line = VolatilityLine(
            weights=tuple(content["volatility"]["weights"]), variance=content["volatility"]["variance"]
        )
        booster = xgb.Booster({"nthread": 1}, model_file=bytearray((folder / "booster.ubj").read_bytes()))
        if tuple(content["inputs"]) != DIRECTION_INPUTS:
            raise ValueError("it was trained on other features")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(
            f"The model cannot be read: {str(error).splitlines()[0]}",
            where=str(folder),
            way_out="train again or restore the folder",
        ) from error
    return StockModel(params=params, booster=booster, volatility=line)
