"""A user's own table: what is read, what is quarantined cell by cell, and what is refused with a way out."""

import gzip
import zoneinfo
from dataclasses import replace
from datetime import UTC, date, datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.errors import ConfigurationError, DataContractError
from modelyard.own_data.cells import read_text_cells, read_typed_cells
from modelyard.own_data.format import TableFormat, TableSourceParameters
from modelyard.own_data.table import _NO_PLACES, UnreadableColumnsError, read_own_source, read_own_table
from modelyard.records import Column, Contract


def column(name, dtype, **more):
    return Column(name=name, dtype=dtype, description="A column.", **more)


CONTRACT = Contract(
    key="payment_id",
    event_time="event_time",
    target="is_fraud",
    columns=(
        column("payment_id", "string"),
        column("customer_id", "int64"),
        column("event_time", "datetime"),
        column("amount_eur", "float64"),
        column("is_fraud", "bool"),
        column("city", "string", nullable=True),
    ),
)
HEADER = "payment_id,customer_id,event_time,amount_eur,is_fraud,city\n"
ROW = "p1,7,2024-01-02T03:04:05Z,12.5,0,Paris\n"
FIRST = {
    "payment_id": "p1",
    "customer_id": 7,
    "event_time": datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC),
    "amount_eur": 12.5,
    "is_fraud": False,
    "city": "Paris",
    "parse_errors": None,
}


@pytest.fixture
def write(tmp_path):
    def write(content, name="own.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.mark.parametrize(
    "content",
    [
        HEADER + ROW,
        (HEADER + ROW).replace(",", ";"),
        (HEADER + ROW).replace(",", "\t"),
        (HEADER + ROW).replace("\n", "\r\n"),
        b"\xef\xbb\xbf" + (HEADER + ROW).encode(),
        HEADER + ROW + "\n\n",
        HEADER + ROW + ",,,,,\n",
        HEADER.replace("\n", ",notes\n") + ROW.replace("\n", ',"a, b"\n'),
        (HEADER + ROW).replace("\n", "\r"),
        "sep=;\n" + (HEADER + ROW).replace(",", ";"),
        "# exported on a Monday\n\n" + HEADER + ROW,
        HEADER.replace(",", " , ") + ROW,
        HEADER.title() + ROW,
    ],
    ids=[
        "comma",
        "semicolon",
        "tab",
        "windows",
        "byte order mark",
        "blank lines",
        "empty cells",
        "extra column",
        "carriage returns",
        "sep line",
        "lines above the header",
        "blanks around headers",
        "letter case",
    ],
)
def test_csv_dialects_give_the_same_records(write, content):
    records = read_own_table(write(content), CONTRACT, {})
    assert records.rows(named=True) == [FIRST]
    assert records.schema["event_time"] == pl.Datetime("us", "UTC")


def test_renamed_columns_are_mapped_and_order_does_not_matter(write):
    path = write("City,Amount,fraud,when,client,id\nParis,12.5,no,2024-01-02T03:04:05Z,7,p1\n")
    names = {"payment_id": "id", "customer_id": "client", "event_time": "when", "amount_eur": "Amount"}
    records = read_own_table(path, CONTRACT, names | {"is_fraud": "fraud", "city": "City"})
    assert records.rows(named=True) == [FIRST]


def test_missing_columns_are_all_named_with_the_nearest_and_the_parameter(write):
    path = write("payment_id,customer,event_time,amount,is_fraud,city\n" + ROW)
    with pytest.raises(DataContractError) as caught:
        read_own_table(path, CONTRACT, {})
    assert "'customer_id' (did you mean 'customer'?), 'amount_eur' (did you mean 'amount'?)" in caught.value.found
    assert "set ingest.columns: {customer_id: customer, amount_eur: amount} in conf/base" in caught.value.way_out
    option = "--params=<project>.ingest.columns.customer_id=customer,<project>.ingest.columns.amount_eur=amount"
    assert option in caught.value.way_out


