"""Validation: every broken row is found and named, nothing is lost or altered, and the run stops when it must."""

import types
from datetime import UTC, datetime, timedelta
from typing import get_type_hints

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.errors import DataContractError
from modelyard.parameters import Parameters
from modelyard.records import Column, Contract
from modelyard.stages.validate import ValidateParameters, accept_records, conform, make_validate, validate

NOW = datetime(2025, 1, 1, tzinfo=UTC)
ABOUT = {"project": "toy", "source": "source 'own', payments.csv"}


def column(name, dtype, **more):
    return Column(name=name, dtype=dtype, description="A column.", **more)


CONTRACT = Contract(
    key="payment_id",
    event_time="event_time",
    target="is_fraud",
    columns=(
        column("payment_id", "string"),
        column("event_time", "datetime"),
        column("amount_eur", "float64", unit="EUR"),
        column("is_fraud", "bool"),
        column("n_items", "int64", nullable=True),
    ),
)
TYPES = {
    "payment_id": pl.String,
    "event_time": pl.Datetime("us", "UTC"),
    "amount_eur": pl.Float64,
    "is_fraud": pl.Boolean,
    "n_items": pl.Int64,
}


def rules():
    import great_expectations.expectations as gxe

    return [
        gxe.ExpectColumnValuesToBeBetween(column="amount_eur", min_value=0, max_value=1000),
        gxe.ExpectColumnValuesToBeBetween(column="event_time", max_value=NOW),
    ]


def table_rules():
    import great_expectations.expectations as gxe

    return [
        gxe.ExpectColumnDistinctValuesToContainSet(column="is_fraud", value_set=[True, False]),
        gxe.ExpectColumnMeanToBeBetween(column="is_fraud", min_value=0.01, max_value=0.5),
        gxe.ExpectColumnMeanToBeBetween(column="amount_eur", max_value=100),
        gxe.ExpectTableRowCountToBeBetween(min_value=3),
    ]


def payments(n=40, **changes):
    """``n`` good payments, every tenth a fraud; ``changes`` maps a column to {row: value}."""
    values = {
        "payment_id": [f"p{row}" for row in range(n)],
        "event_time": [NOW - timedelta(days=row + 1) for row in range(n)],
        "amount_eur": [10.0 + row for row in range(n)],
        "is_fraud": [row % 10 == 0 for row in range(n)],
        "n_items": [None if row % 7 == 0 else row for row in range(n)],
    }
    for name, cells in changes.items():
        for row, value in cells.items():
            values.setdefault(name, [None] * n)[row] = value
    return pl.DataFrame(values, schema_overrides=TYPES | {"parse_errors": pl.String})


def run(records, expectations=None, released=None, **params):
    expectations = [*rules(), *table_rules()] if expectations is None else expectations
    return validate(records, released, CONTRACT, expectations, ValidateParameters(**params), ABOUT)


def stop_of(validated):
    with pytest.raises(DataContractError) as caught:
        accept_records(validated.records, validated.summary)
    return caught.value


def test_good_records_pass_unchanged():
    records = payments()
    validated = run(records)
    assert accept_records(validated.records, validated.summary).equals(records)
    assert validated.rejected.is_empty()
    assert validated.summary["stop"] == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"amount_eur": {3: -5.0}}, "amount_eur = -5.0, expected between 0 and 1000"),
        ({"amount_eur": {3: 1e12}}, "amount_eur = 1000000000000.0, expected between 0 and 1000"),
        ({"amount_eur": {3: None}}, "amount_eur is missing"),
        ({"amount_eur": {3: float("nan")}}, "amount_eur is missing"),
        (
            {"event_time": {3: NOW + timedelta(days=1)}},
            "event_time = 2025-01-02T00:00:00Z, expected at most 2025-01-01",
        ),
        ({"payment_id": {3: None}}, "payment_id is missing"),
        ({"payment_id": {3: "p1"}}, "payment_id = 'p1' is also in row 2, which is kept"),
        ({"parse_errors": {3: "n_items: 'x' is no number"}}, "n_items: 'x' is no number"),
        (
            {"amount_eur": {3: None}, "parse_errors": {3: "amount_eur: '1,5' is no number"}},
            "amount_eur: '1,5' is no number",
        ),
    ],
    ids=["negative", "absurd", "null", "nan", "future", "no key", "duplicate", "unreadable", "unreadable not missing"],
)
def test_a_broken_row_goes_to_quarantine_with_its_reason(changes, reason):
    records = payments(**changes)
    validated = run(records)
    rejected = validated.rejected
    assert rejected["rejected_because"].to_list() == [[reason]]
    assert rejected["row_number"].to_list() == [4]
    assert rejected.select(TYPES.keys()).equals(records.select(TYPES.keys())[3:4], null_equal=True)
    assert validated.records.height == 39
    assert accept_records(validated.records, validated.summary) is validated.records
    assert reason in validated.report.replace("&#39;", "'")


