"""A small network on the last two weeks of a hall, the weekday that is forecast, and the lead."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from modelyard.model_files import load_network, load_parameters, save_model
from modelyard.parameters import Parameters
from modelyard.training.parameters import LoopParameters
from pipelines.starter_project.data import LEADS
from pipelines.starter_project.features import LAGS, SPAN

if TYPE_CHECKING:
    from pipelines.starter_project.network import QuantileNetwork

LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Shares of outcomes that should lie below each quantile."""

LEVEL_COLUMN = f"used_kwh_mean_{SPAN}"
"""A hall's usual level, in which the network counts."""

_N_INPUTS = len(LAGS) + 7 + len(LEADS)


class FitParameters(Parameters):
    """The network and its training."""

    width: int = Field(64, ge=2, le=1024, description="Units of each of the two hidden layers.")
    loop: LoopParameters = Field(
        LoopParameters(epochs=12, learning_rate=5e-3), description="How the network is trained."
    )


@dataclass(frozen=True, kw_only=True)
class ForecastModel:
    """A trained network.

    Args:
        params: What trained it, with the epoch that validation chose filled in.
        network: Inputs to quantiles, in shares of the hall's usual level.
    """

    params: FitParameters
    network: QuantileNetwork


def untrained_model(params: FitParameters) -> ForecastModel:
    """Returns a model whose first weights are drawn from torch's generator."""
    from pipelines.starter_project.network import QuantileNetwork

    return ForecastModel(params=params, network=QuantileNetwork(_N_INPUTS, len(LEVELS), params.width))


def inputs_of(examples: pl.DataFrame) -> NDArray[np.float32]:
    """Returns what the network takes, shape (N, F): lags in shares of the level, weekday and lead as ones and zeros."""
    lags = [(pl.col(f"used_kwh_lag_{lag}") / level()).fill_null(1.0).fill_nan(1.0) for lag in LAGS]
    issued, lead = pl.col("event_time"), pl.col("lead_count")
    weekday = (issued + pl.duration(days=lead)).dt.weekday()
    flags = [*(weekday == day for day in range(1, 8)), *(lead == each for each in LEADS)]
    columns = [each.cast(pl.Float32).alias(str(number)) for number, each in enumerate([*lags, *flags])]
    return examples.select(columns).to_numpy()


def level() -> pl.Expr:
    """Returns a hall's usual level in kWh, never 0."""
    return pl.max_horizontal(pl.col(LEVEL_COLUMN), 1e-3)


def quantiles_kwh(model: ForecastModel, examples: pl.DataFrame) -> NDArray[np.float64]:
    """Returns the quantiles :data:`LEVELS` of what will be used, in kWh, shape (N, Q)."""
    from modelyard.training.prediction import predict

    shares = predict(model.network, {"inputs": inputs_of(examples)}).astype(np.float64)
    levels = examples.select(level().alias("level"))["level"].to_numpy()
    found: NDArray[np.float64] = np.maximum(levels[:, None] * shares, 0.0)
    return found


def save(model: ForecastModel, folder: Path) -> None:
    """Writes the parameters as JSON and the weights as safetensors into an empty folder."""
    save_model(folder, params=model.params, network=model.network)


def load(folder: Path) -> ForecastModel:
    """Reads what :func:`save` wrote; a missing or damaged file is a ``StorageError``."""
    model = untrained_model(load_parameters(folder, FitParameters))
    load_network(folder, model.network)
    return model
