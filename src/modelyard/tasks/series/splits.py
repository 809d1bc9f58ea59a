"""Splits by the time that is forecast: no outcome of the validation or the test was known in training."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.errors import DataContractError


def split_by_target(
    records: pl.DataFrame, begins: Mapping[str, datetime], embargo: timedelta | None = None
) -> pl.DataFrame:
    """Returns ``records`` with ``split``: the last split that has begun when the row's outcome comes.

    Args:
        records: ``event_time`` (the issue time) and ``target_at`` (the outcome's).
        begins: Split to its first outcome, in the order of time, such as ``{"train": ..., "valid": ..., "test": ...}``.
            A row whose outcome comes before the first of them, or is not known, is ``unused``.
        embargo: A row of a later split is issued at least so long after the last outcome before the split, or is
            ``unused``. None: rows may be issued before their split begins, since all outcomes of training are known
            when the first of the test comes.

    Raises:
        DataContractError: A split would be empty.
    """
    issued, target = pl.col("event_time"), pl.col("target_at")
    split = pl.lit("unused")
    for number, (name, begin) in enumerate(begins.items()):
        part = pl.lit(name)
        if number and embargo is not None:
            last_before = target.filter(target < begin).max()
            is_free = last_before.is_null() | (issued >= last_before + embargo)
            part = pl.when(is_free).then(part).otherwise(pl.lit("unused"))
        split = pl.when(target >= begin).then(part).otherwise(split)
    found = records.with_columns(split.alias("split"))
    empty = [name for name in begins if not (found["split"] == name).any()]
    if empty:
        raise DataContractError(
            f"Of the outcomes, {_span(records['target_at'])}, none is of the split {' and '.join(empty)}; the splits"
            f" begin at {', '.join(f'{begin:%Y-%m-%d} ({name})' for name, begin in begins.items())}.",
            where="columns 'event_time' and 'target_at'",
            way_out="bring a series that reaches from before the first split into the last one",
        )
    return found


def _span(times: pl.Series) -> str:
    first, last = times.min(), times.max()
    if not isinstance(first, datetime) or not isinstance(last, datetime):
        return "of which no time is known"
    return f"{first:%Y-%m-%d} to {last:%Y-%m-%d}"


class Fold(NamedTuple):
    """One step of a walk through time: what is learnt from, and what is then forecast."""

    past: pl.DataFrame
    future: pl.DataFrame


def known_at(records: pl.DataFrame, moment: datetime, embargo: timedelta = timedelta(0)) -> pl.DataFrame:
    """Returns the rows whose outcome (``target_at``) came at least ``embargo`` before ``moment``."""
    return records.filter(pl.col("target_at") <= moment - embargo)


def walk_forward(
    records: pl.DataFrame, n_folds: int, embargo: timedelta = timedelta(0), first_share: float = 0.5
) -> list[Fold]:
    """Returns the folds of a walk-forward validation, the earliest first.

    The issue times after the first share are cut into ``n_folds`` periods of equally many; each is forecast from the
    rows whose outcome was known an ``embargo`` before it begins.

    Args:
        records: ``event_time`` (the issue time) and ``target_at``.
        n_folds: Periods, 0 or more; fewer come back where there are fewer issue times.
        embargo: Time between the last outcome that is learnt from and the first issue time that is forecast.
        first_share: Share of the issue times that is never forecast, >= 0 and < 1.
    """
    times = records["event_time"].drop_nulls().unique().sort()
    first = int(len(times) * first_share)
    borders = [first + (len(times) - first) * number // max(n_folds, 1) for number in range(n_folds + 1)]
    return [
        Fold(
            known_at(records, times[begin], embargo),
            records.filter(pl.col("event_time").is_between(times[begin], times[end - 1])),
        )
        for begin, end in pairwise(borders)
        if end > begin
    ]


def contiguous_folds(n_rows: int, n_folds: int) -> NDArray[np.int64]:
    """Returns the number of each row's fold, shape (N,): blocks in the order of the rows.

    Few rows have neighbours in another fold, unlike in folds that are drawn at random.
    """
    return np.arange(n_rows) * n_folds // max(1, n_rows)
