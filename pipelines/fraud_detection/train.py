"""Fits the trees and the network, and lets the validation rows decide when to stop and how to blend and calibrate.

One transaction in a hundred is a fraud. Nothing is resampled and no row counts more than another: both models minimise
the log loss, whose answers are probabilities that need no correction, and the early stopping, the blend and the tuning
look at average precision, which only asks how frauds are ranked. Weighting frauds up was measured to be worse
(docs/decisions/0002-fraud-model.md); ``fraud_weight`` is there for other data. The network starts at the fraud share.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import Field

from modelyard.errors import DataContractError
from modelyard.parameters import Parameters
from modelyard.project import FitRun
from modelyard.scoring import rows_of
from modelyard.tasks.ranking import average_precision
from pipelines.fraud_detection.boosting import BoosterParameters, booster_steps, fit_booster, told
from pipelines.fraud_detection.inputs import LabelledInputs
from pipelines.fraud_detection.model import (
    FraudModel,
    blended,
    booster_logits,
    build_network,
    network_logits,
    probabilities,
)

if TYPE_CHECKING:
    import numpy as np
    import optuna
    import polars as pl
    from numpy.typing import NDArray
    from torch import Tensor

    from pipelines.fraud_detection.network import CardNetwork

    Floats = NDArray[np.float64]
    Booleans = NDArray[np.bool_]

logger = logging.getLogger(__name__)

_SHARES = tuple(step / 20 for step in range(21))
"""Shares of the network that the validation rows choose from."""


class NetworkParameters(Parameters):
    """The network and its training."""

    width: int = Field(64, ge=4, le=1024, description="Units of each of the two hidden layers.")
    look_width: int = Field(32, ge=4, le=256, description="Units of the look at the card's latest transactions.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Share of hidden units dropped while training.")
    epochs: int = Field(8, ge=1, le=1000, description="Passes over the rows that the learning-rate schedule spans.")
    best_epoch: int | None = Field(None, ge=1, description="Epochs kept; filled in by validation. None: `epochs`.")
    patience: int = Field(3, ge=1, description="Epochs without a better validation value before stopping.")
    batch_size: int = Field(256, ge=2, description="Rows of one optimiser step.")
    learning_rate: float = Field(2e-3, gt=0, lt=1, description="Peak learning rate of AdamW.")
    weight_decay: float = Field(0.01, ge=0, description="Decay of the weights, decoupled from the gradient.")


class BlendParameters(Parameters):
    """How the two models become one probability; all of it is filled in by validation."""

    network_share: float | None = Field(
        None, ge=0, le=1, description="Weight of the network's log-odds, the trees have the rest. None: one half."
    )
    slope: float | None = Field(None, gt=0, description="Factor of the blended log-odds. None: 1.")
    intercept: float | None = Field(None, ge=-50, le=50, description="Added to the blended log-odds. None: 0.")


class AlertParameters(Parameters):
    """When the served model calls a transaction suspicious."""

    cards_per_day: int = Field(100, ge=1, description="Cards that people can look at in a day.")
    threshold: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Probability from which on there is an alert; filled in by validation so that `cards_per_day`"
        " cards are alerted on a mean day. None: 0.5.",
    )


class FitParameters(Parameters):
    """Everything that training needs."""

    booster: BoosterParameters = Field(BoosterParameters(), description="The boosted trees.")
    network: NetworkParameters = Field(NetworkParameters(), description="The network.")
    blend: BlendParameters = Field(BlendParameters(), description="How both become one probability.")
    alert: AlertParameters = Field(AlertParameters(), description="When there is an alert.")


def fit(examples: pl.DataFrame, params: FitParameters, run: FitRun) -> FraudModel:
    """Fits both models and blends them.

    Args:
        examples: Records with features and ``split``: rows of ``train`` are learnt from; rows of ``valid``, if there
            are any with frauds among them, decide what ``params`` leave open.
        params: See :class:`FitParameters`.
        run: Seed, folder of the checkpoints, threads. Average precision on the validation rows is reported as steps
            1, 2, ... of the trees (each ten rounds), then of the network's epochs, then of the blend.

    Returns:
        The model; its ``params`` fit it again without validation rows.

    Raises:
        DataContractError: The training rows hold no frauds, or nothing else.
    """
    train_rows, valid_rows = rows_of(examples, "train"), rows_of(examples, "valid")
    _require_both_classes(train_rows)
    train = LabelledInputs.of(train_rows)
    valid = LabelledInputs.of(valid_rows) if valid_rows["is_fraud"].any() else None
    if valid is None and valid_rows.height:
        logger.warning("no fraud among %d validation rows: they decide nothing", valid_rows.height)
    booster, rounds = fit_booster(train, valid, params.booster, run)
    network, epoch = fit_network(train, valid, params, run)
    decided = FitParameters(
        booster=params.booster.model_copy(update={"rounds": rounds}),
        network=params.network.model_copy(update={"best_epoch": epoch}),
        blend=params.blend,
        alert=params.alert,
    )
    if valid is None:
        return FraudModel(params=decided, booster=booster, network=network)
    trees, look = booster_logits(booster, valid.inputs), network_logits(network, valid.inputs)
    blend = choose_blend(trees, look, valid.is_fraud, params.blend)
    probability = probabilities(trees, look, blend)
    value = average_precision(valid.is_fraud, probability)
    logger.info("blend: %.0f %% network, average precision %.4f", 100 * (blend.network_share or 0), value)
    run.report(_last_step(params) + 1, value)
    alert = choose_threshold(valid_rows, probability, params.alert)
    decided = decided.model_copy(update={"blend": blend, "alert": alert})
    return FraudModel(params=decided, booster=booster, network=network)


def fit_network(
    train: LabelledInputs, valid: LabelledInputs | None, params: FitParameters, run: FitRun
) -> tuple[CardNetwork, int]:
    """Trains the network with the repository's loop, which keeps a checkpoint of each epoch.

    Returns:
        The network of the best epoch on the CPU, and that epoch's number.
    """
    from modelyard.training.loop import train as run_loop
    from modelyard.training.parameters import LoopParameters
    from modelyard.training.randomness import seeded

    own = params.network
    loop = LoopParameters(
        epochs=own.epochs,
        best_epoch=own.best_epoch,
        patience=None if valid is None else own.patience,
        batch_size=own.batch_size,
        learning_rate=own.learning_rate,
        weight_decay=own.weight_decay,
    )
    with seeded(run.seed):
        network = build_network(own, fraud_share=float(train.is_fraud.mean()))
    network.standardisation.learn(train.inputs.columns)
    offset = booster_steps(params.booster)
    result = run_loop(
        network,
        {**train.inputs._asdict(), "is_fraud": train.is_fraud},
        log_loss,
        loop,
        run=replace(run, folder=run.folder / "network", report=lambda epoch, value: run.report(offset + epoch, value)),
        evaluate=None
        if valid is None
        else lambda net: average_precision(valid.is_fraud, network_logits(net, valid.inputs)),
        greater_is_better=True,
    )
    logger.info("network: epoch %d kept of %d%s", result.best_epoch, len(result.history), told(result.best.value))
    return result.network.to("cpu").eval(), result.best_epoch


def log_loss(network: CardNetwork, batch: dict[str, Tensor]) -> Tensor:
    """Mean log loss of a batch: ``columns`` (B, D), ``sequence`` (B, T, C), ``is_fraud`` (B,)."""
    from torch.nn.functional import binary_cross_entropy_with_logits

    logits = network(batch["columns"], batch["sequence"])
    return binary_cross_entropy_with_logits(logits.float(), batch["is_fraud"].float())


def choose_blend(trees: Floats, network: Floats, is_fraud: Booleans, params: BlendParameters) -> BlendParameters:
    """Fills in what ``params`` leave open: the share by average precision (of equals the smallest), then Platt scaling.

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


