"""One epoch: batches through the network, gradients clipped, weights moved."""

import contextlib
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from modelyard.errors import ConfigurationError
from modelyard.training.batches import Batch, Batches, blocks_of, not_finite, share_of
from modelyard.training.faults import explained, not_finite_error
from modelyard.training.parameters import LoopParameters, learning_rate
from modelyard.training.randomness import reseed, row_order

Loss: TypeAlias = Callable[[Any, Batch], Tensor]
Progress: TypeAlias = Callable[[int, int], None]

_SECONDS_BETWEEN_CHECKS = 0.25


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Everything that stays the same from epoch to epoch.

    Args:
        network: The network itself.
        trained: The same weights as the loss sees them: compiled, or wrapped for several devices.
        optimizer: Over the network's trainable parameters.
        batches: The rows.
        sampling_weights: See :func:`modelyard.training.randomness.row_order`.
        loss: See :func:`modelyard.training.loop.train`.
        params: The loop's parameters.
        seed: Of the run.
        precision: torch.float32 or torch.bfloat16: what the loss is computed in.
        accelerator: The device and the other processes.
        progress: See :func:`modelyard.training.loop.train`.
    """

    network: nn.Module
    trained: nn.Module
    optimizer: torch.optim.Optimizer
    batches: Batches
    sampling_weights: np.ndarray | None
    loss: Loss
    params: LoopParameters
    seed: int
    precision: torch.dtype
    accelerator: Accelerator
    progress: Progress


def train_epoch(setting: Setting, number: int) -> tuple[float, float, float]:
    """Trains epoch ``number`` (from 1); returns its mean loss, last learning rate and rows per second.

    Raises:
        TrainingError: A loss or a gradient is not finite, or memory ran out.
    """
    params, accelerator = setting.params, setting.accelerator
    order = row_order(setting.batches.n_rows, setting.seed, number, setting.sampling_weights)
    if accelerator.num_processes > 1:
        order = share_of(order, accelerator.process_index, accelerator.num_processes)
    blocks = blocks_of(order, -(-params.batch_size // accelerator.num_processes))
    # Dropout differs between processes; the order above must not.
    reseed(setting.seed, number, accelerator.process_index)
    setting.trained.train()
    watch = _Watch(setting, number, blocks)
    rate = _train_batches(setting, number, blocks, watch)
    watch.check()
    seconds = time.perf_counter() - watch.started
    return (
        _mean_over_processes(accelerator, watch.loss_sum / len(order)),
        rate,
        accelerator.num_processes * len(order) / seconds,
    )


def _train_batches(setting: Setting, number: int, blocks: Sequence[np.ndarray], watch: "_Watch") -> float:
    network, loss, optimizer, params = setting.trained, setting.loss, setting.optimizer, setting.params
    (group,) = optimizer.param_groups
    weights = group["params"]
    step, steps = (number - 1) * len(blocks), params.epochs * len(blocks)
    autocast = _autocast(setting)
    rate = 0.0
    with closing(setting.batches.walk(blocks)) as batches, explained(watch, setting.batches.device, params):
        for batch in batches:
            rate = group["lr"] = learning_rate(step, steps, params)
            with autocast():
                value = loss(network, batch)
            if value.ndim:
                raise _no_scalar(value)
            # Accelerate's backward, step and zero_grad add 0.2 ms a step, and nothing on one device or under DDP.
            torch.autograd.backward(value)
            norm = nn.utils.clip_grad_norm_(weights, params.clip_norm) if params.clip_norm is not None else None
            optimizer.step()
            optimizer.zero_grad()
            watch.saw(value.detach(), norm)
            step += 1
    return rate


class _Watch:
    """Sums the losses and looks for broken ones a few times a second, so that the device need not wait each step."""

    def __init__(self, setting: Setting, number: int, blocks: Sequence[np.ndarray]) -> None:
        self.loss_sum = 0.0
        self.started = self._checked = time.perf_counter()
        self._setting, self._number, self._blocks = setting, number, blocks
        self._done = 0
        self._losses: list[Tensor] = []
        self._norms: list[Tensor] = []

    def saw(self, loss: Tensor, norm: Tensor | None) -> None:
        self._losses.append(loss)
        if norm is not None:
            self._norms.append(norm)
        if time.perf_counter() - self._checked > _SECONDS_BETWEEN_CHECKS:
            self.check()

    def check(self) -> None:
        losses = _values(self._losses)
        self._refuse_broken({"The training loss": losses, "The gradient's norm": _values(self._norms)})
        seen = self._blocks[self._done : self._done + len(losses)]
        self.loss_sum += float(losses @ np.array([len(rows) for rows in seen], dtype=np.float64))
        self._done += len(losses)
        self._losses, self._norms = [], []
        self._setting.progress((self._number - 1) * len(self._blocks) + self._done, self._total())
        self._checked = time.perf_counter()

    def __str__(self) -> str:
        return self._place(self._done + len(self._losses))

    def _refuse_broken(self, seen: dict[str, np.ndarray]) -> None:
        broken = [
            (int(batch), what) for what, values in seen.items() for batch in np.flatnonzero(~np.isfinite(values))[:1]
        ]
        if not broken:
            return
        # A broken gradient breaks the loss of the batch after it: the first of both is the cause.
        batch, what = min(broken, key=lambda found: found[0])
        found = f"{what} became {seen[what][batch]:g}"
        bad_rows = not_finite(self._setting.batches.host, self._blocks[self._done + batch])
        raise not_finite_error(found, self._place(self._done + batch), self._setting.params, bad_rows)

    def _place(self, batch: int) -> str:
        return f"epoch {self._number}, batch {batch + 1} of {len(self._blocks)}"

    def _total(self) -> int:
        return self._setting.params.last_epoch * len(self._blocks)


def _values(scalars: list[Tensor]) -> np.ndarray:
    return torch.stack(scalars).cpu().double().numpy() if scalars else np.empty(0)


def _mean_over_processes(accelerator: Accelerator, value: float) -> float:
    if accelerator.num_processes == 1:
        return value
    return float(accelerator.reduce(torch.tensor(value, device=accelerator.device), "mean"))


def _no_scalar(value: Tensor) -> ConfigurationError:
    return ConfigurationError(
        f"The loss has shape {tuple(value.shape)}; it must be one number.",
        where="the loss function given to train",
        way_out="return the mean over the batch",
    )


def _autocast(setting: Setting) -> Callable[[], AbstractContextManager[object]]:
    if setting.precision == torch.float32:
        return contextlib.nullcontext
    return lambda: torch.autocast(setting.batches.device.type, setting.precision)
