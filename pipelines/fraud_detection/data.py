"""Card transactions: simulated, from the Fraud Detection Handbook, or your own; split the handbook's way."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import polars as pl
from pydantic import Field, model_validator

from modelyard.errors import DataContractError
from modelyard.files import atomic_file
from modelyard.own_data.further_columns import FurtherSourceParameters, with_further_columns
from modelyard.own_data.table import header_of, read_own_source
from modelyard.parameters import Parameters
from modelyard.paths import data_directory
from modelyard.records import CURRENCY, Column, Contract
from pipelines.fraud_detection.identifiers import IDENTIFIER, in_order
from pipelines.fraud_detection.simulator import simulate
from pipelines.fraud_detection.world import SimulationParameters

if TYPE_CHECKING:
    import great_expectations.expectations as gxe


logger = logging.getLogger(__name__)

WINDOWS_DAYS = (1, 7, 30)
"""Lengths of the windows that the public data bring along and the features are computed over (handbook, chapter 3)."""

_SOURCE_WINDOWS = {
    f"upstream_{ours}_{days}d": (f"{theirs}_{days}DAY_WINDOW", dtype)
    for days in WINDOWS_DAYS
    for ours, theirs, dtype in (
        ("customer_tx_count", "CUSTOMER_ID_NB_TX", "int64"),
        ("customer_amount_mean", "CUSTOMER_ID_AVG_AMOUNT", "float64"),
        ("terminal_tx_count", "TERMINAL_ID_NB_TX", "int64"),
        ("terminal_risk", "TERMINAL_ID_RISK", "float64"),
    )
}
"""Our column to (the handbook's column, dtype) for the windows that its data bring along."""

CONTRACT = Contract(
    key="transaction_id",
    event_time="event_time",
    target="is_fraud",
    group="customer_id",
    columns=(
        Column(name="transaction_id", dtype=IDENTIFIER, description="Identifies the transaction."),
        Column(name="event_time", dtype="datetime", description="When the card was used."),
        Column(name="customer_id", dtype=IDENTIFIER, description="Who holds the card.", sensitive=True),
        Column(name="terminal_id", dtype=IDENTIFIER, description="Where the card was used.", is_identifier=True),
        Column(name="amount", dtype="float64", description="Amount; 0 for a card check.", unit=CURRENCY),
        Column(name="is_fraud", dtype="bool", description="Whether the transaction was fraudulent."),
        Column(
            name="currency",
            dtype="string",
            description="What amounts are in (ISO 4217); one for all rows, that of `ingest.currency`.",
            nullable=True,
        ),
        Column(
            name="fraud_scenario",
            dtype="int64",
            description="Kind of fraud, 0 for a genuine transaction; for the evaluation only, never a feature.",
            nullable=True,
        ),
        Column(name="split", dtype="string", description="Filled in by `assign_split`.", nullable=True),
        Column(
            name="label_delay_days",
            dtype="int64",
            description="Days until the label is known, as the split takes it; filled in by `assign_split`.",
            unit="days",
            nullable=True,
        ),
        *(
            Column(
                name=name,
                dtype=dtype,  # type: ignore[arg-type]  # literals of the table above
                description=f"{theirs} as the source computed it from the time before our first day.",
                unit=CURRENCY if "_amount_" in name else "",
                nullable=True,
            )
            for name, (theirs, dtype) in _SOURCE_WINDOWS.items()
        ),
    ),
)
"""What records promise. ``upstream_*`` columns come with the public data only; ``derive_features`` prefers them."""


LARGEST_AMOUNT = 1e9
"""What `max_amount` and requests may say at most, in any currency: squares of cents below it have exact sums."""

_OFFICIAL_WEEK = 7
"""Days of training, of delay and of test in the handbook, chapter 3."""

_FIRST_CARD_PAYMENTS = datetime(1958, 9, 18, tzinfo=UTC)
"""The first general-purpose credit cards were mailed on this day (the "Fresno drop"); an earlier time is a mistake."""

_MAX_FRAUD_SHARE = 0.5
"""More fraud than this means that the label's meaning is reversed."""


class PeriodParameters(Parameters):
    """The handbook's split, counted back from the last day: train, wait for the labels, test.

    Chapter 3 "Baseline fraud detection system" (``get_train_test_set``); the last days of training validate.
    """

    train_days: int = Field(14, ge=2, description="Days of training, validation included.")
    valid_days: int = Field(3, ge=1, description="The last days of training, held back for validation.")
    delay_days: int = Field(
        7,
        ge=0,
        description="Days until fraud is known: between training and test, unused; as in `features.label_delay_days`.",
    )
    test_days: int = Field(7, ge=1, description="Days of the test, the last ones.")

    @model_validator(mode="after")
    def _leave_training_days(self) -> PeriodParameters:
        if self.valid_days >= self.train_days:
            raise ValueError(
                f"valid_days ({self.valid_days}) must be fewer than train_days ({self.train_days}), which they are"
                " part of"
            )
        return self

    @property
    def total(self) -> timedelta:
        """Time from the first day of training to the end of the test."""
        return timedelta(days=self.train_days + self.delay_days + self.test_days)


class IngestParameters(FurtherSourceParameters):
    """Where transactions come from."""

    source: Literal["simulated", "public", "own"] = Field("simulated", description="Which of the three sources.")
    dataset: Literal["fraud_handbook_transactions"] = Field(
        "fraud_handbook_transactions", description="Public data set."
    )
    simulation: SimulationParameters = Field(SimulationParameters(), description="The simulated world.")
    timezone: str | None = Field(None, description="Own data: IANA zone of times without an offset.")
    periods: PeriodParameters = Field(
        PeriodParameters(), description="The split; public data bring all but `valid_days` along."
    )
    currency: str = Field("EUR", pattern=r"^[A-Z]{3}$", description="What amounts are in, as its code of ISO 4217.")
    max_amount: float = Field(
        100_000.0, gt=0, le=LARGEST_AMOUNT, description="Larger amounts are absurd and are rejected; in `currency`."
    )

    @model_validator(mode="after")
    def _fit_the_periods(self) -> IngestParameters:
        if self.source == "simulated" and timedelta(days=self.simulation.n_days) < self.periods.total:
            raise ValueError(
                f"simulation.n_days ({self.simulation.n_days}) is shorter than the {self.periods.total.days} days of"
                " periods.train_days, delay_days and test_days"
            )
        with_further_columns(CONTRACT, self)  # refuses names that are taken
        if self.source == "public" and self.currency != "EUR":
            raise ValueError(f"the public amounts are in EUR, not in {self.currency}")
        if self.source == "public" and self.periods.valid_days >= _OFFICIAL_WEEK:
            raise ValueError(f"periods.valid_days must be less than the official {_OFFICIAL_WEEK} days of training")
        return self


def ingest(params: IngestParameters) -> pl.DataFrame:
    """Brings the configured source's transactions, with their split.

    Args:
        params: See :class:`IngestParameters`.

    Returns:
        Columns of :data:`CONTRACT`, ordered by time.

    Raises:
        DataContractError: The data cannot be split, or the public data are not the ones described.
        ConfigurationError: ``source`` is ``own`` and its file cannot be found.
        FetchError: The public data cannot be brought here.
    """
    match params.source:
        case "simulated":
            records = assign_split(simulate(params.simulation), params.periods)
        case "public":
            records = _public(params)
        case "own":
            records = _own(params)
    brought = pl.col("currency") if "currency" in records.columns else pl.lit(None, dtype=pl.String)
    return records.with_columns(brought.fill_null(params.currency).alias("currency"))


def assign_split(records: pl.DataFrame, periods: PeriodParameters, end: datetime | None = None) -> pl.DataFrame:
    """Fills in ``split``: train, then a delay, then test days without the cards known to be compromised.

    A card is known to be compromised on a test day when one of its frauds since the first day of training happened
    more than ``delay_days`` days before; the handbook removes it, since it has been blocked by then.

    Args:
        records: Has ``event_time``, ``customer_id``, ``is_fraud``.
        periods: See :class:`PeriodParameters`. Days are UTC days.
        end: Midnight after the last test day; by default, after the last transaction.

    Returns:
        ``records`` with ``split`` (``train``, ``valid``, ``test`` or ``unused``) and ``label_delay_days``, by which
        ``derive_features`` sees that its windows wait just as long.

    Raises:
        DataContractError: The records do not reach back to the first day of training.
    """
    day = pl.col("event_time").dt.truncate("1d")
    first_day, last_day = records.select(day.min().alias("first"), day.max().alias("last")).row(0)
    end = end or (last_day or datetime(1970, 1, 1, tzinfo=UTC)) + timedelta(days=1)
    begin = end - periods.total
    if first_day is None or first_day > begin:
        raise DataContractError(
            f"The transactions span {first_day:%Y-%m-%d} to {last_day:%Y-%m-%d}; the split needs"
            f" {periods.total.days} days before {end:%Y-%m-%d}."
            if first_day
            else "There are no transactions with a time.",
            where="column 'event_time'",
            way_out="bring more days, or shorten train_days, delay_days or test_days under ingest.periods",
        )
    train_end = begin + timedelta(days=periods.train_days)
    valid_begin = train_end - timedelta(days=periods.valid_days)
    test_begin = end - timedelta(days=periods.test_days)
    first_fraud = day.filter(pl.col("is_fraud") & (day >= begin)).min().over("customer_id")
    is_known = (day - first_fraud > timedelta(days=periods.delay_days)).fill_null(False)
    split = (
        pl.when(day.is_between(begin, valid_begin, closed="left"))
        .then(pl.lit("train"))
        .when(day.is_between(valid_begin, train_end, closed="left"))
        .then(pl.lit("valid"))
        .when(day.is_between(test_begin, end, closed="left") & ~is_known)
        .then(pl.lit("test"))
        .otherwise(pl.lit("unused"))
    )
    delay = pl.lit(periods.delay_days, dtype=pl.Int64).alias("label_delay_days")
    return records.with_columns(split.alias("split"), delay)


@dataclass(frozen=True, kw_only=True)
class _Facts:
    """What is known of a public data set, to be found again in the file: another file must not pass for it."""

    begin: datetime
    end: datetime
    n_rows: int
    n_frauds: int
    n_train: int
    n_test: int
    n_test_frauds: int


_HANDBOOK = _Facts(
    begin=datetime(2018, 7, 25, tzinfo=UTC),
    end=datetime(2018, 8, 15, tzinfo=UTC),
    n_rows=201_295,
    n_frauds=1_792,
    n_train=67_240,
    n_test=58_264,
    n_test_frauds=385,
)
"""25 July to 14 August 2018 of https://github.com/Fraud-Detection-Handbook/simulated-data-transformed."""


_NUMBERS: dict[str, pl.DataType] = {"int64": pl.Int64(), "float64": pl.Float64()}
_PUBLIC_SCHEMA = pl.Schema(
    {
        "transaction_id": pl.String(),
        "event_time": pl.Datetime("us", "UTC"),
        "customer_id": pl.String(),
        "terminal_id": pl.String(),
        "amount": pl.Float64(),
        "is_fraud": pl.Boolean(),
        "fraud_scenario": pl.Int64(),
        **{name: _NUMBERS[dtype] for name, (_, dtype) in _SOURCE_WINDOWS.items()},
    }
)
"""Of the converted data set."""


def expectations(params: IngestParameters) -> list[gxe.Expectation]:
    """Returns what records must look like beyond the contract, which the spine checks (columns, types, key, nulls).

    Args:
        params: Those of :func:`ingest`; they decide the period and the plausible share of frauds.

    Returns:
        Great Expectations objects, each with a ``description`` for people.
    """
    import great_expectations.expectations as gxe

    begin, end, shares = _plausible(params)
    # A date of the present would make two reports on the same file differ.
    until = "on the day of the run at the latest" if params.source == "own" else f"before {end:%Y-%m-%d %H:%M}"
    return [
        gxe.ExpectColumnValuesToBeBetween(
            column="amount",
            min_value=0,
            max_value=params.max_amount,
            description=f"An amount is not negative (0 is a card check) and at most {params.max_amount:,.0f}"
            f" {params.currency}.",
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="event_time",
            min_value=begin,
            max_value=end,
            strict_max=True,
            description=f"A transaction happens from {begin:%Y-%m-%d %H:%M} on and {until} (UTC).",
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="currency",
            value_set=[params.currency],
            description=f"All amounts are in {params.currency} (ingest.currency): sums over currencies mean nothing.",
        ),
        gxe.ExpectColumnDistinctValuesToContainSet(
            column="is_fraud",
            value_set=[True, False],
            description="There are frauds and genuine transactions: from one class nothing can be learned.",
        ),
        gxe.ExpectColumnMeanToBeBetween(
            column="is_fraud",
            min_value=shares[0],
            max_value=shares[1],
            description=f"The share of frauds lies between {shares[0]:.2%} and {shares[1]:.2%}.",
        ),
    ]


def _plausible(params: IngestParameters) -> tuple[datetime, datetime, tuple[float, float]]:
    """Begin and end of the source's period, and the range of its share of frauds."""
    match params.source:
        case "simulated":
            day, world = params.simulation.start_date, params.simulation
            begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
            return begin, begin + timedelta(days=world.n_days), (world.fraud_share / 3, world.fraud_share * 3)
        case "public":
            share = _HANDBOOK.n_frauds / _HANDBOOK.n_rows
            return _HANDBOOK.begin, _HANDBOOK.end, (share * 0.99, share * 1.01)
        case "own":
            return _FIRST_CARD_PAYMENTS, _tomorrow(), (0.0, _MAX_FRAUD_SHARE)


def _tomorrow() -> datetime:
    """The next midnight (UTC): what is dated from then on lies in the future. One moment for all runs of a day."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)


def _own(params: IngestParameters) -> pl.DataFrame:
    """The user's transactions in the file's order; a ``split`` that they bring is kept."""
    contract = with_further_columns(CONTRACT, params)
    records = read_own_source(_with_named_currency(params), contract, params.timezone, optional=params.further_columns)
    if "split" in records.columns:
        return records
    # A wrong date in the future must not move the test weeks there; validation rejects its row.
    last = records.filter(pl.col("event_time") < _tomorrow())["event_time"].dt.truncate("1d").max()
    if not isinstance(last, datetime):
        return records  # no time can be read or lies in the past: validation says so, row by row
    return assign_split(records, params.periods, last + timedelta(days=1))


def _with_named_currency(params: IngestParameters) -> IngestParameters:
    """A header that says the currency, ``amount_eur``, is that of the amounts, if the currency is this one."""
    said = f"amount_{params.currency.lower()}"
    if not params.path or "amount" in params.columns:
        return params
    there = header_of(Path(params.path), [said, "transaction_id"])
    if "amount" in there or said not in there:
        return params
    return params.model_copy(update={"columns": {**params.columns, "amount": said}})


def _public(params: IngestParameters) -> pl.DataFrame:
    """The handbook's transactions with its official split."""
    path = data_directory() / "02_intermediate" / "fraud_detection" / f"{params.dataset}.parquet"
    week = _OFFICIAL_WEEK
    official = PeriodParameters(train_days=week, valid_days=params.periods.valid_days, delay_days=week, test_days=week)
    records = assign_split(_converted_once(params.dataset, path), official, _HANDBOOK.end)
    _check_facts(records, _HANDBOOK, path)
    return records


def _converted_once(dataset: str, path: Path) -> pl.DataFrame:
    """Reads the data set from Parquet, after converting its pickles where that has not been done."""
    if path.exists():
        try:
            table = pl.read_parquet(path)
            if table.schema == _PUBLIC_SCHEMA:
                return table
            logger.info("%s was converted by another version of this code; converting the data set again", path)
        except pl.exceptions.PolarsError as error:
            logger.warning("%s is damaged (%s); converting the data set again", path, error)
    table = _read_pickles(dataset)
    with atomic_file(path) as temporary:
        table.write_parquet(temporary)
    return table


def _read_pickles(dataset: str) -> pl.DataFrame:
    from modelyard.public_data.fetch import fetch
    from pipelines.fraud_detection.pandas_pickle import read_dataframe

    days = [read_dataframe(path) for path in sorted(fetch(dataset).rglob("*.pkl"))]
    table: pl.DataFrame = pl.concat(days).select(
        pl.col("TRANSACTION_ID").cast(pl.Int64).cast(pl.String).alias("transaction_id"),
        pl.col("TX_DATETIME").cast(pl.Datetime("us")).dt.replace_time_zone("UTC").alias("event_time"),
        pl.col("CUSTOMER_ID").cast(pl.Int64).cast(pl.String).alias("customer_id"),
        pl.col("TERMINAL_ID").cast(pl.Int64).cast(pl.String).alias("terminal_id"),
        pl.col("TX_AMOUNT").cast(pl.Float64).alias("amount"),
        (pl.col("TX_FRAUD") == 1).alias("is_fraud"),
        pl.col("TX_FRAUD_SCENARIO").cast(pl.Int64).alias("fraud_scenario"),
        *(pl.col(theirs).cast(_PUBLIC_SCHEMA[name]).alias(name) for name, (theirs, _) in _SOURCE_WINDOWS.items()),
    )
    return table.sort("event_time", *in_order("transaction_id"))


def _check_facts(records: pl.DataFrame, facts: _Facts, path: Path) -> None:
    is_learning, is_test = pl.col("split").is_in(["train", "valid"]), pl.col("split") == "test"
    found = records.select(
        n_rows=pl.len(),
        n_frauds=pl.col("is_fraud").sum(),
        n_train=is_learning.sum(),
        n_test=is_test.sum(),
        n_test_frauds=(is_test & pl.col("is_fraud")).sum(),
    ).row(0, named=True)
    wrong = {name: value for name, value in found.items() if value != getattr(facts, name)}
    if wrong:
        raise DataContractError(
            "The public data are not the published ones: "
            + ", ".join(f"{name} is {value:,}, not {getattr(facts, name):,}" for name, value in wrong.items())
            + ".",
            where=str(path),
            way_out="delete the file and run again; if that does not help, verify the download (kedro data verify)",
        )
