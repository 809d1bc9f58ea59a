"""Conformal intervals: predicted quantiles, moved so that they hold what they promise on rows not learnt from.

Conformalised quantile regression (Romano, Patterson and Candès 2019, https://arxiv.org/abs/1905.03222); with groups one
offset for each (Mondrian: Vovk, Gammerman and Shafer 2005), so that the promise holds within each of them. For series,
whose rows are not exchangeable, the offset follows the hits. An offset is a plain number and belongs among a model's
parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from modelyard.tasks.calibration import conformal_widening

Floats = NDArray[np.float64]

ALL = "all"
"""The group of rows that no other group takes: all of them where there are no groups."""


def fit_cqr(
    low: Floats,
    high: Floats,
    observed: Floats,
    coverage: float,
    groups: Sequence[str] | None = None,
    min_rows: int = 50,
) -> dict[str, float]:
    """Returns by how much the intervals of each group must be widened to cover new values; may be negative.

    Args:
        low: Lower ends on calibration rows, shape (N,); may be infinite.
        high: Upper ends, shape (N,); may be infinite.
        observed: What came, shape (N,).
        coverage: In (0, 1).
        groups: The group of each row. None: all rows are one group.
        min_rows: Groups with fewer rows are moved as all rows are.

    Returns:
        Group to offset, in the unit of the observed values; :data:`ALL` is always among them.
    """
    offsets = {ALL: conformal_widening(low, high, observed, coverage)}
    labels = np.asarray([] if groups is None else groups)
    for group in sorted(set(labels.tolist())):
        own = labels == group
        if own.sum() >= min_rows:
            offsets[str(group)] = conformal_widening(low[own], high[own], observed[own], coverage)
    return offsets


def apply(
    low: Floats, high: Floats, offsets: Mapping[str, float], groups: Sequence[str] | None = None
) -> tuple[Floats, Floats]:
    """Returns the ends of intervals moved by their groups' offsets, shape (N,) each.

    Args:
        low: Predicted lower ends, shape (N,); may be infinite.
        high: Predicted upper ends; may be infinite.
        offsets: Of :func:`fit_cqr`; a group that is not there has the offset of all.
        groups: The group of each row. None: all rows are one group.
    """
    labels = [ALL] * len(low) if groups is None else groups
    moved = np.array([offsets.get(str(label), offsets[ALL]) for label in labels], dtype=np.float64)
    # A negative offset narrows an interval to its middle, and does not turn it around.
    moved = np.maximum(moved, np.where(np.isfinite(high - low), (low - high) / 2, -np.inf))
    return low - moved, high + moved


def adapt(
    offsets: Mapping[str, float], is_covered: Mapping[str, bool], rate: float, coverage: float
) -> dict[str, float]:
    """Returns the offsets after one more step of a series: narrower after a hit, much wider after a miss.

    Whatever the series does, the share of hits tends to ``coverage``: the quantile tracker of Angelopoulos, Candès and
    Tibshirani 2023 (https://arxiv.org/abs/2307.16895), after Gibbs and Candès 2021 (https://arxiv.org/abs/2106.00170).

    Args:
        offsets: Group to offset.
        is_covered: Group to whether its latest interval held what came; groups that are not there stay.
        rate: Step, in the unit of the offsets.
        coverage: Share of hits to hold, in (0, 1).
    """
    return {
        group: offset + rate * (coverage - float(is_covered[group])) if group in is_covered else offset
        for group, offset in offsets.items()
    }
