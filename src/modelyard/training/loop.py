"""The training loop: epochs, the best of them, and continuing where a killed run stopped."""

import contextlib
import logging
import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import Tensor, nn
from torch.optim import Optimizer

from modelyard.errors import ConfigurationError
from modelyard.project import FitRun
from modelyard.startup.torch_compiler import compiler_unloaded
from modelyard.training.averaging import WeightAverage
from modelyard.training.batches import Array, Batches
from modelyard.training.checkpoints import (
    PREFIX,
    Checkpoint,
    Epoch,
    fingerprint_of,
    flat_state,
    load_checkpoint,
    restore_state,
    restore_weights,
    save_checkpoint,
)
from modelyard.training.devices import find_precision, has_convolutions
from modelyard.training.epochs import Loss, Part, Setting, train_epoch
from modelyard.training.faults import TrainingError
from modelyard.training.optimizers import OptimizerFactory, named_optimizers
from modelyard.training.parameters import LoopParameters
from modelyard.training.process_state import accelerator_on, cpu_threads
from modelyard.training.progress import Progress, progress
from modelyard.training.randomness import seeded
from modelyard.training.resume import discard_remains
from modelyard.training.weights import snapshot

logger = logging.getLogger(__name__)

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class TrainingResult(Generic[Network]):
    """What :func:`train` returns.

    Args:
        network: The network that was given, with its best weights, in evaluation mode, on the device it trained on.
        best_epoch: Number (from 1) of the epoch those weights are from; ``params.stopping_after(best_epoch)`` refits
            without validation rows.
        history: The epochs, also those from before a resumed run was killed.
    """

    network: Network
    best_epoch: int
    history: tuple[Epoch, ...]

    @property
    def best(self) -> Epoch:
        """The record of the best epoch."""
        return self.history[self.best_epoch - 1]


