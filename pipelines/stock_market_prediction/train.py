"""Fits trees and the volatility model; a walk through time decides how many rounds of trees are worth keeping.

The validation split is two months: too short to tell a good model from a lucky one. So the trees are grown several
times, each time on everything before a later period (less an embargo), and predict that period; the validation split is
the last. What is best over all periods is kept. The threshold is none of it: one that was chosen on past periods does
not survive the next market (docs/decisions/0011-threshold-of-direction.md).
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.project import FitRun
from modelyard.tasks.boosting import BoosterParameters, fit_booster
from modelyard.tasks.classification import learnable_splits, matthews_corrcoef, probability_metrics
from modelyard.tasks.series.splits import Fold, known_at, walk_forward
from pipelines.stock_market_prediction.model import (
    FitParameters,
    Period,
    StockModel,
    VolatilityModel,
    inputs_of,
    up_probabilities,
    volatility_inputs,
)

if TYPE_CHECKING:
    import optuna
    import xgboost as xgb

Booleans = NDArray[np.bool_]

logger = logging.getLogger(__name__)

_BLOCK_ROUNDS = 10
_MIN_VOLATILITY_ROWS = 50


def fit(examples: pl.DataFrame, params: FitParameters, run: FitRun) -> StockModel:
    """Fits the trees and the volatility model.

    Args:
        examples: Records with features and ``split``; labelled rows of ``train`` grow the trees, all rows of it with a
            known target fit the volatility. Without rows of ``valid``, ``params`` are followed exactly.
        params: See :class:`FitParameters`.
        run: Matthews' correlation of predictions and moves on the validation rows is reported after each ten rounds.

    Returns:
        The model; its ``params`` fit it again without validation rows.

    Raises:
        DataContractError: The training rows only rise, only fall, or are too few.
    """
    train, valid = learnable_splits(examples, "is_up")
    if valid.height:
        params = choose_rounds(train, valid, params, run)
    booster = _grown(train, params.booster, replace(run, folder=run.folder / "all"))
    return StockModel(params=params, booster=booster, volatility=fit_volatility(train))


def _grown(rows: pl.DataFrame, params: BoosterParameters, run: FitRun) -> xgb.Booster:
    """Returns trees of the labelled rows; one thread, because with so few rows threads wait longer than they work."""
    labelled = rows.drop_nulls("is_up")
    return fit_booster(inputs_of(labelled), labelled["is_up"].to_numpy(), params, replace(run, n_threads=1))[0]


def folds_of(train: pl.DataFrame, valid: pl.DataFrame, params: FitParameters) -> list[Fold]:
    """Returns the later half of the training days in equal periods, then the validation split, each with its past.

    A row is learnt from only if its target was known an embargo before the first bar that is predicted. Periods without
    a label, or whose past has labels of one kind only, are left out.
    """
    embargo = timedelta(days=params.embargo_days)
    begin: Any = valid["event_time"].min()
    folds = [*walk_forward(train, params.n_periods - 1, embargo), Fold(known_at(train, begin, embargo), valid)]
    return [
        Fold(past, future.drop_nulls("is_up"))
        for past, future in folds
        if past["is_up"].drop_nulls().n_unique() == 2 and future["is_up"].count()
    ]


def choose_rounds(train: pl.DataFrame, valid: pl.DataFrame, params: FitParameters, run: FitRun) -> FitParameters:
    """Predicts period after period, and chooses.

    Returns:
        ``params`` with the booster's ``best_iteration`` (least log loss over all predicted rows) and ``walk_forward``.
    """
    folds = folds_of(train, valid, params)
    if not folds:
        logger.warning("the training days are too few for a walk-forward: the parameters stay as they are")
        return params
    last = params.booster.n_rounds
    is_chosen = params.booster.best_iteration is not None
    blocks = [last] if is_chosen else [*range(_BLOCK_ROUNDS, last, _BLOCK_ROUNDS), last]
    predicted = []
    for number, fold in enumerate(folds, 1):
        booster = _grown(fold.past, params.booster, replace(run, folder=run.folder / f"period_{number}"))
        inputs = inputs_of(fold.future)
        predicted.append(np.array([up_probabilities(booster, inputs, n_rounds) for n_rounds in blocks]))
    is_up = np.concatenate([fold.future["is_up"].to_numpy() for fold in folds])
    losses = [probability_metrics(is_up, each)["log_loss"] for each in np.concatenate(predicted, axis=1)]
    best = int(np.argmin(losses))
    for number, probability in enumerate(predicted[-1], 1):
        run.report(number, matthews_corrcoef(folds[-1].future["is_up"].to_numpy(), probability >= params.threshold))
    periods = tuple(
        _judged(fold, found[best] >= params.threshold) for fold, found in zip(folds, predicted, strict=True)
    )
    for period in periods:
        logger.info(
            "predicted %s to %s: accuracy %.3f, best constant prediction %.3f",
            *(period.first_day, period.last_day, period.accuracy, period.constant_accuracy),
        )
    booster_params = params.booster.model_copy(update={"best_iteration": blocks[best] - 1})
    return params.model_copy(update={"booster": booster_params, "walk_forward": periods})


def _judged(fold: Fold, is_predicted: Booleans) -> Period:
    is_up, days = fold.future["is_up"].to_numpy(), fold.future["target_at"].dt.to_string("%Y-%m-%d")
    return Period(
        first_day=str(days.min()),
        last_day=str(days.max()),
        n_rows=len(is_up),
        accuracy=float((is_predicted == is_up).mean()),
        constant_accuracy=float(max(is_up.mean(), 1 - is_up.mean())),
        matthews_corrcoef=matthews_corrcoef(is_up, is_predicted),
    )


def fit_volatility(rows: pl.DataFrame) -> VolatilityModel:
    """Returns the least squares of the change of log volatility; no change at all where there are too few rows."""
    inputs = volatility_inputs(rows)
    change = np.log(rows["next_volatility_pct"].fill_null(float("nan")).to_numpy()) - inputs[:, 1]
    is_full = np.isfinite(inputs).all(axis=1) & np.isfinite(change)
    if is_full.sum() < _MIN_VOLATILITY_ROWS:
        return VolatilityModel(weights=(0.0,) * inputs.shape[1], residual_variance=0.0)
    weights = np.linalg.lstsq(inputs[is_full], change[is_full], rcond=None)[0]
    residuals = change[is_full] - inputs[is_full] @ weights
    return VolatilityModel(weights=tuple(weights.tolist()), residual_variance=float(residuals.var()))


def search_space(trial: optuna.Trial, params: FitParameters) -> FitParameters:
    """Returns ``params`` with a trial's shape and pace of the trees. Few things, because validation days are few."""
    booster = params.booster.model_copy(
        update={
            "learning_rate": trial.suggest_float("booster.learning_rate", 0.01, 0.1, log=True),
            "max_depth": trial.suggest_int("booster.max_depth", 2, 5),
            "min_child_weight": trial.suggest_float("booster.min_child_weight", 20, 400, log=True),
            "colsample_bytree": trial.suggest_float("booster.colsample_bytree", 0.2, 0.9),
        }
    )
    return params.model_copy(update={"booster": booster})
