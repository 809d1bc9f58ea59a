"""What is good: the next frame is not surprising, and what is composed keeps the laws without being copied."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelyard.parameters import Parameters
from pipelines.music_generation.composing import compose
from pipelines.music_generation.data import IngestParameters
from pipelines.music_generation.figures import figures
from pipelines.music_generation.grammar import simulate
from pipelines.music_generation.model import MusicModel, log_odds_of, losses, style_of
from pipelines.music_generation.rolls import column_of, rolls_of

if TYPE_CHECKING:
    import polars as pl

    from pipelines.music_generation.rolls import Roll

__all__ = ["ScoreParameters", "figures", "floor", "known_ceiling", "predict", "score"]

_MEASURED = ("n_predicted_count", "n_hits_count", "n_misses_count", "n_alarms_count")


class ScoreParameters(Parameters):
    """Nothing to choose: the protocol is that of the published results."""


def predict(model: MusicModel, examples: pl.DataFrame) -> pl.DataFrame:
    """How surprising each piece is, and, where it is asked for, how it goes on.

    Args:
        model: A trained model.
        examples: Has ``roll`` and the collections' style, at least one row. Rows that are to be continued have
            ``ask_frames_count``, ``ask_temperature_ratio`` and ``ask_seed_index``, too.

    Returns:
        Row for row: ``nll_nats`` (loss of the frames from the second on, keys alone, summed), ``joint_nll_nats``
        (keys together), ``n_predicted_count`` (the number of frames), ``n_hits_count``, ``n_misses_count``,
        ``n_alarms_count`` (keys found, missed, and wrongly named at a probability of one half). If continued:
        ``continuation``, the flat roll of the frames that follow, and ``n_copied_count``, its longest run of frames
        that also is in a training piece.
    """
    import polars as pl

    found: list[dict[str, float]] = [{}] * examples.height
    for number, roll, log_odds in log_odds_of(model.network, examples):
        alone, together = (losses(roll, one)[1:].sum() for one in log_odds)
        found[number] = _measured(roll[1:], alone, together, log_odds.alone[1:] > 0)
    predictions = pl.DataFrame(found, schema=_schema())
    return predictions.hstack(_continued(model, examples)) if "ask_frames_count" in examples.columns else predictions


def _schema() -> pl.Schema:
    import polars as pl

    losses_of = dict.fromkeys(("nll_nats", "joint_nll_nats"), pl.Float64)
    return pl.Schema({**losses_of, **dict.fromkeys(_MEASURED, pl.Int64)})


def _measured(roll: Roll, alone: float, together: float, named: Roll) -> dict[str, float]:
    return {
        "nll_nats": float(alone),
        "joint_nll_nats": float(together),
        "n_predicted_count": len(roll),
        "n_hits_count": int((roll & named).sum()),
        "n_misses_count": int((roll & ~named).sum()),
        "n_alarms_count": int((~roll & named).sum()),
    }


def _continued(model: MusicModel, examples: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    asked = examples.select("ask_frames_count", "ask_temperature_ratio", "ask_seed_index").iter_rows()
    drawn = [
        compose(model.network, roll[None], style[None], n_frames, temperature, seed)[0]
        for roll, style, (n_frames, temperature, seed) in zip(
            rolls_of(examples), style_of(examples), asked, strict=True
        )
    ]
    copied = pl.Series("n_copied_count", [model.memory.longest_common_run(roll) for roll in drawn], dtype=pl.Int64)
    return pl.DataFrame([column_of(drawn, "continuation"), copied])


def score(rows: pl.DataFrame, params: ScoreParameters) -> dict[str, float]:
    """Metrics of predictions.

    The protocol is that of Bai, Kolter and Koltun 2018 (poly_music/music_test.py): each frame but a piece's first is
    predicted from all before; binary cross-entropies are summed over the 88 keys, and the sum over all frames of all
    pieces is divided by their number, so that long pieces weigh more.

    Args:
        rows: Records with what :func:`predict` returns.
        params: See :class:`ScoreParameters`.

    Returns:
        ``nll_per_frame`` in nats; ``joint_nll_per_frame``, the same of whole chords, whose keys are not taken as
        independent (comparable to RNN-NADE, not to TCN or LSTM); ``nll_per_frame_of_pieces``, the mean of the pieces'
        own means; ``frame_accuracy``, hits over hits, misses and false alarms (Bay, Ehmann, Downie 2009);
        ``precision``; ``recall``.
    """
    import numpy as np

    frames, hits, misses, alarms = (float(rows[name].sum()) for name in _MEASURED)
    one_by_one = (rows["nll_nats"] / rows["n_predicted_count"]).to_numpy()
    return {
        "nll_per_frame": _ratio(float(rows["nll_nats"].sum()), frames),
        "joint_nll_per_frame": _ratio(float(rows["joint_nll_nats"].sum()), frames),
        "nll_per_frame_of_pieces": float(np.mean(one_by_one)) if rows.height else float("nan"),
        "frame_accuracy": _ratio(hits, hits + misses + alarms),
        "precision": _ratio(hits, hits + alarms),
        "recall": _ratio(hits, hits + misses),
    }


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


def floor(train: pl.DataFrame, test: pl.DataFrame) -> pl.DataFrame:
    """The trivial rule: each key sounds as often as it does in training pieces, whatever came before.

    Args:
        train: Has ``roll``.
        test: Has ``roll``.

    Returns:
        The columns of :func:`predict`, without continuations.
    """
    import numpy as np
    import polars as pl

    learnt = np.concatenate(rolls_of(train))
    chance = (learnt.sum(axis=0) + 0.5) / (len(learnt) + 1)
    log_odds = np.log(chance / (1 - chance)).astype(np.float32)
    rolls = [roll[1:] for roll in rolls_of(test)]
    found = []
    for roll in rolls:
        loss = losses(roll, np.tile(log_odds, (len(roll), 1))).sum()
        found.append(_measured(roll, loss, loss, np.tile(log_odds > 0, (len(roll), 1))))
    return pl.DataFrame(found, schema=_schema())


def known_ceiling(params: IngestParameters) -> dict[str, float]:
    """The smallest expected loss on simulated pieces, if one knew key, pace and the chain of chords.

    Args:
        params: Those of a run with ``source: simulated``; its test rows are the last 15 % of the pieces.

    Returns:
        ``nll_per_frame``.
    """
    rows, rolls = simulate(params.simulation)
    n_test = round(0.15 * len(rolls))
    n_frames = sum(len(roll) - 1 for roll in rolls[-n_test:])
    return {"nll_per_frame": float(rows["lowest_nll_nats"].tail(n_test).sum()) / n_frames}
