"""Two classes of pictures told apart by an ensemble: its parameters, its training, and its figures.

Each class weighs one half in the loss, so that the share of the positive class among the training rows is not learnt;
calibration follows the validation rows as they are. Shapes: B batch, C channels, H and W pixels, M networks, N rows.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from modelyard.parameters import Parameters
from modelyard.project import FitRun
from modelyard.tasks.classification import class_weights, learnable_splits
from modelyard.tasks.decisions import Decisions, decide
from modelyard.tasks.ensemble import Ensemble, fit_ensemble
from modelyard.tasks.figures import axes, reliability, risk_coverage, roc_pr, score_histogram
from modelyard.tasks.images.augmentation import AugmentationParameters, augment
from modelyard.tasks.images.galleries import grad_cam_by_outcome, least_sure
from modelyard.training.parameters import LoopParameters

if TYPE_CHECKING:
    import optuna
    from matplotlib.figure import Figure
    from torch import Tensor, nn

logger = logging.getLogger(__name__)

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]


class ClassifierParameters(Parameters):
    """What training needs; a project narrows it with defaults and fields of its own."""

    ensemble_size: int = Field(1, ge=1, le=50, description="Networks that vote; they differ in their seed.")
    width: int = Field(12, ge=2, le=512, description="Channels after the first convolution.")
    dropout: float = Field(0.2, ge=0, lt=1, description="Share of pooled channels dropped while training.")
    standardise_by: Literal["picture", "training"] = Field(
        "picture",
        description="Mean and deviation that pictures are read relative to: `picture`, each its own, where devices or"
        " days expose differently; `training`, those of all training pictures, where exposure itself tells something.",
    )
    loop: LoopParameters = Field(LoopParameters(), description="Training of each network.")
    augmentation: AugmentationParameters = Field(
        AugmentationParameters(), description="How training pictures are varied."
    )
    best_epochs: tuple[int, ...] = Field(
        (),
        description="Epoch that validation chose for each network. Empty: all epochs are trained.",
        json_schema_extra={"unbounded": "each is one of the epochs"},
    )
    decisions: Decisions = Field(Decisions(), description="Calibration, threshold and margin.")


Params = TypeVar("Params", bound=ClassifierParameters)


def fit_classifier(
    examples: pl.DataFrame,
    target: str,
    params: Params,
    run: FitRun,
    *,
    build: Callable[[Params, float, float], nn.Module],
    to_pictures: Callable[[Tensor], Tensor],
    logits_of: Callable[[Sequence[Any], pl.DataFrame], Floats],
    value: Callable[[Booleans, Floats], float],
) -> Ensemble[Params]:
    """Fits the networks one after the other; validation decides when to stop, how to calibrate, and when to defer.

    Args:
        examples: Has ``image``, ``split``, the target, ``brightness_ratio`` and ``contrast_ratio``: rows of ``train``
            are learnt from; rows of ``valid``, if there are any of both classes, decide what ``params`` leave open.
        target: Column of the label.
        params: See :class:`ClassifierParameters`.
        run: The value is reported after each epoch, network by network, and of all together at the end.
        build: ``build(params, mean, std)`` returns an untrained network; mean and standard deviation are those of the
            training pictures.
        to_pictures: Flat pixels (B, H * W * C) of 0 to 255 to pictures (B, C, H, W) of 0 to 1.
        logits_of: ``logits_of(networks, rows)`` returns log-odds, shape (M, N).
        value: ``value(is_positive, logits)`` of validation rows, shapes (N,); greater is better.

    Returns:
        The model; its ``params`` fit it again without validation rows.

    Raises:
        DataContractError: The training rows are of one class.
    """
    train, valid = learnable_splits(examples, target)
    label, is_positive = train[target].to_numpy(), valid[target].to_numpy()
    mean, std = (float(train[name].to_numpy().mean()) for name in ("brightness_ratio", "contrast_ratio"))
    networks, best_epochs = fit_ensemble(
        lambda: build(params, mean, std),
        {"pixels": train["image"].to_numpy(), "label": label, "weight": class_weights(label)},
        lambda network, batch: _weighted_loss(network, batch, to_pictures, params.augmentation),
        params.loop,
        run,
        ensemble_size=params.ensemble_size,
        best_epochs=params.best_epochs,
        evaluate=(lambda network: value(is_positive, logits_of([network], valid)[0])) if valid.height else None,
    )
    decided = params.model_copy(update={"best_epochs": best_epochs})
    if valid.height:
        logits = logits_of(networks, valid).mean(axis=0)
        together = value(is_positive, logits)
        logger.info("%d networks together: %.4f on validation rows", len(networks), together)
        run.report(params.ensemble_size * params.loop.epochs + 1, together)
        decided = decided.model_copy(update={"decisions": decide(logits, is_positive, params.decisions)})
    return Ensemble(params=decided, networks=networks)


def _weighted_loss(
    network: nn.Module,
    batch: dict[str, Tensor],
    to_pictures: Callable[[Tensor], Tensor],
    augmentation: AugmentationParameters,
) -> Tensor:
    """Returns the mean weighted cross-entropy of a batch of augmented pictures."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    with torch.no_grad():
        pictures = augment(to_pictures(batch["pixels"]), augmentation)
    return binary_cross_entropy_with_logits(network(pictures).float(), batch["label"].float(), batch["weight"])


