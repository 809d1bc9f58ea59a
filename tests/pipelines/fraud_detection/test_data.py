"""Where transactions come from: the simulator and its ceiling, the handbook's split, and a user's own file."""

import os
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from pydantic import ValidationError

from modelyard.errors import ConfigurationError, DataContractError
from modelyard.lineage.table_digest import table_digest
from modelyard.own_data.format import TableFormat
from modelyard.project import FitRun
from modelyard.stages.validate import ValidateParameters, accept_records, make_validate
from modelyard.tasks.boosting import BoosterParameters, booster_logits, fit_booster
from modelyard.tasks.ranking import average_precision
from pipelines.fraud_detection import data
from pipelines.fraud_detection.data import (
    IngestParameters,
    PeriodParameters,
    assign_split,
    expectations,
    ingest,
)
from pipelines.fraud_detection.evaluate import floor
from pipelines.fraud_detection.features import FeatureParameters, derive_features
from pipelines.fraud_detection.inputs import LabelledInputs, model_inputs
from pipelines.fraud_detection.pipeline import PROJECT
from pipelines.fraud_detection.simulator import known_ceiling, simulate
from pipelines.fraud_detection.world import SCENARIOS, SimulationParameters, build_world
from tests.mutations import assert_every_mutation_is_answered

START = datetime(2024, 1, 1, tzinfo=UTC)
WORLD = SimulationParameters(n_customers=300, n_terminals=400, n_days=30, fraud_share=0.03)
PERIODS = PeriodParameters(train_days=4, valid_days=1, delay_days=2, test_days=2)
NAMES = {
    "transaction_id": "id",
    "event_time": "booked_at",
    "customer_id": "card",
    "terminal_id": "shop",
    "amount": "euros",
    "is_fraud": "fraud",
}


@pytest.fixture(scope="module")
def simulated():
    return simulate(WORLD)


@pytest.fixture(scope="module")
def drifting():
    return simulate(WORLD.model_copy(update={"drift": 1.0}))


# The simulator.


def test_the_same_seed_gives_the_same_bits_and_another_seed_another_world(simulated):
    assert table_digest(simulate(WORLD)) == table_digest(simulated)
    assert table_digest(simulate(WORLD.model_copy(update={"seed": 1}))) != table_digest(simulated)


def test_sizes_times_identifiers_and_amounts_are_those_asked_for(simulated):
    assert simulated.height == pytest.approx(300 * 1.92 * 30, rel=0.1)
    assert simulated["transaction_id"].to_list() == [str(number) for number in range(simulated.height)]
    assert simulated["event_time"].is_sorted()
    assert simulated["event_time"].dt.date().n_unique() == 30
    assert START <= simulated["event_time"].min() <= simulated["event_time"].max() < START + timedelta(days=30)
    assert set(simulated["customer_id"]) <= {str(number) for number in range(300)}
    assert set(simulated["terminal_id"]) <= {str(number) for number in range(400)}
    assert simulated["customer_id"].n_unique() > 290
    assert (simulated["amount"] >= 0.01).all()
    assert ((simulated["amount"] * 100).round() / 100).equals(simulated["amount"])


@pytest.mark.parametrize("share", [0.0, 0.01, 0.05])
def test_the_share_of_frauds_is_the_one_asked_for(share):
    found = simulate(WORLD.model_copy(update={"fraud_share": share}))["is_fraud"].mean()
    assert share * 0.6 <= found <= share * 1.5


def test_every_scenario_occurs_and_only_frauds_have_one(simulated):
    assert set(simulated["fraud_scenario"]) == set(range(len(SCENARIOS)))
    assert ((simulated["fraud_scenario"] > 0) == simulated["is_fraud"]).all()


def late_over_early(records, value):
    """An aggregate of the second half of the days over that of the first."""
    is_late = pl.col("event_time") >= START + timedelta(days=15)
    late, early = (records.filter(half).select(value).item() for half in (is_late, ~is_late))
    return late / early


