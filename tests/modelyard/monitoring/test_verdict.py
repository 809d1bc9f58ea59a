"""Few false alarms, and drifts that are found: the simulated world, watched week by week."""

import numpy as np
import polars as pl
import pytest

from modelyard.errors import ConfigurationError
from modelyard.monitoring.reference import MonitorParameters, summarise_reference, watched_inputs
from modelyard.monitoring.verdict import judge
from modelyard.projects import load_project
from tests.modelyard.monitoring.conftest import PROJECT, examples_of, last_week


@pytest.fixture(scope="module")
def week(watched):
    """The undrifted week after the test, answered."""
    return watched.answered(last_week(watched.examples))


@pytest.fixture(scope="module")
def verdict_on(watched):
    def verdict(rows, **params):
        # The log names no customers.
        return judge(
            load_project(PROJECT), watched.reference.summary, rows.drop("customer_id"), MonitorParameters(**params)
        )

    return verdict


def test_of_100_undrifted_windows_at_most_5_alarm(week, verdict_on):
    random = np.random.default_rng(0)
    customers = week["customer_id"].unique(maintain_order=True).to_numpy()
    alarms = []
    for _ in range(100):
        chosen = random.choice(customers, 300, replace=False)
        found = verdict_on(week.filter(pl.col("customer_id").is_in(chosen)))
        assert found["is_tested"]
        alarms += [found["alarms"]] if found["alarms"] else []
    assert len(alarms) <= 5, alarms


def test_single_days_are_no_drift(week, verdict_on):
    days = [day for _, day in week.group_by(pl.col("event_time").dt.truncate("1d"), maintain_order=True)]
    assert len(days) == 7
    assert [verdict_on(day)["alarms"] for day in days] == [[]] * 7


@pytest.mark.parametrize("drift", [0.5, 1.0])
def test_the_simulators_drift_is_found_within_one_window(watched, verdict_on, drift):
    rows = last_week(examples_of(n_customers=300, n_terminals=300, seed=5, drift=drift))
    found = verdict_on(watched.answered(rows))
    assert found["is_drifted"]
    drifted = {column["name"] for column in found["columns"] if column["is_drifted"]}
    assert "amount" in drifted
    assert any(alarm.startswith("amount: its values have drifted") for alarm in found["alarms"])


def test_without_the_design_effects_the_same_weeks_would_alarm(week, watched):
    """What the corrections are for: independent rows assumed, and any certain difference taken for a drift."""
    summary = watched.reference.summary
    naive = summary | {
        "columns": [column | {"effects": {}, "usual_distance": 0.0} for column in summary["columns"]],
    }
    found = judge(load_project(PROJECT), naive, week.drop("customer_id"), MonitorParameters(min_distance=0.0))
    assert len(found["alarms"]) > 5


def test_predictions_that_change_alone_are_found(week, verdict_on):
    found = verdict_on(week.with_columns(score=(pl.col("score") * 3).clip(0, 1)))
    assert found["prediction"]["is_drifted"]
    assert found["alarms"][0].startswith("predictions: '")
    assert [column["name"] for column in found["columns"] if column["is_drifted"]] == []


def test_missing_values_are_an_alarm_only_where_they_are_many_and_new(week, verdict_on):
    holes = pl.int_range(pl.len()) % 10 == 0
    found = verdict_on(week.with_columns(amount=pl.when(holes).then(None).otherwise("amount")))
    assert [alarm for alarm in found["alarms"] if "missing" in alarm] == [
        "amount: 10.0% of the values are missing, 0.0% in the reference"
    ]
    few = pl.int_range(pl.len()) % 200 == 0
    found = verdict_on(week.with_columns(amount=pl.when(few).then(None).otherwise("amount")))
    assert found["alarms"] == []
    assert [finding["kind"] for finding in found["quality"] if finding["name"] == "amount"] == ["missing"]