def test_a_row_names_every_rule_it_breaks():
    validated = run(payments(amount_eur={3: -1.0}, event_time={3: NOW + timedelta(days=1)}))
    assert [reason.split(" ")[0] for reason in validated.rejected["rejected_because"][0]] == [
        "amount_eur",
        "event_time",
    ]


def test_of_duplicates_the_first_that_nothing_else_rejects_stays():
    validated = run(payments(payment_id={5: "p1", 8: "p1"}, amount_eur={1: -1.0}))
    assert validated.rejected["row_number"].to_list() == [2, 9]
    assert validated.rejected["rejected_because"].to_list()[1] == ["payment_id = 'p1' is also in row 6, which is kept"]


def test_keys_beyond_the_exact_floats_are_not_taken_for_duplicates():
    contract = Contract(key="id", event_time="t", target="y", columns=(column("id", "int64"),))
    records = pl.DataFrame({"id": [2**60, 2**60 + 1, None]})
    validated = validate(records, None, contract, [], ValidateParameters(max_rejected_share=1), ABOUT)
    assert validated.records["id"].to_list() == [2**60, 2**60 + 1]


def test_the_table_is_judged_on_the_rows_that_stay():
    validated = run(payments(amount_eur={3: 1e12}))
    assert validated.summary["stop"] == []


@pytest.mark.parametrize(
    ("fraud", "found"),
    [([False] * 40, "is_fraud mean must be between 0.01 and 0.5 (seen: 0)"), ([True] * 40, "(seen: false missing)")],
    ids=["fraud share of 0", "one class only"],
)
def test_a_broken_rule_about_the_table_stops_the_run(fraud, found):
    error = stop_of(run(payments().with_columns(is_fraud=pl.Series(fraud))))
    assert found in str(error)
    assert str(error).count("for example payment_id") == 3
    assert "source 'own', payments.csv" in error.where
    assert "validation_report.html" in error.where


def test_too_many_rejected_rows_stop_the_run_and_are_all_handed_over():
    validated = run(payments(amount_eur=dict.fromkeys(range(10), -1.0)))
    error = stop_of(validated)
    assert "10 of 40 rows (25.0%) are rejected, more than the 5.0% allowed: 10 × amount_eur values must be" in str(
        error
    )
    assert str(error).count("expected between 0 and 1000") == 3
    assert "kedro quarantine show toy" in error.way_out
    assert error.exit_code == 3
    assert validated.rejected.height == 10
    assert "The run stops here" in validated.report
    assert run(payments(amount_eur={1: -1.0}), max_rejected_share=0.0).summary["stop"]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda records: records.drop("amount_eur"), "column amount_eur is missing"),
        (lambda records: records.rename({"amount_eur": "amount"}), "column amount_eur is missing"),
        (
            lambda records: records.with_columns(amount_eur=pl.lit("x")),
            "column amount_eur is String, the contract says float64",
        ),
        (lambda records: records.with_columns(pl.col("event_time").dt.replace_time_zone(None)), "column event_time is"),
        (lambda records: records.clear(), "the source gave no rows"),
    ],
    ids=["missing", "renamed", "wrong type", "time without zone", "no rows"],
)
def test_a_table_that_does_not_fit_is_rejected_as_a_whole(change, found):
    records = change(payments())
    validated = run(records)
    assert found in str(stop_of(validated))
    assert validated.records.is_empty()
    assert validated.rejected.height == records.height == validated.summary["n_ingested"]
    assert found in validated.report


def test_a_column_that_nobody_can_read_is_the_reason_and_hides_what_follows_from_it():
    problems = {row: f"amount_eur: '${row}' is no number" for row in range(40) if row != 7}  # one cell is missing
    records = payments(parse_errors=problems).with_columns(amount_eur=pl.lit(None, pl.Float64)).drop("is_fraud")
    validated = run(records)
    assert str(stop_of(validated)).splitlines()[1] == (
        "  - no cell of column amount_eur can be read: '$0' is no number; '$1' is no number; '$2' is no number"
    )
    assert validated.rejected.height == 40
    assert "no cell of column amount_eur can be read" in validated.report


def test_a_nullable_column_may_be_absent_and_exact_types_are_widened():
    records = (
        payments()
        .drop("n_items")
        .with_columns(
            pl.col("amount_eur").cast(pl.Float32), pl.col("event_time").dt.convert_time_zone("Asia/Tokyo"), extra=1
        )
    )
    conformed, schema_errors = conform(records, CONTRACT)
    assert schema_errors == []
    assert conformed.schema == TYPES | {"parse_errors": pl.String}
    assert conformed["n_items"].null_count() == 40


