"""What is measured on every radiograph? Ten numbers that people can check, and that drift monitoring watches."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.records import Column
from modelyard.tasks.images import descriptors

COLUMNS = (
    *descriptors.COLUMNS,
    Column(name="asymmetry_ratio", dtype="float64", description="Mean absolute gap to the mirror image over 255."),
    Column(name="dark_share", dtype="float64", description="Share of pixels below a quarter of the largest value."),
    Column(name="saturated_share", dtype="float64", description="Share of pixels at 0 or 255."),
    Column(name="mass_center_x_ratio", dtype="float64", description="Centre of brightness from the left edge, 0 to 1."),
    Column(name="mass_center_y_ratio", dtype="float64", description="Centre of brightness from the top edge, 0 to 1."),
    Column(
        name="lung_brightness_ratio",
        dtype="float64",
        description="Mean grey value where lungs usually are, over the picture's own mean; 1 if black.",
    ),
)
"""Columns of the records."""

BOUNDS = {
    **descriptors.BOUNDS,
    **dict.fromkeys(("asymmetry_ratio", "dark_share", "mass_center_x_ratio", "mass_center_y_ratio"), (0.0, 1.0)),
    "lung_brightness_ratio": (0.0, 6.0),
}
"""Between which values they can lie."""

_LUNG_ROWS, _LUNG_COLUMNS = (0.25, 0.7), ((0.15, 0.4), (0.6, 0.85))
"""Where lungs usually are, in shares of the side from the top and from the left."""


def describe(pictures: NDArray[np.uint8]) -> pl.DataFrame:
    """Returns :data:`COLUMNS` of N grey pictures, shape (N, H, W)."""
    _, height, width = pictures.shape
    grey = pictures.astype(np.float32) / 255
    mean, weight = grey.mean(axis=(1, 2)), np.maximum(grey.sum(axis=(1, 2)), 1e-6)
    top, bottom = (round(share * height) for share in _LUNG_ROWS)
    both = [grey[:, top:bottom, round(left * width) : round(right * width)] for left, right in _LUNG_COLUMNS]
    lungs = np.concatenate(both, axis=2).mean(axis=(1, 2))
    measured = {
        "asymmetry_ratio": np.abs(grey - grey[:, :, ::-1]).mean(axis=(1, 2)),
        "dark_share": (grey < 0.25).mean(axis=(1, 2)),
        "saturated_share": ((pictures == 0) | (pictures == 255)).mean(axis=(1, 2)),
        "mass_center_x_ratio": grey.sum(axis=1) @ _centres(width) / weight,
        "mass_center_y_ratio": grey.sum(axis=2) @ _centres(height) / weight,
        "lung_brightness_ratio": np.where(mean > 0, lungs / np.maximum(mean, 1e-6), 1.0),
    }
    return descriptors.describe(pictures).with_columns(
        pl.Series(name, values.astype(np.float64)) for name, values in measured.items()
    )


def _centres(n: int) -> NDArray[np.float64]:
    """Returns the places of n pixels between the edges 0 and 1."""
    centres: NDArray[np.float64] = (np.arange(n) + 0.5) / n
    return centres
