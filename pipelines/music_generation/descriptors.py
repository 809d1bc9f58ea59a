"""Descriptors of a piece: key, range, pace, repetition and voice leading, of real and of composed pieces alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from modelyard.records import Column
from pipelines.music_generation.rolls import LOWEST, N_KEYS, Roll

COLUMNS = (
    Column(name="n_frames_count", dtype="int64", description="Frames of the piece."),
    Column(name="notes_per_frame_ratio", dtype="float64", description="Keys that sound at once, on average."),
    Column(name="mean_pitch_semitone", dtype="float64", description="Mean MIDI number.", unit="semitone"),
    Column(name="range_semitone", dtype="float64", description="From the lowest to the highest.", unit="semitone"),
    Column(name="silence_share", dtype="float64", description="Share of frames in which nothing sounds."),
    Column(name="change_share", dtype="float64", description="Share of frames that differ from the one before."),
    Column(name="tonic_index", dtype="int64", description="Estimated tonic, 0 is C, 11 is B."),
    Column(name="is_minor", dtype="bool", description="Whether the estimated mode is minor."),
    Column(name="in_key_share", dtype="float64", description="Share of notes in the scale of the estimated key."),
    Column(
        name="step_share", dtype="float64", description="Share of the highest voice's moves of at most two semitones."
    ),
    Column(
        name="parallel_share", dtype="float64", description="Share of changes with parallel fifths or octaves outside."
    ),
    Column(
        name="repetition_share", dtype="float64", description="Share of runs of four frames that were there before."
    ),
)
"""What :func:`describe` returns, as columns of the records."""

_MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
_MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
_SCALES = {False: (0, 2, 4, 5, 7, 9, 11), True: (0, 2, 3, 5, 7, 8, 10, 11)}
_RUN = 4


def describe(rolls: Sequence[Roll]) -> pl.DataFrame:
    """Returns :func:`descriptors_of` each roll, one row each, in the types of :data:`COLUMNS`."""
    types = {"int64": pl.Int64, "float64": pl.Float64, "bool": pl.Boolean}
    schema = {column.name: types[column.dtype] for column in COLUMNS}
    return pl.DataFrame([descriptors_of(roll) for roll in rolls], schema=schema)


def descriptors_of(roll: Roll) -> dict[str, float | int | bool]:
    """Returns what :data:`COLUMNS` promise, for one roll (T, 88); every value is finite, also for silence."""
    tonic, is_minor = key_of(roll)
    notes_of_keys, pitches = roll.sum(axis=0), np.arange(N_KEYS) + LOWEST
    sounding, n_notes = np.flatnonzero(notes_of_keys), int(notes_of_keys.sum())
    in_scale = np.isin((pitches - tonic) % 12, _SCALES[is_minor])
    changes = (roll[1:] != roll[:-1]).any(axis=1)
    return {
        "n_frames_count": len(roll),
        "notes_per_frame_ratio": n_notes / max(1, len(roll)),
        "mean_pitch_semitone": float((notes_of_keys * pitches).sum() / max(1, n_notes)),
        "range_semitone": float(np.ptp(sounding)) if n_notes else 0.0,
        "silence_share": float((~roll.any(axis=1)).mean()) if len(roll) else 1.0,
        "change_share": float(changes.mean()) if len(changes) else 0.0,
        "tonic_index": tonic,
        "is_minor": is_minor,
        "in_key_share": float(notes_of_keys[in_scale].sum() / max(1, n_notes)),
        **_voice_leading(roll),
        "repetition_share": _repetition(roll),
    }


def key_of(roll: Roll) -> tuple[int, bool]:
    """Returns the tonic (0 is C) and whether the mode is minor: the key profile that correlates best with the notes.

    Krumhansl and Kessler 1982 (Psychological Review 89, 334), as used by Krumhansl and Schmuckler. Silence is C major.
    """
    counts = np.bincount((np.arange(N_KEYS) + LOWEST) % 12, weights=roll.sum(axis=0), minlength=12)
    if np.ptp(counts) == 0:
        return 0, False
    profiles = [np.roll(profile, tonic) for profile in (_MAJOR, _MINOR) for tonic in range(12)]
    best = int(np.argmax([np.corrcoef(counts, profile)[0, 1] for profile in profiles]))
    return best % 12, best >= 12


def _voice_leading(roll: Roll) -> dict[str, float]:
    """Returns how the highest voice moves, and whether it moves in parallel fifths or octaves with the lowest."""
    sounding = roll[roll.any(axis=1)]
    if len(sounding) < 2:
        return {"step_share": 0.0, "parallel_share": 0.0}
    bass, soprano = sounding.argmax(axis=1), N_KEYS - 1 - sounding[:, ::-1].argmax(axis=1)
    moves, bass_moves = np.diff(soprano), np.diff(bass)
    # Parallel: both voices move, and the interval between them is a fifth or an octave before and after.
    interval = soprano - bass
    is_perfect = (interval > 0) & np.isin(interval % 12, (0, 7))
    both_move = (moves != 0) & (bass_moves != 0)
    is_parallel = both_move & is_perfect[1:] & is_perfect[:-1] & (interval[1:] % 12 == interval[:-1] % 12)
    return {
        "step_share": float((np.abs(moves[moves != 0]) <= 2).mean()) if moves.any() else 0.0,
        "parallel_share": float(is_parallel.sum() / max(1, both_move.sum())),
    }


def _repetition(roll: Roll) -> float:
    frames = [frame.tobytes() for frame in roll]
    runs = [tuple(frames[start : start + _RUN]) for start in range(len(frames) - _RUN + 1)]
    return 1 - len(set(runs)) / len(runs) if runs else 0.0
