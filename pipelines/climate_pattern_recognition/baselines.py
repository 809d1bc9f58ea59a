"""Simple forecasts: climatology, persistence, a linear regression and a wide one, each with its own spread.

The linear baseline is a vector autoregression estimated for each lead on its own: the indices now and three steps ago,
and the season, by ridge regression. Of the simple forecasts it is the best, and so it is the floor. The wide one is the
same on all inputs, among them long means and the state times the season; the network begins from it. Penalties and
spreads come from forecasts of eighths of the training time, each by weights from the other seven.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from modelyard.tasks.series.seasons import climatology
from modelyard.tasks.series.splits import contiguous_folds
from pipelines.climate_pattern_recognition.inputs import INPUTS, LINEAR_INPUTS, Arrays

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

Forecast = tuple[Floats, Floats]
"""Means and spreads (standard deviations), of one shape."""

_PENALTIES = (1.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
"""Ridge penalties on standardised inputs, in units of rows."""

_N_FOLDS = 8

_MIN_SPREAD = 1e-3
"""Least spread of a forecast, in standard deviations of the outcomes: no series is certain."""

_NOW = [INPUTS.index("first_index_lag_0"), INPUTS.index("second_index_lag_0")]


class Baselines(NamedTuple):
    """What the simple forecasts need, as float32; D inputs, L leads, two indices.

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

    input_mean: Singles
    input_spread: Singles
    linear_weights: Singles
    linear_spread: Singles
    wide_weights: Singles
    wide_spread: Singles
    persistence_spread: Singles
    climatology_mean: Singles
    climatology_spread: Singles

    def standardised(self, inputs: Singles) -> Singles:
        """Returns inputs (M, D) in units of their spread; what is not known is average."""
        standardised: Singles = np.nan_to_num((inputs - self.input_mean) / self.input_spread)
        return standardised

    def linear(self, inputs: Singles) -> Forecast:
        """Returns the linear baseline's forecast of M issue times, shape (M, L, 2) each."""
        return self._regression(inputs, self.linear_weights, self.linear_spread)

    def wide(self, inputs: Singles) -> Forecast:
        """Returns the wide baseline's forecast of M issue times, shape (M, L, 2) each."""
        return self._regression(inputs, self.wide_weights, self.wide_spread)

    def _regression(self, inputs: Singles, weights: Singles, spread: Singles) -> Forecast:
        mean = np.einsum("md,dli->mli", self.standardised(inputs), weights[:-1].astype(np.float64), optimize=True)
        mean += weights[-1]
        return mean, np.broadcast_to(spread.astype(np.float64), mean.shape)

    def forecasts(self, inputs: Singles, lead: NDArray[np.int64], months: NDArray[np.int64]) -> dict[str, Forecast]:
        """Returns ``linear``, ``persistence`` and ``climatology`` of N rows, shape (N, 2) each.

        Args:
            inputs: Shape (N, D).
            lead: Position of each row's lead, shape (N,).
            months: Month (from 0) that is forecast, shape (N,).
        """
        mean, spread = (values[np.arange(len(lead)), lead] for values in self.linear(inputs))
        now = np.nan_to_num(inputs[:, _NOW].astype(np.float64))
        normal = self.climatology_mean[months], self.climatology_spread[months]
        return {
            "linear": (mean, spread),
            "persistence": (now, self.persistence_spread[lead].astype(np.float64)),
            "climatology": (normal[0].astype(np.float64), normal[1].astype(np.float64)),
        }


class _Ridge(NamedTuple):
    """Weights (D + 1, L, 2); out-of-fold forecasts of the rows, (M, L, 2), and the spread of their errors, (L, 2)."""

    weights: Floats
    out_of_fold: Floats
    spread: Floats


