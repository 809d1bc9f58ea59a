"""What is measured on every tile? Numbers that people can check, and that drift monitoring watches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelyard.records import Column

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

COLUMNS = (
    Column(name="brightness_ratio", dtype="float64", description="Mean of all values over the largest possible, 255."),
    Column(name="contrast_ratio", dtype="float64", description="Standard deviation of the grey values over 255."),
    Column(name="edge_ratio", dtype="float64", description="Mean absolute step between neighbouring pixels over 255."),
    Column(name="entropy_bit", dtype="float64", description="Entropy of the grey histogram in 32 bins.", unit="bit"),
    Column(name="saturation_ratio", dtype="float64", description="Mean of largest minus smallest colour, over 255."),
    Column(name="green_excess_ratio", dtype="float64", description="Mean of 2 G - R - B over 255: vegetation."),
    Column(name="red_blue_ratio", dtype="float64", description="Mean of R - B over 255: bare soil, muddy water."),
    Column(name="smooth_share", dtype="float64", description="Share of pixels that differ little from neighbours."),
    Column(name="haze_ratio", dtype="float64", description="5th percentile of the darkest colour over 255."),
)
"""Columns of the records; the network sees the pixels, not these."""

_N_BINS = 32
_SMOOTH = 4 / 255
_CHUNK = 16


def describe(tiles: NDArray[np.uint8]) -> pl.DataFrame:
    """Measures tiles, shape (N, H, W, 3); returns :data:`COLUMNS`, N rows."""
    import polars as pl

    # In pieces whose floats stay in the processor's cache; those of thousands of tiles would not fit into memory.
    parts = [_describe(tiles[start : start + _CHUNK]) for start in range(0, max(len(tiles), 1), _CHUNK)]
    return pl.concat(parts)


def _describe(tiles: NDArray[np.uint8]) -> pl.DataFrame:
    import numpy as np
    import polars as pl

    n = len(tiles)
    # Colour by colour: along the three colours of each pixel numpy takes several times as long.
    red, green, blue = (tiles[..., channel].astype(np.float32) / 255 for channel in range(3))
    grey = (red + green + blue) / 3
    step_y, step_x = np.abs(np.diff(grey, axis=1)), np.abs(np.diff(grey, axis=2))
    darkest, brightest = np.minimum(np.minimum(red, green), blue), np.maximum(np.maximum(red, green), blue)
    dark = darkest.reshape(n, -1)
    at = dark.shape[1] // 20
    measured = {
        "brightness_ratio": grey.mean(axis=(1, 2)),
        "contrast_ratio": grey.std(axis=(1, 2)),
        "edge_ratio": (step_y.mean(axis=(1, 2)) + step_x.mean(axis=(1, 2))) / 2,
        "entropy_bit": _entropy((grey * (_N_BINS - 1e-3)).astype(np.int64).reshape(n, -1)),
        "saturation_ratio": (brightest - darkest).mean(axis=(1, 2)),
        "green_excess_ratio": (2 * green - red - blue).mean(axis=(1, 2)),
        "red_blue_ratio": (red - blue).mean(axis=(1, 2)),
        "smooth_share": (np.maximum(step_y[:, :, 1:], step_x[:, 1:, :]) < _SMOOTH).mean(axis=(1, 2)),
        "haze_ratio": np.partition(dark, at, axis=1)[:, at],
    }
    return pl.DataFrame({column.name: measured[column.name].astype(np.float64) for column in COLUMNS})


def _entropy(bins: NDArray[np.int64]) -> Floats:
    """Shannon entropy in bits of each row's histogram; ``bins`` are numbers of bins, shape (N, P)."""
    import numpy as np

    n, size = bins.shape
    places = bins + _N_BINS * np.arange(n, dtype=np.int64)[:, None]
    shares = np.bincount(places.ravel(), minlength=_N_BINS * n).reshape(n, _N_BINS) / size
    entropy: Floats = -(shares * np.log2(np.where(shares > 0, shares, 1))).sum(axis=1)
    return entropy + 0.0  # -0.0 of a single grey value becomes 0.0