@pytest.mark.parametrize(
    ("content", "name", "found"),
    [
        ("", "own.csv", "The data file is empty"),
        (" \n\n", "own.csv", "The data file is empty"),
        (HEADER, "own.csv", "a header and no rows"),
        (HEADER + ",,,,,\n", "own.csv", "a header and no rows"),
        ((HEADER + ROW.replace("Paris", "Orléans")).encode("latin-1"), "own.csv", "byte 0xe9"),
        ((HEADER + ROW).encode("utf-16"), "own.csv", "text in UTF-16"),
        (gzip.compress(ROW.encode(), mtime=0), "own.csv", "a gzip archive"),
        (b"PK\x03\x04workbook", "own.csv", "a zip archive or an Excel workbook"),
        (b"\x7fELF\0\0\0", "own.csv", "binary"),
        (HEADER + ROW + 'p2,"7,2024-01-02T03:04:05Z,12.5,0,Paris\n', "own.csv", "cannot be split into rows"),
        ("city," + HEADER + "x," + ROW, "own.csv", "more than one column called 'city'"),
        (HEADER + ROW, "own.parquet", "This is no Parquet file"),
        (b"PAR1" + ROW.encode(), "own.parquet", "truncated"),
        (b"PAR1" + ROW.encode() + b"PAR1", "own.parquet", "damaged"),
    ],
)
def test_a_file_that_cannot_be_understood_is_refused(write, content, name, found):
    path = write(content, name)
    with pytest.raises(DataContractError) as caught:
        read_own_table(path, CONTRACT, {})
    assert found in caught.value.found
    assert str(path) in caught.value.where
    assert caught.value.way_out


def test_a_wrong_encoding_names_line_and_character(write):
    path = write((HEADER + ROW + ROW.replace("Paris", "Orléans")).encode("latin-1"))
    with pytest.raises(DataContractError, match="'é' in Windows-1252") as caught:
        read_own_table(path, CONTRACT, {})
    assert caught.value.where.endswith("line 3")


@pytest.mark.parametrize(
    ("columns", "timezone", "name", "message"),
    [
        ({"amount": "x"}, None, "own.csv", "no column 'amount'. Did you mean 'amount_eur'"),
        ({}, "Europe/Pari", "own.csv", "no time zone 'Europe/Pari'. Did you mean 'Europe/Paris'"),
        ({}, None, "onw.csv", "not there. Did you mean 'own.csv'"),
    ],
)
def test_wrong_parameters_are_configuration_errors(write, columns, timezone, name, message):
    path = write(HEADER + ROW).with_name(name)
    with pytest.raises(ConfigurationError, match=message):
        read_own_table(path, CONTRACT, columns, timezone)


def test_cells_that_cannot_be_read_become_null_and_are_named(write):
    path = write(HEADER + ROW + 'p2,seven,yesterday,"12,5",maybe,Rome\n')
    records = read_own_table(path, CONTRACT, {})
    assert records.row(0, named=True) == FIRST
    assert records.select("customer_id", "event_time", "amount_eur", "is_fraud").row(1) == (None,) * 4
    problems = records["parse_errors"][1].split("; ")
    assert [problem.split(" ")[0] for problem in problems] == [
        "customer_id:",
        "event_time:",
        "amount_eur:",
        "is_fraud:",
    ]
    assert problems[2] == "amount_eur: '12,5' is no number: set ingest.format.decimal: ','"


def test_uneven_lines_are_kept_and_named(write):
    path = write(HEADER + ROW + "p2,7,2024-01-02T03:04:05Z,12,5,0,Paris\n\np3,7\n")
    records = read_own_table(path, CONTRACT, {})
    assert records["payment_id"].to_list() == ["p1", "p2", "p3"]
    assert records["parse_errors"][0] is None
    assert records["parse_errors"][1].startswith("line 3 has 7 fields where the header has 6: 'p2 | 7")
    assert records["parse_errors"][2].startswith("line 5 has 2 fields where the header has 6")


