"""Pictures of any number of classes: parameters, training, and answers that may be "ask a person" or "none of these".

An ensemble of ResNet-9 that answers for each picture and its mirror image, calibrated by a temperature. Classes are
names; which there are follows from the training rows. Shapes: B batch, C channels, H and W pixels, K classes,
M networks, N rows.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from modelyard.errors import DataContractError
from modelyard.parameters import Parameters
from modelyard.project import FitRun
from modelyard.tasks.calibration import softmax, temperature
from modelyard.tasks.classification import class_weights, learnable_splits
from modelyard.tasks.decisions import (
    OpenSetDecisions,
    class_margin,
    class_probabilities,
    decide_open_set,
    unknown_score,
)
from modelyard.tasks.ensemble import Ensemble, ensemble_logits, fit_ensemble, load_ensemble
from modelyard.tasks.images.augmentation import AugmentationParameters, augment
from modelyard.tasks.images.strangers import synthetic_strangers
from modelyard.training.parameters import LoopParameters

if TYPE_CHECKING:
    import optuna
    from torch import Tensor

    from modelyard.tasks.images.resnet import ResNet9
    from modelyard.training.batches import Batch

logger = logging.getLogger(__name__)

Floats = NDArray[np.float64]
Pixels = NDArray[np.uint8]

_VIEWED_TOGETHER = 256
"""Pictures that answer together; with their views they stay in the memory of a small machine."""


class MulticlassParameters(Parameters):
    """What training needs; a project narrows it with defaults and fields of its own."""

    ensemble_size: int = Field(1, ge=1, le=50, description="Networks that vote; they differ in their seed.")
    width: int = Field(8, ge=2, le=512, description="Channels after the first convolution.")
    stem_stride: Literal[1, 2] = Field(1, description="2 halves pictures of 64 pixels and more at the first layer.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of pooled channels dropped while training.")
    standardise_by: Literal["picture", "training"] = Field(
        "training",
        description="Mean and deviation that pictures are read relative to: each its own, or the training's.",
    )
    label_smoothing: float = Field(
        0.1, ge=0, lt=1, description="Share of each label's probability that is spread over all classes."
    )
    is_balanced: bool = Field(False, description="Whether all classes together weigh the same in the loss.")
    stranger_share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Made pictures of no class beside each batch, in shares of its size.",
    )
    is_mirrored_too: bool = Field(
        True, description="Whether a picture and its mirror image are answered for, and the mean is the answer."
    )
    view_shift_px: int = Field(
        0,
        ge=0,
        le=8,
        description="Pixels by which two further views are shifted along both diagonals. 0: there are none.",
    )
    loop: LoopParameters = Field(
        LoopParameters(epochs=12, batch_size=128, learning_rate=5e-3, weight_decay=0.05, warmup_share=0.2),
        description="Training of each network.",
    )
    augmentation: AugmentationParameters = Field(
        AugmentationParameters(flip_share=0.5, translation_share=0.125, padding="reflection"),
        description="How training pictures are varied.",
    )
    classes: tuple[str, ...] = Field(
        (),
        description="Names of the classes, in the order of the logits. Empty: those of the training rows.",
        json_schema_extra={"unbounded": "names"},
    )
    best_epochs: tuple[int, ...] = Field(
        (),
        description="Epoch that validation chose for each network. Empty: all epochs are trained.",
        json_schema_extra={"unbounded": "each is one of the epochs"},
    )
    decisions: OpenSetDecisions = Field(
        OpenSetDecisions(), description="Calibration, margin, and the bound of what is known."
    )


Params = TypeVar("Params", bound=MulticlassParameters)


def fit_multiclass(
    examples: pl.DataFrame, target: str, params: Params, run: FitRun, shape: tuple[int, ...]
) -> Ensemble[Params]:
    """Fits the networks one after the other; validation chooses epochs, temperature, and when to defer.

    Args:
        examples: Has ``image``, ``split`` and the target: rows of ``train`` are learnt from; rows of ``valid`` whose
            class is among them, if there are any, decide what ``params`` leave open.
        target: Column of the class's name.
        params: See :class:`MulticlassParameters`.
        run: The calibrated likelihood is reported after each epoch, network by network, and of all together at the end.
        shape: Of one picture, (H, W) or (H, W, C).

    Returns:
        The model; its ``params`` fit it again without validation rows.

    Raises:
        DataContractError: The training rows are of one class, or of one that ``params`` do not name.
    """
    train, valid = learnable_splits(examples, target)
    classes = params.classes or tuple(sorted(train[target].unique()))
    label, params = class_numbers(train[target], classes), params.model_copy(update={"classes": classes})
    if (label < 0).any():
        raise DataContractError(
            f"fit.classes does not name classes of training rows: {sorted(set(train[target]) - set(classes))}.",
            where=f"column '{target}'",
            way_out="leave fit.classes empty, or name all of them",
        )
    valid = valid.filter(valid[target].is_in(classes))
    known, pixels = class_numbers(valid[target], classes), train["image"].to_numpy()
    networks, best_epochs = fit_ensemble(
        lambda: build_network(params, shape, _standard(pixels, shape)),
        {"pixels": pixels, "label": label, "weight": _weights(label, params)},
        lambda network, batch: _loss(network, batch, params, shape),
        params.loop,
        run,
        ensemble_size=params.ensemble_size,
        best_epochs=params.best_epochs,
        evaluate=(
            lambda network: calibrated_likelihood(logits_of([network], valid, params, shape, n_views=1)[0], known)
        )
        if valid.height
        else None,
    )
    params = params.model_copy(update={"best_epochs": best_epochs})
    if valid.height:
        logits = logits_of(networks, valid, params, shape).mean(axis=0)
        together = calibrated_likelihood(logits, known)
        logger.info("%d networks together: %.4f on validation rows", len(networks), together)
        run.report(params.ensemble_size * params.loop.epochs + 1, together)
        params = params.model_copy(update={"decisions": decide_open_set(logits, known, params.decisions)})
    return Ensemble(params=params, networks=networks)


def class_numbers(names: pl.Series, classes: Sequence[str]) -> NDArray[np.int64]:
    """Returns each row's place among ``classes``, -1 where it is none of them; shape (N,)."""
    numbers = {name: number for number, name in enumerate(classes)}
    found: NDArray[np.int64] = names.replace_strict(numbers, default=-1, return_dtype=pl.Int64).to_numpy()
    return found


