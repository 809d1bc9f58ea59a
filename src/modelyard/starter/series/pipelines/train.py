"""Fits the network: pinball loss, the epoch that is best on the validation rows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from modelyard.errors import DataContractError
from modelyard.project import FitRun
from modelyard.scoring import rows_of
from modelyard.tasks.quantiles import pinball
from pipelines.starter_project.model import (
    LEVELS,
    FitParameters,
    ForecastModel,
    inputs_of,
    level,
    quantiles_kwh,
    untrained_model,
)

if TYPE_CHECKING:
    import optuna
    from torch import Tensor, nn


def fit(examples: pl.DataFrame, params: FitParameters, run: FitRun) -> ForecastModel:
    """Trains a network.

    Args:
        examples: Records with features and ``split``; rows of ``train`` are learnt from, rows of ``valid``, if there
            are any, decide when to stop.
        params: See :class:`FitParameters`.
        run: Seed, folder of the checkpoints, where to report.

    Returns:
        The network of the best epoch, and the parameters that train it again without validation rows.

    Raises:
        DataContractError: There is next to nothing to learn from.
    """
    from modelyard.training.loop import train
    from modelyard.training.randomness import seeded

    learning, valid = rows_of(examples, "train"), rows_of(examples, "valid")
    if learning.height < 2:
        raise DataContractError(
            f"There are {learning.height} forecasts to learn from.",
            where="split 'train'",
            way_out="bring longer series",
        )
    with seeded(run.seed):
        model = untrained_model(params)

    def validation_value(network: nn.Module) -> float:
        outcome = valid["outcome_kwh"].to_numpy()
        return float(pinball(quantiles_kwh(model, valid), np.array(LEVELS), outcome).mean())

    result = train(
        model.network,
        {
            "inputs": inputs_of(learning),
            "outcome": learning.select(pl.col("outcome_kwh") / level()).to_series().cast(pl.Float32).to_numpy(),
        },
        pinball_loss,
        params.loop,
        run=run,
        evaluate=validation_value if valid.height else None,
    )
    decided = params.model_copy(update={"loop": params.loop.stopping_after(result.best_epoch)})
    return replace(model, params=decided, network=result.network.cpu())


def pinball_loss(network: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """Returns the mean pinball loss of a batch: ``inputs`` (B, F), ``outcome`` (B,) in shares of the usual level."""
    quantiles: Tensor = network(batch["inputs"])
    return pinball(quantiles, quantiles.new_tensor(LEVELS), batch["outcome"]).mean()


def search_space(trial: optuna.Trial, params: FitParameters) -> FitParameters:
    """Returns what tuning tries: width and learning rate around the configured ones, on a logarithmic scale."""
    width = trial.suggest_int("width", max(2, params.width // 2), 2 * params.width, log=True)
    rate = params.loop.learning_rate
    loop = {"learning_rate": trial.suggest_float("loop.learning_rate", rate / 4, min(4 * rate, 0.5), log=True)}
    return params.model_copy(update={"width": width, "loop": params.loop.model_copy(update=loop)})
