"""Features of cards and terminals at every transaction: what was known at that moment, and nothing later.

The windows are those of the Fraud Detection Handbook, chapter 3 "Baseline feature transformation"
(https://fraud-detection-handbook.github.io/fraud-detection-handbook/): open at the old end and closed at the new one,
(t - w, t], so the transaction at t counts; a terminal's windows end one label delay earlier, because whether a
transaction was fraudulent is known only after that delay.

Every window is a slice of rows sorted by entity and time; its sum is a difference of two cumulative sums. Amounts are
summed as whole cents, so that sums are exact and no row depends, not even in its last digit, on another entity's rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import polars.selectors as cs
from numpy.typing import NDArray
from pydantic import Field

from modelyard.errors import ConfigurationError
from modelyard.feature_store.schema import Feature, FeatureDtype, FeatureView
from modelyard.parameters import Parameters
from modelyard.records import CURRENCY
from pipelines.fraud_detection.data import WINDOWS_DAYS
from pipelines.fraud_detection.identifiers import IDENTIFIER, in_order

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

CAP_DAYS = 60.0
"""Where "days since" stops counting; also its value where there is nothing to count from."""

_HOUR_US = 3_600_000_000
_DAY_US = 24 * _HOUR_US


class FeatureParameters(Parameters):
    """What may vary without changing the features' meaning; window lengths are part of their names."""

    label_delay_days: int = Field(
        7, ge=0, le=90, description="Days until it is known whether a transaction was fraudulent; `ingest.periods` too."
    )
    sequence_length: int = Field(
        16, ge=1, le=256, description="Length of the `customer_recent_*` lists: a customer's latest transactions."
    )


_Row = tuple[str, FeatureDtype, str, str]

# Name, dtype, unit, description; {days} stands for each of the windows.
_CUSTOMER: tuple[_Row, ...] = (
    ("customer_tx_count_{days}d", "int64", "", "Transactions of the customer in the last {days} days."),
    ("customer_amount_mean_{days}d", "float64", CURRENCY, "Mean amount in the last {days} days."),
    ("customer_amount_std_30d", "float64", CURRENCY, "Sample standard deviation of amounts in 30 days; 0 for one."),
    ("customer_amount_max_30d", "float64", CURRENCY, "Largest amount in the last 30 days."),
    ("customer_amount_ratio_30d", "float64", "", "Latest amount over the mean of the others in 30 days, else 1."),
    ("customer_tx_count_1h", "int64", "", "Transactions of the customer in the last hour."),
    ("customer_days_since_previous", "float64", "d", "From the transaction before to the latest, at most 60 days."),
    ("customer_terminal_uses", "int64", "", "Earlier transactions of the customer at the latest one's terminal."),
    ("customer_new_terminal_count_7d", "int64", "", "Transactions in 7 days at terminals it had never used before."),
    ("customer_known_fraud_count_30d", "int64", "", "Frauds of the customer in 30 days ending one label delay ago."),
    ("customer_recent_length", "int64", "", "How many entries of the lists below are real; these are the last ones."),
    ("customer_recent_amounts", "float32_list", CURRENCY, "Latest amounts, oldest first; padded with 0 in front."),
    ("customer_recent_ages_h", "float32_list", "h", "How long before the latest one each happened; padding is 0."),
    ("customer_recent_hours_of_day", "float32_list", "h", "Time of day (UTC, 0 to 24) of each; padding is 0."),
    ("customer_recent_terminal_uses", "float32_list", "", "`customer_terminal_uses` at each; padding is 0."),
    ("customer_recent_terminal_risks_7d", "float32_list", "", "`terminal_risk_7d` known at each; padding is 0."),
)

_TERMINAL: tuple[_Row, ...] = (
    ("terminal_tx_count_{days}d", "int64", "", "Transactions there in {days} days ending one label delay ago."),
    ("terminal_risk_{days}d", "float64", "", "Share of frauds in {days} days ending one label delay ago, else 0."),
    ("terminal_known_fraud_count_30d", "int64", "", "Frauds there in 30 days ending one label delay ago."),
    ("terminal_days_since_known_fraud", "float64", "d", "Since the latest known fraud there, at most 60 days."),
    (
        "terminal_days_since_first_known_fraud",
        "float64",
        "d",
        "Since the earliest known fraud of the 30 days, else 60.",
    ),
    ("terminal_activity_1h", "int64", "", "Transactions at the terminal in the last hour."),
    ("terminal_activity_1d", "int64", "", "Transactions at the terminal in the last day."),
    ("terminal_amount_mean_1h", "float64", CURRENCY, "Mean amount at the terminal in the last hour."),
)


def _features(rows: tuple[_Row, ...]) -> tuple[Feature, ...]:
    return tuple(
        Feature(name=name.format(days=days), dtype=dtype, unit=unit, description=description.format(days=days))
        for name, dtype, unit, description in rows
        for days in (WINDOWS_DAYS if "{days}" in name else (0,))
    )


