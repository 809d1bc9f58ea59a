"""Evaluation: how surprising is each next frame, by the protocol of the published results?"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.parameters import Parameters
from pipelines.music_generation.model import MusicModel, logits_of, nll_of_frames
from pipelines.music_generation.rolls import Roll, rolls_of

_SCHEMA = pl.Schema(
    {
        "nll_nats": pl.Float64,
        "joint_nll_nats": pl.Float64,
        "n_predicted_count": pl.Int64,
        "n_true_positives_count": pl.Int64,
        "n_false_negatives_count": pl.Int64,
        "n_false_positives_count": pl.Int64,
    }
)


class ScoreParameters(Parameters):
    """Nothing to choose: the protocol is that of the published results."""


def predict(model: MusicModel, examples: pl.DataFrame) -> pl.DataFrame:
    """Returns how well each piece is predicted, frame by frame, from the frames before.

    Args:
        model: A trained model.
        examples: Has ``roll``.

    Returns:
        Row for row: ``nll_nats`` (loss of the frames from the second on, keys independent, summed),
        ``joint_nll_nats`` (the same of whole chords), ``n_predicted_count`` (the number of these frames), and their
        keys: ``n_true_positives_count``, ``n_false_negatives_count``, ``n_false_positives_count`` at a probability of
        one half.
    """
    rolls = rolls_of(examples)
    rows: list[dict[str, float]] = [{}] * len(rolls)
    for number, logits in logits_of(model.network, rolls):
        rows[number] = _measured(rolls[number][1:], logits.independent[1:], logits.joint[1:])
    return pl.DataFrame(rows, schema=_SCHEMA)


def _measured(roll: Roll, independent: NDArray[np.float32], joint: NDArray[np.float32]) -> dict[str, float]:
    is_predicted = independent > 0
    return {
        "nll_nats": float(nll_of_frames(roll, independent).sum()),
        "joint_nll_nats": float(nll_of_frames(roll, joint).sum()),
        "n_predicted_count": len(roll),
        "n_true_positives_count": int((roll & is_predicted).sum()),
        "n_false_negatives_count": int((roll & ~is_predicted).sum()),
        "n_false_positives_count": int((~roll & is_predicted).sum()),
    }


def score(rows: pl.DataFrame, params: ScoreParameters) -> dict[str, float]:
    """Returns metrics of predictions.

    The protocol is that of Bai, Kolter and Koltun 2018 (https://github.com/locuslab/TCN, poly_music/music_test.py):
    each frame but a piece's first is predicted from all before; binary cross-entropies are summed over the 88 keys, and
    the sum over all frames of all pieces is divided by their number, so that long pieces weigh more.

    Args:
        rows: Records with what :func:`predict` returns.
        params: See :class:`ScoreParameters`.

    Returns:
        ``nll_per_frame`` in nats; ``joint_nll_per_frame``, the same of whole chords, whose keys are not taken as
        independent (comparable to RNN-NADE, not to TCN or LSTM); ``nll_per_frame_of_pieces``, the mean of the pieces'
        own means; ``frame_accuracy``, true positives over all positives, named or real (Bay, Ehmann, Downie 2009);
        ``precision``; ``recall``.
    """
    nll, joint_nll, frames, hits, misses, false_alarms = (float(rows[name].sum()) for name in _SCHEMA)
    of_pieces = (rows["nll_nats"] / rows["n_predicted_count"]).to_numpy()
    return {
        "nll_per_frame": _ratio(nll, frames),
        "joint_nll_per_frame": _ratio(joint_nll, frames),
        "nll_per_frame_of_pieces": float(np.mean(of_pieces)) if rows.height else float("nan"),
        "frame_accuracy": _ratio(hits, hits + misses + false_alarms),
        "precision": _ratio(hits, hits + false_alarms),
        "recall": _ratio(hits, hits + misses),
    }


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


def floor(train: pl.DataFrame, test: pl.DataFrame) -> pl.DataFrame:
    """Returns predictions by a trivial rule: each key sounds as often as in training, whatever came before.

    Args:
        train: Has ``roll``.
        test: Has ``roll``.

    Returns:
        The columns of :func:`predict`.
    """
    frames = np.concatenate(rolls_of(train))
    share = (frames.sum(axis=0) + 0.5) / (len(frames) + 1)
    logits = np.log(share / (1 - share)).astype(np.float32)
    rolls = [roll[1:] for roll in rolls_of(test)]
    tiled = [np.tile(logits, (len(roll), 1)) for roll in rolls]
    return pl.DataFrame([_measured(*each) for each in zip(rolls, tiled, tiled, strict=True)], schema=_SCHEMA)