def test_times_without_any_zone_are_refused_until_one_is_given(write):
    path = write(HEADER + ROW.replace("Z", ""))
    with pytest.raises(DataContractError, match="have no time zone, for example '2024-01-02T03:04:05'") as caught:
        read_own_table(path, CONTRACT, {})
    assert "ingest.timezone" in caught.value.way_out
    records = read_own_table(path, CONTRACT, {}, "Europe/Paris")
    assert records["event_time"].to_list() == [datetime(2024, 1, 2, 2, 4, 5, tzinfo=UTC)]


def test_mixed_time_zones_are_read_cell_by_cell():
    text = pl.Series("t", ["2024-07-01T12:00:00+02:00", "2024-07-01 12:00", "2024-07-01T12:00Z", "2024-07-01"])
    values, problems = read_text_cells(text, "datetime", "Europe/Paris")
    assert [value.hour for value in values] == [10, 10, 12, 22]
    assert problems.null_count() == 4
    values, problems = read_text_cells(text, "datetime", None)
    assert values.is_null().to_list() == [False, True, False, True]
    assert problems[1] == "'2024-07-01 12:00' has no time zone: add an offset or set ingest.timezone"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-12-31T23:59:01.5Z", datetime(2024, 12, 31, 23, 59, 1, 500_000)),
        ("2024-12-31T23:59:01,123456789 UTC", datetime(2024, 12, 31, 23, 59, 1, 123_456)),
        ("2024-12-31 23:59-0530", datetime(2025, 1, 1, 5, 29)),
        ("31.12.2024 23:59Z", datetime(2024, 12, 31, 23, 59)),
        ("2024/2/9Z", datetime(2024, 2, 9)),
        ("  2024-12-31T00:00+00  ", datetime(2024, 12, 31)),
    ],
)
def test_common_formats_of_times(text, expected):
    values, problems = read_text_cells(pl.Series([text]), "datetime", None)
    assert values.to_list() == [expected.replace(tzinfo=UTC)]
    assert problems[0] is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("03/04/2024", "may have day or month first"),
        ("2024-02-30T00:00Z", "is no date and time"),
        ("2024-01-01T00:00:00+99:00", "is no date and time"),
        ("1700000000", "is no date and time"),
        ("2024-03-31 02:30", "does not exist in Europe/Berlin"),
        ("2024-10-27 02:30", "is there twice in Europe/Berlin"),
    ],
)
def test_times_that_are_none_or_not_one(text, problem):
    values, problems = read_text_cells(pl.Series([text]), "datetime", "Europe/Berlin")
    assert values[0] is None
    assert problem in problems[0]


@pytest.mark.parametrize(
    ("text", "dtype", "expected"),
    [
        ("9223372036854775807", "int64", 9223372036854775807),
        ("3.0", "int64", 3),
        (" 7 ", "int64", 7),
        ("-1e-3", "float64", -0.001),
        ("NaN", "float64", None),
        ("N/A", "int64", None),
        ("Yes", "bool", True),
        ("0.0", "bool", False),
        (" as it is ", "string", " as it is "),
        ("NA", "string", "NA"),
    ],
)
def test_cells_that_can_be_read(text, dtype, expected):
    values, problems = read_text_cells(pl.Series([text]), dtype, None)
    assert values.to_list() == [expected]
    assert problems[0] is None


@pytest.mark.parametrize(
    ("text", "dtype", "problem"),
    [
        ("3.5", "int64", "is no whole number"),
        ("9223372036854775808", "int64", "is no whole number"),
        ("inf", "float64", "is no finite number"),
        ("1e999", "float64", "is no finite number"),
        ("1,234.50", "float64", "set ingest.format.thousands: ','"),
        ("1,234", "float64", "write a decimal point and no thousands separators"),
        ("12 €", "float64", "is no number"),
        ("x" * 100 + "\n", "float64", f"'{'x' * 60}…' is no number"),
        ("2", "bool", "is neither true nor false"),
    ],
)
def test_cells_that_cannot_be_read(text, dtype, problem):
    values, problems = read_text_cells(pl.Series([text]), dtype, None)
    assert values[0] is None
    assert problem in problems[0]