FEATURE_VIEWS = (
    FeatureView(
        name="customer_spending",
        entity="customer_id",
        entity_dtype=IDENTIFIER,
        ttl=None,
        description="How a customer spends, at each of its transactions and including it.",
        features=_features(_CUSTOMER),
    ),
    FeatureView(
        name="terminal_risk",
        entity="terminal_id",
        entity_dtype=IDENTIFIER,
        ttl=None,
        description="What is known about a terminal at each transaction there; labels are one delay old.",
        features=_features(_TERMINAL),
    ),
)
"""The features' schema."""


def derive_features(records: pl.DataFrame, params: FeatureParameters) -> dict[str, pl.DataFrame]:
    """Computes both feature views.

    A row at time t describes its entity just after its transactions at t. Where the records bring the window columns
    of their source (``upstream_*``, not null), these replace ours: the source has seen the time before our first day.

    Args:
        records: Columns ``transaction_id``, ``event_time``, ``customer_id``, ``terminal_id``, ``amount``,
            ``is_fraud``, in any order of rows; never changed. ``label_delay_days``, if there, is the split's.
        params: See :class:`FeatureParameters`.

    Returns:
        View name to frame (entity, ``event_time``, features in the schema's order), one row for each pair of entity
        and time, sorted by both.

    Raises:
        ConfigurationError: The records were split for labels that are known after another delay.
    """
    _check_delay(records, params)
    needed = ("transaction_id", "event_time", "customer_id", "terminal_id", "amount", "is_fraud")
    # Sorting and grouping compare the codes of an Enum, not text; its categories are in the order of text.
    codes = {name: pl.Enum(records[name].unique().sort()) for name in ("customer_id", "terminal_id")}
    records = (
        records.select(*needed, cs.starts_with("upstream_"))
        .cast(codes)  # type: ignore[arg-type]  # polars takes a mapping of names
        .sort("event_time", *in_order("transaction_id"))
        .with_columns(
            pl.int_range(pl.len()).alias("row"),
            pl.int_range(pl.len()).over("customer_id", "terminal_id").alias("terminal_uses"),
        )
    )
    at_terminals = _Timeline.of(records, "terminal_id")
    terminal = _terminal_risk(at_terminals, params)
    risk = at_terminals.for_each_record(terminal["terminal_risk_7d"])
    customer = _customer_spending(_Timeline.of(records.with_columns(risk), "customer_id"), params)
    return {view.name: _finish(view, frame) for view, frame in zip(FEATURE_VIEWS, (customer, terminal), strict=True)}


def _check_delay(records: pl.DataFrame, params: FeatureParameters) -> None:
    """Windows that see labels earlier than the split lets them be known would promise too much."""
    if "label_delay_days" not in records.columns:
        return
    for days in records["label_delay_days"].drop_nulls().unique():
        if days != params.label_delay_days:
            raise ConfigurationError(
                f"Labels are known after {days} days for the split, after {params.label_delay_days} for the features.",
                where="fraud_detection.ingest.periods.delay_days and fraud_detection.features.label_delay_days",
                way_out="give both the same value",
            )


def time_flags(examples: pl.DataFrame) -> pl.DataFrame:
    """Returns the two time flags of the handbook, functions of the record alone.

    Args:
        examples: Has ``event_time`` (UTC).

    Returns:
        ``is_weekend`` (Saturday, Sunday) and ``is_night`` (0:00 to 6:59), boolean, row for row.
    """
    return examples.select(
        (pl.col("event_time").dt.weekday() >= 6).alias("is_weekend"),
        (pl.col("event_time").dt.hour() <= 6).alias("is_night"),
    )