def test_values_out_of_range_and_constant_ones_are_alarms(week, verdict_on):
    some = pl.int_range(pl.len()) % 20 == 0
    found = verdict_on(week.with_columns(amount=pl.when(some).then(-5.0).otherwise("amount")))
    assert "amount: 5.0% of the values lie outside the reference's range, such as -5" in found["alarms"]
    found = verdict_on(week.with_columns(customer_amount_max_30d=pl.lit(50.0)))
    assert any("customer_amount_max_30d: all" in alarm for alarm in found["alarms"])


def test_new_categories_are_named(week):
    project, params = load_project(PROJECT), MonitorParameters()
    bands = week.select(band=pl.when(pl.col("amount") > 50).then(pl.lit("high")).otherwise(pl.lit("low")))
    summary = summarise_reference(project, week, bands, week, params).summary
    some = pl.int_range(pl.len()) % 20 == 0
    window = week.hstack(bands.with_columns(band=pl.when(some).then(pl.lit("middle")).otherwise("band")))
    alarms = judge(project, summary, window, params)["alarms"]
    assert "band: 5.0% of the values are categories that the reference does not have, such as middle" in alarms
    assert all(alarm.startswith(("band: ", "predictions: 'band'")) for alarm in alarms)


def test_too_few_rows_are_not_tested(week, verdict_on):
    found = verdict_on(week.head(50).with_columns(amount=pl.lit(9_999.0)), min_rows=200)
    assert not found["is_tested"]
    assert found["alarms"] == []
    assert found["columns"]


def test_columns_that_were_not_served_are_named(week, verdict_on):
    found = verdict_on(week.drop("terminal_risk_7d"))
    assert found["not_served"] == ["terminal_risk_7d"]


def test_no_identifier_time_target_or_secret_is_watched(watched):
    names = watched_inputs(load_project(PROJECT), watched.examples)
    assert "amount" in names
    assert not {"transaction_id", "customer_id", "terminal_id", "event_time", "is_fraud", "split"} & set(names)
    assert not {"fraud_scenario", "label_delay_days"} & set(names)  # what is not there when the model answers
    assert "customer_id" not in watched.reference.sample.columns


def test_a_column_may_have_a_threshold_of_its_own(week, verdict_on):
    doubled = week.with_columns(pl.col("amount") * 2)
    drifted = {column["name"] for column in verdict_on(doubled)["columns"] if column["is_drifted"]}
    assert "amount" in drifted
    found = verdict_on(doubled, min_distance_of={"amount": 1.0})
    assert {column["name"] for column in found["columns"] if column["is_drifted"]} == drifted - {"amount"}
    with pytest.raises(ConfigurationError, match="Did you mean 'amount'"):
        verdict_on(week, min_distance_of={"amuont": 0.3})


def test_copies_of_one_request_are_said_first_and_alarm_nowhere_else(week, verdict_on):
    copies = pl.concat([week.head(1)] * 5_000)
    found = verdict_on(pl.concat([week, copies]))
    n = week.height
    assert found["alarms"] == [
        f"5,001 of {n + 5_000:,} rows are copies of one request; it counts once, so {n:,} rows are judged"
    ]
    assert (found["n_rows"], found["n_copies"], found["n_judged"]) == (n + 5_000, 5_001, n)
    assert not found["is_drifted"]
    alone = verdict_on(copies)
    assert alone["alarms"] == ["5,000 of 5,000 rows are copies of one request; it counts once, so 1 rows are judged"]
    assert not alone["is_tested"]


def test_what_drifts_beside_the_copies_is_found(week, verdict_on):
    drifted = week.with_columns(amount=pl.col("amount") * 5)
    found = verdict_on(pl.concat([drifted, *[week.head(1)] * 5_000]))
    assert "copies of one request" in found["alarms"][0]
    assert any(alarm.startswith("amount: its values have drifted") for alarm in found["alarms"][1:])


def test_judged_row_by_row_the_copies_would_alarm_everywhere(week, verdict_on):
    found = verdict_on(pl.concat([week, *[week.head(1)] * 5_000]), max_copies_share=1.0)
    assert len(found["alarms"]) > 10
