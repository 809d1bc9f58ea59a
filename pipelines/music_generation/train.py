"""Training: the network learns from sequences, transposed if the parameters say so; validation decides the epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.errors import DataContractError
from modelyard.project import FitRun
from modelyard.scoring import rows_of
from pipelines.music_generation.memorization import TrainingCorpus
from pipelines.music_generation.model import (
    FitParameters,
    MusicModel,
    build_network,
    independent_logits_of,
    nll_of_frames,
)
from pipelines.music_generation.rolls import N_KEYS, Roll, rolls_of

if TYPE_CHECKING:
    import optuna
    from torch import Tensor

    from pipelines.music_generation.network import RollNetwork


def fit(examples: pl.DataFrame, params: FitParameters, run: FitRun) -> MusicModel:
    """Returns a model fitted on the training pieces.

    Args:
        examples: Records with ``roll`` and ``split``: pieces of ``train`` are learnt from; pieces of ``valid``, if
            there are any, decide the epoch where ``params`` leave it open.
        params: See :class:`FitParameters`.
        run: Seed, folder of the checkpoints, threads. The loss per frame of the validation pieces is reported after
            each epoch.

    Returns:
        The model; its ``params`` fit it again without validation pieces.

    Raises:
        DataContractError: There is nothing to learn from.
    """
    from modelyard.training.loop import train as run_loop
    from modelyard.training.randomness import seeded

    rolls, valid = rolls_of(rows_of(examples, "train")), rolls_of(rows_of(examples, "valid"))
    if not rolls:
        raise DataContractError("There are no training pieces.", where="split 'train'", way_out="bring more pieces")
    with seeded(run.seed):
        network = build_network(params)
    result = run_loop(
        network,
        {"frames": sequences(rolls, params.sequence_frames)},
        lambda net, batch: mean_loss(net, batch, params.transpose_semitone),
        params.loop,
        run=run,
        evaluate=(lambda net: nll_per_frame(net, valid)) if valid else None,
        greater_is_better=False,
    )
    decided = params.model_copy(update={"loop": params.loop.stopping_after(result.best_epoch)})
    return MusicModel(params=decided, network=result.network.cpu(), corpus=TrainingCorpus.of(rolls))


def sequences(rolls: list[Roll], n_frames: int) -> list[NDArray[np.uint8]]:
    """Returns rolls cut into sequences of at most L frames, each behind the frame before it (at first: silence).

    Args:
        rolls: Each of shape (T, 88).
        n_frames: L.

    Returns:
        Arrays of shape (2 to L + 1, 88).
    """
    silence = np.zeros((1, N_KEYS), np.uint8)
    padded = [np.concatenate([silence, roll.astype(np.uint8)]) for roll in rolls]
    return [roll[begin : begin + n_frames + 1] for roll in padded for begin in range(0, len(roll) - 1, n_frames)]


def mean_loss(network: RollNetwork, batch: dict[str, Tensor], transpose_semitone: int) -> Tensor:
    """Returns the mean loss of the frames of a batch of :func:`sequences`, each transposed by a random interval.

    It is the loss of independent keys plus that of whole chords, each summed over the keys, in nats.
    """
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    from modelyard.training.ragged import is_real
    from pipelines.music_generation.network import transpose

    frames = batch["frames"].float()
    if transpose_semitone:
        interval = torch.randint(2 * transpose_semitone + 1, (len(frames),), device=frames.device)
        frames = transpose(frames, interval - transpose_semitone)
    now = frames[:, 1:]
    losses = (
        binary_cross_entropy_with_logits(logits.float(), now, reduction="none").sum(dim=2)
        for logits in network(frames[:, :-1], now)
    )
    mask = is_real(batch["frames_length"] - 1, now.shape[1])
    return (sum(losses) * mask).sum() / mask.sum()


def nll_per_frame(network: RollNetwork, rolls: list[Roll]) -> float:
    """Returns the loss of all frames but each roll's first, keys independent, over their number."""
    found = [nll_of_frames(rolls[number], logits)[1:] for number, logits in independent_logits_of(network, rolls)]
    return float(np.concatenate(found).mean())


def search_space(trial: optuna.Trial, params: FitParameters) -> FitParameters:
    """Returns ``params`` with the trial's learning rate, weight decay and dropout."""
    loop = {
        "learning_rate": trial.suggest_float("learning_rate", 4e-3, 2e-2, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-3, 0.2, log=True),
    }
    dropout = trial.suggest_float("dropout", 0.0, 0.5)
    return params.model_copy(update={"loop": params.loop.model_copy(update=loop), "dropout": dropout})
