"""Batched inference."""

from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from modelyard.training.batches import Array, Batch, Batches


def predict(
    network: nn.Module,
    arrays: Mapping[str, Array],
    *,
    forward: Callable[[Any, Batch], Tensor] | None = None,
    batch_size: int = 1024,
) -> np.ndarray:
    """What ``network`` answers for each row, in evaluation mode, float32 and without gradients.

    It runs where the network is: ``network.to(find_device())`` before many rows. The network's mode is put back.

    Args:
        network: Any module.
        arrays: Name to array of shape (N, ...), N > 0; see :class:`modelyard.training.batches.Batches`. Rows of
            different lengths are put together by length.
        forward: ``forward(network, batch)`` returns a tensor of shape (B, ...). None: ``network(**batch)``, so that
            the arrays' names are the network's argument names.
        batch_size: Rows at once; bounds the memory.

    Returns:
        Array of shape (N, ...), in the rows' order.

    Raises:
        DataContractError: There are no rows.
        ConfigurationError: The arrays have different lengths or hold no numbers.
    """
    device = next((weight.device for weight in network.parameters()), torch.device("cpu"))
    batches = Batches(arrays, device, batch_size)
    lengths = batches.lengths
    order = np.arange(batches.n_rows) if lengths is None else np.argsort(lengths, kind="stable")
    blocks = np.split(order, range(batch_size, batches.n_rows, batch_size))
    answers: np.ndarray | None = None
    was_training = network.training
    network.eval()
    try:
        with torch.inference_mode(), closing(batches.walk(blocks)) as walk:
            for rows, batch in zip(blocks, walk, strict=True):
                part = (forward or _by_name)(network, batch).cpu().numpy()
                if answers is None:
                    answers = np.empty((batches.n_rows, *part.shape[1:]), part.dtype)
                answers[rows] = part
    finally:
        network.train(was_training)
    return cast(np.ndarray, answers)


def _by_name(network: nn.Module, batch: Batch) -> Tensor:
    output: Tensor = network(**batch)
    return output
