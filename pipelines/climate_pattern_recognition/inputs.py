"""What do the baselines and the network read from an example? Features, the season, and the state times the season."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.feature_store.schema import feature_names
from modelyard.tasks.series.seasons import annual_waves
from modelyard.tasks.series.steps import step_begin
from pipelines.climate_pattern_recognition.features import COVARIATE_LAGS, FEATURE_VIEWS
from pipelines.climate_pattern_recognition.oscillations import COVARIATES, STATE, by_step, steps_of

Floats = NDArray[np.float64]

SEASON = ("season_cosine", "season_sine")
_MODULATED = tuple(f"{name}_{what}" for name in STATE for what in ("lag_0", "mean_5", "mean_30"))

INPUTS = (
    *SEASON,
    *feature_names(FEATURE_VIEWS),
    *(f"{name}_times_{wave}" for wave in SEASON for name in _MODULATED),
)
"""Columns of the input matrix, in order."""

LINEAR_INPUTS = (*SEASON, *(f"{name}_lag_{lag}" for name in (*STATE, *COVARIATES) for lag in COVARIATE_LAGS))
"""Those of the linear baseline: the state and the other indices, now and three steps ago, and the season."""


class Arrays(NamedTuple):
    """Issue times with their outcomes at every lead; M issue times, L leads.

    Args:
        inputs: See :func:`input_matrix`, shape (M, D).
        months: Month (from 0) that is forecast, shape (M, L).
        targets: Both indices, NaN where not known, shape (M, L, 2).
    """

    inputs: NDArray[np.float32]
    months: NDArray[np.int64]
    targets: NDArray[np.float32]


def input_matrix(examples: pl.DataFrame) -> NDArray[np.float32]:
    """Returns the columns :data:`INPUTS` of each row, NaN where nothing is known, shape (N, D)."""
    features = examples.select(pl.col(name).cast(pl.Float32) for name in feature_names(FEATURE_VIEWS))
    waves = annual_waves(examples["event_time"]).astype(np.float32)
    modulated = features.select(_MODULATED).to_numpy()
    parts = [waves, features.to_numpy(), modulated * waves[:, :1], modulated * waves[:, 1:]]
    return np.concatenate(parts, axis=1).astype(np.float32)


def target_months(examples: pl.DataFrame) -> NDArray[np.int64]:
    """Returns the month (from 0) that each row forecasts, by its issue time and lead; shape (N,)."""
    target = by_step(lambda step: step_begin(steps_of() + pl.col("lead_count"), step))
    months: NDArray[np.int64] = examples.select(target.dt.month().cast(pl.Int64) - 1).to_series().to_numpy()
    return months


def lead_positions(examples: pl.DataFrame, leads: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Returns the position of each row's lead in ``leads``, and whether it is there (any position otherwise); (N,)."""
    wanted = examples["lead_count"].to_numpy()
    positions = np.minimum(np.searchsorted(leads, wanted), len(leads) - 1).astype(np.int64)
    return positions, np.asarray(leads)[positions] == wanted


def arrays_of(examples: pl.DataFrame, leads: Sequence[int]) -> Arrays:
    """Gathers the rows of each issue time, whose leads are all among ``leads``; in the order of series and time."""
    issue = examples.select(pl.struct("series", "event_time").rank("dense").cast(pl.Int64) - 1).to_series().to_numpy()
    _, first = np.unique(issue, return_index=True)
    position, _ = lead_positions(examples, leads)
    shape = (len(first), len(leads))
    targets, months = np.full((*shape, 2), np.nan, np.float32), np.zeros(shape, np.int64)
    targets[issue, position] = target_values(examples)
    months[issue, position] = target_months(examples)
    return Arrays(input_matrix(examples[first]), months, targets)


def target_values(rows: pl.DataFrame) -> Floats:
    """Returns the outcome of each row, NaN where not known, shape (N, 2)."""
    names = ("target_index", "target_second_index")
    values: Floats = rows.select(pl.col(name).cast(pl.Float64) for name in names).to_numpy()
    return values