@dataclass(frozen=True)
class _Timeline:
    """Transactions sorted by entity and time.

    Args:
        frame: The sorted records; shape (N, ...).
        times: Microseconds, shape (N,).
        begins: Index of the entity's first transaction, shape (N,).
        last: Indices of the rows that end a moment (no later row has the same entity and time), shape (M,).
    """

    frame: pl.DataFrame
    times: Integers
    begins: Integers
    last: Integers

    @classmethod
    def of(cls, records: pl.DataFrame, entity: str) -> _Timeline:
        """Sorts ``records``, which are sorted by time and transaction, by ``entity``."""
        frame = records.sort(entity, maintain_order=True)
        times = frame["event_time"].to_physical().to_numpy()
        entities = frame[entity].to_physical().to_numpy()
        is_new = np.ones(len(times), dtype=bool)
        is_new[1:] = entities[1:] != entities[:-1]
        begins = np.maximum.accumulate(np.where(is_new, np.arange(len(times)), 0))
        is_last = np.ones(len(times), dtype=bool)
        is_last[:-1] = is_new[1:] | (times[1:] != times[:-1])
        return cls(frame, times, begins, np.flatnonzero(is_last))

    def ends_before(self, age_us: int) -> Integers:
        """For each row of ``last``: where the entity's transactions older than ``age_us`` or just so old end.

        The window (t - w, t - d] is the slice from ``ends_before(w)`` to ``ends_before(d)``.
        """
        end, bounds = self.begins[self.last], self.times[self.last] - age_us
        longest = int((self.last + 1 - end).max(initial=0))
        # Binary search of all rows at once: each step moves the ends that have 2^n more old transactions before them.
        for exponent in range(longest.bit_length() - 1, -1, -1):
            probe = end + ((1 << exponent) - 1)
            is_old = (probe <= self.last) & (self.times[np.minimum(probe, self.last)] <= bounds)
            end += is_old.astype(np.int64) << exponent
        return end

    def for_each_record(self, values: pl.Series) -> pl.Series:
        """Values of each moment, shape (M,), for each transaction in the order of its ``row``, shape (N,)."""
        moments = np.searchsorted(self.last, np.arange(len(self.times)))
        ordered = np.empty(len(self.times))
        ordered[self.frame["row"].to_numpy()] = values.to_numpy()[moments]
        return pl.Series(values.name, ordered)


def _terminal_risk(line: _Timeline, params: FeatureParameters) -> pl.DataFrame:
    """The columns of ``terminal_risk`` at each of the terminals' moments."""
    ends = line.last + 1
    frauds = _cumulated(line.frame["is_fraud"].cast(pl.Int64).to_numpy())
    delay_us = params.label_delay_days * _DAY_US
    known = line.ends_before(delay_us)
    columns: dict[str, Integers | Floats] = {}
    for days in WINDOWS_DAYS:
        old = line.ends_before(delay_us + days * _DAY_US)
        columns[f"terminal_tx_count_{days}d"] = known - old
        columns[f"terminal_risk_{days}d"] = (frauds[known] - frauds[old]) / np.maximum(known - old, 1)
    columns["terminal_known_fraud_count_30d"] = frauds[known] - frauds[old]
    # Positions of frauds: the n-th fraud of the sorted rows is where the cumulated count first reaches n.
    positions = np.append(np.flatnonzero(np.diff(frauds)), 0)
    ages = {
        "terminal_days_since_known_fraud": (frauds[known] - 1, frauds[known] > frauds[line.begins[line.last]]),
        "terminal_days_since_first_known_fraud": (frauds[old], frauds[known] > frauds[old]),
    }
    now = line.times[line.last]
    for name, (nth, exists) in ages.items():
        days_since = (now - line.times[positions[nth]]) / _DAY_US
        columns[name] = np.where(exists, np.minimum(days_since, CAP_DAYS), CAP_DAYS)
    hour = line.ends_before(_HOUR_US)
    cents = _cumulated(_cents(line.frame))
    columns["terminal_activity_1h"] = ends - hour
    columns["terminal_activity_1d"] = ends - line.ends_before(_DAY_US)
    columns["terminal_amount_mean_1h"] = (cents[ends] - cents[hour]) / (ends - hour) / 100
    return _with_source_windows(line, columns)


def _customer_spending(line: _Timeline, params: FeatureParameters) -> pl.DataFrame:
    """The columns of ``customer_spending`` at each of the customers' moments."""
    ends = line.last + 1
    amounts = _cents(line.frame)
    cents = _cumulated(amounts)
    columns: dict[str, Integers | Floats | pl.Series] = {}
    for days in WINDOWS_DAYS:
        starts = line.ends_before(days * _DAY_US)
        count, total = ends - starts, cents[ends] - cents[starts]
        columns[f"customer_tx_count_{days}d"] = count
        columns[f"customer_amount_mean_{days}d"] = total / count / 100
        if days == 7:
            first_uses = _cumulated((line.frame["terminal_uses"] == 0).cast(pl.Int64).to_numpy())
            columns["customer_new_terminal_count_7d"] = first_uses[ends] - first_uses[starts]
    # The last window of the loop, 30 days, also gives the spread.
    spread = _sums_of_squares(amounts, starts, ends) * count - total.astype(np.float64) ** 2
    columns["customer_amount_std_30d"] = (
        np.sqrt(np.maximum(spread, 0) / np.maximum(count * (count - 1), 1).astype(np.float64)) / 100
    )
    latest = amounts[line.last]
    columns["customer_amount_max_30d"] = _windowed_maximum(amounts, starts, ends) / 100
    others = (total - latest) / np.maximum(count - 1, 1)
    columns["customer_amount_ratio_30d"] = np.where(others > 0, latest / np.where(others > 0, others, 1), 1.0)
    columns["customer_tx_count_1h"] = ends - line.ends_before(_HOUR_US)
    previous = np.maximum(line.last - 1, 0)
    gap_days = (line.times[line.last] - line.times[previous]) / _DAY_US
    columns["customer_days_since_previous"] = np.where(
        line.last > line.begins[line.last], np.minimum(gap_days, CAP_DAYS), CAP_DAYS
    )
    columns["customer_terminal_uses"] = line.frame["terminal_uses"].to_numpy()[line.last]
    frauds = _cumulated(line.frame["is_fraud"].cast(pl.Int64).to_numpy())
    known, old = (line.ends_before((params.label_delay_days + days) * _DAY_US) for days in (0, 30))
    columns["customer_known_fraud_count_30d"] = frauds[known] - frauds[old]
    return _with_source_windows(line, columns | _recent(line, params.sequence_length))