def platt(logits: Floats, is_fraud: Booleans) -> tuple[float, float]:
    """Slope and intercept of the logistic regression of the labels on log-odds, shape (N,), by Newton's method.

    Platt 1999, "Probabilistic outputs for support vector machines", with his softened labels, which keep the slope
    finite when the classes are separable. A slope that is not positive (nothing was learnt) becomes (1, 0).
    """
    import numpy as np

    n_frauds, n_genuine = int(is_fraud.sum()), int((~is_fraud).sum())
    wanted = np.where(is_fraud, (n_frauds + 1) / (n_frauds + 2), 1 / (n_genuine + 2))
    design = np.stack([logits, np.ones_like(logits)], axis=1)
    weights = np.array([1.0, 0.0])
    for _ in range(25):
        probability = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        gradient = design.T @ (probability - wanted)
        curvature = (design * (probability * (1 - probability))[:, None]).T @ design + 1e-6 * np.eye(2)
        weights = weights - np.clip(np.linalg.solve(curvature, gradient), -2, 2)
    slope, intercept = weights.tolist()
    return (slope, intercept) if slope > 0 else (1.0, 0.0)


def choose_threshold(examples: pl.DataFrame, probability: Floats, params: AlertParameters) -> AlertParameters:
    """Fills in the threshold above which ``cards_per_day`` cards lie on a mean day of the validation rows."""
    import polars as pl

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
    """What tuning varies, named after the fields: shape and pace of the trees, width and pace of the network."""
    booster = params.booster.model_copy(
        update={
            "learning_rate": trial.suggest_float("booster.learning_rate", 0.02, 0.15, log=True),
            "max_depth": trial.suggest_int("booster.max_depth", 3, 7),
            "min_child_weight": trial.suggest_float("booster.min_child_weight", 0.3, 10, log=True),
            "row_share": trial.suggest_float("booster.row_share", 0.5, 1),
            "column_share": trial.suggest_float("booster.column_share", 0.15, 0.8),
            "l2": trial.suggest_float("booster.l2", 0.3, 10, log=True),
        }
    )
    network = params.network.model_copy(
        update={
            "width": trial.suggest_int("network.width", 32, 128, log=True),
            "learning_rate": trial.suggest_float("network.learning_rate", 5e-4, 5e-3, log=True),
            "dropout": trial.suggest_float("network.dropout", 0.0, 0.3),
        }
    )
    return params.model_copy(update={"booster": booster, "network": network})


def _require_both_classes(examples: pl.DataFrame) -> None:
    n_frauds = int(examples["is_fraud"].sum())
    if n_frauds in (0, examples.height):
        raise DataContractError(
            f"{n_frauds} of {examples.height} training rows are frauds: there is nothing to tell apart.",
            where="column 'is_fraud', split 'train'",
            way_out="bring more days, or a longer training period (ingest.periods.train_days)",
        )


def _last_step(params: FitParameters) -> int:
    return booster_steps(params.booster) + params.network.epochs