def test_a_split_must_be_one_of_ours():
    validated = run(payments(split=dict.fromkeys(range(40), "train") | {3: "later", 4: None}))
    assert validated.rejected["rejected_because"].to_list() == [
        ["split = 'later', expected one of: train, valid, test, unused"],
        ["split must have a value".replace("must have a value", "is missing")],
    ]
    assert "split" in validated.records.columns


def test_tolerance_severity_and_errors_of_expectations():
    import great_expectations.expectations as gxe

    validated = run(
        payments(),
        [
            gxe.ExpectColumnValuesToBeBetween(column="amount_eur", max_value=40, mostly=0.5),
            gxe.ExpectColumnValuesToBeBetween(column="amount_eur", max_value=40, severity="warning"),
            gxe.ExpectColumnValuesToBeBetween(column="payment_id", max_value=40),
            gxe.ExpectColumnValuesToNotBeNull(column="n_items", mostly=0.99),
        ],
    )
    verdicts = [check["verdict"] for check in validated.summary["checks"][-4:]]
    assert verdicts == ["holds", "warning", "stops the run", "stops the run"]
    assert validated.rejected.is_empty()
    assert "seen: an error" in validated.summary["stop"][0]
    assert "break it" in validated.summary["stop"][1]


def test_a_rule_is_told_in_the_projects_words():
    import great_expectations.expectations as gxe

    rule = gxe.ExpectColumnValuesToBeBetween(column="amount_eur", min_value=0, description="Nobody is paid to pay.")
    validated = run(payments(amount_eur={0: -1.0}), [rule])
    assert validated.rejected["rejected_because"][0].to_list() == ["amount_eur = -1.0: Nobody is paid to pay."]


def test_the_report_is_self_contained_reproducible_and_escapes_the_data():
    records = payments(payment_id={3: "<script>alert(1)</script>"}, amount_eur={3: -1.0})
    report = run(records).report
    assert report == run(records).report
    assert "<script" not in report
    assert "&lt;script&gt;" in report
    assert "http" not in report
    assert "prefers-color-scheme: dark" in report


def test_the_node_is_typed_for_kedro_and_says_where_the_data_are_from():
    class IngestParameters(Parameters):
        source: str = "own"
        path: str = "payments.csv"

    def ingest(params: IngestParameters) -> "pl.DataFrame":
        raise NotImplementedError

    ingest.__annotations__["params"] = IngestParameters
    project = types.SimpleNamespace(
        name="toy", contract=CONTRACT, ingest=ingest, expectations=lambda params: [*rules(), *table_rules()]
    )
    node = make_validate(project)
    assert get_type_hints(node) == {"ingest_params": IngestParameters, "params": ValidateParameters}
    records, rejected, _, summary = node(payments(), None, IngestParameters(), ValidateParameters())
    assert (records.height, rejected.height) == (40, 0)
    assert summary["source"] == "source 'own', payments.csv"


MAYBE = st.none() | st.floats(allow_infinity=True, allow_nan=True)
ROWS = st.lists(
    st.tuples(
        st.none() | st.sampled_from(["a", "b", "c", "", "ü; x: y"]),
        st.none() | st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)),
        MAYBE | st.just(5.0),
        st.none() | st.booleans(),
        st.none() | st.integers(-(2**63), 2**63 - 1),
        st.none() | st.sampled_from(["amount_eur: 'x' is no number", "line 3 has 9 fields"]),
    ),
    max_size=12,
)


@settings(max_examples=25, deadline=None)
@given(ROWS)
def test_no_row_is_ever_lost_or_altered(rows):
    schema = TYPES | {"event_time": pl.Datetime("us"), "parse_errors": pl.String}
    records = pl.DataFrame(rows, schema=schema, orient="row").with_columns(
        pl.col("event_time").dt.replace_time_zone("UTC")
    )
    before = records.clone()
    validated = run(records)
    assert records.equals(before, null_equal=True)
    summary = validated.summary
    assert summary["n_ingested"] == records.height == summary["n_accepted"] + summary["n_rejected"]
    assert (validated.records.height, validated.rejected.height) == (summary["n_accepted"], summary["n_rejected"])
    is_rejected = pl.int_range(1, pl.len() + 1).is_in(validated.rejected["row_number"].to_list())
    assert validated.records.equals(records.filter(~is_rejected).drop("parse_errors"), null_equal=True)
    assert validated.rejected.select(records.columns).equals(records.filter(is_rejected), null_equal=True)
    assert (validated.rejected["rejected_because"].list.len() > 0).all()
    assert validated.rejected["row_digest"].n_unique() == validated.rejected.height