def geometric_mean_probability(is_positive: Booleans, logits: Floats) -> float:
    """Returns the geometric mean of the probabilities of what was true, 0 to 1: the exponential of -log loss.

    A steadier value for choosing epochs than accuracy, which jumps with a bias that calibration corrects later.
    """
    return float(np.exp(-np.logaddexp(0, np.where(is_positive, -logits, logits)).mean()))


def search_space(trial: optuna.Trial, params: Params) -> Params:
    """Returns ``params`` with a trial's learning rate, weight decay and dropout."""
    loop = {
        "learning_rate": trial.suggest_float("loop.learning_rate", 1e-3, 1e-2, log=True),
        "weight_decay": trial.suggest_float("loop.weight_decay", 1e-3, 0.2, log=True),
    }
    dropout = trial.suggest_float("dropout", 0.0, 0.5)
    return params.model_copy(update={"loop": params.loop.model_copy(update=loop), "dropout": dropout})


def classifier_figures(
    rows: pl.DataFrame,
    target: str,
    pictures: NDArray[np.uint8],
    heat: Callable[[NDArray[np.int64]], NDArray[np.float32]],
    *,
    classes: tuple[str, str],
    noun: str,
) -> dict[str, Figure]:
    """Returns the figures of any such classifier.

    Args:
        rows: N test rows with the target and what :func:`modelyard.tasks.decisions.predictions` returns.
        target: Column of the label.
        pictures: uint8 of shape (N, H, W) or (N, H, W, C).
        heat: ``heat(numbers)`` returns the Grad-CAM of some rows, shape (R, h, w).
        classes: Names of the negative and of the positive class.
        noun: What a row is, in the plural ("exams").

    Returns:
        ``ranking``, ``calibration``, ``risk_coverage``, ``least_sure``, ``grad_cam``.
    """
    names = (target, "score", "is_predicted", "is_deferred", "margin")
    is_positive, probability, is_predicted, is_deferred, margin = (rows[name].to_numpy() for name in names)
    negative, positive = classes
    calibration, (left, right) = axes(2)
    reliability(left, is_positive, probability)
    left.set(ylabel=f"share that is {positive} (95 % interval)")
    score_histogram(right, is_positive, probability, classes)
    right.set(ylabel=noun)
    coverage, (place,) = axes()
    risk_coverage(place, is_predicted == is_positive, margin, is_deferred, noun)
    outcomes = (probability, is_positive, is_predicted)
    return {
        "ranking": roc_pr(is_positive, probability, is_predicted, f"{positive} {noun}", f"{negative} {noun}"),
        "calibration": calibration,
        "risk_coverage": coverage,
        "least_sure": least_sure(
            pictures, margin, *outcomes, classes, f"{noun.capitalize()} that the model is least sure about (red: wrong)"
        ),
        "grad_cam": grad_cam_by_outcome(pictures, heat, *outcomes, f"What speaks for {positive} (Grad-CAM)"),
    }