@pytest.mark.parametrize(
    ("column", "dtype", "expected"),
    [
        (pl.Series([123.0, None]), "string", ["123", None]),
        (pl.Series([1, 0], dtype=pl.Int8), "bool", [True, False]),
        (pl.Series([True, None]), "int64", [1, None]),
        (pl.Series([1.5, float("nan")]), "float64", [1.5, None]),
        (pl.Series(["a"], dtype=pl.Categorical), "string", ["a"]),
        (pl.Series([date(2024, 1, 1)]), "datetime", [datetime(2024, 1, 1, tzinfo=UTC)]),
        (pl.Series([datetime(2024, 1, 1)], dtype=pl.Datetime("ns")), "datetime", [datetime(2024, 1, 1, tzinfo=UTC)]),
    ],
)
def test_typed_columns(column, dtype, expected):
    assert read_typed_cells(column, dtype, "UTC").values.to_list() == expected


@pytest.mark.parametrize("column", [pl.Series([[1]]), pl.Series([1700000000]), pl.Series([b"x"])])
def test_a_type_that_cannot_become_a_time_is_none(column):
    assert read_typed_cells(column, "datetime", "UTC") is None


def test_parquet_files_of_a_folder_are_read_in_order(tmp_path, write):
    table = read_own_table(write(HEADER + ROW), CONTRACT, {}).drop("parse_errors")
    folder = tmp_path / "months"
    folder.mkdir()
    with pytest.raises(DataContractError, match="no Parquet file"):
        read_own_table(folder, CONTRACT, {})
    table.with_columns(payment_id=pl.lit("p2")).write_parquet(folder / "b.parquet")
    table.with_columns(pl.col("customer_id").cast(pl.Int32)).write_parquet(folder / "a.parquet")
    records = read_own_table(folder, CONTRACT, {})
    assert records["payment_id"].to_list() == ["p1", "p2"]
    table.with_columns(customer_id=[[1]]).write_parquet(folder / "c.parquet")
    with pytest.raises(DataContractError, match="do not fit together"):
        read_own_table(folder, CONTRACT, {})


def test_a_truncated_parquet_file_is_named(tmp_path, write):
    table = read_own_table(write(HEADER + ROW), CONTRACT, {})
    path = tmp_path / "own.parquet"
    table.write_parquet(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataContractError, match="truncated"):
        read_own_table(path, CONTRACT, {})


def test_a_parquet_column_of_a_type_that_does_not_fit_is_refused(tmp_path, write):
    path = tmp_path / "own.parquet"
    read_own_table(write(HEADER + ROW), CONTRACT, {}).with_columns(amount_eur=[[1.0]]).write_parquet(path)
    with pytest.raises(DataContractError, match="'amount_eur' holds List"):
        read_own_table(path, CONTRACT, {})


def test_an_official_split_is_kept_and_checked(write):
    path = write(HEADER.replace("\n", ",split\n") + ROW.replace("\n", ",test\n") + ROW.replace("\n", ",later\n"))
    records = read_own_table(path, CONTRACT, {})
    assert records["split"].to_list() == ["test", None]
    assert records["parse_errors"][1] == "split: 'later' is none of train, valid, test, unused"


def test_the_printed_mapping_can_be_pasted(write):
    """What the error prints is YAML that reads back as the file's headers, whatever they hold."""
    import yaml

    path = write('payment_id,customer_id,"Booked: time","Amount_eur, EUR",yes,city\n' + ROW)
    with pytest.raises(DataContractError) as caught:
        read_own_table(path, CONTRACT, {})
    printed = caught.value.way_out.removeprefix("set ingest.columns: ").partition(" in conf/base")[0]
    columns = yaml.safe_load(printed)
    assert columns["amount_eur"] == "Amount_eur, EUR"
    columns |= {"event_time": "Booked: time", "is_fraud": "yes"}
    assert read_own_table(path, CONTRACT, columns).rows(named=True) == [FIRST]


def test_a_file_without_a_header_is_not_printed(write):
    path = write("hunter2,4711,2024-01-02,99.5\nhunter3,4712,2024-01-03,12.5\n")
    with pytest.raises(DataContractError) as caught:
        read_own_table(path, CONTRACT, {})
    assert "hunter2" not in str(caught.value)
    assert "4 fields like xxxxxx9 | 9999 | 9999-99-99 | 99.9: is the header missing?" in caught.value.where


