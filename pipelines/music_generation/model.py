"""What is registered: a network, and what it learnt from, so that copying can be told from composing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from modelyard.errors import StorageError
from modelyard.files import write_text
from pipelines.music_generation.features import STYLE
from pipelines.music_generation.laws import Memory
from pipelines.music_generation.rolls import N_KEYS, rolls_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray
    from torch import Tensor

    from pipelines.music_generation.network import RollNetwork
    from pipelines.music_generation.rolls import Roll
    from pipelines.music_generation.train import FitParameters

    Floats = NDArray[np.float32]

Numbers = TypeVar("Numbers")

_AT_ONCE = 16
"""Pieces of about equal length that are read together."""


class LogOdds(NamedTuple, Generic[Numbers]):
    """Log-odds that each key sounds in a frame: arrays or tensors of one shape, (..., T, 88).

    Args:
        alone: Given the frames before: what the published results score.
        together: Given the frames before and the lower keys of the frame itself, so that the product over the keys is
            the probability of the whole chord: what is drawn from.
    """

    alone: Numbers
    together: Numbers


@dataclass(frozen=True, kw_only=True)
class MusicModel:
    """A trained model.

    Args:
        params: What it was fitted with; everything that validation rows decided is filled in.
        network: In evaluation mode.
        memory: The pieces that it learnt from.
    """

    params: FitParameters
    network: RollNetwork
    memory: Memory


def style_of(rows: pl.DataFrame) -> Floats:
    """The collections' style, shape (N, 2), NaN where not known."""
    import polars as pl

    return rows.select(pl.col(name).cast(pl.Float32).fill_null(float("nan")) for name in STYLE).to_numpy()


def log_odds_of(network: RollNetwork, rows: pl.DataFrame) -> Iterator[tuple[int, Roll, LogOdds[Floats]]]:
    """Row number, roll (T, 88), and the log-odds of each of its frames given those before, shortest piece first."""
    for number, roll, found in _answers(network, rows, network):
        yield number, roll, LogOdds(*found)


def alone_log_odds_of(network: RollNetwork, rows: pl.DataFrame) -> Iterator[tuple[int, Roll, Floats]]:
    """``alone`` of :func:`log_odds_of` without the chords, which take four times as long."""

    def answer(before: Tensor, style: Tensor, _now: Tensor) -> tuple[Tensor]:
        return (network.alone(network.hear(before, style)[0], before),)

    for number, roll, (found,) in _answers(network, rows, answer):
        yield number, roll, found


def _answers(
    network: RollNetwork, rows: pl.DataFrame, answer: Callable[[Tensor, Tensor, Tensor], Iterable[Tensor]]
) -> Iterator[tuple[int, Roll, list[Floats]]]:
    """What ``answer(before, style, now)`` says of each piece: row number, roll, arrays (T, 88)."""
    import numpy as np
    import torch

    rolls, style = rolls_of(rows), style_of(rows)
    order = np.argsort([len(roll) for roll in rolls], kind="stable")
    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    for begin in range(0, len(order), _AT_ONCE):
        numbers = order[begin : begin + _AT_ONCE]
        frames = np.zeros((len(numbers), len(rolls[numbers[-1]]) + 1, N_KEYS), np.float32)
        for place, number in enumerate(numbers):
            frames[place, 1 : len(rolls[number]) + 1] = rolls[number]
        with torch.inference_mode():
            known = torch.from_numpy(frames).to(device)
            found = answer(known[:, :-1], torch.from_numpy(style[numbers]).to(device), known[:, 1:])
            arrays = [log_odds.float().cpu().numpy() for log_odds in found]
        for place, number in enumerate(numbers):
            yield int(number), rolls[number], [array[place, : len(rolls[number])] for array in arrays]
    network.train(was_training)


def losses(roll: Roll, log_odds: Floats) -> NDArray[np.float64]:
    """Negative log-likelihood of each frame in nats, summed over the keys, shape (T,)."""
    import numpy as np

    wide = log_odds.astype(np.float64)
    result: NDArray[np.float64] = (np.logaddexp(0, wide) - wide * roll).sum(axis=1)
    return result


def build_network(params: FitParameters, usual_style: tuple[float, float] = (0.5, 0.5)) -> RollNetwork:
    """An untrained network; its first weights are drawn from torch's generator."""
    from pipelines.music_generation.network import RollNetwork

    return RollNetwork(params.width, params.n_layers, params.n_chord_units, params.dropout, usual_style)


def save(model: MusicModel, folder: Path) -> None:
    """Writes ``network.safetensors``, ``memory.safetensors`` and ``params.json`` into an empty folder."""
    from safetensors.numpy import save_file

    from modelyard.training.weights import save_weights

    save_weights(model.network, folder / "network.safetensors")
    save_file({"packed": model.memory.packed, "lengths": model.memory.lengths}, folder / "memory.safetensors")
    write_text(folder / "params.json", model.params.model_dump_json(indent=2))


def load(folder: Path) -> MusicModel:
    """Reads what :func:`save` wrote; the model answers the same, to the bit.

    Raises:
        StorageError: A file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    from modelyard.training.weights import load_weights
    from pipelines.music_generation.train import FitParameters

    try:
        params = FitParameters.model_validate_json((folder / "params.json").read_bytes())
        memory = Memory(**load_file(folder / "memory.safetensors"))
    except (OSError, ValueError, TypeError, SafetensorError) as error:
        raise StorageError(
            f"The model cannot be read: {str(error).splitlines()[0]}",
            where=str(folder),
            way_out="train again or restore the folder",
        ) from error
    network = load_weights(build_network(params), folder / "network.safetensors").eval()
    return MusicModel(params=params, network=network, memory=memory)