def test_drift_changes_what_it_says_and_without_it_nothing_changes(simulated, drifting):
    genuine = pl.col("amount").filter(~pl.col("is_fraud")).mean()
    assert late_over_early(simulated, genuine) == pytest.approx(1, abs=0.05)
    assert late_over_early(drifting, genuine) == pytest.approx(1.75 / 1.25, abs=0.1)  # they double until the last day
    at_night_or_cloned = (pl.col("fraud_scenario") >= 4).sum() / pl.col("is_fraud").sum()
    assert late_over_early(simulated, at_night_or_cloned) < 1.7
    assert late_over_early(drifting, at_night_or_cloned) > 1.7
    large = pl.col("amount").filter(pl.col("fraud_scenario") == 1).min()
    assert simulated.select(large).item() >= 220 > drifting.select(large).item()
    assert simulated["terminal_id"].cast(pl.Int64).max() < 400
    replaced = drifting.filter(pl.col("terminal_id").cast(pl.Int64) >= 400)
    assert replaced.height > 0.2 * drifting.height
    ends = build_world(WORLD.model_copy(update={"drift": 1.0})).stolen_factors(pl.Series([0, 30 * 86_400]).to_numpy())
    assert ends.tolist() == [5, 3]


def test_a_replaced_terminal_never_comes_back(drifting):
    number = pl.col("terminal_id").cast(pl.Int64)
    place, is_new = (number % 400).alias("place"), number >= 400
    first_new, last_old = (
        drifting.filter(rows).group_by(place).agg(time).sort("place")
        for rows, time in ((is_new, pl.col("event_time").min().alias("new")), (~is_new, pl.col("event_time").max()))
    )
    both = first_new.join(last_old, on="place")
    assert both.height > 100
    assert (both["event_time"] < both["new"]).all()


# The ceiling.


def test_the_ceiling_lies_above_trained_trees_which_lie_above_the_trivial_rule(examples, small, tmp_path):
    train, test = (examples.filter(pl.col("split") == split) for split in ("train", "test"))
    run = FitRun(seed=0, folder=tmp_path, report=lambda step, value: None, n_threads=1)
    inputs, is_fraud = LabelledInputs.of(train)
    trees, _ = fit_booster(inputs.columns, is_fraud, BoosterParameters(n_estimators=40), run)
    model, trivial = (
        average_precision(test["is_fraud"].to_numpy(), scores)
        for scores in (booster_logits(trees, model_inputs(test).columns), floor(train, test)["score"].to_numpy())
    )
    found = known_ceiling(examples, small.simulation, small.periods.delay_days)
    assert trivial < model < min(found["average_precision_informed"], found["average_precision_clairvoyant"])


def test_what_cannot_be_known_yet_costs_precision():
    world = WORLD.model_copy(update={"n_customers": 1500, "n_terminals": 1500, "n_days": 35})
    periods = PeriodParameters()
    found = known_ceiling(assign_split(simulate(world), periods), world, periods.delay_days)
    assert found["average_precision_informed"] < found["average_precision_clairvoyant"] < 1
    assert 0 < found["undetectable_share"] < 0.6


# The split.


def days(*rows):
    """Rows of (day, customer, is_fraud)."""
    return pl.DataFrame(
        [(START + timedelta(days=day, hours=1), str(customer), is_fraud) for day, customer, is_fraud in rows],
        schema={"event_time": pl.Datetime("us", "UTC"), "customer_id": pl.String, "is_fraud": pl.Boolean},
        orient="row",
    )


def test_the_split_is_the_handbooks():
    rows = days(*((day, 1, False) for day in range(9)))
    expected = ["unused", *["train"] * 3, "valid", *["unused"] * 2, *["test"] * 2]
    assert assign_split(rows, PERIODS)["split"].to_list() == expected


def test_a_card_leaves_the_test_once_its_fraud_is_known():
    rows = days((0, 9, False), (5, 1, True), (7, 1, False), (8, 1, False), (0, 2, True), (8, 2, False))
    assert assign_split(rows, PERIODS)["split"].to_list() == ["unused", "unused", "test", "unused", "unused", "test"]


def test_too_few_days_are_refused():
    with pytest.raises(DataContractError, match="needs 8 days"):
        assign_split(days((0, 1, False), (3, 1, False)), PERIODS)
    with pytest.raises(DataContractError, match="no transactions"):
        assign_split(days(), PERIODS)


def test_impossible_parameters_are_refused():
    with pytest.raises(ValidationError, match="valid_days"):
        PeriodParameters(train_days=3, valid_days=3)
    with pytest.raises(ValidationError, match="n_days"):
        IngestParameters(simulation=SimulationParameters(n_days=10))
    with pytest.raises(ValidationError, match="did you mean 'fraud_share'"):
        SimulationParameters(fraud_shar=0.1)


def test_features_that_wait_for_labels_as_long_as_the_split_does_not_are_refused(simulated):
    records = assign_split(simulated, PERIODS)
    with pytest.raises(ConfigurationError, match="after 2 days for the split, after 7 for the features") as caught:
        derive_features(records, FeatureParameters())
    assert "ingest.periods.delay_days" in caught.value.where
    assert "features.label_delay_days" in caught.value.where
    assert set(derive_features(records, FeatureParameters(label_delay_days=2))) == {
        "customer_spending",
        "terminal_risk",
    }


