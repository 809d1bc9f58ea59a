"""Which simple forecasts are there? Climatology, persistence, a linear rule and a wide one, each with its own spread.

The linear rule is a vector autoregression estimated for each lead on its own: the indices now and three steps ago, and
the season, by ridge regression. Of the simple forecasts it is the best, and so it is the floor. The wide rule is the
same on all inputs, among them long means and the state times the season; the network begins from it. Penalties and
spreads come from forecasts of eighths of the training time, each by weights from the other seven.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from pipelines.climate_pattern_recognition.inputs import INPUTS, LINEAR_INPUTS, Learning

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Booleans = NDArray[np.bool_]

_PENALTIES = (1.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
"""Ridge penalties on standardised inputs, in units of rows."""

_FOLDS = 8


class Rules(NamedTuple):
    """What the simple forecasts need; D inputs, L leads, two indices.

    Args:
        input_mean: Shape (D,).
        input_spread: Shape (D,).
        linear_weights: On standardised inputs (0 where not among :data:`LINEAR_INPUTS`), the last row is the constant;
            shape (D + 1, L, 2).
        linear_spread: Shape (L, 2).
        wide_weights: Shape (D + 1, L, 2).
        wide_spread: Shape (L, 2).
        persistence_spread: Shape (L, 2).
        climatology_mean: By month that is forecast, shape (12, 2).
        climatology_spread: By month that is forecast, shape (12, 2).
    """

    input_mean: Floats
    input_spread: Floats
    linear_weights: Floats
    linear_spread: Floats
    wide_weights: Floats
    wide_spread: Floats
    persistence_spread: Floats
    climatology_mean: Floats
    climatology_spread: Floats


class _Ridge(NamedTuple):
    """Weights (D + 1, L, 2); forecasts of rows by those of other folds, (M, L, 2), and the spread of their errors."""

    weights: Floats
    unseen: Floats
    spread: Floats


def fit_rules(learning: Learning) -> tuple[Rules, NDArray[np.float32]]:
    """Estimates all rules from training rows, in the order of time.

    Returns:
        The rules; and the wide rule's means for the training rows themselves, each by weights that have not seen its
        part of the time, shape (M, L, 2): what a network can learn the honest errors from.
    """
    import numpy as np

    mean, spread = _moments(learning.inputs.astype(np.float64))
    inputs = np.nan_to_num((learning.inputs - mean) / spread)
    targets = learning.targets.astype(np.float64)
    linear, wide = (_ridge(inputs, targets, columns) for columns in (LINEAR_INPUTS, INPUTS))
    now = learning.inputs[:, [INPUTS.index("first_index_lag_0"), INPUTS.index("second_index_lag_0")]]
    persistence_spread = _root_mean_square(targets - now[:, None, :])
    climatology = _by_month(targets, learning.months)
    rules = Rules(
        mean, spread, linear.weights, linear.spread, wide.weights, wide.spread, persistence_spread, *climatology
    )
    return rules, wide.unseen.astype(np.float32)


def _moments(inputs: Floats) -> tuple[Floats, Floats]:
    """Mean and spread of each column where it is known; 0 and 1 where it never is or never changes."""
    import numpy as np

    is_known = np.isfinite(inputs)
    count = np.maximum(is_known.sum(axis=0), 1)
    mean = np.where(is_known, inputs, 0).sum(axis=0) / count
    spread = np.sqrt(np.where(is_known, (inputs - mean) ** 2, 0).sum(axis=0) / count)
    return mean, np.where(spread < 1e-6, 1.0, spread)


def _ridge(inputs: Floats, targets: Floats, columns: Sequence[str]) -> _Ridge:
    """Ridge regression for each lead and index on its own; one penalty for all of them, that forecasts folds best."""
    import numpy as np

    used = [place for name in columns if inputs[:, place := INPUTS.index(name)].any()]
    design = np.concatenate([inputs[:, used], np.ones((len(inputs), 1))], axis=1)
    weights = np.zeros((inputs.shape[1] + 1, *targets.shape[1:]))
    unseen = np.zeros((len(_PENALTIES), *targets.shape))
    fold = np.arange(len(design)) * _FOLDS // max(1, len(design))
    known = [
        (lead, index) for lead, index in np.ndindex(targets.shape[1:]) if np.isfinite(targets[:, lead, index]).any()
    ]
    for lead, index in known:
        outcome = targets[:, lead, index]
        for part in range(_FOLDS):
            found = _solved(design, outcome, np.isfinite(outcome) & (fold != part), _PENALTIES)
            unseen[:, fold == part, lead, index] = found @ design[fold == part].T
    errors = np.where(np.isfinite(targets), targets - unseen, 0)
    best = int((errors**2).sum(axis=(1, 2, 3)).argmin())
    for lead, index in known:
        outcome = targets[:, lead, index]
        found = _solved(design, outcome, np.isfinite(outcome), _PENALTIES[best : best + 1])
        weights[[*used, -1], lead, index] = found[0]
    return _Ridge(weights, unseen[best], _root_mean_square(targets - unseen[best]))


def _solved(design: Floats, outcome: Floats, is_used: Booleans, penalties: Sequence[float]) -> Floats:
    """Weights for each penalty, shape (P, columns); the constant, the last column, is not penalised."""
    import numpy as np

    rows = design[is_used]
    gram, right = rows.T @ rows, rows.T @ outcome[is_used]
    each = np.append(np.ones(rows.shape[1] - 1), 1e-9)
    return np.stack([np.linalg.solve(gram + penalty * np.diag(each), right) for penalty in penalties])


def _by_month(targets: Floats, months: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Mean and spread of the outcomes of each month, shape (12, 2) each; of all months where one has none."""
    import numpy as np

    mean, spread = np.zeros((12, 2)), np.ones((12, 2))
    for index in range(2):
        is_known = np.isfinite(targets[..., index])
        everything = targets[..., index][is_known]
        for month in range(12 if everything.size else 0):
            values = targets[..., index][is_known & (months == month)]
            values = values if values.size > 1 else everything
            mean[month, index], spread[month, index] = values.mean(), max(float(values.std()), 1e-3)
    return mean, spread


def _root_mean_square(errors: Floats) -> Floats:
    """Over the rows, shape (L, 2); 1 where nothing is known."""
    import numpy as np

    is_known = np.isfinite(errors)
    mean = np.where(is_known, errors**2, 0).sum(axis=0) / np.maximum(is_known.sum(axis=0), 1)
    return np.where(is_known.any(axis=0), np.sqrt(np.maximum(mean, 1e-6)), 1.0)
