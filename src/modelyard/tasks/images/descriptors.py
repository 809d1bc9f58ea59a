"""What can be measured on any picture? Numbers that people can check, and that drift monitoring watches.

Pictures are uint8 of shape (N, H, W), grey, or (N, H, W, 3), red, green, blue.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.records import Column

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

Floats = NDArray[np.float64]

COLUMNS = (
    Column(name="brightness_ratio", dtype="float64", description="Mean of all values over the largest possible, 255."),
    Column(name="contrast_ratio", dtype="float64", description="Standard deviation of the grey values over 255."),
    Column(name="edge_ratio", dtype="float64", description="Mean absolute step between neighbouring pixels over 255."),
    Column(name="entropy_bit", dtype="float64", description="Entropy of the grey histogram in 32 bins.", unit="bit"),
)
"""Columns of the records that :func:`describe` fills."""

BOUNDS: Mapping[str, tuple[float, float]] = {
    "brightness_ratio": (0.0, 1.0),
    "contrast_ratio": (0.0, 1.0),
    "edge_ratio": (0.0, 1.0),
    "entropy_bit": (0.0, 5.0),
}
"""Between which values each of them can lie."""

_N_BINS = 32
_CHUNK_PIXELS = 2**20
"""Pixels that are measured together: their floats stay in the processor's cache."""


def describe(pictures: NDArray[np.uint8]) -> pl.DataFrame:
    """Returns :data:`COLUMNS` of N pictures."""
    parts = [_describe(part) for part in chunks(pictures)]
    return pl.DataFrame(
        {column.name: np.concatenate([part[column.name] for part in parts]).astype(float) for column in COLUMNS}
    )


def chunks(pictures: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Returns the pictures in pieces that are quick to measure one after the other; one empty piece of none."""
    size = max(1, _CHUNK_PIXELS // max(1, pictures[0].size if len(pictures) else 1))
    return [pictures[start : start + size] for start in range(0, max(len(pictures), 1), size)]


def planes(pictures: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """Returns each channel as floats of 0 to 1, shape (N, H, W); numpy is quicker along planes than along pixels."""
    channels = [pictures] if pictures.ndim == 3 else [pictures[..., channel] for channel in range(pictures.shape[-1])]
    return [channel.astype(np.float32) / np.float32(255) for channel in channels]


def _describe(pictures: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    channels = planes(pictures)
    grey = sum(channels[1:], channels[0]) / len(channels)
    step_y, step_x = (np.abs(np.diff(grey, axis=axis)).mean(axis=(1, 2)) for axis in (1, 2))
    return {
        "brightness_ratio": grey.mean(axis=(1, 2)),
        "contrast_ratio": grey.std(axis=(1, 2)),
        "edge_ratio": (step_y + step_x) / 2,
        "entropy_bit": _entropy((grey * (_N_BINS - 1e-3)).astype(np.int64)),
    }


def _entropy(bins: NDArray[np.int64]) -> NDArray[np.float32]:
    """Returns the Shannon entropy in bits of each picture's histogram; ``bins`` are numbers of bins, (N, H, W)."""
    n, height, width = bins.shape
    places = bins + _N_BINS * np.arange(n, dtype=np.int64)[:, None, None]
    shares = np.bincount(places.ravel(), minlength=_N_BINS * n).reshape(n, _N_BINS) / (height * width)
    entropy = -(shares * np.log2(np.where(shares > 0, shares, 1))).sum(axis=1)
    positive: NDArray[np.float32] = (entropy + 0.0).astype(np.float32)  # -0.0 of a single grey value becomes 0.0
    return positive


def bounds_expectations(bounds: Mapping[str, tuple[float, float]]) -> list[Expectation]:
    """Returns an expectation for each column that its values lie between two numbers."""
    import great_expectations.expectations as gxe

    return [
        gxe.ExpectColumnValuesToBeBetween(
            column=name, min_value=low, max_value=high, description=f"'{name}' lies between {low:g} and {high:g}."
        )
        for name, (low, high) in bounds.items()
    ]
