"""Is it better than chance? A test against predicting the same every day.

The rival is the better one of "always up" and "always down" on the very rows that are judged, so that a falling market
is no excuse and a rising one no merit; on the ACL18 test that is "always up".

The stocks of one day rise and fall together, and a model predicts one way for days on end: neither rows nor single days
are exchangeable. So whole weeks (blocks of five days) are drawn, and the difference in right predictions is shifted to
a mean of zero, which is what the null hypothesis says: a moving-block bootstrap (Künsch 1989,
https://doi.org/10.1214/aos/1176347265). Flipping the signs of days would ask for symmetric differences as well, which a
model that mostly predicts "up" does not have.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

Booleans = NDArray[np.bool_]

BLOCK_DAYS = 5
_RESAMPLES = 2_000
_SEED = 0


def best_constant(is_up: Booleans) -> bool:
    """Returns whether "always up" is the better constant prediction (a tie counts as up)."""
    return bool(is_up.mean() >= 0.5)


def chance_differences(rows: pl.DataFrame) -> tuple[float, NDArray[np.float64]]:
    """Returns how much better the predictions are than the best constant one, and how much better chance makes them.

    Args:
        rows: Labelled rows: ``event_time``, ``trading_day`` (targets over several days overlap, so these are blocks
            then, and a block here is five of them), ``is_up``, ``is_up_predicted``.

    Returns:
        The difference in accuracy, and 2,000 differences under the null hypothesis (none for fewer than two blocks).
    """
    constant = best_constant(rows["is_up"].to_numpy())
    gain = (pl.col("is_up") == pl.col("is_up_predicted")).cast(pl.Int64) - (pl.col("is_up") == constant).cast(pl.Int64)
    days = rows.group_by("trading_day").agg(pl.col("event_time").min(), gain.sum().alias("gain"), pl.len().alias("n"))
    days = days.sort("event_time")
    gains, n = days["gain"].to_numpy().astype(np.float64), days["n"].to_numpy().astype(np.float64)
    observed = float(gains.sum() / n.sum()) if days.height else float("nan")
    if days.height < 2 * BLOCK_DAYS:
        return observed, np.zeros(0)
    centred = gains - observed * n
    rng = np.random.default_rng(_SEED)
    starts = rng.integers(0, days.height - BLOCK_DAYS + 1, (_RESAMPLES, -(-days.height // BLOCK_DAYS)))
    drawn = (starts[:, :, None] + np.arange(BLOCK_DAYS)).reshape(_RESAMPLES, -1)[:, : days.height]
    differences: NDArray[np.float64] = centred[drawn].sum(axis=1) / n[drawn].sum(axis=1)
    return observed, differences


def p_value_of(observed: float, chance: NDArray[np.float64]) -> float:
    """Returns how often chance alone makes as much of a difference; NaN without differences made by chance.

    Args:
        observed: The difference that was found.
        chance: Differences under the null hypothesis; see :func:`chance_differences`.
    """
    return float((1 + (chance >= observed).sum()) / (1 + len(chance))) if len(chance) else float("nan")


def p_value_beats_constant(rows: pl.DataFrame) -> float:
    """Returns how often chance alone beats the best constant prediction by as much: one-sided; NaN for too few days.

    Args:
        rows: As for :func:`chance_differences`.
    """
    return p_value_of(*chance_differences(rows))
