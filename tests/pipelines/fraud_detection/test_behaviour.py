"""Laws of the domain, which hold whatever the model has learnt."""

import numpy as np
import polars as pl
import pytest

from pipelines.fraud_detection.evaluate import predict
from pipelines.fraud_detection.features import FeatureParameters, derive_features


@pytest.fixture(scope="module")
def genuine(trained):
    """Ordinary transactions of customers with a history, at terminals with known transactions and no known fraud."""
    return (
        trained.rows("test")
        .filter(
            ~pl.col("is_fraud")
            & (pl.col("customer_tx_count_30d") >= 10)
            & (pl.col("terminal_tx_count_7d") >= 3)
            & (pl.col("terminal_risk_30d") == 0)
        )
        .sample(300, seed=0)
    )


def scores(trained, rows):
    return predict(trained.model, rows)["score"].to_numpy()


def with_amount(rows, times_mean):
    """The rows as they would be, had this transaction been ``times_mean`` times the customer's mean."""
    new = (pl.col("customer_amount_mean_30d") * times_mean).round(2)
    recent = pl.col("customer_recent_amounts").list
    changed = {"amount": new, "customer_recent_amounts": pl.concat_list(recent.head(recent.len() - 1), new)}
    for days in (1, 7, 30):
        mean, count = pl.col(f"customer_amount_mean_{days}d"), pl.col(f"customer_tx_count_{days}d")
        changed[f"customer_amount_mean_{days}d"] = mean + (new - pl.col("amount")) / count
    return rows.with_columns(**{name: value.cast(rows.schema[name]) for name, value in changed.items()})


def test_five_times_the_usual_amount_is_not_less_suspicious(trained, genuine):
    usual, large = scores(trained, with_amount(genuine, 1)), scores(trained, with_amount(genuine, 5))
    assert np.mean(large >= usual) > 0.97
    assert np.median(large / usual) > 3


def test_a_terminal_with_known_frauds_is_more_suspicious(trained, genuine):
    def at(risk, known):
        frauds = {f"terminal_risk_{days}d": pl.lit(risk) for days in (1, 7)}
        return genuine.with_columns(
            pl.lit(risk * 0.3).alias("terminal_risk_30d"),
            (pl.col("terminal_tx_count_7d") * int(risk)).alias("terminal_known_fraud_count_30d"),
            pl.lit(known).alias("terminal_days_since_known_fraud"),
            pl.lit(known * 1.5).clip(upper_bound=60.0).alias("terminal_days_since_first_known_fraud"),
            **frauds,
        )

    clean, bad = scores(trained, at(0.0, 60.0)), scores(trained, at(1.0, 8.0))
    assert np.mean(bad > clean) > 0.97
    assert np.median(bad / clean) > 3


def test_a_customer_without_history_gets_a_probability(trained):
    names = ("transaction_id", "event_time", "customer_id", "terminal_id", "amount", "is_fraud")
    new = pl.lit("never seen")
    first = trained.examples.select(names).tail(1).with_columns(customer_id=new, terminal_id=new)
    features = derive_features(first, FeatureParameters())
    rows = first.join(features["customer_spending"], on=["customer_id", "event_time"])
    rows = rows.join(features["terminal_risk"], on=["terminal_id", "event_time"])
    (probability,) = scores(trained, rows)
    assert 0 < probability < 1


def test_the_same_rows_give_the_same_scores_whoever_the_customer_is(trained, genuine):
    renamed = genuine.with_columns(
        pl.format("7{}", pl.col(name)).alias(name) for name in ("customer_id", "terminal_id")
    )
    assert np.array_equal(scores(trained, renamed), scores(trained, genuine))
