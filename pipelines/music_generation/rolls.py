"""What is a piano roll? Frames of equal length, and for each the piano's 88 keys that sound in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    Roll = NDArray[np.bool_]
    """Whether a key sounds in a frame, shape (T, 88)."""

N_KEYS = 88
"""Keys of a piano."""

LOWEST = 21
"""MIDI number of the lowest key, A0; the highest is 108, C8."""


def roll_of(frames: Sequence[Sequence[int]]) -> Roll:
    """Frames of MIDI numbers as a roll.

    Raises:
        ValueError: A number is no key of a piano.
    """
    import numpy as np

    roll = np.zeros((len(frames), N_KEYS), dtype=bool)
    for number, pitches in enumerate(frames):
        for pitch in pitches:
            if not LOWEST <= pitch < LOWEST + N_KEYS:
                raise ValueError(f"{pitch} is no key of a piano ({LOWEST} to {LOWEST + N_KEYS - 1})")
            roll[number, pitch - LOWEST] = True
    return roll


def pitches_of(roll: Roll) -> list[list[int]]:
    """The MIDI numbers that sound in each frame, from the lowest."""
    import numpy as np

    return [[int(key) + LOWEST for key in np.flatnonzero(frame)] for frame in roll]


def column_of(rolls: Sequence[Roll], name: str = "roll") -> pl.Series:
    """Rolls as a media column, ``List(UInt8)`` of T * 88 numbers 0 and 1 each."""
    import numpy as np
    import polars as pl

    flat = [pl.Series(roll.astype(np.uint8).reshape(-1)) for roll in rolls]
    return pl.Series(name, flat, dtype=pl.List(pl.UInt8))


def rolls_of(rows: pl.DataFrame, name: str = "roll") -> list[Roll]:
    """Rolls of a media column, row for row."""
    return [values.to_numpy().reshape(-1, N_KEYS).astype(bool) for values in rows[name]]
