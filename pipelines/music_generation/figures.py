"""How are the pictures drawn? Rolls, real and composed; surprise along a piece; the laws; copying; temperature."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.music_generation.composing import compose
from pipelines.music_generation.laws import describe
from pipelines.music_generation.model import alone_log_odds_of, losses
from pipelines.music_generation.rolls import LOWEST, N_KEYS, rolls_of

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from pipelines.music_generation.model import MusicModel
    from pipelines.music_generation.rolls import Roll

_OURS, _OTHER, _QUIET = "#1f5f8b", "#c8553d", "#8a8f98"
_N_PIECES, _N_FRAMES, _N_REAL = 24, 64, 200
_TEMPERATURES = (0.4, 0.6, 0.8, 0.9, 1.0, 1.1, 1.25)
_LAWS = {
    "in_key_share": "notes in the key",
    "step_share": "steps of the top voice",
    "parallel_share": "parallel 5ths, 8ves",
    "repetition_share": "repeated runs",
    "change_share": "frames that change",
    "silence_share": "silent frames",
    "range_semitone": "range, semitones",
    "notes_per_frame_ratio": "notes at once",
}


def figures(rows: pl.DataFrame, model: MusicModel) -> dict[str, Figure]:
    """What a reviewer looks at.

    Args:
        rows: Test rows with predictions, style and ``roll``.
        model: Composes, and knows what it learnt from.

    Returns:
        ``piano_rolls``, ``surprise``, ``musical_laws``, ``copying``, ``temperature``.
    """
    few = rows.head(_N_REAL)
    rolls = rolls_of(few)
    drawn = {warmth: _drawn(model, warmth) for warmth in _TEMPERATURES}
    excerpts = [roll[:_N_FRAMES] for roll in rolls]
    return {
        "piano_rolls": _piano_rolls(rolls, drawn[1.0], model),
        "surprise": _surprise(few, model),
        "musical_laws": _musical_laws(excerpts, drawn),
        "copying": _copying(excerpts, drawn[1.0], model),
        "temperature": _temperature(excerpts, drawn),
    }


def piano_roll(roll: Roll, title: str = "") -> Figure:
    """One roll (T, 88) as a picture."""
    figure, (axes,) = _axes(1, 1, (9, 3.2))
    _paint(axes, roll, title)
    return figure


def _drawn(model: MusicModel, temperature: float) -> list[Roll]:
    import numpy as np

    nothing, unknown = np.zeros((_N_PIECES, 0, N_KEYS), bool), np.full((_N_PIECES, 2), np.nan, np.float32)
    return list(compose(model.network, nothing, unknown, _N_FRAMES, temperature, seed=0))


def _axes(n_rows: int, n_columns: int, size: tuple[float, float]) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    axes = [figure.add_subplot(n_rows, n_columns, number + 1) for number in range(n_rows * n_columns)]
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _paint(axes: Axes, roll: Roll, title: str, color: str = _OURS) -> None:
    from matplotlib.colors import ListedColormap

    axes.pcolormesh(
        range(len(roll) + 1),
        [LOWEST - 0.5 + key for key in range(N_KEYS + 1)],
        roll.T.astype(int),
        cmap=ListedColormap(["white", color]),
        vmin=0,
        vmax=1,
    )
    names = {36: "C2", 48: "C3", 60: "C4", 72: "C5", 84: "C6"}
    axes.set_yticks(list(names), list(names.values()))
    axes.grid(axis="y", color=_QUIET, alpha=0.3, linewidth=0.6)
    axes.set(ylim=(34, 90), xlabel="frame")
    axes.set_title(title, loc="left")


def _piano_rolls(real: list[Roll], drawn: list[Roll], model: MusicModel) -> Figure:
    import numpy as np

    beginning, unknown = real[0][:16], np.full((1, 2), np.nan, np.float32)
    onward = compose(model.network, beginning[None], unknown, _N_FRAMES - 16, 0.8, seed=0)[0]
    figure, axes = _axes(3, 1, (10, 8))
    _paint(axes[0], real[0][:_N_FRAMES], "a test piece")
    _paint(axes[1], np.concatenate([beginning, onward]), "its first 16 frames, continued at temperature 0.8", _OTHER)
    axes[1].axvline(16, color=_QUIET, linestyle=":")
    _paint(axes[2], drawn[0], "composed from silence at temperature 1", _OTHER)
    return figure


def _surprise(rows: pl.DataFrame, model: MusicModel) -> Figure:
    import numpy as np

    parts = [losses(roll, log_odds) for _, roll, log_odds in alone_log_odds_of(model.network, rows)]
    longest = min(_N_FRAMES, max(map(len, parts)))
    at = [np.array([part[frame] for part in parts if len(part) > frame]) for frame in range(longest)]
    figure, (along, spread) = _axes(1, 2, (10, 3.6))
    along.fill_between(
        range(longest),
        [np.quantile(each, 0.25) for each in at],
        [np.quantile(each, 0.75) for each in at],
        color=_OURS,
        alpha=0.2,
        linewidth=0,
        label="middle half of the pieces",
    )
    along.plot([each.mean() for each in at], color=_OURS, label="mean")
    along.set(xlabel="frame of the piece", ylabel="loss, nats per frame", ylim=(0, None))
    along.legend(frameon=False)
    spread.hist([part[1:].mean() for part in parts], bins=20, color=_OURS)
    spread.set(xlabel="mean loss of a piece, nats per frame", ylabel="test pieces")
    return figure


def _musical_laws(real: list[Roll], drawn: dict[float, list[Roll]]) -> Figure:
    found = {"real": describe(real), "0.8": describe(drawn[0.8]), "1.0": describe(drawn[1.0])}
    figure, axes = _axes(2, 4, (11, 5.2))
    for each, (name, title) in zip(axes, _LAWS.items(), strict=True):
        boxes = each.boxplot(
            [table[name].to_numpy() for table in found.values()], widths=0.6, patch_artist=True, showfliers=False
        )
        for box, color in zip(boxes["boxes"], (_OURS, _OTHER, _OTHER), strict=True):
            box.set(facecolor=color, alpha=0.6)
        each.set_xticks([1, 2, 3], ["real", "T 0.8", "T 1.0"])
        each.set_title(title, loc="left", fontsize=10)
    return figure


def _copying(real: list[Roll], drawn: list[Roll], model: MusicModel) -> Figure:
    import numpy as np

    runs = [[model.memory.longest_common_run(roll) for roll in rolls] for rolls in (real, drawn)]
    bins = [number - 0.5 for number in range(max(map(max, runs)) + 2)]
    figure, (axes,) = _axes(1, 1, (7, 3.6))
    labels = (f"test pieces, at most {max(runs[0])}", f"composed, at most {max(runs[1])}")
    for each, color, label in zip(runs, (_OURS, _OTHER), labels, strict=True):
        axes.hist(each, bins=bins, weights=np.full(len(each), 1 / len(each)), color=color, alpha=0.6, label=label)
    axes.set(xlabel=f"longest run of frames (of {_N_FRAMES}) that a training piece has, too", ylabel="share of pieces")
    axes.legend(frameon=False)
    return figure


def _temperature(real: list[Roll], drawn: dict[float, list[Roll]]) -> Figure:
    target, tables = describe(real), {warmth: describe(rolls) for warmth, rolls in drawn.items()}
    figure, axes = _axes(1, 4, (12, 3.2))
    for each, name in zip(axes, ("notes_per_frame_ratio", "in_key_share", "change_share", "step_share"), strict=True):
        each.plot(list(tables), [_mean(table, name) for table in tables.values()], "o-", color=_OTHER)
        each.axhline(_mean(target, name), color=_OURS, linestyle="--", label="test pieces")
        each.set(xlabel="temperature", ylim=(0, None))
        each.set_title(_LAWS[name], loc="left", fontsize=10)
    axes[0].legend(frameon=False)
    return figure


def _mean(table: pl.DataFrame, name: str) -> float:
    values: NDArray[np.float64] = table[name].to_numpy()
    return float(values.mean())
