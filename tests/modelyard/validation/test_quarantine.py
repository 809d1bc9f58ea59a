"""Quarantine, both ways: a release holds for exactly the row it was given for, and the counts always add up."""

from datetime import UTC, datetime

import polars as pl
import pytest

from modelyard.errors import ConfigurationError, StorageError
from modelyard.records import Column, Contract
from modelyard.stages.validate import ValidateParameters, validate
from modelyard.validation.quarantine import (
    Selection,
    change_releases,
    folder,
    no_releases,
    read_rejected,
    read_released,
    release,
    row_digests,
    rule_counts,
    select_rows,
    withdraw,
)

CONTRACT = Contract(
    key="payment_id",
    event_time="event_time",
    target="is_fraud",
    columns=(
        Column(name="payment_id", dtype="string", description="Identifies the payment."),
        Column(name="event_time", dtype="datetime", description="When it happened."),
        Column(name="amount_eur", dtype="float64", description="What was paid."),
        Column(name="is_fraud", dtype="bool", description="The label."),
    ),
)


def payments(amounts, keys=None, problems=None):
    n = len(amounts)
    return pl.DataFrame(
        {
            "payment_id": keys or [f"p{row}" for row in range(n)],
            "event_time": [datetime(2024, 1, 1, tzinfo=UTC)] * n,
            "amount_eur": amounts,
            "is_fraud": [False] * n,
            "parse_errors": problems or [None] * n,
        },
        schema_overrides={"event_time": pl.Datetime("us", "UTC"), "parse_errors": pl.String},
    )


def run(records, released=None, max_value=100):
    import great_expectations.expectations as gxe

    rule = gxe.ExpectColumnValuesToBeBetween(column="amount_eur", min_value=0, max_value=max_value)
    about = {"project": "toy", "source": "source 'own'"}
    validated = validate(records, released, CONTRACT, [rule], ValidateParameters(max_rejected_share=1), about)
    assert validated.records.height + validated.rejected.height == records.height
    return validated


def released_from(rejected, *corrections):
    return release(no_releases(), rejected, "payment_id", corrections or [{}] * rejected.height, "checked")


def test_a_row_released_as_it_is_is_accepted_unchanged():
    records = payments([5.0, -1.0, 7.0])
    again = run(records, released_from(run(records).rejected))
    assert again.records.equals(records.drop("parse_errors"))
    assert (again.summary["n_released"], again.summary["n_rejected"]) == (1, 0)
    assert again.summary["releases_digest"]


def test_a_release_ends_when_the_rows_content_changes():
    released = released_from(run(payments([5.0, -1.0])).rejected)
    again = run(payments([5.0, -2.0]), released)
    assert again.rejected["amount_eur"].to_list() == [-2.0]
    assert again.summary["n_stale_releases"] == 1


def test_a_release_outlives_a_changed_bound_but_waives_no_other_rule():
    records = payments([5.0, 200.0])
    released = released_from(run(records).rejected)
    assert run(records, released, max_value=150).rejected.is_empty()
    duplicated = payments([5.0, 200.0, 1.0], keys=["p0", "p1", "p1"])
    assert run(duplicated, released).rejected["row_number"].to_list() == [3]


@pytest.mark.parametrize(
    "records",
    [
        payments([5.0, None]),
        payments([5.0, 6.0], keys=["p0", None]),
        payments([5.0, 6.0], keys=["p0", "p0"]),
        payments([5.0, None], problems=[None, "amount_eur: 'x' is no number"]),
    ],
    ids=["missing value", "no key", "duplicate", "unreadable"],
)
def test_the_contracts_own_promises_cannot_be_waived(records):
    rejected = run(records).rejected
    assert rejected["is_releasable"].to_list() == [False]
    assert run(records, released_from(rejected)).rejected.height == 1


def test_a_corrected_row_is_checked_again():
    records = payments([5.0, None], problems=[None, "amount_eur: 'x' is no number"])
    rejected = run(records).rejected
    good = run(records, released_from(rejected, {"amount_eur": "12.5"}))
    assert good.records["amount_eur"].to_list() == [5.0, 12.5]
    assert good.summary["n_corrected"] == 1
    bad = run(records, released_from(rejected, {"amount_eur": "-3"}))
    assert bad.rejected["rejected_because"][0].to_list() == [
        "after correction: amount_eur = -3.0, expected between 0 and 100"
    ]
    assert bad.rejected["amount_eur"].to_list() == [None]
    assert bad.rejected["row_digest"].equals(rejected["row_digest"])


def test_only_the_named_copy_of_a_row_is_corrected():
    records = payments([5.0, 5.0], keys=["p0", "p0"])
    again = run(records, released_from(run(records).rejected, {"payment_id": "p9"}))
    assert again.records["payment_id"].to_list() == ["p0", "p9"]


def test_digests_tell_rows_apart_and_ignore_the_order_of_columns():
    records = payments([1.0, float("nan"), None, 1.0], keys=["a", "b", "b", "a"])
    digests = row_digests(records)
    assert digests.n_unique() == 4
    assert row_digests(records.select(reversed(records.columns))).equals(digests)


def test_releasing_again_replaces_and_withdrawing_removes():
    rejected = run(payments([-1.0, -2.0])).rejected
    released = released_from(rejected)
    replaced = release(released, rejected[:1], "payment_id", [{"amount_eur": "1"}], "")
    assert replaced["corrections"].to_list() == ['{"amount_eur": "1"}', "{}"]
    assert withdraw(replaced, ["p0"], is_all=False)["key"].to_list() == ["p1"]
    assert withdraw(replaced, [], is_all=True).is_empty()
    assert released["corrections"].to_list() == ["{}", "{}"]


@pytest.mark.parametrize(
    ("selection", "rows"),
    [
        (Selection(keys=["p2"]), [3]),
        (Selection(rows=[1, 3]), [1, 3]),
        (Selection(reason="BETWEEN 0"), [1]),
        (Selection(reason="missing"), [3]),
        (Selection(is_all=True), [1, 3]),
        (Selection(), []),
    ],
)
def test_selections(selection, rows):
    rejected = run(payments([-1.0, 5.0, None])).rejected
    assert select_rows(rejected, "payment_id", selection)["row_number"].to_list() == rows


def test_rules_are_counted_with_what_may_be_released():
    counts = rule_counts(run(payments([-1.0, -2.0, None])).rejected)
    assert counts.rows() == [
        ("amount_eur values must be between 0 and 100", 2, 2),
        ("amount_eur must have a value", 1, 0),
    ]


def test_releases_are_stored_and_a_damaged_file_is_named(data_directory):
    assert read_released("toy").is_empty()
    released = released_from(run(payments([-1.0])).rejected)
    assert change_releases("toy", lambda old: pl.concat([old, released])) == (0, 1)
    assert read_released("toy").equals(released)
    (folder("toy") / "released_records.parquet").write_bytes(b"PAR1")
    with pytest.raises(StorageError, match="cannot be read"):
        read_released("toy")
    with pytest.raises(ConfigurationError, match="has not been run"):
        read_rejected("toy")