def calibrated_likelihood(logits: Floats, label: NDArray[np.int64]) -> float:
    """Returns the geometric mean of the true classes' probabilities at the best temperature, 0 to 1.

    A steadier value for choosing epochs than accuracy; the temperature is fitted later, so a network is not blamed for
    a wrong one, as smoothed labels give it.
    """
    probability = softmax(logits / temperature(logits, label))[np.arange(len(label)), label]
    return float(np.exp(np.log(np.maximum(probability, 1e-12)).mean()))


def build_network(
    params: MulticlassParameters, shape: tuple[int, ...], standard: tuple[list[float], list[float]] | None = None
) -> ResNet9:
    """Returns an untrained network; its first weights are drawn from torch's generator.

    Args:
        params: Its shape; names the classes.
        shape: Of one picture.
        standard: Mean and deviation of each channel of the training pictures. None: 0 and 1, loaded weights bring them.
    """
    from modelyard.tasks.images.resnet import ResNet9

    n_channels = 1 if len(shape) == 2 else shape[2]
    known = ([0.0] * n_channels, [1.0] * n_channels) if standard is None else standard
    return ResNet9(
        in_channels=n_channels,
        n_classes=len(params.classes),
        width=params.width,
        stem_stride=params.stem_stride,
        dropout=params.dropout,
        standard=known if params.standardise_by == "training" else None,
    )


def logits_of(
    networks: Sequence[ResNet9],
    examples: pl.DataFrame,
    params: MulticlassParameters,
    shape: tuple[int, ...],
    *,
    n_views: int | None = None,
) -> Floats:
    """Returns each network's logits, the mean over the views of each picture, shape (M, N, K).

    Args:
        networks: M of them.
        examples: Has ``image``, at least one row.
        params: Name the views.
        shape: Of one picture.
        n_views: How many of the views, the first of which is the picture itself. None: all.
    """
    import torch

    from modelyard.tasks.images.resnet import as_pictures

    def forward(network: ResNet9, batch: Batch) -> Tensor:
        seen = views(as_pictures(batch["pixels"], shape), params)[:n_views]
        return torch.stack([network(pictures) for pictures in seen]).mean(dim=0)

    return ensemble_logits(networks, {"pixels": examples["image"].to_numpy()}, forward, batch_size=_VIEWED_TOGETHER)


def views(pictures: Tensor, params: MulticlassParameters) -> list[Tensor]:
    """Returns pictures (B, C, H, W) as they are, and shifted and mirrored as ``params`` say; edges are reflected."""
    from torch.nn.functional import pad

    seen, by = [pictures], params.view_shift_px
    if by:
        wide = pad(pictures, (by, by, by, by), "reflect")
        height, width = pictures.shape[2:]
        seen += [wide[:, :, at : at + height, at : at + width] for at in (0, 2 * by)]
    return seen + [one.flip(3) for one in seen] if params.is_mirrored_too else seen


