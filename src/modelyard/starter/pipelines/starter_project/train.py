"""Fits the network: cross-entropy, early stopping on the validation rows' ROC AUC."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelyard.project import FitRun
from modelyard.scoring import rows_of

from .evaluate import failure_probabilities, inputs_of, roc_auc
from .model import FailureModel, FitParameters, build_network

if TYPE_CHECKING:
    import optuna
    import polars as pl
    from torch import Tensor, nn


def fit(examples: pl.DataFrame, params: FitParameters, run: FitRun) -> FailureModel:
    """Trains a network.

    Args:
        examples: Records with features and ``split``; rows of ``train`` are learnt from, rows of ``valid``, if there
            are any, decide when to stop.
        params: See :class:`FitParameters`.
        run: Seed, folder of the checkpoints, where to report.

    Returns:
        The network of the best epoch, and the parameters that train it again without validation rows.
    """
    from modelyard.training.loop import train
    from modelyard.training.parameters import LoopParameters
    from modelyard.training.randomness import seeded

    learning, valid = rows_of(examples, "train"), rows_of(examples, "valid")
    loop = LoopParameters(
        epochs=params.epochs,
        best_epoch=params.best_epoch,
        patience=params.patience if valid.height else None,
        batch_size=params.batch_size,
        learning_rate=params.learning_rate,
    )

    def validation_value(network: nn.Sequential) -> float:
        return roc_auc(valid["is_failing"].to_numpy(), failure_probabilities(network, valid))

    with seeded(run.seed):
        network = build_network(params)
    result = train(
        network,
        {"inputs": inputs_of(learning), "is_failing": learning["is_failing"].to_numpy()},
        cross_entropy,
        loop,
        run=run,
        evaluate=validation_value if valid.height else None,
        greater_is_better=True,
    )
    return FailureModel(
        params=params.model_copy(update={"best_epoch": result.best_epoch}), network=result.network.cpu()
    )


def cross_entropy(network: nn.Sequential, batch: dict[str, Tensor]) -> Tensor:
    """Mean cross-entropy of a batch: ``inputs`` of shape (B, len(INPUTS)), ``is_failing`` of shape (B,)."""
    from torch.nn.functional import binary_cross_entropy_with_logits

    logits = network(batch["inputs"]).squeeze(1)
    return binary_cross_entropy_with_logits(logits.float(), batch["is_failing"].float())


def search_space(trial: optuna.Trial, params: FitParameters) -> FitParameters:
    """What tuning varies: the width and the learning rate, around the defaults on a logarithmic scale."""
    return params.model_copy(
        update={
            "hidden_width": trial.suggest_int("hidden_width", 8, 128, log=True),
            "learning_rate": trial.suggest_float("learning_rate", 5e-4, 5e-2, log=True),
        }
    )
