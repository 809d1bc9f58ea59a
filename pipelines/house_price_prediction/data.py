"""Prices of homes: simulated sales, blocks of the Californian census of 1990, sales in Ames, or your own."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl
from pydantic import Field, model_validator

from modelyard.errors import DataContractError
from modelyard.own_data.format import TableSourceParameters
from modelyard.own_data.table import read_own_source
from modelyard.records import CURRENCY, Column, Contract
from pipelines.house_price_prediction.attributes import ATTRIBUTES, HOME, NONE
from pipelines.house_price_prediction.simulator import SimulationParameters, simulate

if TYPE_CHECKING:
    from pathlib import Path

    import great_expectations.expectations as gxe

CONTRACT = Contract(
    key="home_id",
    event_time="event_time",
    target="price",
    columns=(
        Column(name="home_id", dtype="string", description="Identifies the home, or the census block.", sensitive=True),
        Column(name="event_time", dtype="datetime", description="When it was sold, or counted."),
        Column(name="price", dtype="float64", description="Price of the sale, or the block's median.", unit=CURRENCY),
        Column(
            name="currency",
            dtype="string",
            description="What prices and incomes are in (ISO 4217); one for all rows, that of `ingest.currency`.",
            nullable=True,
        ),
        Column(name="split", dtype="string", description="Official split, where the source has one.", nullable=True),
        *(attribute.column() for attribute in ATTRIBUTES),
    ),
)
"""What records promise. A source knows some attributes and not others; those that nobody knows are no inputs."""

CURRENCY_MARKS = {"USD": ("$", "US$", "USD"), "EUR": ("€", "EUR"), "GBP": ("£", "GBP"), "CAD": ("$", "C$", "CAD")}
"""What stands beside an amount of a currency; of another one, its code does."""

_CENSUS_DAY = datetime(1990, 4, 1, tzinfo=UTC)
_EARLIEST = datetime(1600, 1, 1, tzinfo=UTC)
_SQFT_PER_M2 = 10.764
_LEAST_MEDIAN_SQFT = 400.0
"""Half of the homes of a place are larger than this, unless their areas are in square metres."""

_INCOME_UNIT_USD = 10_000.0
_INCOME_EDGES = (1.5, 3.0, 4.5, 6.0)
_N_BLOCKS, _N_BLOCK_TEST = 20_640, 4_128
_N_SALES, _N_SALE_TEST = 2_589, 648
_LARGEST_SQFT = 4000.0
_AMES_GAPS = ("lot_frontage_ft", "garage_year_built")


class IngestParameters(TableSourceParameters):
    """Where homes come from."""

    source: Literal["simulated", "public", "own"] = Field("simulated", description="Which of the three sources.")
    dataset: Literal["california_housing", "ames_housing"] = Field("california_housing", description="Public data set.")
    simulation: SimulationParameters = Field(SimulationParameters(), description="The simulated city.")
    timezone: str | None = Field(None, description="Own data: IANA zone of times without an offset.")
    currency: str = Field("USD", pattern=r"^[A-Z]{3}$", description="What prices are in, as its code of ISO 4217.")
    max_price: float = Field(100_000_000.0, gt=0, le=1e12, description="Larger prices are absurd and are rejected.")
    valid_share: float = Field(
        0.15, gt=0, lt=1, description="California: share of the training blocks, drawn at random, that validate."
    )
    seed: int = Field(0, ge=0, description="California: seed of that draw.")

    @model_validator(mode="after")
    def _public_prices_are_dollars(self) -> IngestParameters:
        if self.source == "public" and self.currency != "USD":
            raise ValueError(f"the public prices are in USD, not in {self.currency}")
        return self


def ingest(params: IngestParameters) -> pl.DataFrame:
    """Brings the configured source's homes.

    Args:
        params: See :class:`IngestParameters`.

    Returns:
        Columns of :data:`CONTRACT`, as far as the source knows them. Where it has no official split there is none: the
        spine splits by time.

    Raises:
        DataContractError: The file cannot be understood, or the public data are not the ones described.
        ConfigurationError: ``source`` is ``own`` and its file cannot be found.
        FetchError: The public data cannot be brought here.
    """
    match params.source:
        case "simulated":
            records = simulate(params.simulation)
        case "public":
            records = _california(params) if params.dataset == "california_housing" else _ames()
        case "own":
            records = _own(params)
    brought = pl.col("currency") if "currency" in records.columns else pl.lit(None, dtype=pl.String)
    return records.with_columns(brought.fill_null(params.currency).alias("currency"))


def expectations(params: IngestParameters) -> list[gxe.Expectation]:
    """Returns what records must look like beyond the contract, which the spine checks (columns, types, key, nulls).

    Args:
        params: Those of :func:`ingest`.

    Returns:
        Great Expectations objects, each with a ``description`` for people.
    """
    import great_expectations.expectations as gxe
    from great_expectations.expectations.metadata_types import FailureSeverity

    tomorrow = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    known = _known_columns(params)
    areas = [each.name for each in HOME if each.name.endswith("_sqft") and each.name in known]

    def between(name: str, low: float | datetime | None, high: float | datetime | None, text: str) -> gxe.Expectation:
        return gxe.ExpectColumnValuesToBeBetween(column=name, min_value=low, max_value=high, description=text)

    rules = [
        gxe.ExpectColumnValuesToBeBetween(
            column="price",
            min_value=0,
            strict_min=True,
            max_value=params.max_price,
            description=f"A price is positive and at most {params.max_price:,.0f} {params.currency}.",
        ),
        between("event_time", _EARLIEST, tomorrow, "A sale lies in the past."),
        gxe.ExpectColumnValuesToBeInSet(
            column="currency",
            value_set=[params.currency],
            description=f"All prices are in {params.currency} (ingest.currency).",
        ),
        *(between(name, 0, 1e8, f"An area is not negative ('{name}').") for name in areas),
    ]
    swapped = "; are latitude and longitude swapped?"
    bounds = {"latitude_deg": _bounds(params, "latitude_deg"), "longitude_deg": _bounds(params, "longitude_deg")}
    for name, (low, high) in bounds.items():
        if name in known:
            text = f"'{name}' lies between {low:g} and {high:g} degrees{swapped}"
            rules.append(between(name, low, high, text))
    for name in ("overall_quality", "overall_condition"):
        if name in known:
            rules.append(between(name, 1, 10, f"'{name}' is a grade from 1 to 10."))
    rules += [
        gxe.ExpectColumnValuesToBeInSet(
            column=each.name,
            value_set=list(each.levels),
            description=f"'{each.name}' is one of {', '.join(each.levels)}, worst first.",
        )
        for each in HOME
        if each.levels and each.name in known
    ]
    if "living_area_sqft" in known:
        rules.append(
            gxe.ExpectColumnMedianToBeBetween(
                column="living_area_sqft",
                min_value=_LEAST_MEDIAN_SQFT,
                description=f"Half of the homes have more than {_LEAST_MEDIAN_SQFT:g} square feet; if not, areas look"
                f" like square metres: multiply them by {_SQFT_PER_M2}.",
            )
        )
    if "year_built" in known:
        rules.append(between("year_built", 1000, tomorrow.year + 3, "A home is built before, or soon after, its sale."))
    if {"first_floor_sqft", "second_floor_sqft", "living_area_sqft"} <= known:
        rules.append(
            gxe.ExpectColumnPairValuesAToBeGreaterThanB(
                column_A="living_area_sqft",
                column_B="first_floor_sqft",
                or_equal=True,
                severity=FailureSeverity.WARNING,
                description="The living area holds the first floor (a warning: floors are measured apart).",
            )
        )
    return rules


def _known_columns(params: IngestParameters) -> set[str]:
    """Columns that the source has; nobody checks what is not there."""
    match params.source, params.dataset:
        case "own", _:
            return set(params.columns)
        case "public", "california_housing":
            return {each.name for each in ATTRIBUTES if each not in HOME}
        case "public", _:
            return {each.name for each in HOME}
        case _:
            return set(simulate(SimulationParameters(n_homes=200)).columns)


def _bounds(params: IngestParameters, name: str) -> tuple[float, float]:
    if params.source == "public":
        return (32.0, 42.5) if name == "latitude_deg" else (-125.0, -114.0)
    return (-90.0, 90.0) if name == "latitude_deg" else (-180.0, 180.0)


def _own(params: IngestParameters) -> pl.DataFrame:
    """The user's homes; amounts may carry the mark of ``currency``: ``$250,000``."""
    marks = CURRENCY_MARKS.get(params.currency, (params.currency,))
    table_format = params.format.model_copy(update={"currency_marks": (*params.format.currency_marks, *marks)})
    return read_own_source(params.model_copy(update={"format": table_format}), CONTRACT, params.timezone)


