"""The network: many multilayer perceptrons that share their weights but for a few, over piecewise-linear numbers.

TabM (Gorishniy, Kotelnikov & Babenko 2025, https://arxiv.org/abs/2410.24210) on the encoding of Gorishniy, Rubachev &
Babenko 2022 (https://arxiv.org/abs/2203.05556). Imported only inside functions: this module needs torch.

Shapes: B batch, D columns, E bins of a column, M members.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


class PiecewiseLinear(nn.Module):
    """Encodes a number as how much of each bin it fills, between the quantiles that training rows have.

    A missing value fills no bin and has a flag beside it; what is learnt is stored with the weights.
    """

    edges: Tensor

    def __init__(self, n_columns: int, n_bins: int) -> None:
        super().__init__()
        self.register_buffer("edges", torch.linspace(0, 1, n_bins + 1).repeat(n_columns, 1))

    def learn(self, columns: NDArray[np.float32]) -> None:
        """Takes the edges from training rows of shape (N, D); NaN is a missing value."""
        n_bins = self.edges.shape[1] - 1
        levels = np.linspace(0, 1, n_bins + 1)
        found = np.stack(
            [np.quantile(each[~np.isnan(each)], levels) if (~np.isnan(each)).any() else levels for each in columns.T]
        )
        self.edges = torch.from_numpy(found.astype(np.float32))

    def forward(self, columns: Tensor) -> Tensor:
        """Returns (B, D (E + 1)) without NaN for (B, D) with NaN."""
        is_missing = columns.isnan()[..., None]
        low, width = self.edges[:, :-1], self.edges.diff(dim=1)
        filled = (columns[..., None] - low) / width.clamp(min=1e-6)
        encoded = torch.cat([filled.clamp(0, 1).masked_fill(is_missing, 0), is_missing.to(low.dtype)], dim=-1)
        return encoded.flatten(1)


class _SharedLinear(nn.Module):
    """One linear layer for all members, each with scales of its own before and behind it."""

    def __init__(self, n_members: int, n_in: int, n_out: int, *, is_first: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(n_in, n_out, bias=False)
        # Random signs before the first layer make the members differ; all other scales begin at 1.
        before = torch.randint(0, 2, (n_members, n_in)) * 2.0 - 1 if is_first else torch.ones(n_members, n_in)
        self.before = nn.Parameter(before)
        self.behind = nn.Parameter(torch.ones(n_members, n_out))
        self.bias = nn.Parameter(torch.zeros(n_members, n_out))

    def forward(self, x: Tensor) -> Tensor:
        """Returns (B, M, n_out) for (B, M, n_in)."""
        scaled: Tensor = self.linear(x * self.before) * self.behind + self.bias
        return scaled


class PriceNetwork(nn.Module):
    """Answers with one price of each member.

    Args:
        n_columns: D.
        n_bins: E.
        n_members: M.
        width: Units of each of the two hidden layers.
        dropout: Share of hidden units dropped while training.
    """

    def __init__(self, *, n_columns: int, n_bins: int, n_members: int, width: int, dropout: float) -> None:
        super().__init__()
        self.encoding = PiecewiseLinear(n_columns, n_bins)
        self.n_members = n_members
        self.first = _SharedLinear(n_members, n_columns * (n_bins + 1), width, is_first=True)
        self.second = _SharedLinear(n_members, width, width, is_first=False)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Parameter(torch.randn(n_members, width) / width**0.5)
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("deviation", torch.ones(()))

    def learn(self, columns: NDArray[np.float32], z: NDArray[np.float64]) -> None:
        """Takes the bins of the columns and the scale of the answers from training rows."""
        self.encoding.learn(columns)
        self.mean, self.deviation = torch.tensor(float(z.mean())), torch.tensor(max(float(z.std()), 1e-6))

    def forward(self, columns: Tensor) -> Tensor:
        """Returns each member's answer on the model's scale, (B, M), for (B, D)."""
        x = self.encoding(columns)[:, None, :].expand(-1, self.n_members, -1)
        for layer in (self.first, self.second):
            x = self.dropout(layer(x).relu())
        answers: Tensor = (x * self.output).sum(dim=-1) * self.deviation + self.mean
        return answers
