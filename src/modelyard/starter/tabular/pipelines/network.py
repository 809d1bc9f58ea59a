"""A small network on numbers; its first layer standardises them, so that its weights are the whole model.

Imported only inside functions: this module needs torch. Shapes: B rows, F inputs.
"""

import torch
from torch import Tensor, nn


class FailureNetwork(nn.Module):
    """Two hidden layers.

    Args:
        n_inputs: Numbers of a row (F).
        width: Units of each hidden layer.
    """

    def __init__(self, n_inputs: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm1d(n_inputs, affine=False),
            nn.Linear(n_inputs, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, 1),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs (B, F), NaN where unknown, to log-odds (B,)."""
        logits: Tensor = self.layers(torch.nan_to_num(inputs))
        return logits.squeeze(1)
