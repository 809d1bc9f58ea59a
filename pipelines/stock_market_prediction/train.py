"""Fits trees and line; a walk through time decides how many trees are worth keeping and when a rise is called.

The validation split is two months: too short to tell a good model from a lucky one. So the trees are grown several
times, each time on everything before a later period (less an embargo), and foresee that period; the validation split is
the last. What is best over all periods is kept.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from modelyard.errors import DataContractError
from modelyard.project import FitRun
from modelyard.scoring import rows_of
from pipelines.stock_market_prediction.model import (
    FitParameters,
    Period,
    StockModel,
    VolatilityLine,
    inputs_of,
    up_probabilities,
    volatility_inputs,
)
from pipelines.stock_market_prediction.significance import correlation

if TYPE_CHECKING:
    import numpy as np
    import optuna
    import polars as pl
    import xgboost as xgb
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Booleans = NDArray[np.bool_]

logger = logging.getLogger(__name__)

_BLOCK_ROUNDS = 10
_LEAST_LINE_ROWS = 50


def fit(examples: pl.DataFrame, params: FitParameters, run: FitRun) -> StockModel:
    """Fits trees and line.

    Args:
        examples: Records with features and ``split``; labelled rows of ``train`` grow the trees, all rows of it with a
            known target draw the line. Without rows of ``valid``, ``params`` are followed exactly.
        params: See :class:`FitParameters`.
        run: Seed and threads. Each ten rounds, the correlation of calls and moves on the validation rows is reported.

    Returns:
        The model; its ``params`` fit it again without validation rows.

    Raises:
        DataContractError: The training rows only rise, only fall, or are too few.
    """
    train, valid = rows_of(examples, "train"), rows_of(examples, "valid")
    _require_both_classes(train)
    if valid["is_up"].drop_nulls().n_unique() == 2:
        params = walk_forward(train, valid, params, run)
    booster = grow(train, params, run, params.rounds or params.max_rounds)
    return StockModel(params=params, booster=booster, volatility=draw_line(train))


def grow(rows: pl.DataFrame, params: FitParameters, run: FitRun, rounds: int) -> xgb.Booster:
    """Grows trees on the labelled rows."""
    import xgboost as xgb

    labelled = rows.drop_nulls("is_up")
    is_up = labelled["is_up"].to_numpy()
    settings = {
        "objective": "binary:logistic",
        "tree_method": "hist",
        "device": "cpu",  # twenty thousand rows are grown faster than they are moved
        "eta": params.learning_rate,
        "max_depth": params.max_depth,
        "min_child_weight": params.min_child_weight,
        "subsample": params.row_share,
        "colsample_bytree": params.column_share,
        "reg_lambda": params.l2,
        "num_parallel_tree": params.trees_per_round,
        "base_score": float(is_up.mean()),
        "nthread": 1,  # with so few rows, threads wait for each other longer than they work
        "seed": run.seed,
    }
    matrix = xgb.QuantileDMatrix(inputs_of(labelled), is_up, nthread=1)
    return xgb.train(settings, matrix, rounds)


@dataclass(frozen=True)
class _Step:
    """One step of the walk: what was learnt from, and what was foreseen."""

    past: pl.DataFrame
    future: pl.DataFrame


def steps_of(train: pl.DataFrame, valid: pl.DataFrame, params: FitParameters) -> list[_Step]:
    """The later half of the training days in equal periods, then the validation split; each with all that came before.

    A row is learnt from only if its target was known an embargo before the first bar that is foreseen.
    """
    import polars as pl

    days = train["event_time"].unique().sort()
    n_early = params.n_periods - 1
    borders = [len(days) // 2 + len(days) * number // (2 * max(n_early, 1)) for number in range(n_early + 1)]
    futures = [
        train.filter(pl.col("event_time").is_between(days[first], days[last - 1]))
        for first, last in pairwise(borders)
        if last > first
    ]
    steps = []
    for future in (*futures, valid):
        begin: Any = future["event_time"].min()
        past = train.filter(pl.col("target_at") <= begin - timedelta(days=params.embargo_days))
        if past["is_up"].drop_nulls().n_unique() == 2 and future["is_up"].count():
            steps.append(_Step(past, future.drop_nulls("is_up")))
    return steps


def walk_forward(train: pl.DataFrame, valid: pl.DataFrame, params: FitParameters, run: FitRun) -> FitParameters:
    """Foresees period after period, and chooses.

    Returns:
        ``params`` with ``rounds`` (least log loss over all foreseen rows), ``threshold`` and ``walk_forward``.
    """
    import numpy as np

    steps = steps_of(train, valid, params)
    if not steps:
        logger.warning("the training days are too few for a walk-forward: the parameters stay as they are")
        return params
    last = params.rounds or params.max_rounds
    blocks = [params.rounds] if params.rounds else [*range(_BLOCK_ROUNDS, last + 1, _BLOCK_ROUNDS)]
    foreseen = []
    for step in steps:
        booster, inputs = grow(step.past, params, run, last), inputs_of(step.future)
        foreseen.append(np.array([up_probabilities(booster, inputs, rounds) for rounds in blocks]))
    is_up = np.concatenate([step.future["is_up"].to_numpy() for step in steps])
    joined = np.concatenate(foreseen, axis=1)
    losses = [_log_loss(is_up, probability) for probability in joined]
    best = int(np.argmin(losses))
    threshold = float(np.quantile(joined[best], 1 - is_up.mean())) if params.threshold is None else params.threshold
    for number, probability in enumerate(foreseen[-1], 1):
        run.report(number, correlation(steps[-1].future["is_up"].to_numpy(), probability >= threshold))
    periods = tuple(_judged(step, found[best] >= threshold) for step, found in zip(steps, foreseen, strict=True))
    for period in periods:
        logger.info(
            "foreseen %s to %s: accuracy %.3f, best constant call %.3f",
            *(period.first_day, period.last_day, period.accuracy, period.constant_accuracy),
        )
    return params.model_copy(update={"rounds": blocks[best], "threshold": threshold, "walk_forward": periods})


def _judged(step: _Step, is_called: Booleans) -> Period:
    is_up, days = step.future["is_up"].to_numpy(), step.future["target_at"].dt.to_string("%Y-%m-%d")
    return Period(
        first_day=str(days.min()),
        last_day=str(days.max()),
        n_rows=len(is_up),
        accuracy=float((is_called == is_up).mean()),
        constant_accuracy=float(max(is_up.mean(), 1 - is_up.mean())),
        matthews_corrcoef=correlation(is_up, is_called),
    )


def _log_loss(is_up: Booleans, probability: Floats) -> float:
    import numpy as np

    return float(-np.log(np.where(is_up, probability, 1 - probability)).mean())


def draw_line(rows: pl.DataFrame) -> VolatilityLine:
    """Least squares of the change of log volatility; no change at all where there are too few rows."""
    import numpy as np

    inputs = volatility_inputs(rows)
    change = np.log(rows["next_volatility_pct"].fill_null(float("nan")).to_numpy()) - inputs[:, 1]
    is_full = np.isfinite(inputs).all(axis=1) & np.isfinite(change)
    if is_full.sum() < _LEAST_LINE_ROWS:
        return VolatilityLine(weights=(0.0,) * inputs.shape[1], variance=0.0)
    weights = np.linalg.lstsq(inputs[is_full], change[is_full], rcond=None)[0]
    rest = change[is_full] - inputs[is_full] @ weights
    return VolatilityLine(weights=tuple(float(weight) for weight in weights), variance=float(rest.var()))


def search_space(trial: optuna.Trial, params: FitParameters) -> FitParameters:
    """What tuning varies: shape and pace of the trees. Few things, because validation days are few."""
    return params.model_copy(
        update={
            "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.1, log=True),
            "max_depth": trial.suggest_int("max_depth", 2, 5),
            "min_child_weight": trial.suggest_float("min_child_weight", 20, 400, log=True),
            "column_share": trial.suggest_float("column_share", 0.2, 0.9),
        }
    )


def _require_both_classes(train: pl.DataFrame) -> None:
    if train["is_up"].drop_nulls().n_unique() < 2:
        raise DataContractError(
            f"Of {train.height} training rows none rises or none falls: there is nothing to tell apart.",
            where="column 'is_up', split 'train'",
            way_out="bring more days, or narrow the neutral band (ingest.target.up_from_pct, down_to_pct)",
        )
