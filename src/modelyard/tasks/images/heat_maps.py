"""Heat maps in answers: what spoke for the answer at each place of a picture, for those requests that ask for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

    from modelyard.tasks.images.grad_cam import HasMaps

_DECIMALS = 3


def with_heat_maps(
    predictions: pl.DataFrame,
    frame: pl.DataFrame,
    networks: Sequence[HasMaps],
    to_pictures: Callable[[Tensor], Tensor],
    outputs: NDArray[np.int64] | None = None,
) -> pl.DataFrame:
    """Returns predictions with the ``heat_map`` of the rows that ask for one; unchanged where none does.

    Args:
        predictions: N rows.
        frame: What they are about, N rows: ``image``, and ``explain``, whether a map is asked for.
        networks: Their mean Grad-CAM is the map.
        to_pictures: Flat pixels (B, H * W * C) of 0 to 255 to pictures (B, C, H, W) of 0 to 1.
        outputs: Number of the output that is explained for each row, shape (N,). None: the first of all.

    Returns:
        ``heat_map``: rows of numbers from 0 to 1, at the size of the networks' maps; null where nobody asked.
    """
    asked = np.flatnonzero(frame["explain"].to_numpy())
    if not len(asked):
        return predictions
    explained = np.zeros(frame.height, np.int64) if outputs is None else outputs
    heat = _mean_coarse_grad_cam(networks, frame["image"].gather(asked).to_numpy(), to_pictures, explained[asked])
    maps: list[list[list[float]] | None] = [None] * frame.height
    for row, values in zip(asked, heat.astype(np.float64).round(_DECIMALS), strict=True):
        maps[row] = values.tolist()
    return predictions.with_columns(pl.Series("heat_map", maps, dtype=pl.List(pl.List(pl.Float64))))


def _mean_coarse_grad_cam(
    networks: Sequence[HasMaps],
    pixels: NDArray[np.uint8],
    to_pictures: Callable[[Tensor], Tensor],
    outputs: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Returns the mean of the networks' maps, shape (B, H', W')."""
    import torch

    from modelyard.tasks.images.grad_cam import coarse_grad_cam

    pictures = to_pictures(torch.tensor(pixels))
    explained = torch.tensor(outputs)
    heat = torch.stack([coarse_grad_cam(one, pictures, explained) for one in networks]).mean(dim=0)
    values: NDArray[np.float32] = heat.numpy()
    return values