def _california(params: IngestParameters) -> pl.DataFrame:
    """Census blocks with the book's split (Géron 2019, chapter 2): 20 % test, stratified by income, seed 42."""
    from sklearn.model_selection import StratifiedShuffleSplit

    from modelyard.public_data.fetch import fetch

    path = fetch("california_housing") / "housing.csv"
    raw = pl.read_csv(path, infer_schema=False)
    stratum = np.digitize(raw["median_income"].cast(pl.Float64).to_numpy(), _INCOME_EDGES, right=True)
    book = StratifiedShuffleSplit(n_splits=1, test_size=0.2, random_state=42)
    learning, test = next(book.split(stratum, stratum))
    _check_counts(path, raw.height, _N_BLOCKS, len(test), _N_BLOCK_TEST)
    split = np.full(raw.height, "train", dtype=object)
    split[test] = "test"
    draw = np.random.default_rng(params.seed).permutation(learning)
    split[draw[: round(params.valid_share * len(learning))]] = "valid"
    blocks = _attributes(raw).with_columns(
        pl.format("block {}", pl.int_range(1, pl.len() + 1)).alias("home_id"),
        pl.lit(_CENSUS_DAY).cast(pl.Datetime("us", "UTC")).alias("event_time"),
        raw["median_house_value"].cast(pl.Float64).alias("price"),
        pl.Series("split", split.tolist(), dtype=pl.String),
    )
    return blocks.with_columns(pl.col("median_income") * _INCOME_UNIT_USD)