def test_a_source_that_names_no_file_is_one_message():
    with pytest.raises(ConfigurationError, match="No own data are named") as caught:
        read_own_source(TableSourceParameters(source="own"), CONTRACT)
    assert caught.value.where == "<project>.ingest.path"


def test_a_source_brings_an_optional_column_only_where_it_is_named(write):
    path = write(HEADER.replace("city", "town") + ROW.replace("12.5", '"12,5"').replace("T03:04:05Z", "T04:04:05"))
    params = TableSourceParameters.model_validate({"path": str(path), "format": {"decimal": ","}})
    records = read_own_source(params, CONTRACT, "Europe/Paris")
    assert records.rows(named=True) == [{name: value for name, value in FIRST.items() if name != "city"}]
    named = params.model_copy(update={"columns": {"city": "town"}})
    assert read_own_source(named, CONTRACT, "Europe/Paris").rows(named=True) == [FIRST]
    shown = read_own_source(named, CONTRACT, as_written=("event_time",))["event_time"]
    assert shown.to_list() == [datetime(2024, 1, 2, 4, 4, 5, tzinfo=UTC)]


def test_a_pipe_is_refused_at_once(tmp_path):
    import os

    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(ConfigurationError, match="a pipe or a device"):
        read_own_table(tmp_path / "pipe.csv", CONTRACT, {})


@pytest.mark.parametrize(
    ("cells", "dtype", "hint"),
    [
        (["12,5", "1.234,50"], "float64", "set ingest.format.decimal: ',' and ingest.format.thousands: '.'"),
        (["31/12/2024", "01/02/2024"], "datetime", "set ingest.format.date_format: '%d/%m/%Y'"),
        (["12/31/2024", "01/02/2024"], "datetime", "set ingest.format.date_format: '%m/%d/%Y'"),
        (["Jan-90", "Feb-90"], "datetime", "set ingest.format.date_format: '%b-%y'"),
        (["199001", "199002"], "datetime", "set ingest.format.date_format: '%Y%m'"),
        (["fraud", "genuine"], "bool", "set ingest.format.true_values and false_values"),
        (["01/02/2024", "03/04/2024"], "datetime", "may have day or month first: write"),
    ],
)
def test_where_only_one_reading_is_possible_the_parameter_is_printed(cells, dtype, hint):
    assert hint in read_text_cells(pl.Series("x", cells), dtype, "UTC").problems[0]


@pytest.mark.parametrize(
    ("table_format", "text", "dtype", "value"),
    [
        ({"decimal": ",", "thousands": "."}, "1.234,5", "float64", 1234.5),
        ({"thousands": ","}, "1,234", "int64", 1234),
        ({"date_format": "%m/%d/%Y"}, "03/04/2024", "datetime", datetime(2024, 3, 4, tzinfo=UTC)),
        ({"date_format": "%b-%y"}, "Feb-90", "datetime", datetime(1990, 2, 1, tzinfo=UTC)),
        ({"date_format": "%Y%m"}, "199002", "datetime", datetime(1990, 2, 1, tzinfo=UTC)),
        ({"date_format": "%d.%m.%Y %H:%M"}, "03.04.2024 05:06", "datetime", datetime(2024, 4, 3, 5, 6, tzinfo=UTC)),
        ({"true_values": ("Fraud",), "false_values": ("ok",)}, "FRAUD", "bool", True),
        ({"missing_values": ("?",)}, "?", "float64", None),
    ],
)
def test_cells_are_read_as_the_format_says(table_format, text, dtype, value):
    read = read_text_cells(pl.Series("x", [text]), dtype, "UTC", TableFormat(**table_format))
    assert read.problems.to_list() == [None]
    assert read.values.to_list() == [value]


