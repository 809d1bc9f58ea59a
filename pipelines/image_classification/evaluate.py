"""What is good: the right class, also on spoilt pictures; honest doubts; and no class for what is none."""

from __future__ import annotations

from functools import partial

import polars as pl

from modelyard.parameters import Parameters
from modelyard.tasks.ensemble import Ensemble
from modelyard.tasks.images.multiclass_classifier import linear_floor
from modelyard.tasks.images.multiclass_metrics import multiclass_scores, with_corrupted
from pipelines.image_classification.data import FORMAT
from pipelines.image_classification.model import FitParameters, answer
from pipelines.image_classification.simulator import STRANGER


class ScoreParameters(Parameters):
    """Nothing steers the metrics: what they take from validation rows is part of the model."""


def predict(model: Ensemble[FitParameters], examples: pl.DataFrame) -> pl.DataFrame:
    """Which class each picture shows, how sure that is, and what is answered when the picture is spoilt.

    Args:
        model: A trained model.
        examples: Has ``image``, at least one row.

    Returns:
        Row for row the columns of :func:`modelyard.tasks.images.multiclass_classifier.predictions` (``predicted``,
        ``classes``, ``probabilities``, ``confidence``, ``margin``, ``disagreement``, ``unknown_score``, ``is_known``,
        ``is_deferred``), and of :func:`modelyard.tasks.images.multiclass_metrics.with_corrupted`, which the service
        does without (``corrupted_predicted``, ``corruption``, ``corruption_severity``).
    """
    return with_corrupted(partial(answer, model), examples, FORMAT.shape)


def score(rows: pl.DataFrame, params: ScoreParameters) -> dict[str, float]:
    """Metrics of predictions.

    Args:
        rows: Records with what :func:`predict` returns.
        params: See :class:`ScoreParameters`.

    Returns:
        Those of :func:`modelyard.tasks.images.multiclass_metrics.multiclass_scores`, of strangers ``unknown_auroc``:
        pictures of something else; and ``unknown_auroc_blank``: pictures of nothing. NaN where the rows cannot answer.
    """
    is_blank = rows["origin"].is_in(["plain", "noise"])
    is_stranger = rows["label"] == STRANGER
    found = multiclass_scores(rows.filter(~is_blank), "label")
    blank = multiclass_scores(rows.filter(is_blank | ~is_stranger), "label")["unknown_auroc"]
    return found | {"unknown_auroc_blank": blank}


def floor(train: pl.DataFrame, test: pl.DataFrame) -> pl.DataFrame:
    """What was usual before convolutions: a logistic regression on principal components of the pixels.

    Args:
        train: Has ``image``, ``label``.
        test: Has ``image``.

    Returns:
        The columns of :func:`predict`; nothing is deferred, nothing unknown.
    """
    linear = linear_floor(train.filter(pl.col("label") != STRANGER), "label")
    return with_corrupted(linear, test, FORMAT.shape)
