"""What simulators share: when an example happens, and how good a model is that knows each example's risk."""

from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.tasks.ranking import roc_auc

TEST_SHARE = 0.15
"""The lifecycle's split by time tests on this share of the examples, the latest; a default of its parameters."""


def event_times(start: date, elapsed_days: NDArray[np.float64]) -> pl.Series:
    """Returns ``event_time`` of N examples, cut to microseconds.

    Args:
        start: The day (UTC) from whose first instant on time is counted.
        elapsed_days: Days since then, shape (N,).
    """
    elapsed = (elapsed_days * 86_400e6).astype(np.int64).astype("timedelta64[us]")
    return pl.Series("event_time", np.datetime64(start, "us") + elapsed).dt.replace_time_zone("UTC")


def severities(
    affected_share: float, slope: float, centre: float, n: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Returns how severely each of N examples is affected, its true risk, and the label drawn with it, each (N,).

    Args:
        affected_share: Share of the examples with a severity of 0.35 and more; the others have a little of it, too.
        slope: Of the log-odds of the label along the severity.
        centre: Severity with a risk of one half.
        n: Number of examples.
        rng: Draws.
    """
    is_affected = rng.random(n) < affected_share
    severity = np.where(is_affected, 0.35 + rng.gamma(2.0, 0.25, n), rng.exponential(0.1, n))
    true_risk = 1 / (1 + np.exp(-slope * (severity - centre)))
    return severity, true_risk, rng.random(n) < true_risk


def known_risk_ceiling(true_risk: NDArray[np.float64], is_positive: NDArray[np.bool_]) -> dict[str, float]:
    """Returns ``roc_auc`` and ``accuracy`` of a model that knows each example's risk, on the test examples.

    Where labels are drawn with that risk and depend on what a model sees in no other way, no model is expected to be
    better.

    Args:
        true_risk: Probability with which each label was drawn, in the order of time, shape (N,).
        is_positive: The labels, shape (N,).
    """
    n_test = round(TEST_SHARE * len(true_risk))
    risk, label = true_risk[-n_test:], is_positive[-n_test:]
    return {"roc_auc": roc_auc(label, risk), "accuracy": float(((risk >= 0.5) == label).mean())}
