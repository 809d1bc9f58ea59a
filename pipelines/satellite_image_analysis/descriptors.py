"""What is measured on every tile? Nine numbers that people can check, and that drift monitoring watches."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.records import Column
from modelyard.tasks.images import descriptors

COLUMNS = (
    *descriptors.COLUMNS,
    Column(name="saturation_ratio", dtype="float64", description="Mean of largest minus smallest colour, over 255."),
    Column(name="green_excess_ratio", dtype="float64", description="Mean of 2 G - R - B over 255: vegetation."),
    Column(name="red_blue_ratio", dtype="float64", description="Mean of R - B over 255: bare soil, muddy water."),
    Column(name="smooth_share", dtype="float64", description="Share of pixels that differ little from neighbours."),
    Column(name="haze_ratio", dtype="float64", description="5th percentile of the darkest colour over 255."),
)
"""Columns of the records; the network sees the pixels, not these."""

BOUNDS = {
    **descriptors.BOUNDS,
    **dict.fromkeys(("saturation_ratio", "smooth_share", "haze_ratio"), (0.0, 1.0)),
    "green_excess_ratio": (-2.0, 2.0),
    "red_blue_ratio": (-1.0, 1.0),
}
"""Between which values they can lie."""

_SMOOTH = 4 / 255


def describe(tiles: NDArray[np.uint8]) -> pl.DataFrame:
    """Returns :data:`COLUMNS` of N tiles, shape (N, H, W, 3)."""
    colours = pl.concat([_describe(part) for part in descriptors.chunks(tiles)])
    return descriptors.describe(tiles).hstack(colours)


def _describe(tiles: NDArray[np.uint8]) -> pl.DataFrame:
    red, green, blue = descriptors.planes(tiles)
    grey = (red + green + blue) / 3
    step_y, step_x = np.abs(np.diff(grey, axis=1)), np.abs(np.diff(grey, axis=2))
    darkest, brightest = np.minimum(np.minimum(red, green), blue), np.maximum(np.maximum(red, green), blue)
    dark = darkest.reshape(len(tiles), grey.shape[1] * grey.shape[2])
    at = dark.shape[1] // 20
    measured = {
        "saturation_ratio": (brightest - darkest).mean(axis=(1, 2)),
        "green_excess_ratio": (2 * green - red - blue).mean(axis=(1, 2)),
        "red_blue_ratio": (red - blue).mean(axis=(1, 2)),
        "smooth_share": (np.maximum(step_y[:, :, 1:], step_x[:, 1:, :]) < _SMOOTH).mean(axis=(1, 2)),
        "haze_ratio": np.partition(dark, at, axis=1)[:, at],
    }
    return pl.DataFrame({name: values.astype(np.float64) for name, values in measured.items()})
