"""Fits the networks, and lets the validation rows decide when to stop, how to calibrate, and where to be unsure.

Each class weighs one half in the loss: how many exams of a hospital show a pneumonia is its own affair, and the public
set's training and test parts differ in it (74 % and 62.5 %). Calibration follows the validation rows as they are.
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
from modelyard.tasks.ranking import roc_auc
from pipelines.medical_image_analysis.decisions import Decisions, decide, probabilities
from pipelines.medical_image_analysis.model import Inputs, RadiographModel, build_network, logits_of

if TYPE_CHECKING:
    import numpy as np
    import optuna
    import polars as pl
    from numpy.typing import NDArray
    from torch import Tensor

    from pipelines.medical_image_analysis.network import RadiographNetwork

    Booleans = NDArray[np.bool_]

logger = logging.getLogger(__name__)


class AugmentationParameters(Parameters):
    """By how much pictures are varied while training, at most."""

    turn_degree: float = Field(10.0, ge=0, le=180, description="Rotation to either side, degrees.")
    shift_share: float = Field(0.08, ge=0, le=1, description="Shift along each axis, in shares of the side.")
    zoom_share: float = Field(0.1, ge=0, le=2, description="Larger or smaller by this share.")
    contrast_share: float = Field(0.2, ge=0, lt=1, description="Contrast up or down by this share.")
    brightness_share: float = Field(0.08, ge=0, le=1, description="Brighter or darker by this share of white.")
    noise: float = Field(0.01, ge=0, le=1, description="Standard deviation of added noise, 1 is white.")


class FitParameters(Parameters):
    """Everything that training needs."""

    n_networks: int = Field(2, ge=1, le=50, description="Networks that vote; they differ in their seed.")
    width: int = Field(12, ge=2, le=512, description="Channels after the first convolution.")
    dropout: float = Field(0.2, ge=0, lt=1, description="Share of pooled channels dropped while training.")
    epochs: int = Field(12, ge=1, le=1000, description="Passes over the rows that the learning-rate schedule spans.")
    patience: int = Field(6, ge=1, description="Epochs without a better validation value before stopping.")
    batch_size: int = Field(64, ge=2, description="Rows of one optimiser step.")
    learning_rate: float = Field(3e-3, gt=0, lt=1, description="Peak learning rate of AdamW.")
    weight_decay: float = Field(0.02, ge=0, description="Decay of the weights, decoupled from the gradient.")
    augmentation: AugmentationParameters = Field(AugmentationParameters(), description="How pictures are varied.")
    best_epochs: tuple[int, ...] = Field(
        (),
        description="Epochs kept of each network; filled in by validation. Empty: `epochs`.",
        json_schema_extra={"unbounded": "each is one of the epochs"},
    )
    decisions: Decisions = Field(Decisions(), description="Calibration and thresholds.")


def fit(examples: pl.DataFrame, params: FitParameters, run: FitRun) -> RadiographModel:
    """Fits the networks one after the other.

    Args:
        examples: Records with features, ``image`` and ``split``: rows of ``train`` are learnt from; rows of ``valid``,
            if there are any of both classes, decide what ``params`` leave open.
        params: See :class:`FitParameters`.
        run: Seed, folder of the checkpoints, threads. AUC on the validation rows is reported after each epoch, network
            by network, and of all together at the end.

    Returns:
        The model; its ``params`` fit it again without validation rows.

    Raises:
        DataContractError: The training rows are of one class.
    """
    import numpy as np

    train, valid = rows_of(examples, "train"), rows_of(examples, "valid")
    if train["is_pneumonia"].n_unique() < 2:
        raise DataContractError(
            "All training exams are of one class: there is nothing to tell apart.",
            where="column 'is_pneumonia', split 'train'",
            way_out="bring exams of the other class, or check ingest.classes",
        )
    if valid.height and valid["is_pneumonia"].n_unique() < 2:
        logger.warning("the validation exams are of one class: they decide nothing")
        valid = valid.clear()
    fitted = [_fit_one(number, train, valid, params, run) for number in range(params.n_networks)]
    networks = [network for network, _ in fitted]
    decided = params.model_copy(update={"best_epochs": tuple(epoch for _, epoch in fitted)})
    if valid.height:
        inputs, is_ill = Inputs.of(valid), valid["is_pneumonia"].to_numpy()
        logits = np.mean([logits_of(network, inputs) for network in networks], axis=0)
        decisions = decide(logits, is_ill, params.decisions)
        value = roc_auc(is_ill, probabilities(logits, decisions))
        logger.info("%d networks together: AUC %.4f on validation rows", len(networks), value)
        run.report(params.n_networks * params.epochs + 1, value)
        decided = decided.model_copy(update={"decisions": decisions})
    return RadiographModel(params=decided, networks=networks)


def _fit_one(
    number: int, train: pl.DataFrame, valid: pl.DataFrame, params: FitParameters, run: FitRun
) -> tuple[RadiographNetwork, int]:
    """Trains one network with the repository's loop; returns it, on the CPU, and the epoch it is from."""
    from modelyard.training.loop import train as run_loop
    from modelyard.training.parameters import LoopParameters
    from modelyard.training.randomness import seeded

    seed = run.seed + 1000 * number
    loop = LoopParameters(
        epochs=params.epochs,
        patience=params.patience if valid.height else None,
        batch_size=params.batch_size,
        learning_rate=params.learning_rate,
        weight_decay=params.weight_decay,
    )
    if number < len(params.best_epochs):
        loop = loop.stopping_after(params.best_epochs[number])
    inputs, seen, is_ill = Inputs.of(train), Inputs.of(valid), valid["is_pneumonia"].to_numpy()
    usual = (float(train["brightness_ratio"].mean()), float(train["contrast_ratio"].mean()))  # type: ignore[arg-type]  # not empty
    with seeded(seed):
        network = build_network(params, usual)
    result = run_loop(
        network,
        {**inputs._asdict(), "is_ill": train["is_pneumonia"].to_numpy(), "weight": class_weights(train)},
        lambda net, batch: weighted_loss(net, batch, params.augmentation),
        loop,
        run=replace(
            run,
            seed=seed,
            folder=run.folder / f"network_{number}",
            report=lambda epoch, value: run.report(number * params.epochs + epoch, value),
        ),
        evaluate=(lambda net: roc_auc(is_ill, logits_of(net, seen))) if valid.height else None,
        greater_is_better=True,
    )
    return result.network.cpu(), result.best_epoch