def _ames() -> pl.DataFrame:
    """Sales to 2007 train, those of 2008 validate, those of 2009 test.

    Sales of more than 4,000 square feet are not learnt from, as De Cock advises (four of them are outliers); they stay
    in the test.
    """
    from modelyard.public_data.fetch import fetch

    path = fetch("ames_housing") / "AmesHousing_2006_2009.csv"
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    raw = pl.DataFrame({name: [row[name].strip() for row in rows] for name in rows[0]})
    year, month = raw["Yr Sold"].cast(pl.Int64), raw["Mo Sold"].cast(pl.Int64)
    _check_counts(path, raw.height, _N_SALES, int((year == 2009).sum()), _N_SALE_TEST)
    sales = _attributes(raw).with_columns(
        raw["PID"].alias("home_id"),
        pl.datetime(year, month, 1, time_unit="us", time_zone="UTC").alias("event_time"),
        raw["SalePrice"].cast(pl.Float64).alias("price"),
        pl.Series("year", year),
    )
    split = (
        pl.when(pl.col("year") == 2009)
        .then(pl.lit("test"))
        .when(pl.col("living_area_sqft") > _LARGEST_SQFT)
        .then(pl.lit("unused"))
        .when(pl.col("year") == 2008)
        .then(pl.lit("valid"))
        .otherwise(pl.lit("train"))
    )
    return sales.with_columns(split.alias("split")).drop("year")


def _attributes(raw: pl.DataFrame) -> pl.DataFrame:
    """The contract's attributes of a public file of strings; NA is a level of a category, and a gap in a number."""
    columns = []
    for attribute in ATTRIBUTES:
        if attribute.source not in raw.columns:
            continue
        cell = pl.col(attribute.source).replace("", None)
        if attribute.dtype == "string":
            columns.append(cell.replace({"NA": NONE, "None": NONE}).alias(attribute.name))
            continue
        number = cell.replace("NA", None).cast(pl.Float64)
        columns.append((number if attribute.dtype == "float64" else number.cast(pl.Int64)).alias(attribute.name))
    return raw.select(columns)


def _check_counts(path: Path, n_rows: int, wanted: int, n_test: int, wanted_test: int) -> None:
    if (n_rows, n_test) != (wanted, wanted_test):
        raise DataContractError(
            f"The public data have {n_rows:,} rows and {n_test:,} of the test, not {wanted:,} and {wanted_test:,}.",
            where=str(path),
            way_out="delete the file and run again; if that does not help, verify the download (kedro data verify)",
        )
