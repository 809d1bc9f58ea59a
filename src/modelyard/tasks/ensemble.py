"""Several networks that are trained alike from different seeds and vote: Lakshminarayanan et al. 2017, deep ensembles.

https://arxiv.org/abs/1612.01474. Shapes: M networks, N rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from modelyard.model_files import load_networks, load_parameters, save_model
from modelyard.project import FitRun
from modelyard.training.parameters import LoopParameters

if TYPE_CHECKING:
    from torch import Tensor, nn

    from modelyard.training.batches import Array, Batch

Params = TypeVar("Params", bound=BaseModel)
Network = TypeVar("Network", bound="nn.Module")

_SEED_STEP = 1000
"""Between the seeds of two networks, so that neighbouring seeds of a run share none."""


@dataclass(frozen=True, kw_only=True)
class Ensemble(Generic[Params]):
    """A trained model of several networks.

    Args:
        params: What it was fitted with, ``ensemble_size`` among them; all that validation rows decided is filled in.
        networks: M of them, on the CPU, in evaluation mode.
    """

    params: Params
    networks: Sequence[Any]


def fit_ensemble(
    build: Callable[[], Network],
    arrays: Mapping[str, Array],
    loss: Callable[[Network, Batch], Tensor],
    loop: LoopParameters,
    run: FitRun,
    *,
    ensemble_size: int,
    best_epochs: Sequence[int] = (),
    evaluate: Callable[[Network], float] | None = None,
    greater_is_better: bool = True,
) -> tuple[list[Network], tuple[int, ...]]:
    """Trains the networks one after the other; a re-run after a kill continues in the epoch where it stopped.

    Args:
        build: Returns an untrained network; its first weights are drawn from torch's generator.
        arrays: Name to array of shape (N, ...), the training rows.
        loss: ``loss(network, batch)`` returns the mean loss of a batch; see :func:`modelyard.training.loop.train`.
        loop: Of each network.
        run: What ``fit`` was given. Values are reported network by network: epoch e of network m (from 0) is step
            m * ``loop.epochs`` + e.
        ensemble_size: Networks (M).
        best_epochs: Epochs after which to stop, one per network, as an earlier call returned them; empty: none.
        evaluate: ``evaluate(network)`` returns a value on validation rows. None: every epoch is trained.
        greater_is_better: Direction of that value.

    Returns:
        The networks on the CPU in evaluation mode, and the epoch that each is from.
    """
    from modelyard.training.loop import train
    from modelyard.training.randomness import seeded

    networks, epochs = [], []
    for number in range(ensemble_size):
        own = replace(
            run,
            seed=run.seed + _SEED_STEP * number,
            folder=run.folder / f"network_{number}",
            report=_shifted(run.report, number * loop.epochs),
        )
        params = loop.stopping_after(best_epochs[number]) if number < len(best_epochs) else loop
        with seeded(own.seed):
            network = build()
        result = train(network, arrays, loss, params, run=own, evaluate=evaluate, greater_is_better=greater_is_better)
        networks.append(result.network.cpu())
        epochs.append(result.best_epoch)
    return networks, tuple(epochs)


def _shifted(report: Callable[[int, float], None], steps: int) -> Callable[[int, float], None]:
    return lambda epoch, value: report(steps + epoch, value)


def ensemble_logits(
    networks: Sequence[Network],
    arrays: Mapping[str, Array],
    forward: Callable[[Network, Batch], Tensor],
    batch_size: int = 256,
) -> NDArray[np.float64]:
    """Returns what each network answers for each row, shape (M, N, ...).

    Args:
        networks: M of them.
        arrays: Name to array of shape (N, ...), N > 0.
        forward: ``forward(network, batch)`` returns a tensor of shape (B, ...).
        batch_size: Rows at once; bounds the memory.
    """
    from modelyard.training.prediction import predict

    answers = [predict(network, arrays, forward=forward, batch_size=batch_size) for network in networks]
    return np.stack(answers).astype(np.float64)


def save_ensemble(model: Ensemble[Any], folder: Path) -> None:
    """Writes parameters and weights into an empty folder.

    Raises:
        StorageError: The disk is full or the folder cannot be written to.
    """
    save_model(folder, params=model.params, networks=model.networks)


def load_ensemble(folder: Path, kind: type[Params], build: Callable[[Params], nn.Module]) -> Ensemble[Params]:
    """Reads what :func:`save_ensemble` wrote; the model answers the same, to the bit.

    Args:
        folder: The model's.
        kind: Of its parameters; they have ``ensemble_size``.
        build: ``build(params)`` returns an untrained network.

    Raises:
        StorageError: A file is missing or damaged.
    """
    params = load_parameters(folder, kind)
    n_networks: int = params.ensemble_size  # type: ignore[attr-defined]  # every ensemble's parameters have it
    return Ensemble(params=params, networks=load_networks(folder, lambda: build(params), n_networks))
