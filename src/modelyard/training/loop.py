"""The training loop: epochs, the best of them, and continuing where a killed run stopped."""

import contextlib
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import Tensor, nn

from modelyard.errors import ConfigurationError
from modelyard.project import FitRun
from modelyard.startup.torch_compiler import compiler_unloaded
from modelyard.training.batches import Array, Batch, Batches
from modelyard.training.checkpoints import (
    Checkpoint,
    Epoch,
    discard_remains,
    fingerprint_of,
    flat_state,
    load_checkpoint,
    restore_state,
    save_checkpoint,
)
from modelyard.training.devices import find_precision, has_convolutions
from modelyard.training.epochs import Setting, train_epoch
from modelyard.training.faults import TrainingError
from modelyard.training.parameters import LoopParameters
from modelyard.training.process_state import accelerator_on, cpu_threads
from modelyard.training.randomness import seeded
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
    loss: Callable[[Network, Batch], Tensor],
    params: LoopParameters,
    *,
    run: FitRun,
    evaluate: Callable[[Network], float] | None = None,
    greater_is_better: bool = False,
    sampling_weights: np.ndarray | None = None,
    is_resumable: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> TrainingResult[Network]:
    """Trains ``network`` in place with AdamW.

    The same seed, network, rows and parameters give the same bits on one CPU with one number of threads, whether
    or not the run was killed and resumed. Random generators, threads and accelerate's state are left as found.

    Args:
        network: Built inside :func:`modelyard.training.randomness.seeded` if its first weights are to be repeatable.
        arrays: Name to array of shape (N, ...); see :class:`modelyard.training.batches.Batches`.
        loss: ``loss(network, batch)`` returns the mean loss of a batch (name to tensor of shape (B, ...)), a
            scalar. It calls the network itself, not its methods (only that call is seen by several devices), and
            keeps no tensor of the batch, whose memory the next one uses. Where the precision is bfloat16 it runs under
            autocast: what needs more digits takes ``logits.float()``.
        params: See :class:`LoopParameters`.
        run: What ``fit`` was given: the seed orders the rows and seeds dropout; ``report(epoch, value)`` comes after
            each epoch with ``evaluate``, and on resuming once more for each epoch before. What it raises (a pruned
            trial) passes through; the epoch has been written by then. Of several networks each gets a run of its own:
            ``dataclasses.replace(run, seed=..., folder=run.folder / "network_1", report=...)``.
        evaluate: ``evaluate(network)`` returns a value on validation rows after each epoch; called without
            gradients, in evaluation mode and in float32. None: the last epoch is the best.
        greater_is_better: Direction of that value.
        sampling_weights: (N,) numbers >= 0; rows are drawn in proportion, with replacement. None: each once.
        is_resumable: Whether each epoch is written below ``run.folder``, after the last of which a re-run with the
            same folder continues.
        progress: ``progress(batches_done, batches_in_all)`` about four times a second, for a progress bar. Each
            epoch also is a line in the log at level INFO.

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
            optimizer=_adamw(network, params, accelerator.device),
            batches=batches,
            sampling_weights=_checked_weights(sampling_weights, batches.n_rows),
            loss=loss,
            params=params,
            seed=run.seed,
            precision=precision,
            accelerator=accelerator,
            progress=progress or _no_progress,
        )
        course = _Course(setting, evaluate, greater_is_better, run.folder if is_resumable else None)
        course.resume(run.report)
        while not course.is_finished:
            course.advance(run.report)
        network.load_state_dict(course.best_weights or network.state_dict())
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
        self.best_weights: dict[str, Tensor] | None = None
        self.is_finished = False
        self._setting, self._evaluate, self._folder = setting, evaluate, checkpoints
        self._sign = 1 if greater_is_better else -1
        self._fingerprint = _fingerprint(setting) if checkpoints else ""

    def resume(self, report: Callable[[int, float], None]) -> None:
        if self._folder is None:
            return
        found = load_checkpoint(self._folder, self._fingerprint)
        if found is not None:
            self.history, self.best_epoch = list(found.history), found.best_epoch
            self.best_weights, self.is_finished = found.best or found.network, found.is_finished
            self._setting.network.load_state_dict(found.network)
            restore_state(self._setting.optimizer, found.optimizer)
            logger.info("Continuing after epoch %d, found in %s.", len(self.history), self._folder)
        if self._is_main():
            discard_remains(self._folder, len(self.history))
        for epoch in self.history:
            self._report(epoch, report)

    def advance(self, report: Callable[[int, float], None]) -> None:
        params = self._setting.params
        number = len(self.history) + 1
        loss, rate, speed = train_epoch(self._setting, number)
        epoch = Epoch(
            number=number,
            train_loss=loss,
            value=self._value(number),
            learning_rate=rate,
            samples_per_second=speed,
        )
        if self._is_better(epoch):
            self.best_epoch = number
            self.best_weights = None if epoch.value is None else snapshot(self._setting.network)
        self.history.append(epoch)
        has_lost_patience = params.patience is not None and number - self.best_epoch >= params.patience
        self.is_finished = number >= params.last_epoch or has_lost_patience
        self._log(epoch)
        self._save()
        self._report(epoch, report)

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
            best=None if self.best_epoch == len(self.history) else self.best_weights,
            optimizer=flat_state(self._setting.optimizer),
        )
        save_checkpoint(self._folder, checkpoint, self._fingerprint)

    def _report(self, epoch: Epoch, report: Callable[[int, float], None]) -> None:
        if epoch.value is not None and self._is_main():
            report(epoch.number, epoch.value)

    def _log(self, epoch: Epoch) -> None:
        if not self._is_main():
            return
        value = "" if epoch.value is None else f", valid {epoch.value:.5g}"
        logger.info(
            "Epoch %d/%d: loss %.5g%s%s, learning rate %.3g, %s rows/s.%s",
            epoch.number,
            self._setting.params.last_epoch,
            epoch.train_loss,
            value,
            " (best)" if value and self.best_epoch == epoch.number else "",
            epoch.learning_rate,
            f"{epoch.samples_per_second:,.0f}",
            f" Stopping: epoch {self.best_epoch} stays the best." if self._stops_early() else "",
        )

    def _stops_early(self) -> bool:
        return self.is_finished and len(self.history) < self._setting.params.last_epoch

    def _is_main(self) -> bool:
        return bool(self._setting.accelerator.is_main_process)


def _for_training(network: nn.Module, params: LoopParameters, accelerator: Accelerator) -> nn.Module:
    # On one device accelerate would only mark the network as prepared, and then not move it the next time.
    trained = accelerator.prepare_model(network) if accelerator.num_processes > 1 else network
    return cast(nn.Module, torch.compile(trained) if params.compile else trained)


def _adamw(network: nn.Module, params: LoopParameters, device: torch.device) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101) over one group of weights.

    A second group, which would spare biases and norms the decay, would launch its kernels twice in each step.
    """
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    if not weights:
        raise ConfigurationError("The network has no weights to train.", where=type(network).__name__)
    is_fused = device.type in ("cpu", "cuda") and all(weight.is_floating_point() for weight in weights)
    return torch.optim.AdamW(weights, lr=params.learning_rate, weight_decay=params.weight_decay, fused=is_fused)


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
    arrays = dict(setting.batches.host)
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


def _no_progress(done: int, total: int) -> None:
    """Nobody watches."""
