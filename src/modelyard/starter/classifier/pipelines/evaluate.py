"""What a good warning is: failing parts are ranked first, because a week has time for few inspections."""

from __future__ import annotations

import numpy as np
import polars as pl
from pydantic import Field

from modelyard.parameters import Parameters
from modelyard.tasks.classification import binned_shares, probability_metrics
from modelyard.tasks.ranking import average_precision, roc_auc
from pipelines.starter_project.data import RULE_OF_THUMB
from pipelines.starter_project.model import FailureModel, probabilities


class ScoreParameters(Parameters):
    """What the plant can do with the warnings."""

    inspected_share: float = Field(0.1, gt=0, lt=1, description="Share of the rows after which there is time to look.")


def predict(model: FailureModel, examples: pl.DataFrame) -> pl.DataFrame:
    """How likely each part fails within a week.

    Args:
        model: A trained model.
        examples: At least one row.

    Returns:
        ``failure_probability``, float64 in [0, 1], row for row.
    """
    return pl.DataFrame({"failure_probability": probabilities(model, examples)})


def score(rows: pl.DataFrame, params: ScoreParameters) -> dict[str, float]:
    """Metrics of predictions.

    Args:
        rows: Has ``is_failing`` and ``failure_probability``.
        params: See :class:`ScoreParameters`.

    Returns:
        ``roc_auc``, ``average_precision``, ``log_loss``, ``brier_score``, ``expected_calibration_error``, and
        ``recall_when_inspecting``: the share of failing parts that are among the ``inspected_share`` of the rows with
        the highest probability. NaN where the rows cannot answer.
    """
    is_failing, probability = rows["is_failing"].to_numpy(), rows["failure_probability"].to_numpy()
    inspected = np.argsort(-probability, kind="stable")[: max(1, round(params.inspected_share * len(probability)))]
    return {
        "roc_auc": roc_auc(is_failing, probability),
        "average_precision": average_precision(is_failing, probability),
        **probability_metrics(is_failing, probability),
        "recall_when_inspecting": float(is_failing[inspected].sum() / is_failing.sum()) if is_failing.any() else np.nan,
    }


def floor(train: pl.DataFrame, test: pl.DataFrame) -> pl.DataFrame:
    """Returns the trivial rule's predictions: a part fails as often as those with about the same `RULE_OF_THUMB`."""
    known, asked = (rows[RULE_OF_THUMB].cast(pl.Float64).to_numpy() for rows in (train, test))
    return pl.DataFrame({"failure_probability": binned_shares(known, train["is_failing"].to_numpy(), asked)})
