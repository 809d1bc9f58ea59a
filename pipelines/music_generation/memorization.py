"""Memorization: how much of a piece is copied from the pieces that the model has learnt from?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.music_generation.rolls import Roll


class TrainingCorpus:
    """The pieces that a model has learnt from.

    Args:
        packed: Frames of all pieces one after the other, eight keys in a byte, uint8 of shape (N, 11).
        lengths: Frames of each piece, adding up to N, int64.
    """

    def __init__(self, packed: NDArray[np.uint8], lengths: NDArray[np.int64]) -> None:
        self.packed, self.lengths = packed, lengths
        # Places of each distinct frame; a free place before every piece keeps runs within one piece.
        place = np.arange(len(packed)) + 1 + np.repeat(np.arange(len(lengths)), lengths)
        distinct, which, counts = np.unique(packed, axis=0, return_inverse=True, return_counts=True)
        places = np.split(place[np.argsort(which.reshape(-1), kind="stable")], counts.cumsum()[:-1])
        self._places = {frame.tobytes(): found for frame, found in zip(distinct, places, strict=True)}

    @classmethod
    def of(cls, rolls: Sequence[Roll]) -> TrainingCorpus:
        """Returns the corpus of at least one roll."""
        packed = np.packbits(np.concatenate(rolls), axis=1)
        return cls(packed, np.array([len(roll) for roll in rolls], dtype=np.int64))

    def longest_common_run(self, roll: Roll) -> int:
        """Returns the most frames in a row of ``roll`` that one piece of the corpus has, too, in the same key."""
        run = np.zeros(len(self.packed) + len(self.lengths) + 1, np.int64)  # length of the common run that ends there
        nowhere = before = np.array([], np.int64)
        longest = 0
        for frame in np.packbits(roll, axis=1):
            here = self._places.get(frame.tobytes(), nowhere)
            lengths = run[here - 1] + 1
            run[before] = 0
            run[here], before = lengths, here
            longest = max(longest, int(lengths.max(initial=0)))
        return longest
