"""Feature computation of fraud detection against a hand-written Polars query with the same output.

Both compute every column of both feature views from the same simulated transactions, in turn; their results are
compared before anything is timed. (A query of DuckDB window functions was tried as well; it was several times slower.)

    python benchmarks/features.py [number of transactions] [rounds]
"""

import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import polars as pl

from pipelines.fraud_detection.data import WINDOWS_DAYS
from pipelines.fraud_detection.features import FEATURE_VIEWS, FeatureParameters, derive_features
from pipelines.fraud_detection.simulator import simulate
from pipelines.fraud_detection.world import SimulationParameters

LENGTH = FeatureParameters().sequence_length
DELAY_DAYS = FeatureParameters().label_delay_days
N_DAYS = 104
_NUMBER = pl.col("transaction_id").cast(pl.Int64)
"""Simulated identifiers are numbers; transactions of one moment stand in their order."""


def main(n_transactions: int = 1_000_000, rounds: int = 5) -> None:
    """Prints the medians of both times and of their ratio."""
    records = transactions(n_transactions)
    check_equal(ours(records), query(records))
    competitors = {"derive_features": ours, "Polars query": query}
    seconds: dict[str, list[float]] = {name: [] for name in competitors}
    for turn in range(rounds):
        for name in sorted(competitors, reverse=bool(turn % 2)):
            seconds[name].append(timed(competitors[name], records))
    ratio = statistics.median(a / b for a, b in zip(*seconds.values(), strict=True))
    n_features = sum(len(view.features) for view in FEATURE_VIEWS)
    print(f"{records.height:,} transactions, {n_features} features, {rounds} rounds in turn")
    for name, values in seconds.items():
        print(f"  {name:<16} {statistics.median(values):7.2f} s  ({min(values):.2f} to {max(values):.2f})")
    print(f"  ratio {ratio:.2f} (goal: at most 1.5; median)")


def transactions(n: int) -> pl.DataFrame:
    """About ``n`` simulated transactions."""
    n_customers = max(round(n / N_DAYS / SimulationParameters().daily_transactions), 10)
    return simulate(SimulationParameters(n_customers=n_customers, n_terminals=2 * n_customers, n_days=N_DAYS))


def timed(compute: Callable[[pl.DataFrame], dict[str, pl.DataFrame]], records: pl.DataFrame) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    compute(records)
    return time.perf_counter() - start