# The public data.


@pytest.mark.skipif("MODELYARD_DATA_MIRROR" not in os.environ, reason="needs the real data: MODELYARD_DATA_MIRROR")
def test_the_public_split_is_the_published_one_and_other_data_do_not_pass_for_it(data_directory):
    params = IngestParameters(source="public")
    records = ingest(params)
    counts = dict(records["split"].value_counts().iter_rows())
    test = records.filter(pl.col("split") == "test")
    assert (records.height, records["is_fraud"].sum()) == (201_295, 1_792)
    assert (counts["train"] + counts["valid"], counts["test"], test["is_fraud"].sum()) == (67_240, 58_264, 385)
    day = pl.col("event_time").dt.date()
    frauds = records.filter("is_fraud").select("customer_id", day.alias("fraud_day"))
    known = test.select("customer_id", day.alias("day")).join(frauds, on="customer_id")
    assert known.filter(pl.col("day") - pl.col("fraud_day") > timedelta(days=7)).is_empty()
    assert records.filter(day >= datetime(2018, 8, 8).date()).height > test.height  # some cards did leave
    (converted,) = data_directory.rglob("02_intermediate/**/*.parquet")
    converted.write_bytes(converted.read_bytes()[:-9])
    assert_frame_equal(ingest(params), records)
    pl.read_parquet(converted)[1:].write_parquet(converted)
    with pytest.raises(DataContractError, match="n_rows is 201,294, not 201,295") as caught:
        ingest(params)
    assert str(converted) in caught.value.where


# A user's own file.


BANK_EXPORT = """\
Buchungs-Nr;Buchungstag;Karte;Händler;Betrag;Währung;Betrug
TX-00000194;02.01.2024 08:15;K-0007;T 12;1.234,50;CHF;nein
TX-00000195;{later} 09:30;K-0008;000012;12,50;CHF;ja
TX-00000196;{later} 10:00;K-0008;000012;12,50;EUR;nein
"""


def test_a_banks_export_is_read_with_its_tokens_dates_commas_and_currency(tmp_path):
    path = tmp_path / "export.csv"
    path.write_text(BANK_EXPORT.format(later="05.02.2024"), encoding="utf-8")
    params = IngestParameters(
        source="own",
        path=str(path),
        currency="CHF",
        timezone="Europe/Zurich",
        columns={
            "transaction_id": "Buchungs-Nr",
            "event_time": "Buchungstag",
            "customer_id": "Karte",
            "terminal_id": "Händler",
            "amount": "Betrag",
            "currency": "Währung",
            "is_fraud": "Betrug",
        },
        format=TableFormat(decimal=",", thousands=".", true_values=("ja",), false_values=("nein",)),
    )
    checked, rejected, _, _ = make_validate(PROJECT)(
        ingest(params), None, params, ValidateParameters(max_rejected_share=0.5)
    )
    names = ("transaction_id", "customer_id", "terminal_id", "amount", "currency", "is_fraud")
    assert checked.select(names).rows() == [
        ("TX-00000194", "K-0007", "T 12", 1234.5, "CHF", False),
        ("TX-00000195", "K-0008", "000012", 12.5, "CHF", True),
    ]
    (reason,) = rejected["rejected_because"].to_list()[0]
    assert reason.startswith("currency = 'EUR': All amounts are in CHF (ingest.currency)")


@pytest.mark.parametrize("name", ["cards.csv", "cards.parquet"])
def test_a_header_may_say_the_currency(write, name):
    path = write(name)
    table = pl.read_csv(path) if path.suffix == ".csv" else pl.read_parquet(path)
    table = table.rename({"euros": " Amount_EUR" if path.suffix == ".csv" else "amount_eur"})
    table.write_csv(path) if path.suffix == ".csv" else table.write_parquet(path)
    params = own(path, periods=PeriodParameters(train_days=12))
    params = params.model_copy(update={"columns": {key: NAMES[key] for key in NAMES if key != "amount"}})
    assert ingest(params)["amount"].null_count() == 0
    with pytest.raises(DataContractError, match=r"Columns are missing: 'amount' \(did you mean '[aA]mount_"):
        ingest(params.model_copy(update={"currency": "CHF"}))


