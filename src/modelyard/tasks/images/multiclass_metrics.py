"""How good is a classifier of pictures? Right, honest about its doubts, robust, and aware of what it does not know.

Rows are records beside what :func:`modelyard.tasks.images.multiclass_classifier.predictions` returns. A row whose label
is none of the classes is a stranger: it counts for what is unknown, and for nothing else.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.tasks.classification import multiclass_metrics
from modelyard.tasks.decisions import selective_metrics
from modelyard.tasks.images.corruptions import corrupt_once
from modelyard.tasks.images.multiclass_classifier import class_numbers
from modelyard.tasks.ranking import roc_auc

Floats = NDArray[np.float64]


def with_corrupted(
    answer: Callable[[pl.DataFrame], pl.DataFrame], examples: pl.DataFrame, shape: tuple[int, ...]
) -> pl.DataFrame:
    """Returns the answers for examples, beside what is answered when each picture is corrupted once.

    Args:
        answer: ``answer(rows)`` returns the columns of predictions for rows with ``image``.
        examples: Has ``image``, N rows.
        shape: Of one picture.

    Returns:
        The columns of ``answer``, and ``corrupted_predicted``, ``corruption`` (its kind), ``corruption_severity``.
    """
    corrupted = corrupt_once(examples["image"].to_numpy().reshape(-1, *shape))
    flat = corrupted.pictures.reshape(examples.height, -1)
    predicted = answer(examples.with_columns(pl.Series("image", flat)))["predicted"]
    return answer(examples).with_columns(
        predicted.alias("corrupted_predicted"),
        pl.Series("corruption", corrupted.kind, dtype=pl.String),
        pl.Series("corruption_severity", corrupted.severity),
    )


def probabilities_of(rows: pl.DataFrame) -> Floats:
    """Returns the column ``probabilities`` as an array, shape (N, K)."""
    n_classes = len(rows["classes"][0]) if rows.height else 0
    values: Floats = rows["probabilities"].explode().to_numpy().reshape(rows.height, n_classes)
    return values


def labels_of(rows: pl.DataFrame, target: str) -> NDArray[np.int64]:
    """Returns each row's place among its ``classes``, -1 for strangers; shape (N,)."""
    return class_numbers(rows[target], rows["classes"][0] if rows.height else ())


def multiclass_scores(rows: pl.DataFrame, target: str) -> dict[str, float]:
    """Returns metrics of predictions; NaN where the rows cannot answer.

    Args:
        rows: N records with predictions, perhaps with those of :func:`with_corrupted`.
        target: Column of the class's name.

    Returns:
        In this order ``accuracy``, ``expected_calibration_error``, ``corrupted_accuracy`` (each picture corrupted
        once), ``unknown_auroc`` (strangers against rows of known classes), ``selective_accuracy``,
        ``top_3_accuracy``, ``f1_macro``, the other metrics of
        :func:`modelyard.tasks.classification.multiclass_metrics` and
        :func:`modelyard.tasks.decisions.selective_metrics`, and ``unknown_found_share`` (of the strangers) and
        ``unknown_alarm_share`` (of the known).
    """
    number, nan = labels_of(rows, target), float("nan")
    is_stranger = number < 0
    known, label = rows.filter(~is_stranger), number[~is_stranger]
    probability = probabilities_of(known)
    if not known.height:
        probability = np.zeros((0, len(rows["classes"][0]) if rows.height else 2))
    is_right = known["predicted"].to_numpy() == known[target].to_numpy()
    is_unknown = ~rows["is_known"].to_numpy()
    best = np.sort(probability, axis=1)[:, -3:].min(axis=1, initial=np.inf) if known.height else np.zeros(0)
    found = {
        **multiclass_metrics(label, probability),
        **selective_metrics(is_right, known["margin"].to_numpy(), known["is_deferred"].to_numpy()),
        "top_3_accuracy": _mean(probability[np.arange(len(label)), label] >= best),
        "corrupted_accuracy": nan,
        "unknown_auroc": roc_auc(is_stranger, rows["unknown_score"].to_numpy()),
        "unknown_found_share": _mean(is_unknown[is_stranger]),
        "unknown_alarm_share": _mean(is_unknown[~is_stranger]),
    }
    if "corrupted_predicted" in rows.columns:
        found["corrupted_accuracy"] = _mean((known["corrupted_predicted"] == known[target]).to_numpy())
    return {name: found[name] for name in _FIRST} | found


_FIRST = (
    "accuracy",
    "expected_calibration_error",
    "corrupted_accuracy",
    "unknown_auroc",
    "selective_accuracy",
    "top_3_accuracy",
    "f1_macro",
)
"""The metrics that a summary shows."""


def _mean(is_true: NDArray[np.bool_]) -> float:
    return float(is_true.mean()) if len(is_true) else float("nan")
