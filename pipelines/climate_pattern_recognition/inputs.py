"""What do the rules and the network read from an example? Features, the season, and the state times the season."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from modelyard.feature_store.schema import feature_names
from pipelines.climate_pattern_recognition.features import COVARIATE_LAGS, FEATURE_VIEWS, STATE
from pipelines.climate_pattern_recognition.series import COVARIATES

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

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
"""Those of the linear rule: the state and the other indices, now and three steps ago, and the season."""


class Learning(NamedTuple):
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
    """Columns :data:`INPUTS` of each row, NaN where nothing is known, shape (N, D)."""
    import numpy as np
    import polars as pl

    features = examples.select(pl.col(name).cast(pl.Float32) for name in feature_names(FEATURE_VIEWS))
    season = 2 * np.pi * (examples["event_time"].dt.ordinal_day().to_numpy() - 1) / 365.25
    waves = np.stack([np.cos(season), np.sin(season)], axis=1).astype(np.float32)
    modulated = features.select(_MODULATED).to_numpy()
    parts = [waves, features.to_numpy(), modulated * waves[:, :1], modulated * waves[:, 1:]]
    return np.concatenate(parts, axis=1).astype(np.float32)


def target_months(examples: pl.DataFrame) -> NDArray[np.int64]:
    """Month (from 0) that each row forecasts, by its issue time and lead; shape (N,)."""
    import polars as pl

    lead = pl.col("lead_count")
    by_days = (pl.col("event_time") + pl.duration(days=lead)).dt.month()
    by_months = (pl.col("event_time").dt.month() - 1 + lead) % 12 + 1
    month = pl.when(pl.col("oscillation") == "mjo").then(by_days).otherwise(by_months)
    months: NDArray[np.int64] = examples.select(month.cast(pl.Int64) - 1).to_series().to_numpy()
    return months


def lead_positions(examples: pl.DataFrame, leads: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Position of each row's lead in ``leads``, and whether it is there (the position is any otherwise); shape (N,)."""
    import numpy as np

    wanted = examples["lead_count"].to_numpy()
    positions = np.minimum(np.searchsorted(leads, wanted), len(leads) - 1).astype(np.int64)
    return positions, np.asarray(leads)[positions] == wanted


def learning_arrays(examples: pl.DataFrame, leads: Sequence[int]) -> Learning:
    """Gathers the rows of each issue time, whose leads are all among ``leads``; in the order of series and time."""
    import numpy as np
    import polars as pl

    issue = examples.select(pl.struct("series", "event_time").rank("dense").cast(pl.Int64) - 1).to_series().to_numpy()
    _, first = np.unique(issue, return_index=True)
    position, _ = lead_positions(examples, leads)
    shape = (len(first), len(leads))
    targets, months = np.full((*shape, 2), np.nan, np.float32), np.zeros(shape, np.int64)
    targets[issue, position] = target_values(examples)
    months[issue, position] = target_months(examples)
    return Learning(input_matrix(examples[first]), months, targets)


def target_values(rows: pl.DataFrame) -> Floats:
    """What came of each row, NaN where not known, shape (N, 2)."""
    import polars as pl

    names = ("target_index", "target_second_index")
    values: Floats = rows.select(pl.col(name).cast(pl.Float64) for name in names).to_numpy()
    return values
