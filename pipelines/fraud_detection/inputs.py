"""What the models see: columns and a sequence, derived row by row from a transaction and its features.

Training and serving both come through :func:`model_inputs`. Windows that contain the transaction itself are cleared of
it here, and nested windows are taken apart (days 1 to 7, days 7 to 30): a compromised terminal is one whose latest
known days are bad, and a stolen card one whose amount is large against what its owner spent before.

Shapes: N rows, D columns, T transactions of a sequence, C numbers about each of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.errors import DataContractError
from modelyard.tasks.further_inputs import FurtherInput, further_expressions, with_further_inputs
from pipelines.fraud_detection.data import WINDOWS_DAYS
from pipelines.fraud_detection.features import time_flags

Floats = NDArray[np.float32]

STEP_NUMBERS = 9
"""C; see :func:`_sequence`."""


class Inputs(NamedTuple):
    """What the models see.

    Args:
        columns: float32 of shape (N, D), in the order of :func:`input_columns`; NaN where there is nothing to compute.
        sequence: float32 of shape (N, T, C): the card's latest transactions, the current one last, zeros in front.
    """

    columns: Floats
    sequence: Floats


class LabelledInputs(NamedTuple):
    """Rows to learn from or to validate on.

    Args:
        inputs: Of N rows.
        is_fraud: Shape (N,).
    """

    inputs: Inputs
    is_fraud: NDArray[np.bool_]

    @classmethod
    def of(cls, examples: pl.DataFrame, further: tuple[FurtherInput, ...] = ()) -> LabelledInputs:
        """Derives the inputs of ``examples`` and takes their labels."""
        return cls(model_inputs(examples, further), examples["is_fraud"].to_numpy())


class InputColumn(NamedTuple):
    """One derived column.

    Args:
        value: Over the columns of the examples.
        topic: What it is about; columns of one topic are one reason.
        text: What a person reads; ``{}`` takes the number, ``{currency}`` what amounts are in.
        number: From the column's value to that number.
    """

    value: pl.Expr
    topic: str
    text: str
    number: Callable[[float], float | str] = float


def model_inputs(examples: pl.DataFrame, further: tuple[FurtherInput, ...] = ()) -> Inputs:
    """Derives what the models see; no row depends on another.

    Args:
        examples: ``event_time``, ``amount`` and all features; a feature may be null. Further columns may be missing.
        further: Those that the model was trained with.

    Raises:
        DataContractError: There are no rows.
    """
    if not examples.height:
        raise DataContractError("There are no transactions to look at.", where="examples")
    flagged = with_further_inputs(examples.hstack(time_flags(examples)), further)
    columns = flagged.select(
        column.value.cast(pl.Float32).fill_null(math.nan).alias(name) for name, column in input_columns(further).items()
    )
    return Inputs(columns=columns.to_numpy(order="c"), sequence=_sequence(examples))


@cache
def input_columns(further: tuple[FurtherInput, ...] = ()) -> dict[str, InputColumn]:
    """Returns the derived columns by name.

    Args:
        further: Further columns of the model, which come last.
    """
    return {**_of_the_transaction(), **_of_the_customer(), **_of_the_terminal(), **_further(further)}


def _further(further: tuple[FurtherInput, ...]) -> dict[str, InputColumn]:
    columns = {}
    for name, (value, column, category) in further_expressions(further).items():
        words, quoted = column.replace("_", " "), category.replace("{", "{{").replace("}", "}}")
        columns[name] = (
            InputColumn(value, words, f"{words} is {quoted}: {{}}", _yes_no)
            if category
            else InputColumn(value, words, f"{words}: {{:g}}")
        )
    return columns


def _of_the_transaction() -> dict[str, InputColumn]:
    time = pl.col("event_time").dt
    return {
        "log_amount": InputColumn(pl.col("amount").log1p(), "amount", "the amount is {:.2f} {currency}", math.expm1),
        "hour_of_day": InputColumn(time.hour() + time.minute() / 60, "time of day", "it happened at {:.0f} h (UTC)"),
        "is_night": InputColumn(pl.col("is_night"), "time of day", "during the night: {}", _yes_no),
        "is_weekend": InputColumn(pl.col("is_weekend"), "weekday", "at the weekend: {}", _yes_no),
    }


def _of_the_customer() -> dict[str, InputColumn]:
    amount = pl.col("amount")
    count = {days: pl.col(f"customer_tx_count_{days}d") for days in WINDOWS_DAYS}
    total = {days: count[days] * pl.col(f"customer_amount_mean_{days}d") for days in WINDOWS_DAYS}
    others = {days: _ratio(total[days] - amount, count[days] - 1) for days in WINDOWS_DAYS}
    before = {
        days: _ratio(total[longer] - total[days], count[longer] - count[days]) for days, longer in ((1, 7), (7, 30))
    }
    lowest = pl.min_horizontal(others[30], before[1], before[7])
    earlier = _earlier_amounts()
    usual = {
        **{f"log_amount_over_mean_{days}d": (others[days], f"mean of {days} days") for days in WINDOWS_DAYS},
        "log_amount_over_mean_1d_to_7d": (before[1], "mean of 1 to 7 days ago"),
        "log_amount_over_mean_7d_to_30d": (before[7], "mean of 7 to 30 days ago"),
        "log_amount_over_lowest_mean": (lowest, "lowest mean of the last weeks"),
        "log_amount_over_median": (earlier.list.median(), "median of late"),
        "log_amount_over_largest": (earlier.list.max(), "largest amount of late"),
    }
    return {
        **{
            name: InputColumn(
                _log_ratio(amount, reference), "habit", "the amount is {:.1f} times the customer's " + words, math.exp
            )
            for name, (reference, words) in usual.items()
        },
        "log_mean_30d": InputColumn(
            others[30].log1p(), "customer", "the customer's mean amount of 30 days is {:.2f} {currency}", math.expm1
        ),
        "log_mean_7d_over_before": InputColumn(
            _log_ratio(others[7], before[7]),
            "customer",
            "the customer's mean of 7 days is {:.1f} times that of the weeks before",
            math.exp,
        ),
        **{
            f"customer_tx_count_{days}d": InputColumn(
                count[days], "activity", f"the customer's transactions in {days} days: {{:.0f}}"
            )
            for days in WINDOWS_DAYS
        },
        "customer_tx_count_1h": InputColumn(
            pl.col("customer_tx_count_1h"), "activity", "the customer's transactions in the last hour: {:.0f}"
        ),
        "customer_days_since_previous": InputColumn(
            pl.col("customer_days_since_previous"), "activity", "days since the customer's transaction before: {:.1f}"
        ),
        "customer_terminal_uses": InputColumn(
            pl.col("customer_terminal_uses"), "place", "earlier uses of this terminal by the customer: {:.0f}"
        ),
        "customer_new_terminal_count_7d": InputColumn(
            pl.col("customer_new_terminal_count_7d"), "place", "the customer's new terminals in 7 days: {:.0f}"
        ),
        "customer_known_fraud_count_30d": InputColumn(
            pl.col("customer_known_fraud_count_30d"), "known frauds", "known frauds of the customer: {:.0f}"
        ),
    }


def _of_the_terminal() -> dict[str, InputColumn]:
    count = {days: pl.col(f"terminal_tx_count_{days}d") for days in WINDOWS_DAYS}
    frauds = {days: (count[days] * pl.col(f"terminal_risk_{days}d")).round() for days in WINDOWS_DAYS}
    before = {days: (frauds[longer] - frauds[days], count[longer] - count[days]) for days, longer in ((1, 7), (7, 30))}
    topic = "terminal"
    columns: dict[str, InputColumn] = {}
    for days in WINDOWS_DAYS:
        columns |= {
            f"terminal_tx_count_{days}d": InputColumn(
                count[days], topic, f"transactions at the terminal in {days} days whose labels are known: {{:.0f}}"
            ),
            f"terminal_risk_{days}d": InputColumn(
                pl.col(f"terminal_risk_{days}d"), topic, f"share of frauds at the terminal in {days} days: {{:.0%}}"
            ),
            f"terminal_frauds_{days}d": InputColumn(
                frauds[days], topic, f"known frauds at the terminal in {days} days: {{:.0f}}"
            ),
            f"terminal_genuine_{days}d": InputColumn(
                count[days] - frauds[days], topic, f"genuine transactions at the terminal in {days} days: {{:.0f}}"
            ),
        }
    return {
        **columns,
        **{
            f"terminal_risk_{days}d_before": InputColumn(
                _ratio(*before[days]), topic, f"share of frauds at the terminal before the latest {days} days: {{:.0%}}"
            )
            for days in before
        },
        "terminal_days_since_known_fraud": InputColumn(
            pl.col("terminal_days_since_known_fraud"), topic, "days since a known fraud at the terminal: {:.1f}"
        ),
        "terminal_days_since_first_known_fraud": InputColumn(
            pl.col("terminal_days_since_first_known_fraud"), topic, "days since the first of them there: {:.1f}"
        ),
        "terminal_activity_1h": InputColumn(
            pl.col("terminal_activity_1h"), "terminal's activity", "transactions at the terminal in an hour: {:.0f}"
        ),
        "terminal_activity_1d": InputColumn(
            pl.col("terminal_activity_1d"), "terminal's activity", "transactions at the terminal in a day: {:.0f}"
        ),
        "log_terminal_amount_mean_1h": InputColumn(
            pl.col("terminal_amount_mean_1h").log1p(),
            "terminal's activity",
            "mean amount at the terminal in an hour: {:.2f} {currency}",
            math.expm1,
        ),
    }


def _yes_no(value: float) -> str:
    return "yes" if value else "no"


def _earlier_amounts() -> pl.Expr:
    """The amounts before the current one, without padding; null where there are none."""
    length = pl.col("customer_recent_length")
    real = pl.col("customer_recent_amounts").list.tail(length)
    return pl.when(length > 1).then(real.list.head(length - 1))


def _ratio(numerator: pl.Expr, denominator: pl.Expr) -> pl.Expr:
    """Null where the denominator is not positive; the sums behind it are exact only to rounding, hence not below 0."""
    return pl.when(denominator > 0).then((numerator / denominator).clip(lower_bound=0))


def _log_ratio(amount: pl.Expr, reference: pl.Expr) -> pl.Expr:
    """Logarithm of a ratio of amounts; one unit on both sides keeps cents from looking like large factors."""
    return ((amount + 1) / (reference + 1)).log()


def _sequence(examples: pl.DataFrame) -> Floats:
    """Returns what the network reads of each transaction, shape (N, T, C).

    Whether it is real, its log amount, that over the customer's mean, the current amount over it, log age, time of
    day as sine and cosine, log of earlier uses of its terminal, its terminal's risk.
    """
    recent = {
        name: _matrix(examples, f"customer_recent_{name}")
        for name in ("amounts", "ages_h", "hours_of_day", "terminal_uses", "terminal_risks_7d")
    }
    amounts = recent["amounts"]
    n_rows, length = amounts.shape
    lengths = examples["customer_recent_length"].fill_null(0).to_numpy().astype(np.int64)
    is_real = np.arange(length) >= length - lengths[:, None]
    others = examples.select(
        _ratio(
            (pl.col("customer_tx_count_30d") * pl.col("customer_amount_mean_30d")) - pl.col("amount"),
            pl.col("customer_tx_count_30d") - 1,
        ).fill_null(pl.col("amount"))
    ).to_series()
    log_amounts, log_current, log_mean = (
        np.log1p(values) for values in (amounts, examples["amount"].to_numpy()[:, None], others.to_numpy()[:, None])
    )
    angle = recent["hours_of_day"] * (2 * np.pi / 24)
    steps = (
        np.ones_like(amounts),
        log_amounts / 5,
        log_amounts - log_mean,
        log_current - log_amounts,
        np.log1p(recent["ages_h"]) / 5,
        np.sin(angle),
        np.cos(angle),
        np.log1p(recent["terminal_uses"]),
        recent["terminal_risks_7d"],
    )
    sequence = np.empty((n_rows, length, STEP_NUMBERS), np.float32)
    for index, values in enumerate(steps):
        sequence[:, :, index] = np.where(is_real, values, 0)
    return sequence


def _matrix(examples: pl.DataFrame, name: str) -> Floats:
    """A column of lists of one length as (N, T); missing lists are zeros."""
    lengths = examples[name].list.len().drop_nulls().unique().to_list()
    if len(lengths) > 1:
        raise DataContractError(f"The lists have lengths {sorted(lengths)}.", where=name)
    length = lengths[0] if lengths else 1
    filled = examples[name].fill_null(pl.Series([[0.0] * length], dtype=examples.schema[name]))
    values: Floats = filled.list.to_array(length).to_numpy().astype(np.float32)
    return values