def predictions(model: Ensemble[Any], logits: Floats) -> pl.DataFrame:
    """Returns what an ensemble answers.

    Args:
        model: Its parameters name the classes and hold the decisions.
        logits: Shape (M, N, K); their mean over the networks is calibrated.

    Returns:
        N rows: ``predicted`` (the likeliest class), ``classes`` (their names), ``probabilities`` (calibrated, in that
        order, sum 1), ``confidence`` (the largest of them), ``margin`` (gap of the two largest log-probabilities),
        ``disagreement`` (standard deviation of the networks' own probabilities of ``predicted``), ``unknown_score``
        (higher: less like any class), ``is_known``, ``is_deferred`` (a person decides).
    """
    params, decisions = model.params, model.params.decisions
    mean = logits.mean(axis=0)
    probability, rows = class_probabilities(mean, decisions), np.arange(mean.shape[0])
    likeliest, gap, strangeness = probability.argmax(axis=1), class_margin(probability), unknown_score(mean)
    bound = np.inf if decisions.max_unknown_score is None else decisions.max_unknown_score
    return pl.DataFrame(
        {
            "predicted": np.array(params.classes)[likeliest],
            "classes": [list(params.classes)] * len(rows),
            "probabilities": pl.Series(probability, dtype=pl.Array(pl.Float64, probability.shape[1])).arr.to_list(),
            "confidence": probability[rows, likeliest],
            "margin": gap,
            "disagreement": class_probabilities(logits, decisions)[:, rows, likeliest].std(axis=0),
            "unknown_score": strangeness,
            "is_known": strangeness <= bound,
            "is_deferred": gap < (decisions.defer_margin or 0.0),
        },
        schema_overrides={"predicted": pl.String, "classes": pl.List(pl.String)},
    )


def linear_floor(train: pl.DataFrame, target: str, n_components: int = 150) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """Fits a logistic regression on principal components of the pixels: what one had before convolutions.

    Args:
        train: Has ``image`` and the target.
        target: Column of the class's name.
        n_components: At most.

    Returns:
        ``answer(rows)``: what it answers for rows with ``image``, in the columns of :func:`predictions`; the distance
        from the plane of the components is its ``unknown_score``.
    """
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression

    learnt = _flat(train)
    pca = PCA(min(n_components, *learnt.shape), svd_solver="randomized", whiten=True, random_state=0).fit(learnt)
    classes = tuple(sorted(train[target].unique()))
    number = class_numbers(train[target], classes)
    regression = LogisticRegression(C=0.01, max_iter=300).fit(pca.transform(learnt), number)
    model = Ensemble(params=MulticlassParameters(classes=classes), networks=())

    def answer(rows: pl.DataFrame) -> pl.DataFrame:
        pixels = _flat(rows)
        shown = pca.transform(pixels)
        logits = np.log(np.maximum(regression.predict_proba(shown), 1e-12))[None].astype(np.float64)
        apart = ((pixels - pca.inverse_transform(shown)) ** 2).mean(axis=1).astype(np.float64)
        return predictions(model, logits).with_columns(pl.Series("unknown_score", apart))

    return answer


def _flat(rows: pl.DataFrame) -> NDArray[np.float32]:
    values: NDArray[np.float32] = rows["image"].to_numpy().astype(np.float32) / np.float32(255)
    return values


def search_space(trial: optuna.Trial, params: Params) -> Params:
    """Returns ``params`` with a trial's learning rate, weight decay, smoothing and size of the erased square."""
    loop = {
        "learning_rate": trial.suggest_float("loop.learning_rate", 1e-3, 2e-2, log=True),
        "weight_decay": trial.suggest_float("loop.weight_decay", 1e-3, 0.2, log=True),
    }
    erased = {"erased_share": trial.suggest_float("augmentation.erased_share", 0.0, 0.4)}
    return params.model_copy(
        update={
            "label_smoothing": trial.suggest_float("label_smoothing", 0.0, 0.2),
            "loop": params.loop.model_copy(update=loop),
            "augmentation": params.augmentation.model_copy(update=erased),
        }
    )


def load_multiclass(folder: Path, kind: type[Params], shape: tuple[int, ...]) -> Ensemble[Params]:
    """Reads what :func:`modelyard.tasks.ensemble.save_ensemble` wrote; the model answers the same, to the bit.

    Raises:
        StorageError: A file is missing or damaged.
    """
    return load_ensemble(folder, kind, lambda params: build_network(params, shape))


def _standard(pixels: Pixels, shape: tuple[int, ...]) -> tuple[list[float], list[float]]:
    """Returns mean and deviation of each channel, from 2,000 pictures spread over all of them."""
    some = pixels[:: max(1, len(pixels) // 2_000)].reshape(-1, 1 if len(shape) == 2 else shape[2]) / np.float32(255)
    return some.mean(axis=0).tolist(), some.std(axis=0).tolist()


def _weights(label: NDArray[np.int64], params: MulticlassParameters) -> NDArray[np.float32]:
    return class_weights(label) if params.is_balanced else np.ones(len(label), np.float32)


def _loss(network: ResNet9, batch: Batch, params: MulticlassParameters, shape: tuple[int, ...]) -> Tensor:
    """Returns the mean weighted cross-entropy of a batch of varied pictures, with made strangers behind them."""
    import torch
    from torch.nn.functional import cross_entropy, log_softmax

    from modelyard.tasks.images.resnet import as_pictures

    n = len(batch["label"])
    with torch.no_grad():
        pictures = augment(as_pictures(batch["pixels"], shape), params.augmentation)
        pictures = torch.cat([pictures, synthetic_strangers(pictures, round(params.stranger_share * n))])
    logits = network(pictures).float()
    own = cross_entropy(logits[:n], batch["label"], reduction="none", label_smoothing=params.label_smoothing)
    strange = -log_softmax(logits[n:], dim=1).mean(dim=1)
    return torch.cat([own * batch["weight"], strange]).mean()
