"""What the loop keeps of a run after each epoch, and when a stored run is the same run.

Generators need no state: every epoch seeds its own (:mod:`modelyard.training.randomness`), and the learning rate
follows from the step. How it lies on disk: :mod:`modelyard.training.resume`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from modelyard.training.parameters import LoopParameters
from modelyard.training.resume import load_state, save_state

PREFIX = "epoch"
"""Checkpoints are the folders ``epoch_0001``, ``epoch_0002``, ..."""

_SAMPLED_ROWS = 64


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """What one epoch did.

    Args:
        number: Counted from 1.
        train_loss: Mean loss over the epoch's rows, while the weights were changing; the sum over the parts of a
            network that are trained in turns.
        value: What ``evaluate`` returned after it; None without one.
        learning_rate: Of its last step.
        samples_per_second: Rows per second of training, without evaluation and checkpoint.
        part_losses: Part of the network to its mean loss, where parts are trained in turns.
    """

    number: int
    train_loss: float
    value: float | None
    learning_rate: float
    samples_per_second: float
    part_losses: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A run after an epoch.

    Args:
        history: The epochs so far.
        best_epoch: Number of the best one.
        is_finished: Whether nothing is left to train.
        network: The network's state after the last epoch.
        best: Its state after the best one; None where that is the last.
        optimizers: State of each optimizer, see :func:`flat_state`.
        average: The averaged weights; empty where none are.
    """

    history: tuple[Epoch, ...]
    best_epoch: int
    is_finished: bool
    network: dict[str, Tensor]
    best: dict[str, Tensor] | None
    optimizers: list[dict[str, Tensor]]
    average: list[Tensor]


def save_checkpoint(folder: Path, checkpoint: Checkpoint, fingerprint: str) -> None:
    """Writes the checkpoint below ``folder`` and deletes all but the last two.

    Raises:
        StorageError: The disk is full or the folder cannot be written to; earlier checkpoints are untouched.
    """
    state = vars(checkpoint) | {"history": [asdict(epoch) for epoch in checkpoint.history]}
    save_state(folder, len(checkpoint.history), state, fingerprint=fingerprint, prefix=PREFIX)


def load_checkpoint(folder: Path, fingerprint: str) -> Checkpoint | None:
    """Returns the newest undamaged checkpoint below ``folder`` of the run with this fingerprint; None without one."""
    found = load_state(folder, fingerprint=fingerprint, prefix=PREFIX)
    if found is None:
        return None
    state = found[1]
    return Checkpoint(**state | {"history": tuple(Epoch(**epoch) for epoch in state["history"])})


def fingerprint_of(
    network: nn.Module,
    arrays: Mapping[str, np.ndarray],
    params: LoopParameters,
    *,
    seed: int,
    precision: torch.dtype,
    n_processes: int,
) -> str:
    """Hex sha256 over what decides the course of a run: parameters, seed, precision, shapes, and a sample of the rows.

    The sample is up to 64 rows spread over each array, so that memory maps stay quick. The loss and the network's
    code are not seen: whoever calls ``train`` gives different code a different folder.
    """
    digest = sha256()
    for name, array in sorted(arrays.items()):
        rows = np.unique(np.linspace(0, max(0, len(array) - 1), _SAMPLED_ROWS).astype(np.int64))[: len(array)]
        digest.update(f"{name} {array.shape} {array.dtype}\0".encode())
        digest.update(np.ascontiguousarray(array[rows]).tobytes())
    steering = params.model_dump(exclude={"compile"})
    shapes = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    digest.update(json.dumps([steering, seed, str(precision), n_processes, shapes], sort_keys=True).encode())
    return digest.hexdigest()


def flat_state(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state as one table, ``<parameter number>.<name>`` to tensor."""
    state = optimizer.state_dict()["state"]
    return {f"{number}.{name}": tensor for number, entry in state.items() for name, tensor in entry.items()}


def restore_state(optimizer: torch.optim.Optimizer, flat: Mapping[str, Tensor]) -> None:
    """Fills a fresh optimizer of the same network from :func:`flat_state`."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in flat.items():
        number, name = key.split(".", 1)
        weight = weights[int(number)].detach()
        # Fused optimizers walk through weight and state in memory's order, so both need the same strides.
        has_its_shape = isinstance(tensor, Tensor) and tensor.shape == weight.shape
        placed = torch.empty_like(weight, dtype=tensor.dtype).copy_(tensor) if has_its_shape else tensor
        state.setdefault(int(number), {})[name] = placed
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def restore_weights(weights: Sequence[Tensor], stored: Sequence[Tensor]) -> None:
    """Copies stored tensors into weights of the same shapes, whatever their device and strides."""
    with torch.no_grad():
        for weight, tensor in zip(weights, stored, strict=True):
            weight.copy_(tensor)