def test_money_is_in_the_currency_that_is_named(write):
    params = own(write(), currency="JPY", max_amount=1e6, periods=PeriodParameters(train_days=12))
    assert set(ingest(params)["currency"]) == {"JPY"}
    assert any("at most 1,000,000 JPY." in one.description for one in expectations(params))
    with pytest.raises(ValidationError, match="the public amounts are in EUR, not in JPY"):
        IngestParameters(source="public", currency="JPY")
    with pytest.raises(ValidationError, match="currency"):
        IngestParameters(currency="€")


@pytest.fixture
def write(simulated, tmp_path):
    """``write(name, {column: {row: text}})``: the simulated transactions as a user's file, some cells replaced."""

    def write(name="cards.csv", changes=None, **whole_columns):
        table = simulated.select(list(NAMES)).rename(NAMES)
        if changes:
            text = table.with_columns(pl.col("fraud").cast(pl.Int8)).cast(dict.fromkeys(["id", "card"], pl.String))
            text = text.with_columns(pl.col("booked_at").dt.strftime("%Y-%m-%dT%H:%M:%SZ")).cast(pl.String)
            for column, cells in changes.items():
                text = text.with_columns(text[column].scatter(list(cells), list(cells.values())))
            table = text
        table = table.with_columns(**whole_columns)
        path = tmp_path / name
        table.write_csv(path) if path.suffix == ".csv" else table.write_parquet(path)
        return path

    return write


def own(path, **params):
    return IngestParameters(source="own", path=str(path), columns=NAMES, **params)


def validated(params):
    """What ingestion and validation of a run hand over: (checked, rejected, report, summary)."""
    return make_validate(PROJECT)(ingest(params), None, params, ValidateParameters())


def test_csv_and_parquet_with_other_names_give_the_same_accepted_records(write, simulated):
    periods = PeriodParameters(train_days=12)
    expected = assign_split(simulated.drop("fraud_scenario"), periods)
    for name in ("cards.csv", "cards.parquet"):
        checked, rejected, _, summary = validated(own(write(name), periods=periods))
        assert rejected.is_empty()
        assert_frame_equal(accept_records(checked, summary).select(expected.columns), expected)


