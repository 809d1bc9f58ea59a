"""Homes from each source: official splits, units, and own files with the mistakes that people make."""

import csv
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from modelyard.errors import ConfigurationError, DataContractError
from modelyard.own_data.cells import PARSE_ERRORS
from modelyard.project import FitRun
from modelyard.validation.checks import evaluate
from pipelines.house_price_prediction.attributes import ATTRIBUTES, BLOCK, HOME
from pipelines.house_price_prediction.data import CONTRACT, IngestParameters, expectations, ingest
from pipelines.house_price_prediction.simulator import SimulationParameters, known_ceiling
from pipelines.house_price_prediction.train import fit
from tests.pipelines.house_price_prediction.small import SMALL

COLUMNS = {name: name for name in ("living_area_sqft", "latitude_deg", "longitude_deg", "neighbourhood", "rooms")}


def own_file(folder, **changes):
    """Sixty sales as a user exports them, some columns replaced."""
    n = 60
    table = {
        "home_id": [f"0{number}" for number in range(n)],
        "event_time": ["2024-03-01T12:00:00Z"] * n,
        "price": [200_000 + 1000 * number for number in range(n)],
        "living_area_sqft": [1200 + 10 * number for number in range(n)],
        "latitude_deg": [52.5] * n,
        "longitude_deg": [13.4] * n,
        "neighbourhood": [f"Kiez {number % 3}" for number in range(n)],
        "rooms": [3] * n,
    } | changes
    path = folder / "homes.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([table, *zip(*table.values(), strict=True)])
    return path


def own(path, **changes):
    return IngestParameters(source="own", path=str(path), **({"columns": COLUMNS} | changes))


def broken_rules(params):
    """Descriptions of the rules that the records break, and whether single rows do."""
    rules = expectations(params)
    checks = evaluate(ingest(params), rules)
    return {rule.description: check for rule, check in zip(rules, checks, strict=True) if not check.is_passed}


def test_names_of_attributes_are_those_of_the_contract():
    names = [each.name for each in ATTRIBUTES]
    assert len(names) == len(set(names)) == len(BLOCK) + len(HOME)
    assert set(names) < {column.name for column in CONTRACT.columns}


def test_amounts_may_carry_the_mark_of_their_currency(tmp_path):
    price = ["$250,000", "250000", "$ 1,250,000.50", "US$199,000", *["210000"] * 56]
    records = ingest(own(own_file(tmp_path, price=price)))
    assert records["price"].head(4).to_list() == [250_000, 250_000, 1_250_000.5, 199_000]
    assert records["currency"].unique().to_list() == ["USD"]
    assert records["home_id"][1] == "01"


def test_an_amount_in_another_currency_is_not_mended(tmp_path):
    price = ["€250,000", *["210000"] * 59]
    records = ingest(own(own_file(tmp_path, price=price)))
    assert records["price"][0] is None
    assert "€250,000" in records[PARSE_ERRORS][0]
    euros = ingest(own(own_file(tmp_path, price=price), currency="EUR"))
    assert euros["price"][0] == 250_000
    assert euros["currency"].unique().to_list() == ["EUR"]


def test_areas_in_square_metres_are_said(tmp_path):
    metres = own(own_file(tmp_path, living_area_sqft=[90 + number for number in range(60)]))
    ((text, check),) = broken_rules(metres).items()
    assert "square metres" in text
    assert not check.is_row_level
    assert ingest(metres)["living_area_sqft"][0] == 90
    assert broken_rules(own(own_file(tmp_path))) == {}


@pytest.mark.parametrize(
    ("changes", "says", "n_rows"),
    [
        ({"latitude_deg": [13.4] * 60, "longitude_deg": [-212.5, *[52.5] * 59]}, "swapped", 1),
        ({"latitude_deg": [-122.2, *[47.6] * 59], "longitude_deg": [47.6, *[-122.2] * 59]}, "swapped", 1),
        ({"price": [0, -5, *[200_000] * 58]}, "positive", 2),
        ({"event_time": ["2199-01-01T00:00:00Z", *["2024-01-01T00:00:00Z"] * 59]}, "past", 1),
    ],
)
def test_a_row_that_cannot_be_is_rejected_with_its_reason(tmp_path, changes, says, n_rows):
    ((text, check),) = broken_rules(own(own_file(tmp_path, **changes))).items()
    assert says in text
    assert check.n_broken == n_rows


def test_mixed_currencies_are_rejected(tmp_path):
    path = own_file(tmp_path, currency=["USD", "EUR", *["USD"] * 58])
    ((text, check),) = broken_rules(own(path, columns=COLUMNS | {"currency": "currency"})).items()
    assert "USD" in text
    assert check.rows == (1,)


def test_own_homes_of_one_area_cannot_say_what_another_one_costs(tmp_path):
    path = own_file(tmp_path, neighbourhood=["Kiez"] * 60)
    rows = ingest(own(path)).with_columns(split=pl.lit("train"))
    run = FitRun(seed=0, folder=tmp_path / "fit", report=lambda step, value: None, n_threads=1)
    with pytest.raises(DataContractError, match="one area"):
        fit(rows, SMALL.fit, run)
    with pytest.raises(DataContractError, match="homes to learn from"):
        fit(rows.head(10), SMALL.fit, run)


