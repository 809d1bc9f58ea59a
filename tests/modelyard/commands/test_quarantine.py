"""``kedro quarantine``: what a person types, what is stored, and what is refused."""

import types

import polars as pl
import pytest
from click.testing import CliRunner

from modelyard import projects
from modelyard.commands.quarantine import quarantine
from modelyard.records import Column, Contract
from modelyard.validation.quarantine import folder, read_released

CONTRACT = Contract(
    key="payment_id",
    event_time="event_time",
    target="is_fraud",
    columns=(
        Column(name="payment_id", dtype="string", description="Identifies the payment."),
        Column(name="amount_eur", dtype="float64", description="What was paid."),
        Column(name="city", dtype="string", description="Where.", nullable=True),
    ),
)
BETWEEN, MISSING = "amount_eur values must be between 0 and 100", "amount_eur must have a value"


@pytest.fixture
def toy(data_directory, monkeypatch):
    """A project 'toy' whose last run rejected one row that may be released and one that needs a correction."""
    monkeypatch.setattr(projects, "check_project_name", lambda name: None)
    monkeypatch.setattr(projects, "project_names", lambda: ["toy"])
    monkeypatch.setattr(projects, "load_project", lambda name: types.SimpleNamespace(contract=CONTRACT))
    folder("toy").mkdir(parents=True)
    pl.DataFrame(
        {
            "row_number": [2, 5],
            "payment_id": ["p1", "p4"],
            "amount_eur": [-1.0, None],
            "city": [None, "Rome"],
            "parse_errors": pl.Series([None, None], dtype=pl.String),
            "rejected_because": [["amount_eur = -1.0, expected between 0 and 100"], ["amount_eur is missing"]],
            "broken_rules": [[BETWEEN], [MISSING]],
            "broken_checks": [["between(amount_eur)"], ["not_null(amount_eur)"]],
            "is_releasable": [True, False],
            "row_digest": ["aa", "bb"],
        }
    ).write_parquet(folder("toy") / "rejected_records.parquet")


def call(*arguments):
    return CliRunner().invoke(quarantine, [str(argument) for argument in arguments])


@pytest.mark.usefixtures("toy")
def test_list_counts_by_rule():
    result = call("list")
    assert result.exit_code == 0
    assert "toy: 2 rows rejected in the last run" in result.output
    assert f"1  {MISSING}  (1 need a correction)" in result.output


@pytest.mark.usefixtures("toy")
def test_show_prints_rows_with_reasons():
    result = call("show", "toy", "--reason", "missing")
    assert "row 5, payment_id p4, needs a correction" in result.output
    assert "amount_eur is missing" in result.output
    assert "p1" not in result.output
    assert "and 1 more" in call("show", "toy", "--limit", 1).output


@pytest.mark.usefixtures("toy")
def test_release_all_leaves_what_needs_a_correction():
    result = call("release", "toy", "--all", "--note", "asked the bank")
    assert result.exit_code == 0
    assert "1 rows cannot be released as they are" in result.output
    assert read_released("toy").select("key", "corrections", "note").rows() == [("p1", "{}", "asked the bank")]
    assert "p1: as it is (asked the bank)" in call("list", "toy").output


@pytest.mark.usefixtures("toy")
def test_release_with_a_corrected_cell_and_withdraw():
    assert call("release", "toy", "--key", "p4", "--set", "amount_eur=12.5").exit_code == 0
    assert read_released("toy").select("key", "corrections").rows() == [("p4", '{"amount_eur": "12.5"}')]
    assert "1 releases withdrawn, 0 left" in call("withdraw", "toy", "--key", "p4").output
    assert read_released("toy").is_empty()


@pytest.mark.usefixtures("toy")
def test_release_from_an_edited_table(tmp_path):
    path = tmp_path / "edit.csv"
    assert "2 rows written" in call("show", "toy", "--save", path).output
    edited = pl.read_csv(path, infer_schema=False)
    edited.with_columns(amount_eur=pl.Series(["-1.0", "12.5"])).write_csv(path)
    assert call("release", "toy", "--from", path).exit_code == 0
    assert read_released("toy").select("key", "corrections").rows() == [("p4", '{"amount_eur": "12.5"}')]


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["release", "toy", "--key", "p4"], "1 rows cannot be released as they are"),
        (["release", "toy", "--key", "p9"], "No rejected row is like that"),
        (["release", "toy", "--row", "5", "--set", "amount=1"], "Did you mean 'amount_eur'?"),
        (["release", "toy", "--row", "5", "--set", "amount_eur=1,5"], "'1,5' is no number"),
        (["release", "toy", "--row", "5", "--set", "amount_eur="], "amount_eur must have a value"),
        (["release", "toy", "--all", "--set", "payment_id=x"], "2 rows cannot have the same payment_id"),
        (["release", "toy", "--from", "nowhere.csv"], "The corrections cannot be read"),
        (["withdraw", "toy", "--key", "p1"], "No release was withdrawn"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_stored(arguments, message):
    result = call(*arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert "way out:" in result.output
    assert read_released("toy").is_empty()


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize(
    "arguments", [["release", "toy"], ["release", "toy", "--all", "--from", "x"], ["withdraw", "toy"]]
)
def test_a_command_must_say_which_rows(arguments):
    result = call(*arguments)
    assert result.exit_code == 2
    assert "Say which" in result.output
