"""What does a reviewer look at? How well failing parts are ranked, and whether probabilities mean what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from modelyard.tasks.figures import axes, figure_style, reliability, roc_pr, score_histogram
from pipelines.starter_project.model import FailureModel

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@figure_style()
def figures(rows: pl.DataFrame, model: FailureModel) -> dict[str, Figure]:
    """Draws the test rows' predictions.

    Args:
        rows: Test rows with predictions.
        model: Not needed here.

    Returns:
        ``ranking``: ROC and precision-recall curves; ``calibration``: shares that failed over predicted
        probabilities, and how many rows have which.
    """
    is_failing, probability = rows["is_failing"].to_numpy(), rows["failure_probability"].to_numpy()
    ranking = roc_pr(is_failing, probability, probability >= 0.5, "failing parts", "sound parts")
    calibration, (left, right) = axes(2)
    reliability(left, is_failing, probability)
    left.set(ylabel="share that failed (95 % interval)")
    score_histogram(right, is_failing, probability, ("sound", "failing"))
    return {"ranking": ranking, "calibration": calibration}