def ours(records: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """The project's own features."""
    return derive_features(records, FeatureParameters())


def query(records: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """The same columns from Polars' rolling and ASOF expressions."""
    at_terminals = terminal_query(records)
    frames = (customer_query(at_terminals), at_terminals.unique(["terminal_id", "event_time"], keep="last"))
    return {
        view.name: frame.select(view.entity, "event_time", *(feature.name for feature in view.features)).sort(
            view.entity, "event_time"
        )
        for view, frame in zip(FEATURE_VIEWS, frames, strict=True)
    }


def rolled(values: pl.Expr, days: float, entity: str) -> pl.Expr:
    """Sum over (t - days, t] of each entity."""
    return values.rolling_sum_by("event_time", f"{round(days * 24)}h").over(entity)


def days_since(column: str) -> pl.Expr:
    """Days from a time to the row's own, at most 60."""
    return (
        ((pl.col("event_time") - pl.col(column)).dt.total_microseconds() / 86_400e6).clip(upper_bound=60).fill_null(60)
    )


def terminal_query(records: pl.DataFrame) -> pl.DataFrame:
    """Terminal features of every transaction; a delayed window is a long one minus a short one, as in the handbook."""
    one, fraud, cents, known = pl.col("one"), pl.col("fraud"), pl.col("cents"), pl.col("known")
    entity, n, f = "terminal_id", pl.col("n0"), pl.col("f0")
    rows = (
        records.sort("terminal_id", "event_time", _NUMBER)
        .with_columns(
            pl.lit(1, pl.Int64).alias("one"),
            pl.col("is_fraud").cast(pl.Int64).alias("fraud"),
            (pl.col("amount") * 100).round().cast(pl.Int64).alias("cents"),
            (pl.col("event_time") - pl.duration(days=DELAY_DAYS)).alias("known"),
            (pl.col("event_time") - pl.duration(days=DELAY_DAYS + 30)).alias("oldest"),
        )
        .with_columns(
            rolled(one, DELAY_DAYS, entity).alias("n0"),
            rolled(fraud, DELAY_DAYS, entity).alias("f0"),
            rolled(one, 1 / 24, entity).alias("terminal_activity_1h"),
            rolled(one, 1, entity).alias("terminal_activity_1d"),
            rolled(cents, 1 / 24, entity).alias("cents_1h"),
            *(rolled(one, DELAY_DAYS + days, entity).alias(f"n{days}") for days in WINDOWS_DAYS),
            *(rolled(fraud, DELAY_DAYS + days, entity).alias(f"f{days}") for days in WINDOWS_DAYS),
        )
    )
    frauds = rows.filter("is_fraud").select("terminal_id", pl.col("event_time").alias("fraud_at"))
    latest = frauds.with_columns(pl.col("fraud_at").alias("latest_at"))
    first = frauds.with_columns(pl.col("fraud_at").alias("first_at"))
    return (
        rows.join_asof(latest, left_on="known", right_on="fraud_at", by=entity, check_sortedness=False)
        .join_asof(
            first,
            left_on="oldest",
            right_on="fraud_at",
            by=entity,
            strategy="forward",
            allow_exact_matches=False,
            check_sortedness=False,
        )
        .with_columns(
            *((pl.col(f"n{days}") - n).alias(f"terminal_tx_count_{days}d") for days in WINDOWS_DAYS),
            *(
                ((pl.col(f"f{days}") - f) / (pl.col(f"n{days}") - n).clip(lower_bound=1)).alias(
                    f"terminal_risk_{days}d"
                )
                for days in WINDOWS_DAYS
            ),
            (pl.col("f30") - f).alias("terminal_known_fraud_count_30d"),
            days_since("latest_at").alias("terminal_days_since_known_fraud"),
            pl.when(pl.col("first_at") <= known)
            .then(days_since("first_at"))
            .otherwise(60.0)
            .alias("terminal_days_since_first_known_fraud"),
            (pl.col("cents_1h") / pl.col("terminal_activity_1h") / 100).alias("terminal_amount_mean_1h"),
        )
    )


def customer_query(at_terminals: pl.DataFrame) -> pl.DataFrame:
    """Customer features of the last transaction of each moment."""
    one, fraud, cents, nth = pl.col("one"), pl.col("fraud"), pl.col("cents"), pl.col("nth")
    entity, n, total = "customer_id", pl.col("customer_tx_count_30d"), pl.col("cents_30d")
    spread = (pl.col("squares_30d") * n - total.cast(pl.Float64) ** 2) / (n * (n - 1)).clip(lower_bound=1)
    needed = ("transaction_id", "event_time", "customer_id", "terminal_id", "amount", "terminal_risk_7d")
    rows = (
        at_terminals.select(*needed, "one", "fraud", "cents")
        .sort("customer_id", "event_time", _NUMBER)
        .with_columns(
            pl.int_range(pl.len()).over("customer_id", "terminal_id").alias("customer_terminal_uses"),
            pl.int_range(pl.len()).over("customer_id").alias("nth"),
        )
        .with_columns(
            rolled(one, 1 / 24, entity).alias("customer_tx_count_1h"),
            *(rolled(one, days, entity).alias(f"customer_tx_count_{days}d") for days in WINDOWS_DAYS),
            *(rolled(cents, days, entity).alias(f"cents_{days}d") for days in WINDOWS_DAYS),
            rolled(cents**2, 30, entity).alias("squares_30d"),
            pl.col("amount").rolling_max_by("event_time", "30d").over(entity).alias("customer_amount_max_30d"),
            rolled((pl.col("customer_terminal_uses") == 0).cast(pl.Int64), 7, entity).alias(
                "customer_new_terminal_count_7d"
            ),
            (rolled(fraud, DELAY_DAYS + 30, entity) - rolled(fraud, DELAY_DAYS, entity)).alias(
                "customer_known_fraud_count_30d"
            ),
        )
        .with_columns(
            *(
                (pl.col(f"cents_{days}d") / pl.col(f"customer_tx_count_{days}d") / 100).alias(
                    f"customer_amount_mean_{days}d"
                )
                for days in WINDOWS_DAYS
            ),
            (spread.clip(lower_bound=0).sqrt() / 100).alias("customer_amount_std_30d"),
            pl.when(total > cents)
            .then(cents / ((total - cents) / (n - 1)))
            .otherwise(1.0)
            .alias("customer_amount_ratio_30d"),
            pl.col("event_time").shift(1).over(entity).alias("previous_at"),
            (nth + 1).clip(upper_bound=LENGTH).alias("customer_recent_length"),
            *recent(nth),
        )
    )
    rows = rows.with_columns(days_since("previous_at").alias("customer_days_since_previous"))
    return rows.unique(["customer_id", "event_time"], keep="last")


def recent(nth: pl.Expr) -> list[pl.Expr]:
    """The lists of the latest transactions: shifted columns side by side."""
    time = pl.col("event_time")
    columns = {
        "customer_recent_amounts": pl.col("amount"),
        "customer_recent_hours_of_day": time.to_physical() % 86_400_000_000 / 3_600e6,
        "customer_recent_terminal_uses": pl.col("customer_terminal_uses"),
        "customer_recent_terminal_risks_7d": pl.col("terminal_risk_7d"),
    }
    lags = range(LENGTH - 1, -1, -1)
    lists = {name: [values.cast(pl.Float32).shift(lag) for lag in lags] for name, values in columns.items()}
    ages = ((time - time.shift(lag)).dt.total_microseconds() / 3_600e6 for lag in lags)
    lists["customer_recent_ages_h"] = [age.cast(pl.Float32) for age in ages]
    return [
        pl.concat_arr(pl.when(nth >= lag).then(value).otherwise(0.0) for lag, value in zip(lags, values, strict=True))
        .arr.to_list()
        .alias(name)
        for name, values in lists.items()
    ]


def check_equal(ours: dict[str, pl.DataFrame], theirs: dict[str, pl.DataFrame]) -> None:
    """Stops unless both computed the same."""
    for view in FEATURE_VIEWS:
        for feature in view.features:
            a, b = (frames[view.name][feature.name] for frames in (ours, theirs))
            if feature.dtype == "float32_list":
                a, b = (values.list.to_array(LENGTH) for values in (a, b))
            np.testing.assert_allclose(a.to_numpy(), b.to_numpy(), rtol=1e-5, atol=1e-5, err_msg=feature.name)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
