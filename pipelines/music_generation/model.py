"""The model: a network, its parameters, and the corpus that it has learnt from, so that copying can be measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from modelyard.model_files import load_arrays, load_network, load_parameters, save_model
from modelyard.parameters import Parameters
from modelyard.training.parameters import LoopParameters
from pipelines.music_generation.memorization import TrainingCorpus
from pipelines.music_generation.rolls import N_KEYS, Roll

if TYPE_CHECKING:
    from torch import Tensor

    from pipelines.music_generation.network import Logits, RollNetwork

_BATCH_PIECES, _BATCH_FRAMES = 16, 32_768
"""Pieces that the network reads at once, and their frames (padding included) unless one piece has more."""


class FitParameters(Parameters):
    """What rebuilds the network, and how it is trained."""

    hidden_size: int = Field(128, ge=4, le=4096, description="Units of each layer of the LSTM.")
    n_layers: int = Field(1, ge=1, le=8, description="Layers of the LSTM.")
    nade_size: int = Field(32, ge=1, le=1024, description="Hidden units through which the keys of a frame interact.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Share of units dropped while training.")
    transpose_semitone: int = Field(
        0, ge=0, le=24, description="Augmentation: pieces are transposed by up to this, drawn anew in each epoch."
    )
    sequence_frames: int = Field(128, ge=4, le=10_000, description="Longer pieces are cut into sequences.")
    loop: LoopParameters = Field(
        LoopParameters(epochs=15, patience=8, batch_size=8, learning_rate=1e-2), description="The training loop."
    )


@dataclass(frozen=True, kw_only=True)
class MusicModel:
    """A trained model.

    Args:
        params: What it was fitted with; everything that validation rows decided is filled in.
        network: In evaluation mode.
        corpus: The pieces that it has learnt from.
    """

    params: FitParameters
    network: RollNetwork
    corpus: TrainingCorpus


def build_network(params: FitParameters) -> RollNetwork:
    """Returns an untrained network; its first weights are drawn from torch's generator."""
    from pipelines.music_generation.network import RollNetwork

    return RollNetwork(params.hidden_size, params.n_layers, params.nade_size, params.dropout)


def logits_of(network: RollNetwork, rolls: Sequence[Roll]) -> Iterator[tuple[int, Logits[NDArray[np.float32]]]]:
    """Yields number and logits (T, 88) of each roll, given its frames before, the shortest roll first.

    Args:
        network: In evaluation mode.
        rolls: Each of shape (T, 88).
    """
    import torch

    from pipelines.music_generation.network import Logits

    for numbers, frames in _batches(network, rolls):
        with torch.inference_mode():
            independent, joint = (each.cpu().numpy() for each in network(frames[:, :-1], frames[:, 1:]))
        for row, number in enumerate(numbers):
            n_frames = len(rolls[number])
            yield int(number), Logits(independent[row, :n_frames], joint[row, :n_frames])


def independent_logits_of(network: RollNetwork, rolls: Sequence[Roll]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yields what :func:`logits_of` does, without the joint logits, in a quarter of the time."""
    import torch

    for numbers, frames in _batches(network, rolls):
        with torch.inference_mode():
            before = frames[:, :-1]
            logits = network.key_logits(network.encode(before)[0], before).cpu().numpy()
        for row, number in enumerate(numbers):
            yield int(number), logits[row, : len(rolls[number])]


def _batches(network: RollNetwork, rolls: Sequence[Roll]) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
    """Yields numbers of rolls (B,) of about equal length, and their frames after one of silence, (B, T + 1, 88)."""
    import torch

    device = next(network.parameters()).device
    lengths = np.array([len(roll) for roll in rolls])
    order = np.argsort(lengths, kind="stable")
    while len(order):
        # As many as fit beside the longest of them.
        padded = lengths[order[:_BATCH_PIECES]] * (np.arange(len(order[:_BATCH_PIECES])) + 1)
        n_pieces = max(1, int((padded <= _BATCH_FRAMES).sum()))
        numbers, order = order[:n_pieces], order[n_pieces:]
        frames = np.zeros((n_pieces, lengths[numbers[-1]] + 1, N_KEYS), np.float32)
        for row, number in enumerate(numbers):
            frames[row, 1 : lengths[number] + 1] = rolls[number]
        yield numbers, torch.from_numpy(frames).to(device)


def nll_of_frames(roll: Roll, logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Returns the negative log-likelihood of each frame in nats, summed over the keys, shape (T,)."""
    wide = logits.astype(np.float64)
    result: NDArray[np.float64] = (np.logaddexp(0, wide) - wide * roll).sum(axis=1)
    return result


def save(model: MusicModel, folder: Path) -> None:
    """Writes parameters, network and corpus into an empty folder."""
    corpus: dict[str, NDArray[Any]] = {"packed": model.corpus.packed, "lengths": model.corpus.lengths}
    save_model(folder, params=model.params, network=model.network, corpus=corpus)


def load(folder: Path) -> MusicModel:
    """Returns the model that :func:`save` wrote; it predicts and composes the same, to the bit.

    Raises:
        StorageError: A file is missing or damaged.
    """
    params = load_parameters(folder, FitParameters)
    network = load_network(folder, build_network(params))
    return MusicModel(params=params, network=network, corpus=TrainingCorpus(**load_arrays(folder, "corpus")))