def test_a_split_that_the_file_brings_is_kept(write, simulated):
    brought = ["train", "valid", "test"] * (simulated.height // 3) + ["unused"] * (simulated.height % 3)
    records = ingest(own(write(split=pl.Series(brought))))
    assert records["split"].to_list() == brought
    assert set(derive_features(records, FeatureParameters(label_delay_days=3))) == {
        "customer_spending",
        "terminal_risk",
    }


BAD_CELLS = {
    0: ("euros", "-5", "amount = -5.0: An amount is not negative"),
    1: (
        "euros",
        "2e6",
        "amount = 2000000.0: An amount is not negative (0 is a card check) and at most 100,000 EUR",
    ),
    2: ("euros", "12,50", "amount: '12,50' is no number: set ingest.format.decimal"),
    3: ("booked_at", "yesterday", "event_time: 'yesterday' is no date and time"),
    4: (
        "booked_at",
        "2999-01-01T00:00:00Z",
        "event_time = 2999-01-01T00:00:00Z: A transaction happens from 1958-09-18",
    ),
    5: ("booked_at", "1900-01-01T00:00:00Z", "on the day of the run at the latest (UTC)."),
    6: ("booked_at", "2024-01-01 08:00", "event_time: '2024-01-01 08:00' has no time zone: add an offset"),
    7: ("card", "1.5E+09", "customer_id: '1.5E+09' is a rounded number, not an identifier"),
    8: ("shop", "", "terminal_id is missing"),
    9: ("fraud", "maybe", "is_fraud: 'maybe' is neither true nor false"),
    11: ("id", "10", "transaction_id = '10' is also in row 11, which is kept"),
}


def test_each_bad_row_waits_in_quarantine_with_its_reason_and_changes_nothing_else(write, simulated, monkeypatch):
    changes = {}
    for row, (column, text, _) in BAD_CELLS.items():
        changes.setdefault(column, {})[row] = text
    other_zone = simulated["event_time"][12] + timedelta(hours=5, minutes=30)
    changes["booked_at"][12] = f"{other_zone:%Y-%m-%dT%H:%M:%S}+05:30"
    params = own(write(changes=changes), periods=PeriodParameters(train_days=12))
    checked, rejected, report, summary = validated(params)
    reasons = dict(rejected.select("row_number", "rejected_because").iter_rows())
    assert sorted(reasons) == [row + 1 for row in BAD_CELLS]
    for row, (_, _, reason) in BAD_CELLS.items():
        assert reason in "; ".join(reasons[row + 1])
    undisturbed = assign_split(simulated.drop("fraud_scenario"), params.periods)
    good = undisturbed.filter(~pl.col("transaction_id").is_in(list(map(str, BAD_CELLS))))
    assert_frame_equal(accept_records(checked, summary).select(good.columns), good)
    later = data._tomorrow() + timedelta(days=1)
    monkeypatch.setattr(data, "_tomorrow", lambda: later)
    assert validated(params)[2] == report  # on another day too


@pytest.mark.parametrize(
    ("fraud", "words"),
    [
        (pl.lit(0), "from one class nothing can be learned. (seen: true missing)"),
        (pl.lit(1), "from one class nothing can be learned. (seen: false missing)"),
        (1 - pl.col("fraud").cast(pl.Int8), "The share of frauds lies between 0.00% and 50.00%. (seen: 0.9"),
    ],
    ids=["no fraud at all", "nothing but frauds", "reversed"],
)
def test_labels_from_which_nothing_can_be_learned_stop_the_run(write, fraud, words):
    path = write(fraud=fraud)
    checked, rejected, _, summary = validated(own(path))
    assert rejected.is_empty()
    with pytest.raises(DataContractError) as caught:
        accept_records(checked, summary)
    assert words in caught.value.found
    assert str(path) in caught.value.where
    assert "nothing was trained" in caught.value.found


def test_times_that_all_lie_in_the_future_stop_the_run(write):
    checked, _, _, summary = validated(own(write(booked_at=pl.lit("2999-01-01T00:00:00Z"))))
    with pytest.raises(DataContractError, match=r"\(100\.0%\) are rejected") as caught:
        accept_records(checked, summary)
    assert "on the day of the run at the latest" in caught.value.found


def test_times_that_nobody_can_read_are_read_in_the_form_that_is_named(write):
    params = own(write(booked_at=pl.lit("03/04/2024")))
    with pytest.raises(DataContractError, match="'03/04/2024' may have day or month first"):
        ingest(params)
    named = params.model_copy(update={"format": TableFormat(date_format="%d/%m/%Y"), "timezone": "UTC"})
    with pytest.raises(DataContractError, match="span 2024-04-03 to 2024-04-03"):
        ingest(named)


def emptied(path):
    path.write_bytes(b"")


def truncated(path):
    path.write_bytes(path.read_bytes()[:-100])


def renamed(path):
    pl.read_parquet(path).rename({"euros": "Euro"}).write_parquet(path)


def short(path):
    pl.read_parquet(path).filter(pl.col("booked_at") < START + timedelta(days=5)).write_parquet(path)


def retyped(path):
    pl.read_parquet(path).with_columns(pl.col("booked_at").to_physical()).write_parquet(path)


@pytest.mark.parametrize(
    ("harm", "words", "way_out"),
    [
        (emptied, "The data file is empty", "another file"),
        (truncated, "truncated", "copy or write it again"),
        (renamed, "Columns are missing: 'euros' (did you mean 'Euro'?)", "ingest.columns: {amount: Euro}"),
        (retyped, "Column 'event_time' holds Int64, which cannot become datetime", "convert the column"),
        (short, "The transactions span 2024-01-01 to 2024-01-05; the split needs 28 days", "bring more days"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_error_with_a_way_out(write, harm, words, way_out):
    path = write("cards.parquet")
    harm(path)
    with pytest.raises(DataContractError) as caught:
        ingest(own(path))
    assert words in caught.value.found
    assert way_out in caught.value.way_out
    assert caught.value.where


def test_own_data_need_a_file_that_is_there(write):
    with pytest.raises(ConfigurationError, match="No own data"):
        ingest(IngestParameters(source="own"))
    with pytest.raises(ConfigurationError, match=r"Did you mean 'cards\.csv'"):
        ingest(own(write().with_name("card.csv")))


def test_expectations_explain_themselves():
    for source in ("simulated", "public", "own"):
        assert all(expectation.description for expectation in expectations(IngestParameters(source=source)))


def test_every_mutation_of_own_transactions_is_answered(write, tmp_path):
    path = write(changes={"euros": {0: "12.5"}})
    header, *lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(header + b"".join(lines[:: len(lines) // 120]))
    words = [b"\n", b",", b'"', b"1e308", b"-1", b"9223372036854775807", b"nan", b"0001-01-01", b"9999-12-31T23:59:59Z"]
    assert_every_mutation_is_answered(lambda _: ingest(own(path)), path, [path.read_bytes()], words=words, at_most=60)
