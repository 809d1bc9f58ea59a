"""A small fit for the tests; also run as a program, to be killed or to be one of several processes.

python toy.py kill FOLDER EPOCH      trains with checkpoints and ends itself with SIGKILL after an epoch
python toy.py process FOLDER OUT     trains half batches, as torchrun says, and writes its weights to OUT
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from modelyard.project import Device, FitRun, Precision
from modelyard.training.batches import Batch
from modelyard.training.loop import TrainingResult, train
from modelyard.training.parameters import LoopParameters
from modelyard.training.prediction import predict
from modelyard.training.randomness import seeded
from modelyard.training.weights import save_weights

PARAMS = LoopParameters(epochs=6, batch_size=32, learning_rate=0.02)
N_ROWS = 301


def rows(seed: int, n_rows: int = N_ROWS) -> dict[str, np.ndarray]:
    """(N, 6) float32 inputs; the label is whether the first two have the same sign."""
    x = np.random.default_rng(seed).normal(size=(n_rows, 6)).astype(np.float32)
    return {"x": x, "y": x[:, 0] * x[:, 1] > 0}


def network(dropout: float = 0.2) -> nn.Sequential:
    """Two layers with batch normalisation and dropout: state that a resumed run has to bring back."""
    with seeded(1):
        return nn.Sequential(
            nn.Linear(6, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Dropout(dropout), nn.Linear(24, 1), nn.Flatten(0)
        )


def loss(network: nn.Module, batch: Batch) -> Tensor:
    """Mean binary cross-entropy."""
    return nn.functional.binary_cross_entropy_with_logits(network(batch["x"]), batch["y"].float())


def scores(network: nn.Module, seed: int = 2) -> np.ndarray:
    """Logits of held-out rows."""
    return predict(network, {"input": rows(seed)["x"]})


def accuracy(network: nn.Module) -> float:
    """On held-out rows."""
    return float(((scores(network) > 0) == rows(2)["y"]).mean())


def fit(
    params: LoopParameters = PARAMS,
    *,
    seed: int = 5,
    checkpoints: Path | None = None,
    report: Callable[[int, float], None] = lambda epoch, value: None,
    n_threads: int = 1,
    device: Device = "cpu",
    precision: Precision = "auto",
    **options: Any,
) -> TrainingResult[nn.Module]:
    """The toy fit; ``options`` replace arguments of ``train``."""
    arguments: dict[str, Any] = {
        "network": network(),
        "arrays": rows(1),
        "loss": loss,
        "evaluate": accuracy,
        "greater_is_better": True,
        "is_resumable": checkpoints is not None,
        "run": FitRun(
            seed=seed,
            folder=checkpoints or Path("nothing is written"),
            report=report,
            n_threads=n_threads,
            device=device,
            precision=precision,
        ),
    }
    return train(**(arguments | options), params=params)


def even() -> dict[str, Any]:
    """Arguments for one process or two: 320 rows are whole batches for both, and nothing is drawn but the order."""
    with seeded(1):
        return {"network": nn.Sequential(nn.Linear(6, 1), nn.Flatten(0)), "arrays": rows(1, 320)}


def _die_after(epoch: int) -> Any:
    def report(number: int, value: float) -> None:
        if number == epoch:
            os.kill(os.getpid(), signal.SIGKILL)

    return report


if __name__ == "__main__":
    _, command, folder, argument = sys.argv
    if command == "kill":
        fit(checkpoints=Path(folder), report=_die_after(int(argument)))
    else:
        in_pieces = PARAMS.model_copy(update={"gradient_accumulation_steps": 2})
        result = fit(in_pieces, checkpoints=Path(folder), **even())
        save_weights(result.network, Path(argument))
