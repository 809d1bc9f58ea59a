"""Checkpoints of a run: one folder for each of the last two epochs, whole or not at all, without pickle.

``epoch_0007/state.json`` says where the run stands and the digest of ``tensors.safetensors`` beside it, which holds
the network, the optimizer's state and, where they differ, the best weights. Generators need no state: every epoch
seeds its own (:mod:`modelyard.training.randomness`), and the learning rate follows from the step.
"""

import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from modelyard.files import atomic_directory
from modelyard.training.parameters import LoopParameters
from modelyard.training.weights import to_bytes

logger = logging.getLogger(__name__)

_FORMAT = 1
_KEPT = 2
_SAMPLED_ROWS = 64


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """What one epoch did.

    Args:
        number: Counted from 1.
        train_loss: Mean loss over the epoch's rows, while the weights were changing.
        value: What ``evaluate`` returned after it; None without one.
        learning_rate: Of its last step.
        samples_per_second: Rows per second of training, without evaluation and checkpoint.
    """

    number: int
    train_loss: float
    value: float | None
    learning_rate: float
    samples_per_second: float


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A run after an epoch.

    Args:
        history: The epochs so far.
        best_epoch: Number of the best one.
        is_finished: Whether nothing is left to train.
        network: The network's state after the last epoch.
        best: Its state after the best one; None where that is the last.
        optimizer: State of the optimizer, see :func:`flat_state`.
    """

    history: tuple[Epoch, ...]
    best_epoch: int
    is_finished: bool
    network: dict[str, Tensor]
    best: dict[str, Tensor] | None
    optimizer: dict[str, Tensor]


def save_checkpoint(folder: Path, checkpoint: Checkpoint, fingerprint: str) -> None:
    """Writes the checkpoint below ``folder`` and deletes all but the last two.

    Raises:
        StorageError: The disk is full or the folder cannot be written to; earlier checkpoints are untouched.
    """
    parts = {"network": checkpoint.network, "best": checkpoint.best or {}, "optimizer": checkpoint.optimizer}
    content = to_bytes(
        {f"{part}.{name}": tensor for part, tensors in parts.items() for name, tensor in tensors.items()}
    )
    state = {
        "format": _FORMAT,
        "fingerprint": fingerprint,
        "best_epoch": checkpoint.best_epoch,
        "is_finished": checkpoint.is_finished,
        "history": [asdict(epoch) for epoch in checkpoint.history],
        "tensors_sha256": sha256(content).hexdigest(),
    }
    with atomic_directory(folder / f"epoch_{len(checkpoint.history):04d}") as temporary:
        (temporary / "tensors.safetensors").write_bytes(content)
        (temporary / "state.json").write_text(json.dumps(state, indent=1), encoding="utf-8")
    for old in _folders(folder)[:-_KEPT]:
        shutil.rmtree(old, ignore_errors=True)


def load_checkpoint(folder: Path, fingerprint: str) -> Checkpoint | None:
    """The newest undamaged checkpoint below ``folder`` of the run with this fingerprint; None where there is none.

    Damaged ones, and those of another run, are passed over with one line in the log.
    """
    for path in reversed(_folders(folder)):
        try:
            return _read(path, fingerprint)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            logger.warning("Checkpoint %s is left out (%s); an earlier state is used.", path, error)
    return None


def discard_remains(folder: Path, last_epoch: int) -> None:
    """Deletes half-written folders of a killed run, and checkpoints behind ``last_epoch`` that were left out."""
    for path in [*folder.glob(".epoch_*.part"), *(p for p in _folders(folder) if _number(p) > last_epoch)]:
        shutil.rmtree(path, ignore_errors=True)


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
        rows = np.unique(np.linspace(0, len(array) - 1, _SAMPLED_ROWS).astype(np.int64))
        digest.update(f"{name} {array.shape} {array.dtype}\0".encode())
        digest.update(np.ascontiguousarray(array[rows]).tobytes())
    steering = params.model_dump(exclude={"compile"})
    shapes = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    run = [_FORMAT, steering, seed, str(precision), n_processes, shapes]
    digest.update(json.dumps(run, sort_keys=True).encode())
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
        weight = weights[int(number)]
        # Fused optimizers walk through weight and state in memory's order, so both need the same strides.
        has_its_shape = tensor.shape == weight.shape
        placed = torch.empty_like(weight.detach(), dtype=tensor.dtype).copy_(tensor) if has_its_shape else tensor
        state.setdefault(int(number), {})[name] = placed
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _read(path: Path, fingerprint: str) -> Checkpoint:
    state: dict[str, Any] = json.loads((path / "state.json").read_text(encoding="utf-8"))
    if state["fingerprint"] != fingerprint:
        raise ValueError("it belongs to a run with other data, parameters or another network")
    content = (path / "tensors.safetensors").read_bytes()
    if sha256(content).hexdigest() != state["tensors_sha256"]:
        raise ValueError("it is damaged: its tensors are not those that were written")
    parts: dict[str, dict[str, Tensor]] = {"network": {}, "best": {}, "optimizer": {}}
    for key, tensor in safetensors.torch.load(content).items():
        part, name = key.split(".", 1)
        parts[part][name] = tensor
    return Checkpoint(
        history=tuple(Epoch(**epoch) for epoch in state["history"]),
        best_epoch=state["best_epoch"],
        is_finished=state["is_finished"],
        network=parts["network"],
        best=parts["best"] or None,
        optimizer=parts["optimizer"],
    )


def _folders(folder: Path) -> list[Path]:
    return sorted(folder.glob("epoch_[0-9][0-9][0-9][0-9]*"), key=_number)


def _number(path: Path) -> int:
    return int(path.name.removeprefix("epoch_"))
