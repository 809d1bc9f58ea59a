"""What a reviewer looks at: ranking, honesty, use, doubt, the most doubtful exams, and where the model looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.tasks.ensemble import Ensemble
from modelyard.tasks.figures import COLOURS, MUTED, axes, figure_style
from modelyard.tasks.images.binary_classifier import classifier_figures
from modelyard.tasks.images.galleries import mean_grad_cam
from pipelines.medical_image_analysis.data import FORMAT
from pipelines.medical_image_analysis.evaluate import net_benefit
from pipelines.medical_image_analysis.model import FitParameters, to_pictures

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@figure_style()
def figures(rows: pl.DataFrame, model: Ensemble[FitParameters]) -> dict[str, Figure]:
    """Draws the figures.

    Args:
        rows: Test rows with predictions and ``image``.
        model: Shows where it looks.

    Returns:
        Those of :func:`modelyard.tasks.images.binary_classifier.classifier_figures`, and ``decision_curve``.
    """
    import torch

    pixels = rows["image"].to_numpy()

    def heat(numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        return mean_grad_cam(model.networks, to_pictures(torch.tensor(pixels[numbers])))

    drawn = classifier_figures(
        rows, "is_pneumonia", pixels.reshape(-1, *FORMAT.shape), heat, classes=("normal", "pneumonia"), noun="exams"
    )
    return drawn | {"decision_curve": _decision_curve(rows["is_pneumonia"].to_numpy(), rows["score"].to_numpy())}


def _decision_curve(is_pneumonia: NDArray[np.bool_], probability: NDArray[np.float64]) -> Figure:
    figure, (place,) = axes()
    thresholds = np.linspace(0.01, 0.99, 99)
    ours = net_benefit(is_pneumonia, probability, thresholds)
    everybody = net_benefit(is_pneumonia, np.ones_like(probability), thresholds)
    place.plot(thresholds, ours, color=COLOURS[0], label="treat whom the model suspects")
    place.plot(thresholds, everybody, color=COLOURS[1], linestyle="--", label="treat everybody")
    place.axhline(0, color=MUTED, linewidth=1, label="treat nobody")
    place.set(
        xlabel="probability from which on one would treat",
        ylabel="net benefit (true positives for each exam)",
        ylim=(-0.1, is_pneumonia.mean() + 0.03),
    )
    place.legend()
    return figure
