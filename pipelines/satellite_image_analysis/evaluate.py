"""What is good: predictions are right, also at places never seen; probabilities are honest, and doubts are admitted."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from modelyard.parameters import Parameters
from modelyard.tasks.classification import binary_metrics, binned_shares
from modelyard.tasks.decisions import predictions, selective_metrics, undeferred
from modelyard.tasks.ensemble import Ensemble
from pipelines.satellite_image_analysis.model import FitParameters, logits_of

_FIRST = (
    "accuracy",
    "accuracy_new_place",
    "accuracy_known_place",
    "roc_auc",
    "found_in_budget",
    "expected_calibration_error",
    "selective_accuracy",
)
"""The metrics that a summary shows."""


class ScoreParameters(Parameters):
    """How the metrics look at errors."""

    budget_share: float = Field(
        0.25, gt=0, le=1, description="Share of the buildings that crews can visit, the most suspicious first."
    )


def predict(model: Ensemble[FitParameters], examples: pl.DataFrame) -> pl.DataFrame:
    """How likely each building is damaged, and whether the model dares to say so.

    Args:
        model: A trained model.
        examples: Has ``image``, at least one row.

    Returns:
        Row for row the columns of :func:`modelyard.tasks.decisions.predictions`: ``score``, ``disagreement``,
        ``margin``, ``is_predicted`` (damaged), ``is_deferred`` (somebody should look).
    """
    return predictions(logits_of(model.networks, examples, model.params), model.params.decisions)


def score(rows: pl.DataFrame, params: ScoreParameters) -> dict[str, float]:
    """Metrics of predictions.

    Args:
        rows: Records with what :func:`predict` returns.
        params: See :class:`ScoreParameters`.

    Returns:
        Those of :func:`modelyard.tasks.classification.binary_metrics` and
        :func:`modelyard.tasks.decisions.selective_metrics`; ``accuracy_new_place`` (no training tile within 500 m) and
        ``accuracy_known_place``; ``found_in_budget`` (share of the damaged buildings among those visited). NaN where
        the rows cannot answer.
    """
    names = ("is_damaged", "score", "is_predicted", "is_deferred", "margin")
    is_damaged, probability, is_predicted, is_deferred, margin = (rows[name].to_numpy() for name in names)
    is_right = is_predicted == is_damaged
    visited = np.argsort(-probability, kind="stable")[: round(params.budget_share * len(probability))]
    is_new = (
        rows["is_new_place"] if "is_new_place" in rows.columns else pl.Series([None] * rows.height, dtype=pl.Boolean)
    )
    found = {
        **binary_metrics(is_damaged, probability, is_predicted),
        **selective_metrics(is_right, margin, is_deferred),
        "accuracy_new_place": _mean(is_right[is_new.fill_null(False).to_numpy()]),
        "accuracy_known_place": _mean(is_right[(~is_new).fill_null(False).to_numpy()]),
        "found_in_budget": float(is_damaged[visited].sum() / is_damaged.sum()) if is_damaged.any() else float("nan"),
    }
    return {name: found[name] for name in _FIRST} | found


def _mean(is_right: NDArray[np.bool_]) -> float:
    return float(is_right.mean()) if len(is_right) else float("nan")


def floor(train: pl.DataFrame, test: pl.DataFrame) -> pl.DataFrame:
    """The trivial rule: a tile is as suspicious as training tiles were that are about as brown or blue.

    Args:
        train: Has ``red_blue_ratio``, ``is_damaged``.
        test: Has ``red_blue_ratio``.

    Returns:
        The columns of :func:`predict`; nothing is deferred.
    """
    seen, asked = (rows["red_blue_ratio"].to_numpy() for rows in (train, test))
    return undeferred(binned_shares(seen, train["is_damaged"].to_numpy(), asked))
