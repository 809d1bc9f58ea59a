"""Rows of different lengths: texts, series, sets. Each batch is padded to its own longest row.

Beside ``tokens`` (B, L, ...), zero behind a row's end, a batch holds ``tokens_length`` (B,), int64: it reaches the
loss, and in ``predict`` the network's argument of that name. :func:`is_real` makes a mask of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from modelyard.errors import ConfigurationError

LENGTH_SUFFIX = "_length"


@dataclass(frozen=True)
class Ragged:
    """N rows in one flat array.

    Args:
        values: Shape (T, ...), all rows one after the other; T is the sum of their lengths.
        offsets: Shape (N + 1,), int64: row i is ``values[offsets[i] : offsets[i + 1]]``.

    Raises:
        ConfigurationError: The offsets do not ascend from 0 to T.
    """

    values: np.ndarray
    offsets: np.ndarray

    def __post_init__(self) -> None:
        offsets = self.offsets
        if offsets.ndim != 1 or not len(offsets) or offsets[0] != 0 or offsets[-1] != len(self.values):
            raise ConfigurationError(
                f"The offsets of a ragged array do not lead from 0 to its {len(self.values)} values.", where="arrays"
            )
        if (np.diff(offsets) < 0).any():
            raise ConfigurationError("The offsets of a ragged array do not ascend.", where="arrays")

    @classmethod
    def of_rows(cls, rows: Sequence[np.ndarray]) -> Self:
        """Returns arrays of shape (L_i, ...), i = 1..N, as one; trailing axes and dtype are the same for all."""
        if not len(rows):
            return cls(np.zeros(0, np.float32), np.zeros(1, np.int64))
        return cls.of_lengths(np.concatenate(rows), np.array([len(row) for row in rows]))

    @classmethod
    def of_lengths(cls, values: np.ndarray, lengths: np.ndarray) -> Self:
        """Returns flat ``values`` (T, ...) cut by ``lengths`` (N,).

        Of a polars list column: ``column.explode(empty_as_null=False).to_numpy()`` and
        ``column.list.len().to_numpy()``.
        """
        return cls(values, np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Shape (N,), int64."""
        return np.diff(self.offsets)

    def row(self, number: int) -> np.ndarray:
        """Returns the values of one row, (L, ...)."""
        return self.values[self.offsets[number] : self.offsets[number + 1]]

    def width(self, rows: np.ndarray) -> int:
        """Returns the length of the longest of ``rows``, at least 1."""
        return max(1, int((self.offsets[rows + 1] - self.offsets[rows]).max()))

    def pad(self, rows: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Writes ``rows`` (B,) into ``target`` (B, their width, ...), zeros behind their ends; returns the lengths."""
        starts = self.offsets[rows]
        lengths: np.ndarray = self.offsets[rows + 1] - starts
        places = np.arange(target.shape[1])
        if len(self.values):
            np.take(self.values, starts[:, None] + places, axis=0, out=target, mode="clip")  # behind the end: any value
        target[places >= lengths[:, None]] = 0
        return lengths


def is_real(lengths: Tensor, width: int) -> Tensor:
    """Returns a mask (B, width), True where a row has values and False where it is padded.

    Args:
        lengths: Shape (B,), as a batch holds them.
        width: L of the padded tensor.
    """
    return torch.arange(width, device=lengths.device)[None] < lengths[:, None]
