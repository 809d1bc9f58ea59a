"""The network: what the wide rule misses, as a correction of its mean and a factor of its spread.

Several members with weights of their own look at the same rows side by side; a forecast is the normal distribution with
their averaged mean and spread (averaging quantiles: Schulz and Lerch 2022, Monthly Weather Review 150, 235). A network
that answers with the parameters of a distribution and is trained on its CRPS: Rasp and Lerch 2018, Monthly Weather
Review 146, 3885. The last layer begins at zero: before it has learnt anything, the network answers as the wide rule.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, gelu

from pipelines.climate_pattern_recognition.rules import Rules

_MOST_LOG_FACTOR = 2.0
_FARTHEST = 6.0
"""Standardised inputs beyond this are as far as the network can tell."""


class ForecastNetwork(nn.Module):
    """Inputs of B issue times to normal distributions of two indices at L leads; the simple rules are its buffers.

    Args:
        n_inputs: D.
        n_leads: L.
        members: K, networks side by side.
        width: Hidden units of each.
        dropout: Share of inputs and hidden units dropped while training.
    """

    input_mean: Tensor
    input_spread: Tensor
    linear_weights: Tensor
    linear_spread: Tensor
    wide_weights: Tensor
    wide_spread: Tensor

    def __init__(self, *, n_inputs: int, n_leads: int, members: int, width: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.hidden = nn.Parameter(torch.randn(members, n_inputs, width) / n_inputs**0.5)
        self.hidden_bias = nn.Parameter(torch.zeros(members, 1, width))
        self.last = nn.Parameter(torch.zeros(members, width, n_leads * 4))
        self.bias = nn.Parameter(torch.zeros(members, 1, n_leads * 4))
        shapes = {
            "input_mean": (n_inputs,),
            "input_spread": (n_inputs,),
            "linear_weights": (n_inputs + 1, n_leads, 2),
            "linear_spread": (n_leads, 2),
            "wide_weights": (n_inputs + 1, n_leads, 2),
            "wide_spread": (n_leads, 2),
            "persistence_spread": (n_leads, 2),
            "climatology_mean": (12, 2),
            "climatology_spread": (12, 2),
        }
        for name, shape in shapes.items():
            self.register_buffer(name, torch.ones(shape))

    def take(self, rules: Rules) -> None:
        """Keeps the simple rules' numbers beside the weights."""
        for name, values in rules._asdict().items():
            getattr(self, name).copy_(torch.as_tensor(values))

    def standardised(self, inputs: Tensor) -> Tensor:
        """Inputs (B, D) in units of their spread; what is not known is average."""
        return torch.nan_to_num((inputs - self.input_mean) / self.input_spread, nan=0.0)

    def linear(self, inputs: Tensor) -> Tensor:
        """Means of the linear rule, shape (B, L, 2)."""
        return _applied(self.linear_weights, self.standardised(inputs))

    def wide(self, inputs: Tensor) -> Tensor:
        """Means of the wide rule, shape (B, L, 2)."""
        return _applied(self.wide_weights, self.standardised(inputs))

    def forward(self, inputs: Tensor, start: Tensor | None = None) -> Tensor:
        """Each member's mean and spread, shape (B, K, L, 2, 2).

        Args:
            inputs: Shape (B, D), NaN where nothing is known.
            start: Means to begin from, shape (B, L, 2). None: the wide rule's.
        """
        seen = self.standardised(inputs).clamp(-_FARTHEST, _FARTHEST).expand(len(self.hidden), -1, -1)
        units = gelu(dropout(seen, self.dropout, self.training) @ self.hidden + self.hidden_bias)
        answers = dropout(units, self.dropout, self.training) @ self.last + self.bias
        answers = answers.reshape(*answers.shape[:2], *self.wide_spread.shape, 2).transpose(0, 1)
        start = self.wide(inputs) if start is None else start
        mean = start[:, None] + self.wide_spread * answers[..., 0]
        factor = torch.exp(_MOST_LOG_FACTOR * torch.tanh(answers[..., 1] / _MOST_LOG_FACTOR))
        return torch.stack([mean, self.wide_spread * factor], dim=-1)


def _applied(weights: Tensor, standardised: Tensor) -> Tensor:
    return torch.einsum("bd,dli->bli", standardised, weights[:-1]) + weights[-1]
