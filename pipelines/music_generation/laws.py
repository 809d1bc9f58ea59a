"""Does it follow the laws of the style? Key, range, repetition, voice leading, and whether it was copied."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from modelyard.records import Column
from pipelines.music_generation.rolls import LOWEST, N_KEYS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from pipelines.music_generation.rolls import Roll

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
"""What is measured on every piece; works on real and on generated ones."""

_MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
_MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
_SCALES = {False: (0, 2, 4, 5, 7, 9, 11), True: (0, 2, 3, 5, 7, 8, 10, 11)}
_RUN = 4


def key_of(roll: Roll) -> tuple[int, bool]:
    """Tonic (0 is C) and whether the mode is minor: the profile that correlates best with the notes' shares.

    Krumhansl and Kessler 1982 (Psychological Review 89, 334), as used by Krumhansl and Schmuckler. Silence is C major.
    """
    import numpy as np

    counts = np.bincount((np.arange(N_KEYS) + LOWEST) % 12, weights=roll.sum(axis=0), minlength=12)
    if np.ptp(counts) == 0:
        return 0, False
    profiles = [np.roll(profile, tonic) for profile in (_MAJOR, _MINOR) for tonic in range(12)]
    best = int(np.argmax([np.corrcoef(counts, profile)[0, 1] for profile in profiles]))
    return best % 12, best >= 12


def measure(roll: Roll) -> dict[str, float | int | bool]:
    """What :data:`COLUMNS` promise, of one roll (T, 88); every value is finite, also of silence."""
    import numpy as np

    tonic, is_minor = key_of(roll)
    keys, n_notes = np.flatnonzero(roll.any(axis=0)), roll.sum()
    totals = roll.sum(axis=0)
    in_scale = np.isin((np.arange(N_KEYS) + LOWEST - tonic) % 12, _SCALES[is_minor])
    changes = (roll[1:] != roll[:-1]).any(axis=1)
    return {
        "n_frames_count": len(roll),
        "notes_per_frame_ratio": float(n_notes / max(1, len(roll))),
        "mean_pitch_semitone": float((totals * (np.arange(N_KEYS) + LOWEST)).sum() / n_notes) if n_notes else 0.0,
        "range_semitone": float(keys[-1] - keys[0]) if len(keys) else 0.0,
        "silence_share": float((~roll.any(axis=1)).mean()) if len(roll) else 1.0,
        "change_share": float(changes.mean()) if len(changes) else 0.0,
        "tonic_index": tonic,
        "is_minor": is_minor,
        "in_key_share": float(totals[in_scale].sum() / n_notes) if n_notes else 0.0,
        **_voice_leading(roll),
        "repetition_share": _repetition(roll),
    }


def describe(rolls: Sequence[Roll]) -> pl.DataFrame:
    """:func:`measure` of each roll, one row each, in the types of :data:`COLUMNS`."""
    import polars as pl

    types = {"int64": pl.Int64, "float64": pl.Float64, "bool": pl.Boolean}
    return pl.DataFrame([measure(roll) for roll in rolls], schema={each.name: types[each.dtype] for each in COLUMNS})


def _voice_leading(roll: Roll) -> dict[str, float]:
    """How the highest voice moves, and whether it moves in parallel fifths or octaves with the lowest."""
    import numpy as np

    sounding = roll[roll.any(axis=1)]
    if len(sounding) < 2:
        return {"step_share": 0.0, "parallel_share": 0.0}
    bass, soprano = sounding.argmax(axis=1), N_KEYS - 1 - sounding[:, ::-1].argmax(axis=1)
    moves, bass_moves = np.diff(soprano), np.diff(bass)
    distance = soprano - bass
    is_perfect = (distance > 0) & np.isin(distance % 12, (0, 7))
    both_move = (moves != 0) & (bass_moves != 0)
    is_parallel = both_move & is_perfect[1:] & is_perfect[:-1] & (distance[1:] % 12 == distance[:-1] % 12)
    return {
        "step_share": float((np.abs(moves[moves != 0]) <= 2).mean()) if moves.any() else 0.0,
        "parallel_share": float(is_parallel.sum() / max(1, both_move.sum())),
    }


def _repetition(roll: Roll) -> float:
    frames = [frame.tobytes() for frame in roll]
    runs = [tuple(frames[start : start + _RUN]) for start in range(len(frames) - _RUN + 1)]
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


class Memory:
    """Pieces that were learnt from, to find out what was copied from them.

    Args:
        packed: Frames of all pieces one after the other, eight keys in a byte, uint8 of shape (N, 11).
        lengths: Frames of each piece, adding up to N.
    """

    def __init__(self, packed: NDArray[np.uint8], lengths: NDArray[np.int64]) -> None:
        self.packed, self.lengths = packed, lengths
        self._runs_of = cache(self._runs)

    @classmethod
    def of(cls, rolls: Sequence[Roll]) -> Memory:
        """Remembers rolls."""
        import numpy as np

        packed = np.packbits(np.concatenate(rolls), axis=1)
        return cls(packed, np.array([len(roll) for roll in rolls], dtype=np.int64))

    def longest_common_run(self, roll: Roll) -> int:
        """The most frames in a row of ``roll`` that one learnt piece has, too, in the same key."""
        import numpy as np

        frames = [frame.tobytes() for frame in np.packbits(roll, axis=1)]
        shortest, longest = 0, len(frames)
        while shortest < longest:  # a run of n frames holds one of n - 1: bisection is right
            middle = (shortest + longest + 1) // 2
            known = self._runs_of(middle)
            if any(hash(tuple(frames[at : at + middle])) in known for at in range(len(frames) - middle + 1)):
                shortest = middle
            else:
                longest = middle - 1
        return shortest

    def _runs(self, length: int) -> frozenset[int]:
        frames = [frame.tobytes() for frame in self.packed]
        ends = self.lengths.cumsum()
        return frozenset(
            hash(tuple(frames[at : at + length]))
            for begin, end in zip(ends - self.lengths, ends, strict=True)
            for at in range(int(begin), int(end) - length + 1)
        )
