"""What a reviewer looks at: ranking, honesty, doubt, geography, the most doubtful tiles, and where the model looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.tasks.ensemble import Ensemble
from modelyard.tasks.figures import COLOURS, axes, figure_style
from modelyard.tasks.images.binary_classifier import classifier_figures
from modelyard.tasks.images.galleries import mean_grad_cam
from pipelines.satellite_image_analysis.data import FORMAT
from pipelines.satellite_image_analysis.model import FitParameters, to_tiles

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@figure_style()
def figures(rows: pl.DataFrame, model: Ensemble[FitParameters]) -> dict[str, Figure]:
    """Draws the figures.

    Args:
        rows: Test rows with predictions and ``image``.
        model: Shows where it looks.

    Returns:
        Those of :func:`modelyard.tasks.images.binary_classifier.classifier_figures`, and ``map`` where there are
        coordinates.
    """
    import torch

    pixels = rows["image"].to_numpy()

    def heat(numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        return mean_grad_cam(model.networks, to_tiles(torch.tensor(pixels[numbers]), model.params.input_side))

    drawn = classifier_figures(
        rows, "is_damaged", pixels.reshape(-1, *FORMAT.shape), heat, classes=("whole", "damaged"), noun="tiles"
    )
    return drawn | ({"map": _map(rows)} if rows["longitude_deg"].count() > 1 else {})


def _map(rows: pl.DataFrame) -> Figure:
    """Draws where predictions are wrong; a cluster of them is a place that the model does not know."""
    figure, (place,) = axes()
    is_right = (rows["is_predicted"] == rows["is_damaged"]).to_numpy()
    east, north = rows["longitude_deg"].to_numpy(), rows["latitude_deg"].to_numpy()
    for mask, colour, size, name in ((is_right, COLOURS[0], 8, "right"), (~is_right, COLOURS[1], 26, "wrong")):
        place.scatter(east[mask], north[mask], s=size, color=colour, alpha=0.7, linewidths=0, label=name)
    place.set(xlabel="longitude (degrees)", ylabel="latitude (degrees)")
    place.set_aspect(1 / np.cos(np.radians(np.nanmean(north))))
    place.legend()
    return figure