def fit_baselines(arrays: Arrays) -> tuple[Baselines, Singles]:
    """Estimates all baselines from training rows, in the order of time.

    Returns:
        The baselines; and the wide one's out-of-fold means for the training rows, shape (M, L, 2), whose errors are as
        large as on new rows: what a network learns to correct.
    """
    mean, spread = _moments(arrays.inputs.astype(np.float64))
    inputs = np.nan_to_num((arrays.inputs - mean) / spread)
    targets = arrays.targets.astype(np.float64)
    linear, wide = (_ridge(inputs, targets, columns) for columns in (LINEAR_INPUTS, INPUTS))
    persistence_spread = _root_mean_square(targets - arrays.inputs[:, None, _NOW])
    least = _MIN_SPREAD * _moments(targets.reshape(-1, 2))[1]
    normals = [climatology(targets[..., index].ravel(), arrays.months.ravel(), 12) for index in range(2)]
    normal_means, normal_spreads = (np.stack(values, axis=1) for values in zip(*normals, strict=True))
    found = (
        *(mean, spread),
        *(linear.weights, np.maximum(linear.spread, least)),
        *(wide.weights, np.maximum(wide.spread, least)),
        *(np.maximum(persistence_spread, least), normal_means, np.maximum(normal_spreads, least)),
    )
    return Baselines(*(values.astype(np.float32) for values in found)), wide.out_of_fold.astype(np.float32)


def _moments(inputs: Floats) -> Forecast:
    """Returns mean and spread of each column where it is known; 0 and 1 where it never is or never changes."""
    is_known = np.isfinite(inputs)
    count = np.maximum(is_known.sum(axis=0), 1)
    mean = np.where(is_known, inputs, 0).sum(axis=0) / count
    spread = np.sqrt(np.where(is_known, (inputs - mean) ** 2, 0).sum(axis=0) / count)
    return mean, np.where(spread <= 1e-6 * np.abs(mean), 1.0, spread)


def _ridge(inputs: Floats, targets: Floats, columns: Sequence[str]) -> _Ridge:
    """Fits a ridge regression for each lead and index, with one penalty: the one that forecasts other folds best."""
    used = [place for name in columns if inputs[:, place := INPUTS.index(name)].any()]
    design = np.concatenate([inputs[:, used], np.ones((len(inputs), 1))], axis=1)
    weights = np.zeros((inputs.shape[1] + 1, *targets.shape[1:]))
    out_of_fold = np.zeros((len(_PENALTIES), *targets.shape))
    fold = contiguous_folds(len(design), _N_FOLDS)
    is_known = np.isfinite(targets)
    known = [place for place in np.ndindex(targets.shape[1:]) if is_known[:, place[0], place[1]].any()]
    # Forecasts of each fold by each penalty, and the penalty whose forecasts are best.
    for lead, index in known:
        outcome, is_used = targets[:, lead, index], is_known[:, lead, index]
        for part in range(_N_FOLDS):
            found = _solved(design, outcome, is_used & (fold != part), _PENALTIES)
            out_of_fold[:, fold == part, lead, index] = found @ design[fold == part].T
    errors = np.where(is_known, targets - out_of_fold, 0)
    best = int((errors**2).sum(axis=(1, 2, 3)).argmin())
    # The weights of that penalty, from all rows.
    for lead, index in known:
        outcome, is_used = targets[:, lead, index], is_known[:, lead, index]
        weights[[*used, -1], lead, index] = _solved(design, outcome, is_used, _PENALTIES[best : best + 1])[0]
    return _Ridge(weights, out_of_fold[best], _root_mean_square(targets - out_of_fold[best]))


def _solved(design: Floats, outcome: Floats, is_used: NDArray[np.bool_], penalties: Sequence[float]) -> Floats:
    """Returns weights for each penalty, shape (P, columns); the constant, the last column, is not penalised."""
    rows = design[is_used]
    gram, right = rows.T @ rows, rows.T @ outcome[is_used]
    each = np.append(np.ones(rows.shape[1] - 1), 1e-9)
    return np.stack([np.linalg.solve(gram + penalty * np.diag(each), right) for penalty in penalties])


def _root_mean_square(errors: Floats) -> Floats:
    """Returns that of the rows, shape (L, 2); 1 where nothing is known."""
    is_known = np.isfinite(errors)
    mean = np.where(is_known, errors**2, 0).sum(axis=0) / np.maximum(is_known.sum(axis=0), 1)
    return np.where(is_known.any(axis=0), np.sqrt(mean), 1.0)