def test_a_wrong_date_format_is_said():
    read = read_text_cells(pl.Series("x", ["2024-01-01"]), "datetime", "UTC", TableFormat(date_format="%d/%m/%Y"))
    assert "is not in the form %d/%m/%Y" in read.problems[0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1990-01", datetime(1990, 1, 1, tzinfo=UTC)),
        ("20240102T030405Z", datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("20240102", datetime(2024, 1, 2, tzinfo=UTC)),
        ("2024-01-02T03Z", datetime(2024, 1, 2, 3, tzinfo=UTC)),
        ("2024-01-02T24:00", datetime(2024, 1, 3, tzinfo=UTC)),
        ("2024-01-02T03:00\u221201:00", datetime(2024, 1, 2, 4, tzinfo=UTC)),
    ],
)
def test_forms_of_iso_8601(text, value):
    assert read_text_cells(pl.Series("x", [text]), "datetime", "UTC").values.to_list() == [value]


@settings(deadline=None)
@given(
    st.sampled_from(sorted(zoneinfo.available_timezones() - _NO_PLACES)), st.dates(date(1900, 1, 1), date(2100, 1, 1))
)
def test_a_date_that_is_taken_as_written_stays_that_date_in_every_zone(zone, day):
    for text in (day.isoformat(), f"{day.isoformat()}T00:30:00+14:00", f"{day.isoformat()} 23:30:00-11:00"):
        read = read_text_cells(pl.Series("x", [text]), "datetime", zone, as_written=True)
        assert read.values[0].date() == day
    typed = pl.Series("x", [datetime(day.year, day.month, day.day, 5)]).dt.replace_time_zone(
        zone, ambiguous="earliest", non_existent="null"
    )
    kept = read_typed_cells(typed, "datetime", "UTC", as_written=True)
    assert kept is not None
    assert kept.values[0] is None or kept.values[0].date() == day


def test_identifiers_stay_as_they_stand_and_rounded_ones_are_refused(write):
    row = ROW.replace("p1", "0042")
    records = read_own_table(write(HEADER + row + ROW.replace("p1", "1.29E+15")), CONTRACT, {})
    assert records["payment_id"].to_list() == ["0042", None]
    assert "is a rounded number, not an identifier" in records["parse_errors"][1]
    rounded = read_own_table(write(HEADER + ROW + ROW.replace(",7,", ",1.29403E+15,")), CONTRACT, {})
    assert rounded["customer_id"].to_list() == [7, None]


def test_decimals_in_parquet_are_exact_identifiers(tmp_path):
    from decimal import Decimal

    frame = pl.DataFrame({name: [value] for name, value in FIRST.items() if name != "parse_errors"})
    frame = frame.with_columns(payment_id=pl.Series([Decimal("12345678901234567890123")], dtype=pl.Decimal(30, 0)))
    frame.write_parquet(tmp_path / "own.parquet")
    records = read_own_table(tmp_path / "own.parquet", CONTRACT, {})
    assert records["payment_id"].to_list() == ["12345678901234567890123"]


