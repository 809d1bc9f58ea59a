"""Piano rolls: frames of equal length, and for each frame which of the piano's 88 keys sound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

Roll: TypeAlias = NDArray[np.bool_]
"""Whether a key sounds in a frame, shape (T, 88)."""

N_KEYS = 88
"""Keys of a piano."""

LOWEST = 21
"""MIDI number of the lowest key, A0; the highest is 108, C8."""


def roll_of(frames: Sequence[Sequence[int]]) -> Roll:
    """Returns frames of MIDI numbers as a roll.

    Raises:
        ValueError: A number is not a key of a piano.
    """
    roll = np.zeros((len(frames), N_KEYS), dtype=bool)
    for number, pitches in enumerate(frames):
        for pitch in pitches:
            if not LOWEST <= pitch < LOWEST + N_KEYS:
                raise ValueError(f"{pitch} is not a key of a piano ({LOWEST} to {LOWEST + N_KEYS - 1})")
            roll[number, pitch - LOWEST] = True
    return roll


def pitches_of(roll: Roll) -> list[list[int]]:
    """Returns the MIDI numbers that sound in each frame, from the lowest."""
    return [[int(key) + LOWEST for key in np.flatnonzero(frame)] for frame in roll]


def column_of(rolls: Sequence[Roll], name: str = "roll") -> pl.Series:
    """Returns rolls as a media column, ``List(UInt8)`` of T * 88 numbers 0 and 1 each."""
    flat = [pl.Series(roll.astype(np.uint8).reshape(-1)) for roll in rolls]
    return pl.Series(name, flat, dtype=pl.List(pl.UInt8))


def rolls_of(rows: pl.DataFrame, name: str = "roll") -> list[Roll]:
    """Returns the rolls of a media column, row for row."""
    return [values.to_numpy().reshape(-1, N_KEYS).astype(bool) for values in rows[name]]


def note_spans(roll: Roll) -> list[tuple[int, int, int]]:
    """Returns the notes of a roll as (key from 0, first frame, frame after the last), sorted by key and time.

    A key that sounds in neighbouring frames is one held note.
    """
    silence = np.zeros((1, N_KEYS), np.int8)
    change = np.diff(np.vstack([silence, roll.astype(np.int8), silence]), axis=0)
    (begin_keys, begins), (_, ends) = np.nonzero(change.T > 0), np.nonzero(change.T < 0)
    return [(int(key), int(begin), int(end)) for key, begin, end in zip(begin_keys, begins, ends, strict=True)]
