"""What a reviewer looks at: confusions, honesty, doubt, robustness, people's ways to draw, the worst errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.tasks.ensemble import Ensemble
from modelyard.tasks.figures import COLOURS, axes, figure_style, wilson_interval
from modelyard.tasks.images.multiclass_classifier import class_numbers
from modelyard.tasks.images.multiclass_figures import mean_heat, multiclass_figures
from pipelines.handwritten_digit_recognition.model import FitParameters, to_pictures
from pipelines.handwritten_digit_recognition.preparation import FORMAT
from pipelines.handwritten_digit_recognition.redrawing import MANNERS
from pipelines.handwritten_digit_recognition.simulator import STRANGER

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@figure_style()
def figures(rows: pl.DataFrame, model: Ensemble[FitParameters]) -> dict[str, Figure]:
    """Draws the figures.

    Args:
        rows: Test rows with predictions and ``image``.
        model: Shows where it looks.

    Returns:
        Those of :func:`modelyard.tasks.images.multiclass_figures.multiclass_figures`, and ``redrawn``: accuracy for
        each way in which people draw.
    """
    import torch

    pixels, numbers = rows["image"].to_numpy(), class_numbers(rows["predicted"], model.params.classes)

    def heat(chosen: NDArray[np.int64]) -> NDArray[np.float32]:
        return mean_heat(list(model.networks), to_pictures(torch.tensor(pixels[chosen])), numbers[chosen])

    drawn = multiclass_figures(rows, "label", pixels.reshape(-1, *FORMAT.shape), heat)
    return drawn | {"redrawn": _redrawn(rows.filter(pl.col("label") != STRANGER))}


def _redrawn(known: pl.DataFrame) -> Figure:
    """Draws the share that is read right for each manner, beside that of the pictures as they are."""
    figure, (place,) = axes()
    is_right = (known["redrawn_predicted"] == known["label"]).to_numpy()
    parts = [is_right[(known["manner"] == manner).to_numpy()] for manner in MANNERS]
    share = np.array([part.mean() if len(part) else np.nan for part in parts])
    low, high = wilson_interval(share, np.array([max(len(part), 1) for part in parts]))
    bars = np.maximum(np.stack([share - low, high - share]), 0)
    place.errorbar(range(len(MANNERS)), share, bars, fmt="o", color=COLOURS[0], capsize=3)
    clean = float((known["predicted"] == known["label"]).to_numpy().mean())
    place.axhline(clean, color=COLOURS[1], linestyle="--", label="as they are")
    place.set_xticks(range(len(MANNERS)), list(MANNERS), rotation=25)
    lowest = min(float(np.nanmin(low)), clean)
    place.set(ylabel="share read right (95 % interval)", ylim=(max(0.0, lowest - 0.05), 1.01))
    place.legend(loc="lower left")
    return figure