def class_weights(train: pl.DataFrame) -> NDArray[np.float32]:
    """A weight for each row, shape (N,), mean 1: both classes together weigh the same."""
    import numpy as np

    is_ill = train["is_pneumonia"].to_numpy()
    weights: NDArray[np.float32] = np.where(is_ill, 0.5 / is_ill.mean(), 0.5 / (1 - is_ill.mean())).astype(np.float32)
    return weights


def weighted_loss(network: RadiographNetwork, batch: dict[str, Tensor], params: AugmentationParameters) -> Tensor:
    """Mean weighted cross-entropy of a batch of varied pictures (pixels (B, 784), levels (B, 2), is_ill, weight)."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    from pipelines.medical_image_analysis.augmentation import vary
    from pipelines.medical_image_analysis.network import as_pictures
    from pipelines.medical_image_analysis.pictures import SIDE

    with torch.no_grad():
        pictures = vary(as_pictures(batch["pixels"], SIDE), params)
    logits = network(pictures, batch["levels"])
    return binary_cross_entropy_with_logits(logits.float(), batch["is_ill"].float(), batch["weight"])


def search_space(trial: optuna.Trial, params: FitParameters) -> FitParameters:
    """What tuning varies: pace, decay and dropout, around the defaults."""
    return params.model_copy(
        update={
            "learning_rate": trial.suggest_float("learning_rate", 1e-3, 1e-2, log=True),
            "weight_decay": trial.suggest_float("weight_decay", 1e-3, 0.2, log=True),
            "dropout": trial.suggest_float("dropout", 0.0, 0.5),
        }
    )