def _recent(line: _Timeline, length: int) -> dict[str, pl.Series]:
    """The ``customer_recent_*`` columns: the last ``length`` transactions up to each moment, shape (M, length)."""
    lengths = np.minimum(line.last - line.begins[line.last] + 1, length)
    short = np.flatnonzero(lengths < length)
    is_padding = np.arange(length) < length - lengths[short, None]

    def latest(values: NDArray[Any]) -> NDArray[Any]:
        padded = np.concatenate([np.zeros(length, values.dtype), values])  # one more, so that no rows work too
        windows = np.lib.stride_tricks.sliding_window_view(padded, length)[line.last + 1]
        windows[short] = np.where(is_padding, np.zeros(1, values.dtype), windows[short])
        return windows

    def column(name: str) -> NDArray[np.float32]:
        return line.frame[name].cast(pl.Float32).to_numpy()

    ages = ((line.times[line.last][:, None] - latest(line.times)) / _HOUR_US).astype(np.float32)
    ages[short] = np.where(is_padding, np.float32(0), ages[short])
    hours_of_day = (line.times % _DAY_US / _HOUR_US).astype(np.float32)
    return {
        "customer_recent_length": pl.Series(lengths),
        "customer_recent_amounts": _lists(latest(column("amount"))),
        "customer_recent_ages_h": _lists(ages),
        "customer_recent_hours_of_day": _lists(latest(hours_of_day)),
        "customer_recent_terminal_uses": _lists(latest(column("terminal_uses"))),
        "customer_recent_terminal_risks_7d": _lists(latest(column("terminal_risk_7d"))),
    }


def _with_source_windows(line: _Timeline, columns: dict[str, Any]) -> pl.DataFrame:
    """Entity and time beside ``columns``, in which the source's own window columns take precedence."""
    frame = line.frame[line.last]
    source = {name: f"upstream_{name}" for name in columns if f"upstream_{name}" in frame.columns}
    ours = frame.with_columns(pl.Series(name, values) for name, values in columns.items())
    return ours.with_columns(
        pl.coalesce(pl.col(theirs).cast(ours[name].dtype), pl.col(name)).alias(name) for name, theirs in source.items()
    )


def _finish(view: FeatureView, frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(pl.col(view.entity).cast(pl.String), "event_time", *(feature.name for feature in view.features))


def _cents(frame: pl.DataFrame) -> Integers:
    return (frame["amount"] * 100).round().cast(pl.Int64).to_numpy()


def _cumulated(values: Integers) -> Integers:
    """Sums of the first 0, 1, ..., N values; shape (N + 1,)."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(values)])


def _sums_of_squares(values: Integers, starts: Integers, ends: Integers) -> Floats:
    """Sum of squares of each slice ``values[start:end]``, exact until the last step, also beyond 2^63.

    With x = 2^20 a + b, x^2 = 2^40 a^2 + 2^20 (2ab) + b^2.
    """
    high, low = values >> 20, values & ((1 << 20) - 1)
    sums = np.zeros(len(starts))
    for part, factor in ((high * high, 2.0**40), (2 * high * low, 2.0**20), (low * low, 1.0)):
        cumulated = _cumulated(part)
        sums += factor * (cumulated[ends] - cumulated[starts])
    return sums


def _windowed_maximum(values: Integers, starts: Integers, ends: Integers) -> Integers:
    """Maximum of each slice ``values[start:end]`` (not empty): of two overlapping powers of two."""
    levels = np.log2(ends - starts).astype(np.int64)
    table, result = values.copy(), np.empty(len(starts), np.int64)
    for level in range(int(levels.max(initial=-1)) + 1):
        chosen = levels == level
        result[chosen] = np.maximum(table[starts[chosen]], table[ends[chosen] - (1 << level)])
        table[: -(1 << level)] = np.maximum(table[: -(1 << level)], table[1 << level :])
    return result


def _lists(values: NDArray[np.float32]) -> pl.Series:
    """Rows of a matrix as lists."""
    return pl.Series(values, dtype=pl.Array(pl.Float32, values.shape[1])).arr.to_list()
