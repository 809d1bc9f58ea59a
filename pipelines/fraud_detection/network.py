"""The network: attention over the card's latest transactions, with the current one as the query.

Imported only inside functions: this module needs torch.

Shapes: B batch, D columns, T transactions of a sequence, C numbers about each
(:mod:`pipelines.fraud_detection.inputs`).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

_CLIP = 6.0
"""Columns are cut at this many standard deviations: one absurd amount must not drown everything else."""


class Standardisation(nn.Module):
    """Brings columns to mean 0 and standard deviation 1; what it learnt is stored with the weights.

    A missing value becomes 0 with a flag beside it. A column that was constant when learning stays 0 ever after, and
    the flag of a column that was always there too: their weights have never learnt anything.
    """

    def __init__(self, n_columns: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_columns))
        self.register_buffer("inverse_deviation", torch.zeros(n_columns))
        self.register_buffer("may_be_missing", torch.zeros(n_columns))

    def learn(self, columns: NDArray[np.float32]) -> None:
        """Takes means and deviations from training rows of shape (N, D); NaN is a missing value."""
        is_missing = np.isnan(columns)
        n_there = np.maximum((~is_missing).sum(axis=0), 1)
        mean = np.where(is_missing, 0, columns).sum(axis=0, dtype=np.float64) / n_there
        deviation = np.sqrt((np.where(is_missing, 0, columns - mean) ** 2).sum(axis=0) / n_there)
        is_constant = deviation < 1e-6 * (1 + np.abs(mean))
        self.mean = torch.from_numpy(mean.astype(np.float32))
        self.inverse_deviation = torch.from_numpy(
            np.where(is_constant, 0, 1 / np.where(is_constant, 1, deviation)).astype(np.float32)
        )
        self.may_be_missing = torch.from_numpy(is_missing.any(axis=0).astype(np.float32))

    def forward(self, columns: Tensor) -> Tensor:
        """Returns (B, 2 D) without NaN for (B, D) with NaN."""
        is_missing = columns.isnan()
        scaled = ((columns - self.mean) * self.inverse_deviation).clamp(-_CLIP, _CLIP).masked_fill(is_missing, 0)
        return torch.cat([scaled, is_missing * self.may_be_missing], dim=1)


class CardNetwork(nn.Module):
    """Attention over the card's latest transactions with one query, then two hidden layers.

    Keys and values come from each transaction, the query from the columns: which of the past matters depends on the
    current one (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, one head, one query). A GRU in its place
    was as good and twice as slow (docs/decisions/0002-fraud-model.md).

    Args:
        n_columns: D.
        n_numbers: C.
        width: Units of each hidden layer.
        attention_dim: Units of keys, values and query.
        dropout: Share of hidden units that are dropped while training.
        fraud_share: Of the training rows; the first answer for every row, so that training need not find it.
    """

    def __init__(
        self, *, n_columns: int, n_numbers: int, width: int, attention_dim: int, dropout: float, fraud_share: float
    ) -> None:
        super().__init__()
        self.standardisation = Standardisation(n_columns)
        self.query = nn.Linear(2 * n_columns, attention_dim)
        self.steps = nn.Sequential(
            nn.Linear(n_numbers, attention_dim), nn.GELU(), nn.Linear(attention_dim, 2 * attention_dim)
        )
        self.head = nn.Sequential(
            nn.Linear(2 * n_columns + attention_dim, width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(width, width),
            nn.GELU(),
            nn.Dropout(dropout),
        )
        self.output = nn.Linear(width, 1)
        nn.init.constant_(self.output.bias, math.log(fraud_share / (1 - fraud_share)))

    def forward(self, columns: Tensor, sequence: Tensor) -> Tensor:
        """Returns log-odds (B,) for (B, D) and (B, T, C), whose first number says whether a transaction is real."""
        columns = self.standardisation(columns)
        keys, values = self.steps(sequence).chunk(2, dim=-1)
        scores = (keys * self.query(columns)[:, None, :]).sum(dim=-1) / math.sqrt(keys.shape[-1])
        # Not -inf: a card without any transaction (all padding) must not give NaN.
        weights = scores.masked_fill(sequence[..., 0] == 0, -1e4).softmax(dim=1)
        attended = (weights[..., None] * values).sum(dim=1)
        logits: Tensor = self.output(self.head(torch.cat([columns, attended], dim=1)))
        return logits.squeeze(1)