@pytest.mark.parametrize("edge", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-00:01"])
def test_a_time_in_no_year_is_a_problem_of_its_row(write, edge):
    path = write(HEADER + ROW + ROW.replace(ROW.split(",")[2], edge))
    records = read_own_table(path, CONTRACT, {})
    assert records["event_time"].to_list() == [FIRST["event_time"], None]
    assert records["parse_errors"].to_list() == [None, f"event_time: '{edge}' lies in no year in UTC"]


@pytest.mark.parametrize("column_name", ["event_time", "unused"])
def test_a_half_hour_offset_in_parquet_is_read(tmp_path, column_name, capfd):
    import pyarrow as pa
    import pyarrow.parquet as pq

    frame = pl.DataFrame({name: [value] for name, value in FIRST.items() if name != "parse_errors"}).to_arrow()
    times = pa.array([FIRST["event_time"]], pa.timestamp("us", "+05:30"))
    place = frame.schema.get_field_index(column_name)
    frame = frame.set_column(place, column_name, times) if place >= 0 else frame.append_column(column_name, times)
    pq.write_table(frame, tmp_path / "own.parquet")
    assert read_own_table(tmp_path / "own.parquet", CONTRACT, {}).rows(named=True) == [FIRST]
    assert "panicked" not in capfd.readouterr().err


def test_the_first_error_says_all_that_a_file_needs(write):
    path = write(
        "Payment ID;Customer;Event time;Amount;Fraud;City\n"
        "TX-1;7;31.12.2024 10:00;1.234,50;ja;Köln\nTX-2;8;31.12.2024 11:00;12,50;nein;Köln\n"
    )
    with pytest.raises(DataContractError) as caught:
        read_own_table(path, CONTRACT, {})
    said = f"{caught.value.found} {caught.value.way_out}"
    for words in (
        'payment_id: "Payment ID"',
        'event_time: "Event time"',
        "amount_eur: Amount",
        "set ingest.timezone",
        "set ingest.format.decimal: ',' and ingest.format.thousands: '.'",
        "set ingest.format.true_values and false_values (the column has 'ja' and 'nein')",
    ):
        assert words in said
    columns = {"payment_id": "Payment ID", "customer_id": "Customer", "event_time": "Event time"}
    columns |= {"amount_eur": "Amount", "is_fraud": "Fraud"}
    form = TableFormat(decimal=",", thousands=".", true_values=("ja",), false_values=("nein",))
    records = read_own_table(path, CONTRACT, columns, "Europe/Berlin", form)
    assert records.select("amount_eur", "is_fraud").rows() == [(1234.5, True), (12.5, False)]
    assert records["parse_errors"].null_count() == 2


def test_a_column_of_times_is_known_by_its_word_and_the_last_one_by_being_left(tmp_path):
    contract = Contract(
        key="event_time",
        event_time="event_time",
        columns=(column("event_time", "datetime"), column("index", "float64")),
    )
    (tmp_path / "river.csv").write_text("date,level_cm\n2024-01-01,250.5\n")
    with pytest.raises(DataContractError) as caught:
        read_own_table(tmp_path / "river.csv", contract, {}, "UTC")
    assert "set ingest.columns: {event_time: date, index: level_cm} in" in caught.value.way_out


def test_a_column_that_nobody_can_read_is_said_as_that(write):
    path = write(HEADER + ROW.replace("12.5", "$12.50") + ROW.replace("12.5", "$3"))
    with pytest.raises(
        UnreadableColumnsError, match=r"'amount_eur': '\$12.50' is no number; '\$3' is no number"
    ) as caught:
        read_own_table(path, CONTRACT, {})
    assert caught.value.records.height == 2, "the rows go to quarantine all the same"


def test_single_bad_cells_among_missing_ones_send_only_their_rows_to_quarantine(write):
    mapped = replace(CONTRACT, columns=(*CONTRACT.columns, column("age_a", "float64", nullable=True)))
    lines = [ROW.replace("\n", ",old\n"), *[ROW.replace("\n", ",\n")] * 9]
    records = read_own_table(write(HEADER.replace("\n", ",age_a\n") + "".join(lines)), mapped, {})
    assert records["age_a"].null_count() == 10
    assert records["parse_errors"].to_list() == ["age_a: 'old' is no number", *[None] * 9]


def test_a_column_without_a_name_does_not_hide_the_others_of_uneven_lines(write):
    path = write(HEADER.replace("amount", ",amount") + ROW.replace("12.5", "x,12.5") + "p2,8\n")
    records = read_own_table(path, CONTRACT, {})
    assert records["amount_eur"].to_list() == [12.5, None]


def test_a_text_in_parquet_that_is_no_utf8_is_a_damaged_file(tmp_path):
    table = pl.DataFrame({key: [value] for key, value in FIRST.items() if key != "parse_errors"})
    table.write_parquet(tmp_path / "own.parquet", compression="uncompressed", statistics=False)
    content = (tmp_path / "own.parquet").read_bytes()
    assert b"Paris" in content
    (tmp_path / "own.parquet").write_bytes(content.replace(b"Paris", b"Pari\xe9"))
    with pytest.raises(DataContractError, match="damaged"):
        read_own_table(tmp_path / "own.parquet", CONTRACT, {})
