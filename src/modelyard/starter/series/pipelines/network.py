"""A small network that answers with quantiles.

Imported only inside functions: this module needs torch. Shapes: B rows, F inputs, Q quantiles.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus


class QuantileNetwork(nn.Module):
    """Two hidden layers, then the lowest quantile and steps up from it, so that quantiles never cross.

    Args:
        n_inputs: Numbers of a row (F).
        n_quantiles: Numbers of an answer (Q).
        width: Units of each hidden layer.
    """

    def __init__(self, n_inputs: int, n_quantiles: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm1d(n_inputs, affine=False),
            nn.Linear(n_inputs, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, n_quantiles),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs (B, F) to quantiles (B, Q), ascending, in shares of the hall's usual level."""
        lowest, steps = self.layers(inputs).float().tensor_split([1], dim=1)
        return torch.cat([lowest, softplus(steps)], dim=1).cumsum(dim=1)
