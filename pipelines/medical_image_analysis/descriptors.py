"""What is measured on every picture? Ten numbers that people can check, and that drift monitoring watches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelyard.records import Column

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

COLUMNS = (
    Column(name="brightness_ratio", dtype="float64", description="Mean grey value over the largest possible, 255."),
    Column(name="contrast_ratio", dtype="float64", description="Standard deviation of the grey values over 255."),
    Column(name="edge_ratio", dtype="float64", description="Mean absolute step between neighbouring pixels over 255."),
    Column(name="entropy_bit", dtype="float64", description="Entropy of the histogram in 32 bins.", unit="bit"),
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

_N_BINS = 32


def describe(pictures: NDArray[np.uint8]) -> pl.DataFrame:
    """Measures pictures.

    Args:
        pictures: Grey values, shape (N, H, W).

    Returns:
        :data:`COLUMNS`, N rows.
    """
    import numpy as np
    import polars as pl

    n, height, width = pictures.shape
    grey = pictures.astype(np.float32) / 255
    mean = grey.mean(axis=(1, 2))
    weight = np.maximum(grey.sum(axis=(1, 2)), 1e-6)
    steps = np.abs(np.diff(grey, axis=1)).mean(axis=(1, 2)) + np.abs(np.diff(grey, axis=2)).mean(axis=(1, 2))
    lungs = grey[:, round(0.25 * height) : round(0.7 * height), :]
    lungs = np.concatenate(
        [
            lungs[:, :, round(0.15 * width) : round(0.4 * width)],
            lungs[:, :, round(0.6 * width) : round(0.85 * width)],
        ],
        axis=2,
    )
    measured = {
        "brightness_ratio": mean,
        "contrast_ratio": grey.std(axis=(1, 2)),
        "edge_ratio": steps / 2,
        "entropy_bit": _entropy(pictures.reshape(n, -1)),
        "asymmetry_ratio": np.abs(grey - grey[:, :, ::-1]).mean(axis=(1, 2)),
        "dark_share": (grey < 0.25).mean(axis=(1, 2)),
        "saturated_share": ((pictures == 0) | (pictures == 255)).mean(axis=(1, 2)),
        "mass_center_x_ratio": grey.sum(axis=1) @ _centres(width) / weight,
        "mass_center_y_ratio": grey.sum(axis=2) @ _centres(height) / weight,
        "lung_brightness_ratio": np.where(mean > 0, lungs.mean(axis=(1, 2)) / np.maximum(mean, 1e-6), 1.0),
    }
    return pl.DataFrame({column.name: measured[column.name].astype(np.float64) for column in COLUMNS})


def _centres(n: int) -> Floats:
    import numpy as np

    centres: Floats = (np.arange(n) + 0.5) / n
    return centres


def _entropy(flat: NDArray[np.uint8]) -> Floats:
    """Shannon entropy in bits of each row's histogram."""
    import numpy as np

    n, size = flat.shape
    bins = flat // (256 // _N_BINS) + _N_BINS * np.arange(n, dtype=np.int64)[:, None]
    shares = np.bincount(bins.ravel(), minlength=_N_BINS * n).reshape(n, _N_BINS) / size
    entropy: Floats = -(shares * np.log2(np.where(shares > 0, shares, 1))).sum(axis=1)
    return entropy + 0.0  # -0.0 of a single grey value becomes 0.0
