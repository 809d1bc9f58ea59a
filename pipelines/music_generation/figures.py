"""Figures: rolls, real and composed; surprise along a piece; descriptors; copying; temperature. One piece to hear."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from modelyard.files import atomic_directory
from modelyard.tasks.figures import COLOURS, INK, MUTED, axes, figure_style
from pipelines.music_generation.composing import compose
from pipelines.music_generation.descriptors import describe
from pipelines.music_generation.memorization import TrainingCorpus
from pipelines.music_generation.midi import to_midi
from pipelines.music_generation.model import MusicModel, independent_logits_of, nll_of_frames
from pipelines.music_generation.rolls import LOWEST, N_KEYS, Roll, rolls_of
from pipelines.music_generation.sound import to_wav

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_OURS, _REAL = COLOURS[:2]
_N_PIECES, _N_FRAMES, _N_REAL, _N_GIVEN = 24, 64, 200, 16
_TEMPERATURES = (0.4, 0.6, 0.8, 0.9, 1.0, 1.1, 1.25)
_SHOWN = {
    "in_key_share": "notes in the key",
    "step_share": "steps of the top voice",
    "parallel_share": "parallel 5ths, 8ves",
    "repetition_share": "repeated runs",
    "change_share": "frames that change",
    "silence_share": "silent frames",
    "range_semitone": "range, semitones",
    "notes_per_frame_ratio": "notes at once",
}
_OCTAVES = {36: "C2", 48: "C3", 60: "C4", 72: "C5", 84: "C6"}


@figure_style()
def figures(rows: pl.DataFrame, model: MusicModel) -> dict[str, Figure]:
    """Returns the figures of the model card.

    Args:
        rows: Test rows with ``roll``.
        model: Composes, and has the corpus that it learnt from.

    Returns:
        ``piano_rolls``, ``surprise``, ``descriptors``, ``copying``, ``temperature``.
    """
    rolls = rolls_of(rows.head(_N_REAL))
    silence = np.zeros((_N_PIECES, 0, N_KEYS), bool)
    composed = {
        temperature: list(compose(model.network, silence, _N_FRAMES, temperature=temperature))
        for temperature in _TEMPERATURES
    }
    excerpts = [roll[:_N_FRAMES] for roll in rolls]
    return {
        "piano_rolls": _piano_rolls(rolls[0], composed[1.0][0], model),
        "surprise": _surprise(rolls, model),
        "descriptors": _descriptors({"test": excerpts, "T 0.8": composed[0.8], "T 1.0": composed[1.0]}),
        "copying": _copying(excerpts, composed[1.0], model.corpus),
        "temperature": _temperature(excerpts, composed),
    }


@figure_style()
def piano_roll(roll: Roll, title: str = "") -> Figure:
    """Returns a picture of one roll (T, 88)."""
    figure, (place,) = axes(size=(9, 3.2))
    _draw_roll(place, roll, title)
    return figure


def write_sample(roll: Roll, folder: Path) -> None:
    """Writes ``piece.mid``, ``piece.wav`` and ``piece.png`` into a new folder: all of them or nothing.

    Args:
        roll: Shape (T, 88).
        folder: Does not exist yet.
    """
    with atomic_directory(folder) as new:
        (new / "piece.mid").write_bytes(to_midi(roll))
        (new / "piece.wav").write_bytes(to_wav(roll))
        piano_roll(roll).savefig(new / "piece.png", dpi=150)


def _draw_roll(place: Axes, roll: Roll, title: str, colour: str = _REAL) -> None:
    from matplotlib.colors import ListedColormap

    edges = [range(len(roll) + 1), [LOWEST - 0.5 + key for key in range(N_KEYS + 1)]]
    place.pcolormesh(*edges, roll.T.astype(int), cmap=ListedColormap(["none", colour]), vmin=0, vmax=1)
    place.set_yticks(list(_OCTAVES), list(_OCTAVES.values()))
    place.grid(visible=False, axis="x")
    place.set(ylim=(34, 90), xlabel="frame")
    place.set_title(title)


def _piano_rolls(real: Roll, composed: Roll, model: MusicModel) -> Figure:
    given = real[:_N_GIVEN]
    (continuation,) = compose(model.network, given[None], _N_FRAMES - _N_GIVEN, temperature=0.8)
    figure, places = axes(1, 3, (10, 8))
    _draw_roll(places[0], real[:_N_FRAMES], "A test piece")
    title = f"Its first {_N_GIVEN} frames, continued at temperature 0.8"
    _draw_roll(places[1], np.concatenate([given, continuation]), title, _OURS)
    places[1].axvline(_N_GIVEN, color=MUTED, linestyle=":")
    _draw_roll(places[2], composed, "Composed from silence at temperature 1", _OURS)
    return figure


def _surprise(rolls: list[Roll], model: MusicModel) -> Figure:
    losses = [nll_of_frames(rolls[number], logits) for number, logits in independent_logits_of(model.network, rolls)]
    n_frames = min(_N_FRAMES, max(map(len, losses)))
    at = [np.array([loss[frame] for loss in losses if len(loss) > frame]) for frame in range(n_frames)]
    low, high = ([np.quantile(each, quantile) for each in at] for quantile in (0.25, 0.75))
    figure, (along, spread) = axes(2)
    along.fill_between(
        range(n_frames), low, high, color=_OURS, alpha=0.2, linewidth=0, label="middle half of the pieces"
    )
    along.plot([each.mean() for each in at], color=_OURS, label="mean")
    along.set(xlabel="frame of the piece", ylabel="loss, nats per frame", ylim=(0, None))
    along.legend()
    spread.hist([loss[1:].mean() for loss in losses], bins=20, color=_OURS)
    spread.set(xlabel="mean loss of a piece, nats per frame", ylabel="test pieces")
    return figure


def _descriptors(pieces: dict[str, list[Roll]]) -> Figure:
    tables = [describe(rolls) for rolls in pieces.values()]
    figure, places = axes(4, 2, (12, 5.6))
    for place, (name, title) in zip(places, _SHOWN.items(), strict=True):
        values = [table[name].to_numpy() for table in tables]
        boxes = place.boxplot(values, widths=0.6, patch_artist=True, showfliers=False, medianprops={"color": INK})
        for box, colour in zip(boxes["boxes"], (_REAL, _OURS, _OURS), strict=True):
            box.set(facecolor=colour, alpha=0.6)
        place.set_xticks(range(1, len(pieces) + 1), list(pieces))
        place.set_title(title)
    return figure


def _copying(real: list[Roll], composed: list[Roll], corpus: TrainingCorpus) -> Figure:
    runs = [[corpus.longest_common_run(roll) for roll in rolls] for rolls in (real, composed)]
    labels = [f"{name}, at most {max(run)}" for name, run in zip(("test pieces", "composed"), runs, strict=True)]
    figure, (place,) = axes()
    place.hist(
        runs,
        bins=[number - 0.5 for number in range(max(map(max, runs)) + 2)],
        weights=[np.full(len(run), 1 / len(run)) for run in runs],
        color=[_REAL, _OURS],
        label=labels,
    )
    place.set(xlabel=f"longest run of frames (of {_N_FRAMES}) that a training piece has, too", ylabel="share of pieces")
    place.legend()
    return figure


def _temperature(real: list[Roll], composed: dict[float, list[Roll]]) -> Figure:
    target, tables = describe(real), [describe(rolls) for rolls in composed.values()]
    figure, places = axes(4, 1, (13, 3.4))
    names = ("notes_per_frame_ratio", "in_key_share", "change_share", "step_share")
    for place, name in zip(places, names, strict=True):
        place.plot(list(composed), [_mean(table, name) for table in tables], "o-", color=_OURS, label="composed")
        place.axhline(_mean(target, name), color=_REAL, linestyle="--", label="test pieces")
        place.set(xlabel="temperature", ylim=(0, None))
        place.set_title(_SHOWN[name])
    places[0].legend()
    return figure


def _mean(table: pl.DataFrame, name: str) -> float:
    return float(table[name].to_numpy().mean())
