"""What is registered: boosted trees and a network that reads the card's latest transactions, blended and calibrated.

Both see the same derived inputs; training and serving get them from :func:`model_inputs` alone. The trees see the
columns, the network also the sequence.

Shapes: N rows, D columns, T transactions of a sequence, C numbers about each of them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from modelyard.errors import ConfigurationError, StorageError
from modelyard.files import atomic_file, write_text
from pipelines.fraud_detection.features import WINDOWS_DAYS

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    import xgboost as xgb
    from numpy.typing import NDArray
    from torch import nn

    from pipelines.fraud_detection.train import FitParameters

    Floats = NDArray[np.float32]

STEP_NUMBERS = 8
"""C: what the network is told about each transaction of a sequence; see :func:`_sequence`."""


class Inputs(NamedTuple):
    """What the two models see.

    Args:
        columns: float32 of shape (N, D), in the order of :func:`input_names`; NaN where there is nothing to compute.
        sequence: float32 of shape (N, T, C), the card's latest transactions with the current one last; zeros in front.
    """

    columns: Floats
    sequence: Floats


@dataclass(frozen=True)
class _Input:
    """One derived column.

    Args:
        expression: Over the columns of ``examples``.
        words: How a person is told about it; ``{:...}`` takes the value.
        natural: From the column's value to the number that a person is told.
    """

    expression: pl.Expr
    words: str
    natural: Callable[[float], float] = float


@dataclass(frozen=True, kw_only=True)
class FraudModel:
    """The trained model.

    Args:
        params: What it was fitted with; everything that validation rows decided is filled in.
        booster: Columns to the log-odds of fraud.
        network: See :func:`build_network`.
    """

    params: FitParameters
    booster: xgb.Booster
    network: nn.Module


def model_inputs(examples: pl.DataFrame) -> Inputs:
    """Derives what the models see, row by row: no row depends on another.

    Args:
        examples: The record's ``event_time`` and ``amount_eur`` and all features. Missing values are allowed.
    """
    import polars as pl

    if not examples.height:
        raise ConfigurationError("There are no transactions to look at.", where="model_inputs")
    history = examples.select(
        "amount_eur",
        pl.col("customer_recent_amounts_eur").fill_null([0.0]).alias("recent"),
        pl.col("customer_recent_length").fill_null(0).alias("length"),
    ).select(
        # Without the current transaction, the last of the list.
        pl.col("recent").list.tail((pl.col("length") - 1).clip(lower_bound=0)).alias("recent")
    )
    earlier = pl.when(pl.col("length") > 1).then(
        pl.col("recent").list.tail(pl.col("length")).list.head(pl.col("length") - 1)
    )
    del history
    prepared = examples.with_columns(
        pl.col("customer_recent_amounts_eur").alias("recent"), pl.col("customer_recent_length").alias("length")
    ).with_columns(earlier.alias("earlier_amounts"))
    columns = prepared.select(
        spec.expression.cast(pl.Float32).fill_null(math.nan).alias(name) for name, spec in _inputs().items()
    )
    return Inputs(columns=columns.to_numpy(), sequence=_sequence(examples))
