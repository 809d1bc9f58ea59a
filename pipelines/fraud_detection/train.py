"""Fits the trees and the network, and lets the validation rows decide when to stop and how to blend and calibrate.

One transaction in a hundred is a fraud. Nothing is resampled and no row counts more than another: both models minimise
the log loss, whose answers are probabilities that need no correction, and the early stopping, the blend and the tuning
look at average precision, which only asks how frauds are ranked. Weighting frauds up was measured to be worse
(docs/decisions/0002-fraud-model.md); ``scale_pos_weight`` is there for other data. The network starts at the fraud
share.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.own_data.further_columns import further_names
from modelyard.project import FitRun
from modelyard.tasks.boosting import booster_logits, fit_booster, format_metric
from modelyard.tasks.calibration import platt
from modelyard.tasks.classification import learnable_splits
from modelyard.tasks.further_inputs import learn_further_inputs
from modelyard.tasks.ranking import average_precision
from pipelines.fraud_detection.data import CONTRACT
from pipelines.fraud_detection.features import FEATURE_VIEWS
from pipelines.fraud_detection.inputs import LabelledInputs
from pipelines.fraud_detection.model import (
    AlertParameters,
    BlendParameters,
    FitParameters,
    FraudModel,
    blended,
    build_network,
    network_logits,
    probabilities,
)

if TYPE_CHECKING:
    import optuna
    from torch import Tensor

    from pipelines.fraud_detection.network import CardNetwork

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

logger = logging.getLogger(__name__)

_SHARES = tuple(step / 20 for step in range(21))
"""Shares of the network that the validation rows choose from."""


def fit(examples: pl.DataFrame, params: FitParameters, run: FitRun) -> FraudModel:
    """Fits both models and blends them.

    Args:
        examples: Records with features and ``split``: rows of ``train`` are learnt from; rows of ``valid``, if there
            are any with frauds among them, decide what ``params`` leave open.
        params: See :class:`FitParameters`.
        run: Average precision on the validation rows is reported as steps 1, 2, ... of the trees (each ten rounds),
            then of the network's epochs, then of the blend.

    Returns:
        The model; its ``params`` fit it again without validation rows.

    Raises:
        DataContractError: The training rows hold no frauds, or nothing else.
    """
    train_rows, valid_rows = learnable_splits(examples, "is_fraud")
    names = further_names(train_rows.columns, CONTRACT, FEATURE_VIEWS)
    further = learn_further_inputs(train_rows, names)
    params = params.model_copy(update={"further": further, "currency": _currency(train_rows, params)})
    train = LabelledInputs.of(train_rows, further)
    valid = LabelledInputs.of(valid_rows, further) if valid_rows.height else None
    booster, best_iteration = fit_booster(
        train.inputs.columns,
        train.is_fraud,
        params.booster,
        run,
        None
        if valid is None
        else lambda trees: average_precision(valid.is_fraud, booster_logits(trees, valid.inputs.columns)),
    )
    network, best_epoch = fit_network(train, valid, params, run)
    decided = params.model_copy(
        update={
            "booster": params.booster.model_copy(update={"best_iteration": best_iteration}),
            "network": params.network.model_copy(update={"loop": params.network.loop.stopping_after(best_epoch)}),
        }
    )
    if valid is None:
        return FraudModel(params=decided, booster=booster, network=network)
    logits = booster_logits(booster, valid.inputs.columns), network_logits(network, valid.inputs)
    blend = choose_blend(*logits, valid.is_fraud, params.blend)
    probability = probabilities(*logits, blend)
    value = average_precision(valid.is_fraud, probability)
    logger.info("blend: %.0f %% network, average precision %.4f", 100 * (blend.network_share or 0), value)
    run.report(params.booster.n_reports + params.network.loop.epochs + 1, value)
    alert = choose_threshold(valid_rows, probability, params.alert)
    decided = decided.model_copy(update={"blend": blend, "alert": alert})
    return FraudModel(params=decided, booster=booster, network=network)


def _currency(rows: pl.DataFrame, params: FitParameters) -> str:
    """The one currency of the rows; that of ``params`` where they say none."""
    said = rows["currency"].drop_nulls() if "currency" in rows.columns else pl.Series(dtype=pl.String)
    return str(said[0]) if said.len() else params.currency


def fit_network(
    train: LabelledInputs, valid: LabelledInputs | None, params: FitParameters, run: FitRun
) -> tuple[CardNetwork, int]:
    """Trains the network with the repository's loop, which keeps a checkpoint of each epoch.

    Returns:
        The network of the best epoch on the CPU, and that epoch's number.
    """
    from modelyard.training.loop import train as run_loop
    from modelyard.training.randomness import seeded

    with seeded(run.seed):
        network = build_network(params, fraud_share=float(train.is_fraud.mean()))
    network.standardisation.learn(train.inputs.columns)
    first = params.booster.n_reports  # the trees' reports come before
    result = run_loop(
        network,
        {**train.inputs._asdict(), "is_fraud": train.is_fraud},
        log_loss,
        params.network.loop,
        run=replace(run, folder=run.folder / "network", report=lambda epoch, value: run.report(first + epoch, value)),
        evaluate=None
        if valid is None
        else lambda net: average_precision(valid.is_fraud, network_logits(net, valid.inputs)),
        greater_is_better=True,
    )
    kept, value = result.best_epoch, format_metric(result.best.value)
    logger.info("network: epoch %d of %d kept, validation value %s", kept, len(result.history), value)
    return result.network.to("cpu").eval(), kept


def log_loss(network: CardNetwork, batch: dict[str, Tensor]) -> Tensor:
    """Returns the mean log loss of a batch: ``columns`` (B, D), ``sequence`` (B, T, C), ``is_fraud`` (B,)."""
    from torch.nn.functional import binary_cross_entropy_with_logits

    logits = network(batch["columns"], batch["sequence"])
    return binary_cross_entropy_with_logits(logits.float(), batch["is_fraud"].float())


def choose_blend(trees: Floats, network: Floats, is_fraud: Booleans, params: BlendParameters) -> BlendParameters:
    """Returns ``params`` with the open values: the share by average precision (of equals the smallest), then Platt's.

    Args:
        trees: Log-odds on the validation rows, shape (N,).
        network: Log-odds on the validation rows, shape (N,).
        is_fraud: Shape (N,).
        params: What is given there stays.
    """
    share = params.network_share
    if share is None:
        share = max(_SHARES, key=lambda share: (average_precision(is_fraud, blended(trees, network, share)), -share))
    slope, intercept = platt(blended(trees, network, share), is_fraud)
    return BlendParameters(
        network_share=share,
        slope=slope if params.slope is None else params.slope,
        intercept=intercept if params.intercept is None else params.intercept,
    )


def choose_threshold(examples: pl.DataFrame, probability: Floats, params: AlertParameters) -> AlertParameters:
    """Returns ``params`` with the threshold above which ``cards_per_day`` cards lie on a mean validation day."""
    if params.threshold is not None:
        return params
    day = pl.col("event_time").dt.truncate("1d")
    cards = (
        examples.select(day.alias("day"), "customer_id", pl.Series("probability", probability))
        .group_by("day", "customer_id")
        .agg(pl.col("probability").max())
    )
    ranked = cards["probability"].sort(descending=True)
    place = min(params.cards_per_day * cards["day"].n_unique(), ranked.len()) - 1
    return params.model_copy(update={"threshold": float(ranked[place])})


def search_space(trial: optuna.Trial, params: FitParameters) -> FitParameters:
    """Returns ``params`` with a trial's suggestions: shape and pace of the trees, width and pace of the network."""
    booster = params.booster.model_copy(
        update={
            "learning_rate": trial.suggest_float("booster.learning_rate", 0.02, 0.15, log=True),
            "max_depth": trial.suggest_int("booster.max_depth", 3, 7),
            "min_child_weight": trial.suggest_float("booster.min_child_weight", 0.3, 10, log=True),
            "subsample": trial.suggest_float("booster.subsample", 0.5, 1),
            "colsample_bytree": trial.suggest_float("booster.colsample_bytree", 0.15, 0.8),
            "reg_lambda": trial.suggest_float("booster.reg_lambda", 0.3, 10, log=True),
        }
    )
    width = trial.suggest_int("network.width", 32, 128, log=True)
    rate = trial.suggest_float("network.loop.learning_rate", 5e-4, 5e-3, log=True)
    dropout = trial.suggest_float("network.dropout", 0.0, 0.3)
    loop = params.network.loop.model_copy(update={"learning_rate": rate})
    network = params.network.model_copy(update={"width": width, "dropout": dropout, "loop": loop})
    return params.model_copy(update={"booster": booster, "network": network})
