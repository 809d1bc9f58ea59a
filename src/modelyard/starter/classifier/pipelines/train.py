"""Fits the network: cross-entropy, early stopping on the validation rows' ROC AUC."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from modelyard.project import FitRun
from modelyard.tasks.classification import learnable_splits
from modelyard.tasks.ranking import roc_auc
from pipelines.starter_project.model import FailureModel, FitParameters, arrays_of, probabilities, untrained_model

if TYPE_CHECKING:
    import optuna
    from torch import Tensor, nn


def fit(examples: pl.DataFrame, params: FitParameters, run: FitRun) -> FailureModel:
    """Trains a network.

    Args:
        examples: Records with features, media and ``split``; rows of ``train`` are learnt from, rows of ``valid``, if
            there are any, decide when to stop.
        params: See :class:`FitParameters`.
        run: Seed, folder of the checkpoints, where to report.

    Returns:
        The network of the best epoch, and the parameters that train it again without validation rows.
    """
    from modelyard.training.loop import train
    from modelyard.training.randomness import seeded

    learning, valid = learnable_splits(examples, "is_failing")
    with seeded(run.seed):
        model = untrained_model(learning, params)

    def validation_value(network: nn.Module) -> float:
        return roc_auc(valid["is_failing"].to_numpy(), probabilities(model, valid))

    result = train(
        model.network,
        {**arrays_of(model, learning), "is_failing": learning["is_failing"].to_numpy()},
        cross_entropy,
        params.loop,
        run=run,
        evaluate=validation_value if valid.height else None,
        greater_is_better=True,
    )
    decided = params.model_copy(update={"loop": params.loop.stopping_after(result.best_epoch)})
    return replace(model, params=decided, network=result.network.cpu())


def cross_entropy(network: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """Returns the mean cross-entropy of a batch: ``is_failing`` of shape (B,) beside what the network takes."""
    from torch.nn.functional import binary_cross_entropy_with_logits

    logits = network(**{name: values for name, values in batch.items() if name != "is_failing"})
    return binary_cross_entropy_with_logits(logits.float(), batch["is_failing"].float())


def search_space(trial: optuna.Trial, params: FitParameters) -> FitParameters:
    """Returns what tuning tries: width and learning rate around the configured ones, on a logarithmic scale."""
    width = trial.suggest_int("width", max(2, params.width // 2), 2 * params.width, log=True)
    rate = params.loop.learning_rate
    loop = {"learning_rate": trial.suggest_float("loop.learning_rate", rate / 4, min(4 * rate, 0.5), log=True)}
    return params.model_copy(update={"width": width, "loop": params.loop.model_copy(update=loop)})
