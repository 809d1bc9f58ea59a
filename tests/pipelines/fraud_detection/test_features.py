import os
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from modelyard.lineage.table_digest import table_digest
from pipelines.fraud_detection.features import FEATURE_VIEWS, FeatureParameters, derive_features, time_flags

START = datetime(2024, 1, 1, tzinfo=UTC)
PARAMS = FeatureParameters(label_delay_days=7, sequence_length=4)


def transactions(*rows: tuple[float, int, int, float, bool]) -> pl.DataFrame:
    """Rows of (days from the start, customer, terminal, amount, is_fraud)."""
    return pl.DataFrame(
        [
            (str(number), START + timedelta(days=days), str(customer), str(terminal), float(amount), is_fraud)
            for number, (days, customer, terminal, amount, is_fraud) in enumerate(rows)
        ],
        schema={
            "transaction_id": pl.String,
            "event_time": pl.Datetime("us", "UTC"),
            "customer_id": pl.String,
            "terminal_id": pl.String,
            "amount": pl.Float64,
            "is_fraud": pl.Boolean,
        },
        orient="row",
    )


QUARTERS = st.integers(0, 160).map(lambda n: n / 4)
RANDOM = st.lists(
    st.tuples(QUARTERS, st.integers(0, 2), st.integers(0, 2), st.integers(0, 500), st.booleans()),
    min_size=1,
    max_size=30,
)


def test_rows_and_columns_are_those_of_the_schema():
    records = transactions((1, 1, 1, 10, False), (1, 1, 2, 20, False), (0, 2, 1, 5, True))
    frames = derive_features(records, PARAMS)
    dtypes = {"int64": pl.Int64, "float64": pl.Float64, "float32_list": pl.List(pl.Float32)}
    for view in FEATURE_VIEWS:
        frame = frames[view.name]
        expected = {view.entity: pl.String, "event_time": pl.Datetime("us", "UTC")}
        assert dict(frame.schema) == expected | {feature.name: dtypes[feature.dtype] for feature in view.features}
        moments = records.select(view.entity, "event_time").unique().sort(view.entity, "event_time")
        assert_frame_equal(frame.select(view.entity, "event_time"), moments)
        assert sum(frame.null_count().row(0)) == 0


def test_windows_are_open_at_the_old_end_and_closed_at_the_new_one():
    records = transactions((0, 1, 1, 10, False), (1 / 24, 1, 1, 20, False), (1, 1, 1, 60, False))
    frame = derive_features(records, PARAMS)["customer_spending"]
    assert frame["customer_tx_count_1d"].to_list() == [1, 2, 2]
    assert frame["customer_tx_count_7d"].to_list() == [1, 2, 3]
    assert frame["customer_tx_count_1h"].to_list() == [1, 1, 1]
    assert frame["customer_amount_mean_1d"].to_list() == [10, 15, 40]


def test_labels_count_from_one_delay_later_on():
    records = transactions((0, 1, 1, 10, True), (6.75, 2, 1, 10, False), (7, 3, 1, 10, False), (8, 4, 1, 10, False))
    frame = derive_features(records, PARAMS)["terminal_risk"]
    assert frame["terminal_risk_7d"].to_list() == [0, 0, 1, 1]
    assert frame["terminal_tx_count_1d"].to_list() == [0, 0, 1, 0]
    assert frame["terminal_known_fraud_count_30d"].to_list() == [0, 0, 1, 1]
    assert frame["terminal_days_since_known_fraud"].to_list() == [60, 60, 7, 8]


def test_recent_transactions_end_with_the_current_one_and_are_padded_in_front():
    records = transactions(*((day, 1, day % 2, 10 * (day + 1), False) for day in range(5)))
    frame = derive_features(records, PARAMS)["customer_spending"]
    assert frame["customer_recent_length"].to_list() == [1, 2, 3, 4, 4]
    assert frame["customer_recent_amounts"].to_list()[1] == [0, 0, 10, 20]
    assert frame["customer_recent_amounts"].to_list()[4] == [20, 30, 40, 50]
    assert frame["customer_recent_ages_h"].to_list()[1] == [0, 0, 24, 0]
    assert frame["customer_recent_terminal_uses"].to_list()[4] == [0, 1, 1, 2]
    assert frame["customer_terminal_uses"].to_list() == [0, 0, 1, 1, 2]


