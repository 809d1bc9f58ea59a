"""Averages of the weights over the steps, which validate better than the last weights and cost next to nothing."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn


class WeightAverage:
    """Exponential moving average of a network's trainable weights; buffers (statistics of batch norms) stay its own.

    Polyak and Juditsky 1992; early averages forget faster, as TensorFlow's ``ExponentialMovingAverage`` does:
    the decay at step n is the smaller of ``decay`` and (1 + n) / (10 + n).

    Args:
        network: On its device.
        decay: Share of the average that stays at each step, below 1.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._weights: list[Tensor] = [weight for weight in network.parameters() if weight.requires_grad]
        self._decay = decay
        self.average: list[Tensor] = [weight.detach().clone() for weight in self._weights]

    def update(self, step: int) -> None:
        """Takes the weights after optimizer step ``step``, counted from 0."""
        with torch.no_grad():
            share = 1 - min(self._decay, (1 + step) / (10 + step))
            torch._foreach_lerp_(self.average, self._weights, share)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """The network has the averaged weights inside the block, and its own again behind it."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for place, weight in enumerate(self._weights):
            weight.data, self.average[place] = self.average[place], weight.data
