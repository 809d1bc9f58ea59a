"""What a reviewer looks at: confusions, honesty, doubt, robustness, strangers, the worst errors, where it looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.tasks.ensemble import Ensemble
from modelyard.tasks.figures import figure_style
from modelyard.tasks.images.multiclass_classifier import class_numbers
from modelyard.tasks.images.multiclass_figures import mean_heat, multiclass_figures
from pipelines.image_classification.data import FORMAT
from pipelines.image_classification.model import FitParameters, to_pictures

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@figure_style()
def figures(rows: pl.DataFrame, model: Ensemble[FitParameters]) -> dict[str, Figure]:
    """Draws the figures.

    Args:
        rows: Test rows with predictions and ``image``.
        model: Shows where it looks.

    Returns:
        Those of :func:`modelyard.tasks.images.multiclass_figures.multiclass_figures`.
    """
    import torch

    pixels, numbers = rows["image"].to_numpy(), class_numbers(rows["predicted"], model.params.classes)

    def heat(chosen: NDArray[np.int64]) -> NDArray[np.float32]:
        return mean_heat(list(model.networks), to_pictures(torch.tensor(pixels[chosen])), numbers[chosen])

    return multiclass_figures(rows, "label", pixels.reshape(-1, *FORMAT.shape), heat)
