"""The network: what the wide baseline misses, as a correction of its mean and a factor of its spread.

An ensemble of networks with weights of their own looks at the same rows side by side; a forecast is the normal
distribution with their averaged mean and spread (averaging quantiles: Schulz and Lerch 2022, Monthly Weather Review
150, 235). A network that answers with the parameters of a distribution and is trained on its CRPS: Rasp and Lerch 2018,
Monthly Weather Review 146, 3885. The last layer begins at zero: before it has learnt anything, the network answers as
the wide baseline.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, gelu

_MAX_LOG_FACTOR = 2.0
_MAX_INPUT = 6.0
"""Standardised inputs beyond this are clipped: the training rows hold hardly any."""


class ForecastNetwork(nn.Module):
    """Standardised inputs of B issue times to normal distributions of two indices at L leads.

    Args:
        n_inputs: D.
        wide_spread: Spreads of the wide baseline, shape (L, 2): the units of the corrections.
        ensemble_size: K, networks side by side.
        width: Hidden units of each.
        dropout: Share of inputs and hidden units dropped while training.
    """

    wide_spread: Tensor

    def __init__(self, *, n_inputs: int, wide_spread: Tensor, ensemble_size: int, width: int, dropout: float) -> None:
        super().__init__()
        n_outputs = wide_spread.numel() * 2
        self.dropout = dropout
        self.hidden_weight = nn.Parameter(torch.randn(ensemble_size, n_inputs, width) / n_inputs**0.5)
        self.hidden_bias = nn.Parameter(torch.zeros(ensemble_size, 1, width))
        self.output_weight = nn.Parameter(torch.zeros(ensemble_size, width, n_outputs))
        self.output_bias = nn.Parameter(torch.zeros(ensemble_size, 1, n_outputs))
        self.register_buffer("wide_spread", wide_spread)

    def forward(self, inputs: Tensor, start: Tensor) -> Tensor:
        """Returns mean and spread by each network of the ensemble, shape (B, K, L, 2, 2).

        Args:
            inputs: Standardised, shape (B, D).
            start: Means of the wide baseline, shape (B, L, 2).
        """
        clipped = inputs.clamp(-_MAX_INPUT, _MAX_INPUT).expand(len(self.hidden_weight), -1, -1)
        hidden = gelu(dropout(clipped, self.dropout, self.training) @ self.hidden_weight + self.hidden_bias)
        outputs = dropout(hidden, self.dropout, self.training) @ self.output_weight + self.output_bias
        outputs = outputs.reshape(*outputs.shape[:2], *self.wide_spread.shape, 2).transpose(0, 1)
        mean = start[:, None] + self.wide_spread * outputs[..., 0]
        factor = torch.exp(_MAX_LOG_FACTOR * torch.tanh(outputs[..., 1] / _MAX_LOG_FACTOR))
        return torch.stack([mean, self.wide_spread * factor], dim=-1)