def train(
    network: Network,
    arrays: Mapping[str, Array],
    loss: Loss | Mapping[str, Loss],
    params: LoopParameters,
    *,
    run: FitRun,
    evaluate: Callable[[Network], float] | None = None,
    greater_is_better: bool = False,
    sampling_weights: np.ndarray | None = None,
    optimizer: OptimizerFactory | Mapping[str, OptimizerFactory] | None = None,
    is_resumable: bool = True,
) -> TrainingResult[Network]:
    """Trains ``network`` in place.

    The same seed, network, rows and parameters give the same bits on one CPU with one number of threads, whether
    or not the run was killed and resumed. Random generators, threads and accelerate's state are left as found. Each
    epoch is a line in the log at level INFO; within long ones progress is shown (:mod:`modelyard.training.progress`).

    Args:
        network: Built inside :func:`modelyard.training.randomness.seeded` if its first weights are to be repeatable.
        arrays: Name to array of shape (N, ...), or to rows of different lengths; see
            :class:`modelyard.training.batches.Batches`.
        loss: ``loss(network, batch)`` returns the mean loss of a batch (name to tensor of shape (B, ...)), a
            scalar. It calls the network itself, not its methods (only that call is seen by several devices), and
            keeps no tensor of the batch, whose memory the next one uses. Where the precision is bfloat16 it runs under
            autocast: what needs more digits takes ``logits.float()``. Of adversaries a mapping: names of the network's
            attributes to losses. In each batch they take turns in this order, and each moves its own weights only.
        params: See :class:`LoopParameters`.
        run: What ``fit`` was given: the seed orders the rows and seeds dropout; ``report(epoch, value)`` comes after
            each epoch with ``evaluate``, and on resuming once more for each epoch before. What it raises (a pruned
            trial) passes through; the epoch has been written by then. Of several networks each gets a run of its own:
            ``dataclasses.replace(run, seed=..., folder=run.folder / "network_1", report=...)``.
        evaluate: ``evaluate(network)`` returns a value on validation rows after each epoch; called without
            gradients, in evaluation mode and in float32. None: the last epoch is the best.
        greater_is_better: Direction of that value.
        sampling_weights: (N,) numbers >= 0; rows are drawn in proportion, with replacement. None: each once.
        optimizer: ``optimizer(network)`` returns one of torch's optimizers or several, whose learning rates are the
            peaks of the schedule; for parts a mapping of their names. None: what ``params.optimizer`` names.
        is_resumable: Whether each epoch is written below ``run.folder``, after the last of which a re-run with the
            same folder continues.

    Returns:
        The network with its best weights, and how it got there.

    Raises:
        TrainingError: A loss, gradient or validation value is not finite, or memory ran out.
        ConfigurationError: The arrays, the loss or the device do not fit.
        DataContractError: There are no rows.
        StorageError: A checkpoint cannot be written; the one before is kept.
    """
    with (
        cpu_threads(run.n_threads),
        seeded(run.seed),
        accelerator_on(run.device) as accelerator,
        contextlib.nullcontext() if params.compile or accelerator.num_processes > 1 else compiler_unloaded(),
    ):
        batches = Batches(arrays, accelerator.device, params.batch_size)
        precision = find_precision(run.precision, accelerator.device, network)
        logger.info("Training on %s in %s.", accelerator.device, str(precision).removeprefix("torch."))
        network.to(accelerator.device)
        is_channels_last = precision == torch.bfloat16 and has_convolutions(network)
        if is_channels_last:  # the layout that bfloat16 kernels are written for
            nn.utils.convert_conv2d_weight_memory_format(network, torch.channels_last)
        setting = Setting(
            network=network,
            trained=_for_training(network, params, accelerator),
            parts=_parts(network, loss, optimizer, params, accelerator),
            average=None if params.ema_decay is None else WeightAverage(network, params.ema_decay),
            batches=batches,
            sampling_weights=_checked_weights(sampling_weights, batches.n_rows),
            params=params,
            seed=run.seed,
            precision=precision,
            accelerator=accelerator,
        )
        course = _Course(setting, evaluate, greater_is_better, run.folder if is_resumable else None)
        course.resume(run.report)
        rows_per_epoch = -(-batches.n_rows // accelerator.num_processes)
        done, total = len(course.history) * rows_per_epoch, params.last_epoch * rows_per_epoch
        with progress("Training", total, done=done, is_shown=accelerator.is_main_process) as shown:
            while not course.is_finished:
                course.advance(run.report, shown)
        network.load_state_dict(course.best_weights())
        if is_channels_last:  # as a loaded network: what is served has to be the same bits
            nn.utils.convert_conv2d_weight_memory_format(network, torch.contiguous_format)
        return TrainingResult(network=network.eval(), best_epoch=course.best_epoch, history=tuple(course.history))


class _Course:
    """How far training has come."""

    def __init__(
        self,
        setting: Setting,
        evaluate: Callable[[Any], float] | None,
        greater_is_better: bool,
        checkpoints: Path | None,
    ) -> None:
        self.history: list[Epoch] = []
        self.best_epoch = 0
        self.is_finished = False
        self._best: dict[str, Tensor] | None = None
        self._setting, self._evaluate, self._folder = setting, evaluate, checkpoints
        self._sign = 1 if greater_is_better else -1
        self._fingerprint = _fingerprint(setting) if checkpoints else ""

    def resume(self, report: Callable[[int, float], None]) -> None:
        if self._folder is None:
            return
        found = load_checkpoint(self._folder, self._fingerprint)
        if found is not None:
            self.history, self.best_epoch, self.is_finished = list(found.history), found.best_epoch, found.is_finished
            self._setting.network.load_state_dict(found.network)
            for optimizer, state in zip(self._optimizers(), found.optimizers, strict=True):
                restore_state(optimizer, state)
            if self._setting.average is not None:
                restore_weights(self._setting.average.average, found.average)
            self._best = found.best or self._counting_weights()
            logger.info("Continuing after epoch %d, found in %s.", len(self.history), self._folder)
        if self._is_main():
            discard_remains(self._folder, len(self.history), PREFIX)
        for epoch in self.history:
            self._report(epoch, report)

    def advance(self, report: Callable[[int, float], None], shown: Progress) -> None:
        params = self._setting.params
        number = len(self.history) + 1
        losses, rate, speed = train_epoch(self._setting, number, shown)
        with self._averaged():
            value = self._value(number)
            epoch = Epoch(
                number=number,
                train_loss=sum(losses.values()),
                value=value,
                learning_rate=rate,
                samples_per_second=speed,
                part_losses=losses if len(losses) > 1 else {},
            )
            if self._is_better(epoch):
                self.best_epoch = number
                self._best = None if value is None else snapshot(self._setting.network)
        self.history.append(epoch)
        has_lost_patience = params.patience is not None and number - self.best_epoch >= params.patience
        self.is_finished = number >= params.last_epoch or has_lost_patience
        self._log(epoch)
        self._save()
        self._report(epoch, report)

    def best_weights(self) -> dict[str, Tensor]:
        """Those of the best epoch."""
        return self._best or self._counting_weights()

    def _counting_weights(self) -> dict[str, Tensor]:
        with self._averaged():
            return snapshot(self._setting.network)

    def _averaged(self) -> AbstractContextManager[None]:
        average = self._setting.average
        return contextlib.nullcontext() if average is None else average.in_place()

    def _value(self, number: int) -> float | None:
        if self._evaluate is None:
            return None
        network = self._setting.network.eval()
        shared: list[float | None] = [None]
        if self._is_main():
            with torch.no_grad():
                shared = [float(self._evaluate(network))]
        value = broadcast_object_list(shared)[0]
        if not math.isfinite(value):
            raise TrainingError(
                f"The validation value became {value:g}.",
                where=f"epoch {number}",
                way_out="look at the validation rows (missing values, one class only); if the training loss grows too, "
                f"lower learning_rate (now {self._setting.params.learning_rate:g})",
            )
        return float(value)

    def _is_better(self, epoch: Epoch) -> bool:
        if epoch.value is None or not self.history:
            return True
        best = self.history[self.best_epoch - 1].value
        return best is None or self._sign * epoch.value > self._sign * best

    def _save(self) -> None:
        if self._folder is None or not self._is_main():
            return
        checkpoint = Checkpoint(
            history=tuple(self.history),
            best_epoch=self.best_epoch,
            is_finished=self.is_finished,
            network=self._setting.network.state_dict(),
            best=None if self.best_epoch == len(self.history) else self._best,
            optimizers=[flat_state(optimizer) for optimizer in self._optimizers()],
            average=[] if self._setting.average is None else self._setting.average.average,
        )
        save_checkpoint(self._folder, checkpoint, self._fingerprint)

    def _report(self, epoch: Epoch, report: Callable[[int, float], None]) -> None:
        if epoch.value is not None and self._is_main():
            report(epoch.number, epoch.value)

    def _log(self, epoch: Epoch) -> None:
        if not self._is_main():
            return
        value = "" if epoch.value is None else f", valid {epoch.value:.5g}"
        parts = ", ".join(f"{name} {loss:.5g}" for name, loss in epoch.part_losses.items())
        logger.info(
            "Epoch %d/%d: loss %.5g%s%s%s, learning rate %.3g, %s rows/s.%s",
            epoch.number,
            self._setting.params.last_epoch,
            epoch.train_loss,
            f" ({parts})" if parts else "",
            value,
            " (best)" if value and self.best_epoch == epoch.number else "",
            epoch.learning_rate,
            f"{epoch.samples_per_second:,.0f}",
            f" Stopping: epoch {self.best_epoch} stays the best." if self._stops_early() else "",
        )

    def _stops_early(self) -> bool:
        return self.is_finished and len(self.history) < self._setting.params.last_epoch

    def _optimizers(self) -> list[Optimizer]:
        return [optimizer for part in self._setting.parts for optimizer in part.optimizers]

    def _is_main(self) -> bool:
        return bool(self._setting.accelerator.is_main_process)


def _for_training(network: nn.Module, params: LoopParameters, accelerator: Accelerator) -> nn.Module:
    # On one device accelerate would only mark the network as prepared, and then not move it the next time.
    trained = accelerator.prepare_model(network) if accelerator.num_processes > 1 else network
    return cast(nn.Module, torch.compile(trained) if params.compile else trained)


def _parts(
    network: nn.Module,
    loss: Loss | Mapping[str, Loss],
    optimizer: OptimizerFactory | Mapping[str, OptimizerFactory] | None,
    params: LoopParameters,
    accelerator: Accelerator,
) -> list[Part]:
    if not isinstance(loss, Mapping):
        return [_part("", network, loss, optimizer, params)]
    if params.compile or params.gradient_accumulation_steps > 1 or accelerator.num_processes > 1:
        raise ConfigurationError(
            "Parts of a network that take turns train on one device, in whole batches and without torch.compile.",
            where="the losses given to train",
            way_out="set compile to false and gradient_accumulation_steps to 1, and start one process",
        )
    missing = [name for name in loss if not isinstance(getattr(network, name, None), nn.Module)]
    if missing or not loss:
        raise ConfigurationError(
            f"The network {type(network).__name__} has no part {', '.join(map(repr, missing)) or 'to train'}.",
            where="the losses given to train",
            way_out="name the attributes of the network that hold the modules which take turns",
        )
    return [_part(name, getattr(network, name), one, optimizer, params) for name, one in loss.items()]


def _part(
    name: str,
    network: nn.Module,
    loss: Loss,
    optimizer: OptimizerFactory | Mapping[str, OptimizerFactory] | None,
    params: LoopParameters,
) -> Part:
    factory = optimizer.get(name) if isinstance(optimizer, Mapping) else optimizer
    made = named_optimizers(network, params) if factory is None else factory(network)
    optimizers = [made] if isinstance(made, Optimizer) else list(made)
    peaks = [[group["lr"] / params.learning_rate for group in one.param_groups] for one in optimizers]
    weights = [weight for one in optimizers for group in one.param_groups for weight in group["params"]]
    return Part(name=name, loss=loss, weights=weights, optimizers=optimizers, peaks=peaks)


def _checked_weights(sampling_weights: np.ndarray | None, n_rows: int) -> np.ndarray | None:
    if sampling_weights is None:
        return None
    weights = np.asarray(sampling_weights, dtype=np.float64)
    if weights.shape != (n_rows,) or not np.isfinite(weights).all() or weights.min() < 0 or weights.sum() == 0:
        raise ConfigurationError(
            f"The sampling weights (shape {weights.shape}) are not one finite number >= 0 for each of {n_rows} rows, "
            "with at least one above 0.",
            where="sampling_weights",
        )
    return weights


def _fingerprint(setting: Setting) -> str:
    arrays = setting.batches.flat()
    if setting.sampling_weights is not None:
        arrays["sampling weights"] = setting.sampling_weights
    return fingerprint_of(
        setting.network,
        arrays,
        setting.params,
        seed=setting.seed,
        precision=setting.precision,
        n_processes=setting.accelerator.num_processes,
    )
