"""What is good: the right digit, also as people draw it or when it is spoilt; honest doubts; none in a scribble."""

from __future__ import annotations

from functools import partial

import polars as pl

from modelyard.parameters import Parameters
from modelyard.tasks.ensemble import Ensemble
from modelyard.tasks.images.multiclass_classifier import linear_floor
from modelyard.tasks.images.multiclass_metrics import multiclass_scores, with_corrupted
from pipelines.handwritten_digit_recognition.model import FitParameters, answer
from pipelines.handwritten_digit_recognition.preparation import FORMAT
from pipelines.handwritten_digit_recognition.redrawing import with_redrawn
from pipelines.handwritten_digit_recognition.simulator import STRANGER


class ScoreParameters(Parameters):
    """Nothing steers the metrics: what they take from validation rows is part of the model."""


def predict(model: Ensemble[FitParameters], examples: pl.DataFrame) -> pl.DataFrame:
    """Which digit each picture shows, how sure that is, and what is answered when it is redrawn or spoilt.

    Args:
        model: A trained model.
        examples: Has ``image``, at least one row.

    Returns:
        Row for row the columns of :func:`modelyard.tasks.images.multiclass_classifier.predictions` (``predicted``,
        ``classes``, ``probabilities``, ``confidence``, ``margin``, ``disagreement``, ``unknown_score``, ``is_known``,
        ``is_deferred``), of :func:`modelyard.tasks.images.multiclass_metrics.with_corrupted`, and of
        :func:`pipelines.handwritten_digit_recognition.redrawing.with_redrawn`; the service does without the last two.
    """
    redrawn = with_redrawn(partial(answer, model), examples)
    spoilt = with_corrupted(partial(answer, model), examples, FORMAT.shape)
    return spoilt.with_columns(redrawn["manner"], redrawn["redrawn_predicted"])


def score(rows: pl.DataFrame, params: ScoreParameters) -> dict[str, float]:
    """Metrics of predictions.

    Args:
        rows: Records with what :func:`predict` returns.
        params: See :class:`ScoreParameters`.

    Returns:
        ``accuracy``; ``redrawn_accuracy``: when each digit is drawn as people do; ``number_accuracy``: share of rows of
        five that are read right, all five digits of one hand; and those of
        :func:`modelyard.tasks.images.multiclass_metrics.multiclass_scores`, of strangers ``unknown_auroc``: pictures of
        something else; and ``unknown_auroc_scribbled``: the public test's scribbles. NaN where the rows cannot answer.
    """
    # What was served names no origin.
    is_scribble = (pl.col("origin") if "origin" in rows.columns else pl.lit("served")) == "scribbled"
    found, known = multiclass_scores(rows.filter(~is_scribble), "label"), rows.filter(pl.col("label") != STRANGER)
    scribbles = multiclass_scores(rows.filter(is_scribble | (pl.col("label") != STRANGER)), "label")["unknown_auroc"]
    own = {"accuracy": found["accuracy"], "redrawn_accuracy": float("nan"), "number_accuracy": float("nan")}
    if "redrawn_predicted" in rows.columns:  # the service does not redraw
        own["redrawn_accuracy"] = _share_right(known)
        own["number_accuracy"] = _share_right(known.filter(pl.col("manner") == "five in a row"))
    return own | found | {"unknown_auroc_scribbled": scribbles}


def _share_right(known: pl.DataFrame) -> float:
    return float((known["redrawn_predicted"] == known["label"]).to_numpy().mean()) if known.height else float("nan")


def floor(train: pl.DataFrame, test: pl.DataFrame) -> pl.DataFrame:
    """What was usual before convolutions: a logistic regression on principal components of the pixels.

    Args:
        train: Has ``image``, ``label``.
        test: Has ``image``.

    Returns:
        The columns of :func:`predict`; nothing is deferred, nothing unknown.
    """
    linear = linear_floor(train.filter(pl.col("label") != STRANGER), "label")
    redrawn = with_redrawn(linear, test)
    spoilt = with_corrupted(linear, test, FORMAT.shape)
    return spoilt.with_columns(redrawn["manner"], redrawn["redrawn_predicted"])