def test_identifiers_are_any_text_and_decide_nothing_but_who_is_who():
    rows = [(day / 3, day % 3, day % 4, 7.0 * day, day % 5 == 0) for day in range(60)]
    numbers = transactions(*rows)
    tokens = numbers.with_columns(
        transaction_id="TX-" + pl.col("transaction_id").str.zfill(8),
        customer_id="Kärtner " + pl.col("customer_id"),
        terminal_id="000" + pl.col("terminal_id"),
    )
    for view, names in zip(FEATURE_VIEWS, ("Kärtner {}", "000{}"), strict=True):
        plain, named = (derive_features(records, PARAMS)[view.name] for records in (numbers, tokens))
        renamed = plain.with_columns(pl.format(names, pl.col(view.entity)).alias(view.entity))
        assert_frame_equal(named, renamed, check_exact=True)


def test_transactions_of_one_moment_stand_in_the_order_of_their_numbers():
    records = transactions(*((0, 1, 1, amount, False) for amount in range(1, 13)))
    frame = derive_features(records.reverse(), PARAMS)["customer_spending"]
    assert frame["customer_recent_amounts"].to_list() == [[9, 10, 11, 12]]


def test_amounts_of_a_currency_with_large_numbers_have_the_right_spread():
    amounts = [1e9, 1e9 - 3, 5.0, 123_456_789.01]
    records = transactions(*((day, 1, 1, amount, False) for day, amount in enumerate(amounts)))
    frame = derive_features(records, PARAMS)["customer_spending"]
    assert frame["customer_amount_std_30d"][-1] == pytest.approx(pl.Series(amounts).std(), rel=1e-9)


def test_customers_do_not_touch_each_other():
    alone = transactions((0, 1, 1, 0.1, False), (1, 1, 1, 0.2, False))
    others = transactions((0, 0, 2, 1e5, True), (1, 2, 3, 0.07, False))
    crowd = pl.concat([alone, others.with_columns(pl.format("1{}", "transaction_id").alias("transaction_id"))])
    frames = [derive_features(rows, PARAMS)["customer_spending"] for rows in (alone, crowd)]
    assert_frame_equal(frames[0], frames[1].filter(pl.col("customer_id") == "1"), check_exact=True)


@given(RANDOM)
@settings(max_examples=40, deadline=None)
def test_windows_equal_a_slow_loop(rows):
    records = transactions(*rows)
    frames = derive_features(records, PARAMS)
    day = timedelta(days=1)

    def within(entity: str, key: str, old: datetime, new: datetime) -> pl.DataFrame:
        return records.filter(pl.col(entity) == key, pl.col("event_time") > old, pl.col("event_time") <= new)

    for row in frames["customer_spending"].iter_rows(named=True):
        now, customer = row["event_time"], row["customer_id"]
        window = within("customer_id", customer, now - 30 * day, now)
        assert row["customer_tx_count_30d"] == window.height
        assert row["customer_amount_mean_30d"] == pytest.approx(window["amount"].mean())
        assert row["customer_amount_max_30d"] == window["amount"].max()
        assert row["customer_amount_std_30d"] == pytest.approx(window["amount"].std() or 0, abs=1e-6)
        labelled = within("customer_id", customer, now - 37 * day, now - 7 * day)
        assert row["customer_known_fraud_count_30d"] == labelled["is_fraud"].sum()
    for row in frames["terminal_risk"].iter_rows(named=True):
        now, terminal = row["event_time"], row["terminal_id"]
        labelled = within("terminal_id", terminal, now - 37 * day, now - 7 * day)
        assert row["terminal_tx_count_30d"] == labelled.height
        assert row["terminal_risk_30d"] == pytest.approx(labelled["is_fraud"].mean() or 0)
        first = labelled.filter("is_fraud")["event_time"].min()
        assert row["terminal_days_since_first_known_fraud"] == ((now - first) / day if first else 60)
        assert row["terminal_activity_1d"] == within("terminal_id", terminal, now - day, now).height


