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
from torch.optim import Optimizer

from modelyard.errors import ConfigurationError
from modelyard.training.averaging import WeightAverage
from modelyard.training.batches import Batch, Batches, not_finite
from modelyard.training.faults import explained, not_finite_error
from modelyard.training.order import blocks_of, bucketed_blocks_of, row_order, share_of
from modelyard.training.parameters import LoopParameters, learning_rate
from modelyard.training.progress import Progress
from modelyard.training.randomness import reseed

Loss: TypeAlias = Callable[[Any, Batch], Tensor]

_SECONDS_BETWEEN_CHECKS = 0.25


@dataclass(frozen=True, kw_only=True)
class Part:
    """What has a loss and optimizers of its own: the whole network, or one of several parts that are trained in turns.

    Args:
        name: The network's attribute; empty for the whole network.
        loss: See :func:`modelyard.training.loop.train`.
        weights: Those that the loss moves.
        optimizers: Over these weights; the learning rates of their groups are the peaks of the schedule.
        peaks: These rates, for each optimizer and group, in shares of ``params.learning_rate``.
    """

    name: str
    loss: Loss
    weights: list[nn.Parameter]
    optimizers: list[Optimizer]
    peaks: list[list[float]]

    def step(self, rate: float, clip_norm: float | None) -> Tensor | None:
        """Moves the weights by their gradients and forgets these; returns the gradients' norm where it is clipped."""
        norm = nn.utils.clip_grad_norm_(self.weights, clip_norm) if clip_norm is not None else None
        for optimizer, peaks in zip(self.optimizers, self.peaks, strict=True):
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = rate * peak
            optimizer.step()
            optimizer.zero_grad()
        return norm


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Everything that stays the same from epoch to epoch.

    Args:
        network: The network itself.
        trained: The same weights as the loss sees them: compiled, or wrapped for several devices.
        parts: The network, or its parts in the order of their turns.
        average: Of the weights; None where the last weights count.
        batches: The rows.
        sampling_weights: See :func:`modelyard.training.order.row_order`.
        params: The loop's parameters.
        seed: Of the run.
        precision: torch.float32 or torch.bfloat16: what the loss is computed in.
        accelerator: The device and the other processes.
    """

    network: nn.Module
    trained: nn.Module
    parts: Sequence[Part]
    average: WeightAverage | None
    batches: Batches
    sampling_weights: np.ndarray | None
    params: LoopParameters
    seed: int
    precision: torch.dtype
    accelerator: Accelerator


@dataclass(frozen=True)
class Piece:
    """Rows of one forward and backward pass.

    Args:
        rows: Their numbers.
        share: Of the batch's rows; None: they are the batch.
        is_last: Whether an optimizer step follows.
    """

    rows: np.ndarray
    share: float | None
    is_last: bool


def train_epoch(setting: Setting, number: int, shown: Progress) -> tuple[dict[str, float], float, float]:
    """Trains epoch ``number`` (from 1); returns each part's mean loss, the last learning rate and rows per second.

    Raises:
        TrainingError: A loss or a gradient is not finite, or memory ran out.
    """
    accelerator = setting.accelerator
    pieces = _pieces_of(setting, number)
    # Dropout differs between processes; the order of the rows must not.
    reseed(setting.seed, number, accelerator.process_index)
    setting.trained.train()
    watch = _Watch(setting, number, pieces, shown)
    rate = _train_pieces(setting, number, pieces, watch)
    watch.check()
    seconds = time.perf_counter() - watch.started
    n_rows = sum(len(piece.rows) for piece in pieces)
    losses = {
        part.name: _mean_over_processes(accelerator, total / n_rows)
        for part, total in zip(setting.parts, watch.loss_sums, strict=True)
    }
    return losses, rate, accelerator.num_processes * n_rows / seconds


def _pieces_of(setting: Setting, number: int) -> list[Piece]:
    params, accelerator, lengths = setting.params, setting.accelerator, setting.batches.lengths
    order = row_order(setting.batches.n_rows, setting.seed, number, setting.sampling_weights)
    if accelerator.num_processes > 1:
        order = share_of(order, accelerator.process_index, accelerator.num_processes)
    batch_size = -(-params.batch_size // accelerator.num_processes)
    if lengths is None:
        blocks = blocks_of(order, batch_size)
    else:
        blocks = bucketed_blocks_of(order, batch_size, lengths, setting.seed, number)
    if params.gradient_accumulation_steps == 1:
        return [Piece(rows, None, is_last=True) for rows in blocks]
    pieces = []
    for block in blocks:
        parts = blocks_of(block, -(-batch_size // params.gradient_accumulation_steps))
        shares = [len(rows) / len(block) for rows in parts]
        pieces += [Piece(rows, share, rows is parts[-1]) for rows, share in zip(parts, shares, strict=True)]
    return pieces


def _train_pieces(setting: Setting, number: int, pieces: Sequence[Piece], watch: "_Watch") -> float:
    network, parts, params, average = setting.trained, setting.parts, setting.params, setting.average
    is_spread = setting.accelerator.num_processes > 1
    n_steps = sum(piece.is_last for piece in pieces)
    step, steps = (number - 1) * n_steps, params.epochs * n_steps
    autocast = _autocast(setting)
    rate = 0.0
    walk = setting.batches.walk([piece.rows for piece in pieces])
    with closing(walk) as batches, explained(watch, setting.batches.device, params):
        for piece, batch in zip(pieces, batches, strict=True):
            if is_spread:  # processes exchange gradients once for each step
                network.require_backward_grad_sync = piece.is_last  # type: ignore[assignment]
            rate = learning_rate(step, steps, params)
            for place, part in enumerate(parts):
                with autocast():
                    value = part.loss(network, batch)
                if value.ndim:
                    raise _no_scalar(value)
                # Accelerate's backward, step and zero_grad add 0.2 ms a step, and nothing on one device or under DDP.
                torch.autograd.backward(
                    value if piece.share is None else value * piece.share,
                    inputs=part.weights if part.name else None,
                )
                norm = part.step(rate, params.clip_norm) if piece.is_last else None
                watch.saw(place, value.detach(), norm)
            if piece.is_last:
                if average is not None:
                    average.update(step)
                step += 1
    return rate


class _Watch:
    """Sums the losses and looks for broken ones a few times a second, so that the device need not wait each step."""

    def __init__(self, setting: Setting, number: int, pieces: Sequence[Piece], shown: Progress) -> None:
        self.loss_sums = [0.0] * len(setting.parts)
        self.started = self._checked = time.perf_counter()
        self._setting, self._number, self._pieces, self._shown = setting, number, pieces, shown
        self._done, self._done_rows = 0, 0
        self._rows_before = (number - 1) * sum(len(piece.rows) for piece in pieces)
        self._losses: list[list[Tensor]] = [[] for _ in setting.parts]
        self._norms: list[Tensor] = []

    def saw(self, place: int, loss: Tensor, norm: Tensor | None) -> None:
        """Takes the loss of a part, by its place, and its gradient's norm; the last part ends a piece."""
        self._losses[place].append(loss)
        if norm is not None:
            self._norms.append(norm)
        if time.perf_counter() - self._checked > _SECONDS_BETWEEN_CHECKS and place == len(self._losses) - 1:
            self.check()

    def check(self) -> None:
        losses = [_values(one) for one in self._losses]
        self._refuse_broken(losses, _values(self._norms))
        seen = self._pieces[self._done : self._done + len(losses[0])]
        n_rows = np.array([len(piece.rows) for piece in seen], dtype=np.float64)
        self.loss_sums = [total + float(one @ n_rows) for total, one in zip(self.loss_sums, losses, strict=True)]
        self._done += len(seen)
        self._losses, self._norms = [[] for _ in losses], []
        self._done_rows += int(n_rows.sum())
        self._shown.update(
            self._rows_before + self._done_rows, f"epoch {self._number} of {self._setting.params.last_epoch}"
        )
        self._checked = time.perf_counter()

    def __str__(self) -> str:
        return self._place(self._done + len(self._losses[-1]))

    def _refuse_broken(self, losses: list[np.ndarray], norms: np.ndarray) -> None:
        parts = self._setting.parts
        # Of several parts each has a norm for each step; the last piece of a step is where they are from.
        steps = [place for place, piece in enumerate(self._pieces[self._done :]) if piece.is_last]
        found = [
            (place, number, f"The {'training loss' if not part.name else f'loss of {part.name}'} became {value:g}")
            for number, (part, one) in enumerate(zip(parts, losses, strict=True))
            for place, value in enumerate(one)
            if not np.isfinite(value)
        ]
        found += [
            (steps[place // len(parts)], place % len(parts), f"The gradient's norm became {value:g}")
            for place, value in enumerate(norms)
            if not np.isfinite(value)
        ]
        if not found:
            return
        # A broken gradient breaks the loss of the batch after it: the first of both is the cause.
        place, _, what = min(found, key=lambda one: one[:2])
        bad_rows = not_finite(self._setting.batches, self._pieces[self._done + place].rows)
        raise not_finite_error(what, self._place(self._done + place), self._setting.params, bad_rows)

    def _place(self, piece: int) -> str:
        return f"epoch {self._number}, batch {piece + 1} of {len(self._pieces)}"


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
