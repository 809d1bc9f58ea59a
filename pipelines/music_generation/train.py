"""Fits the network on stretches of pieces in changing keys, and lets the validation pieces decide when to stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from modelyard.errors import DataContractError
from modelyard.parameters import Parameters
from modelyard.project import FitRun
from modelyard.scoring import rows_of
from pipelines.music_generation.laws import Memory
from pipelines.music_generation.model import MusicModel, alone_log_odds_of, build_network, losses, style_of
from pipelines.music_generation.rolls import N_KEYS, rolls_of

if TYPE_CHECKING:
    import numpy as np
    import optuna
    import polars as pl
    from numpy.typing import NDArray
    from torch import Tensor

    from pipelines.music_generation.network import RollNetwork


class FitParameters(Parameters):
    """Everything that training needs."""

    width: int = Field(128, ge=4, le=4096, description="Units of each layer.")
    n_layers: int = Field(1, ge=1, le=8, description="Layers of the LSTM.")
    n_chord_units: int = Field(32, ge=1, le=1024, description="Units that tie the keys of one frame together.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Share of units dropped while training.")
    transpose_semitone: int = Field(
        0, ge=0, le=24, description="Pieces are learnt from in keys up to this far away, drawn anew in each epoch."
    )
    stretch_frames: int = Field(128, ge=4, le=10_000, description="Longer pieces are learnt from in stretches.")
    epochs: int = Field(15, ge=1, le=10_000, description="Passes over the pieces that the schedule spans.")
    patience: int = Field(8, ge=1, description="Epochs without a better validation value before stopping.")
    batch_size: int = Field(8, ge=1, description="Stretches of one optimiser step.")
    learning_rate: float = Field(1e-2, gt=0, lt=1, description="Peak learning rate of AdamW.")
    weight_decay: float = Field(0.01, ge=0, description="Decay of the weights, decoupled from the gradient.")
    best_epoch: int | None = Field(None, ge=1, description="Epoch kept; filled in by validation. None: `epochs`.")


def fit(examples: pl.DataFrame, params: FitParameters, run: FitRun) -> MusicModel:
    """Fits the network.

    Args:
        examples: Records with features, ``roll`` and ``split``: pieces of ``train`` are learnt from; pieces of
            ``valid``, if there are any, decide the epoch where ``params`` leave it open.
        params: See :class:`FitParameters`.
        run: Seed, folder of the checkpoints, threads. The loss per frame of the validation pieces is reported after
            each epoch.

    Returns:
        The model; its ``params`` fit it again without validation pieces.

    Raises:
        DataContractError: There is nothing to learn from.
    """
    import numpy as np

    from modelyard.training.loop import train as run_loop
    from modelyard.training.parameters import LoopParameters
    from modelyard.training.randomness import seeded

    train, valid = rows_of(examples, "train"), rows_of(examples, "valid")
    if train.is_empty():
        raise DataContractError("There are no training pieces.", where="split 'train'", way_out="bring more pieces")
    loop = LoopParameters(
        epochs=params.epochs,
        patience=params.patience if valid.height else None,
        batch_size=params.batch_size,
        learning_rate=params.learning_rate,
        weight_decay=params.weight_decay,
    )
    if params.best_epoch is not None:
        loop = loop.stopping_after(params.best_epoch)
    usual = (float(np.mean(train["change_share"].to_numpy())), float(np.mean(train["is_minor"].to_numpy())))
    with seeded(run.seed):
        network = build_network(params, usual)
    result = run_loop(
        network,
        stretches(train, params.stretch_frames),
        lambda net, batch: mean_loss(net, batch, params.transpose_semitone),
        loop,
        run=run,
        evaluate=(lambda net: nll_per_frame(net, valid)) if valid.height else None,
        greater_is_better=False,
    )
    decided = params.model_copy(update={"best_epoch": result.best_epoch})
    return MusicModel(params=decided, network=result.network.cpu(), memory=Memory.of(rolls_of(train)))


def stretches(rows: pl.DataFrame, n_frames: int) -> dict[str, NDArray[np.generic]]:
    """Pieces cut into stretches of at most L frames.

    Args:
        rows: Has ``roll`` and the collections' style.
        n_frames: L.

    Returns:
        ``frames``, uint8 (N, L + 1, 88): the frame before the stretch (silence before the first), then the stretch;
        ``length``, int64 (N,): frames to learn from, the rest is padding; ``style``, float32 (N, 2).
    """
    import numpy as np

    rolls, style = rolls_of(rows), style_of(rows)
    n_frames = min(n_frames, max(map(len, rolls)))
    cuts = [(number, begin) for number, roll in enumerate(rolls) for begin in range(0, len(roll), n_frames)]
    frames = np.zeros((len(cuts), n_frames + 1, N_KEYS), np.uint8)
    length = np.zeros(len(cuts), np.int64)
    for place, (number, begin) in enumerate(cuts):
        part = rolls[number][begin : begin + n_frames]
        if begin:
            frames[place, 0] = rolls[number][begin - 1]
        frames[place, 1 : len(part) + 1], length[place] = part, len(part)
    return {"frames": frames, "length": length, "style": style[[number for number, _ in cuts]]}


def mean_loss(network: RollNetwork, batch: dict[str, Tensor], transpose_semitone: int) -> Tensor:
    """Mean loss of a frame of a batch as :func:`stretches` makes them, in keys drawn for each stretch.

    It is the loss of the keys alone plus that of the keys together, each summed over all keys, in nats.
    """
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    from pipelines.music_generation.network import transposed

    frames = batch["frames"].float()
    if transpose_semitone:
        span = 2 * transpose_semitone + 1
        frames = transposed(frames, torch.randint(span, (len(frames),), device=frames.device) - transpose_semitone)
    now = frames[:, 1:]
    log_odds = network(frames[:, :-1], batch["style"], now)
    alone, together = (binary_cross_entropy_with_logits(one.float(), now, reduction="none") for one in log_odds)
    each = (alone + together).sum(dim=2)
    is_real = torch.arange(each.shape[1], device=each.device)[None] < batch["length"][:, None]
    return (each * is_real).sum() / is_real.sum()


def nll_per_frame(network: RollNetwork, rows: pl.DataFrame) -> float:
    """Loss of all pieces' frames from the second on, keys alone, over their number."""
    import numpy as np

    parts = [losses(roll, log_odds)[1:] for _, roll, log_odds in alone_log_odds_of(network, rows)]
    return float(np.concatenate(parts).mean())


def search_space(trial: optuna.Trial, params: FitParameters) -> FitParameters:
    """What tuning varies: pace, decay and dropout, around the defaults."""
    return params.model_copy(
        update={
            "learning_rate": trial.suggest_float("learning_rate", 4e-3, 2e-2, log=True),
            "weight_decay": trial.suggest_float("weight_decay", 1e-3, 0.2, log=True),
            "dropout": trial.suggest_float("dropout", 0.0, 0.5),
        }
    )