def test_no_file_and_another_public_currency_are_refused():
    with pytest.raises(ConfigurationError, match="No own data"):
        ingest(IngestParameters(source="own"))
    with pytest.raises(ValueError, match="USD"):
        IngestParameters(source="public", currency="EUR")


def test_the_city_is_the_same_to_the_bit_and_has_a_ceiling():
    params = IngestParameters(simulation=SimulationParameters(n_homes=500))
    first = ingest(params)
    assert first.equals(ingest(params))
    assert not first.equals(ingest(IngestParameters(simulation=SimulationParameters(n_homes=500, seed=1))))
    quiet = SimulationParameters(n_homes=500, noise=0.05)
    test = pl.lit("test").alias("split")
    loud, low = (
        known_ceiling(ingest(IngestParameters(simulation=one)).with_columns(test), one)
        for one in (params.simulation, quiet)
    )
    assert low["root_mean_squared_error"] < 0.7 * loud["root_mean_squared_error"]
    assert broken_rules(params) == {}


def test_drift_moves_the_late_market_only():
    usual, drifted = (
        ingest(IngestParameters(simulation=SimulationParameters(n_homes=2000, drift=drift))) for drift in (0.0, 1.0)
    )
    is_late = usual["event_time"] >= datetime(2022, 9, 1, tzinfo=UTC)
    assert usual.filter(~is_late).equals(drifted.filter(~is_late))
    ratio = (drifted["price"] / usual["price"]).filter(is_late)
    assert 1.05 < ratio.median() < 1.2
    assert ratio.max() > 1.3


@pytest.fixture
def public(monkeypatch, tmp_path):
    """Rows of a public data set in the form of its file, without the network."""

    def fetched(name, file, rows):
        folder = tmp_path / name
        folder.mkdir()
        with (folder / file).open("w", newline="", encoding="utf-8-sig" if name.startswith("ames") else "utf-8") as out:
            csv.writer(out).writerows([list(rows[0]), *(row.values() for row in rows)])
        monkeypatch.setattr("modelyard.public_data.fetch.fetch", lambda wanted: folder)

    return fetched


def block(number):
    return {
        "longitude": -122.23, "latitude": 37.88, "housing_median_age": "41.0", "total_rooms": "880.0",
        "total_bedrooms": "" if number % 5 == 0 else "129.0", "population": "322.0", "households": "126.0",
        "median_income": f"{1 + number % 7}.25", "median_house_value": "452600.0", "ocean_proximity": "NEAR BAY",
    }  # fmt: skip


def test_blocks_have_the_books_split_and_dollars(public, monkeypatch):
    from sklearn.model_selection import StratifiedShuffleSplit

    rows = [block(number) for number in range(500)]
    public("california_housing", "housing.csv", rows)
    monkeypatch.setattr("pipelines.house_price_prediction.data._N_BLOCKS", 500)
    monkeypatch.setattr("pipelines.house_price_prediction.data._N_BLOCK_TEST", 100)
    records = ingest(IngestParameters(source="public"))
    strata = np.digitize([float(row["median_income"]) for row in rows], [1.5, 3.0, 4.5, 6.0], right=True)
    _, test = next(StratifiedShuffleSplit(n_splits=1, test_size=0.2, random_state=42).split(strata, strata))
    assert set(np.flatnonzero(records["split"] == "test")) == set(test)
    assert (records["split"] == "valid").sum() == 60
    assert records["median_income"][0] == 12_500
    assert records["total_bedrooms"].null_count() == 100
    assert set(records.columns) <= {column.name for column in CONTRACT.columns}


def test_other_blocks_are_not_taken_for_the_published_ones(public):
    public("california_housing", "housing.csv", [block(number) for number in range(500)])
    with pytest.raises(DataContractError, match="not 20,640"):
        ingest(IngestParameters(source="public"))


def test_sales_keep_what_a_home_does_not_have_apart_from_gaps(public, monkeypatch):
    sources = {each.source for each in HOME}
    usual = dict.fromkeys(sources, "1") | {"Neighborhood": "NAmes", "Alley": "NA", "Sale Type": "WD "}
    usual |= {"Lot Frontage": "NA", "Mas Vnr Type": "", "Gr Liv Area": "1500", "PID": "0526302110", "Mo Sold": "5"}
    rows = [usual | {"SalePrice": "124500", "Yr Sold": year} for year in ("2006", "2008", "2009")]
    rows.append(rows[0] | {"Gr Liv Area": "4500"})
    public("ames_housing", "AmesHousing_2006_2009.csv", rows)
    monkeypatch.setattr("pipelines.house_price_prediction.data._N_SALES", 4)
    monkeypatch.setattr("pipelines.house_price_prediction.data._N_SALE_TEST", 1)
    records = ingest(IngestParameters(source="public", dataset="ames_housing"))
    assert records["split"].to_list() == ["train", "valid", "test", "unused"]
    assert records["alley"][0] == "none"
    assert records["masonry_veneer"][0] is None
    assert records["lot_frontage_ft"][0] is None
    assert records["sale_type"][0] == "WD"
    assert records["home_id"][0] == "0526302110"
    assert records["event_time"][0] == datetime(2006, 5, 1, tzinfo=UTC)
