"""Which pictures are copies of pictures in another split? A model would be asked what it has learnt by heart."""

from __future__ import annotations

import logging
from hashlib import blake2b

import numpy as np
import polars as pl
from numpy.typing import NDArray

logger = logging.getLogger(__name__)

_LATER = {"train": ("valid", "test"), "valid": ("test",)}
"""Split to those that keep the copies which it loses."""


def without_copies_across(rows: pl.DataFrame, pictures: NDArray[np.uint8]) -> pl.DataFrame:
    """Returns the rows, with ``unused`` as the split of those that have a copy in a later one.

    The test keeps its pictures, validation those that are not in the test. Copies within one split stay.

    Args:
        rows: N rows with ``split``.
        pictures: Decoded, shape (N, ...); files that differ in their compression only are the same picture.
    """
    digests = pl.Series([blake2b(one.tobytes(), digest_size=16).hexdigest() for one in pictures])
    is_copy = pl.repeat(False, rows.height, eager=True)
    for split, later in _LATER.items():
        elsewhere = digests.filter(rows["split"].is_in(later)).unique()
        is_copy |= (rows["split"] == split) & digests.is_in(elsewhere.implode())
    is_copy = is_copy.fill_null(False)
    if is_copy.any():
        logger.warning("%d pictures are copies of pictures in a later split and are not used", is_copy.sum())
    return rows.with_columns(pl.when(pl.lit(is_copy)).then(pl.lit("unused")).otherwise(pl.col("split")).alias("split"))