@given(RANDOM, st.integers(0, 160))
@settings(max_examples=40, deadline=None)
def test_what_comes_later_changes_nothing_earlier(rows, moment):
    """Transactions after t may vanish or change, and labels after t - delay may flip: rows up to t stay."""
    records, now = transactions(*rows), START + timedelta(days=moment / 4)
    is_future = pl.col("event_time") > now
    is_unlabelled = pl.col("event_time") > now - timedelta(days=PARAMS.label_delay_days)
    flipped = pl.when(is_unlabelled).then(~pl.col("is_fraud")).otherwise("is_fraud").alias("is_fraud")
    dearer = pl.when(is_future).then(pl.col("amount") * 3 + 1).otherwise("amount").alias("amount")
    before = derive_features(records, PARAMS)
    for other in (records.with_columns(flipped, dearer), records.filter(~is_future)):
        after = derive_features(other, PARAMS)
        for view in FEATURE_VIEWS:
            kept = [frames[view.name].filter(~is_future) for frames in (before, after)]
            assert_frame_equal(*kept, check_exact=True)


def test_a_planted_future_fraud_changes_later_rows_only():
    quiet = transactions(*((day, day, 1, 10, False) for day in range(20)))
    planted = quiet.with_columns((pl.col("transaction_id") == "5").alias("is_fraud"))
    risks = [derive_features(rows, PARAMS)["terminal_risk"]["terminal_risk_7d"].to_list() for rows in (quiet, planted)]
    assert risks[0] == [0] * 20
    assert risks[1][:12] == [0] * 12
    assert risks[1][12] == pytest.approx(1 / 6)


def test_the_sources_own_windows_take_precedence():
    records = transactions((0, 1, 1, 10, False), (1, 1, 1, 20, False)).with_columns(
        pl.Series("upstream_customer_tx_count_30d", [41, None]), pl.Series("upstream_terminal_risk_7d", [0.5, 0.25])
    )
    frames = derive_features(records, PARAMS)
    assert frames["customer_spending"]["customer_tx_count_30d"].to_list() == [41, 2]
    assert frames["terminal_risk"]["terminal_risk_7d"].to_list() == [0.5, 0.25]
    assert frames["customer_spending"]["customer_recent_terminal_risks_7d"].to_list()[1] == [0, 0, 0.5, 0.25]


def test_order_of_rows_does_not_matter_and_nothing_is_changed():
    records = transactions(*((day / 3, day % 3, day % 4, 7 * day, day % 5 == 0) for day in range(60)))
    digest = table_digest(records)
    frames = [derive_features(rows, PARAMS) for rows in (records, records.sample(fraction=1, shuffle=True, seed=1))]
    assert table_digest(records) == digest
    for view in FEATURE_VIEWS:
        assert_frame_equal(frames[0][view.name], frames[1][view.name], check_exact=True)


def test_no_transactions_give_no_rows():
    frames = derive_features(transactions(), PARAMS)
    assert [frame.height for frame in frames.values()] == [0, 0]


def test_time_flags():
    records = transactions((4.29, 1, 1, 1, False), (4.5, 1, 1, 1, False), (5, 1, 1, 1, False), (6.99, 1, 1, 1, False))
    flags = time_flags(records)
    assert flags["is_weekend"].to_list() == [False, False, True, True]
    assert flags["is_night"].to_list() == [True, False, True, False]


@pytest.mark.skipif("MODELYARD_DATA_MIRROR" not in os.environ, reason="needs the real data: MODELYARD_DATA_MIRROR")
def test_windows_equal_the_handbooks_own(data_directory):
    """Where our 21 days hold the whole window and no other transaction has the same entity and time."""
    from pipelines.fraud_detection.data import IngestParameters, ingest

    records = ingest(IngestParameters(source="public"))
    frames = derive_features(records.select(pl.exclude("^upstream_.*$")), FeatureParameters())
    for view in FEATURE_VIEWS:
        joined = records.join(frames[view.name], on=[view.entity, "event_time"])
        joined = joined.filter(pl.len().over(view.entity, "event_time") == 1)
        first, delay = joined["event_time"].min(), 7 if view.entity == "terminal_id" else 0
        for name in [feature.name for feature in view.features if f"upstream_{feature.name}" in records.columns]:
            days = int(name.rpartition("_")[2].removesuffix("d"))
            if days > 7:
                continue
            whole = joined.filter(pl.col("event_time") >= first + timedelta(days=delay + days))
            assert whole.height > 60_000
            assert (whole[name] - whole[f"upstream_{name}"]).abs().max() < 1e-9
