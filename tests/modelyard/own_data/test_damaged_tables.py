"""Whatever stands in a user's table, it ends in records or in one error that says what to do."""

import io
from datetime import UTC, date, datetime

import polars as pl
import pytest

from modelyard.own_data.table import read_own_table
from modelyard.records import Column, Contract
from tests.mutations import assert_every_mutation_is_answered

CONTRACT = Contract(
    key="payment_id",
    event_time="event_time",
    target="is_fraud",
    columns=tuple(
        Column(name=name, dtype=dtype, description="A column.", nullable=name == "city")
        for name, dtype in {
            "payment_id": "string",
            "customer_id": "int64",
            "event_time": "datetime",
            "amount_eur": "float64",
            "is_fraud": "bool",
            "city": "string",
        }.items()
    ),
)
HEADER = "payment_id,customer_id,event_time,amount_eur,is_fraud,city\n"
LINES = (
    "p1,7,2024-01-02T03:04:05Z,12.5,0,Paris\n"
    'p2,8,2024-01-02 04:04:05+01:00,"1,250.00",yes,"Köln, West"\n'
    "00017,9,20240102T040405Z,-0.5,false,\n"
    "p4,10,2024-01,1e3,1,Oslo\n"
)
WORDS = [
    *(b"\n", b"\r\n", b"\r", b",", b";", b"\t", b"|", b'"', b'""', b"'", b"\0", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe"),
    *(b"nan", b"inf", b"-inf", b"1e400", b"1.2E+15", b"9223372036854775808", b"0001-01-01T00:00:00+14:00", b"24:00"),
    *(b"9999-12-31T23:59:59.999999999-23:59", b"2024-02-30", b"31/12/2024", b"split", b"sep=;\n", b"# note\n", b"{}"),
    *(b"payment_id", b"event_time", b"PARSE_ERRORS", b"parse_errors", b"train", b"PAR1", b"\xe9", "٣".encode(), b" "),
]


def read(path):
    records = read_own_table(path, CONTRACT, {}, timezone="Europe/Berlin")
    assert records.height >= 1
    # What is read can be written and read back: no value that a later stage cannot hold.
    written = io.BytesIO()
    records.write_parquet(written)
    written.seek(0)
    assert pl.read_parquet(written).equals(records)


def test_every_mutation_of_a_csv_is_answered(tmp_path):
    text = HEADER + LINES
    contents = [
        text,
        text.replace(",", ";").replace("1;250.00", "1,250.00"),
        "sep=,\n" + text.replace("\n", "\r\n"),
        HEADER.replace("\n", ",split\n") + LINES.replace("\n", ",train\n") * 3,
    ]
    files = [content.encode() for content in contents]
    assert_every_mutation_is_answered(read, tmp_path / "own.csv", files, words=WORDS, at_most=200)


def table(**columns):
    """Rows of the contract with some columns of other types than the usual ones."""
    usual = {
        "payment_id": ["p1", "p2", "p3"],
        "customer_id": [1, 2, 3],
        "event_time": [datetime(2024, 1, day, tzinfo=UTC) for day in (1, 2, 3)],
        "amount_eur": [0.5, 1.5, None],
        "is_fraud": [True, False, False],
        "city": ["Paris", None, "Köln"],
    }
    return pl.DataFrame(usual | columns)


@pytest.mark.parametrize("compression", ["uncompressed", "zstd", "snappy"])
def test_every_mutation_of_a_parquet_file_is_answered(tmp_path, compression):
    tables = [
        table(),
        table(event_time=[date(2024, 1, 1)] * 3, is_fraud=[0, 1, 1], extra=[[1], [], None]),
        table(city=pl.Series(["a", "b", "a"], dtype=pl.Categorical), customer_id=["1", "2", "x"]),
    ]
    contents = []
    for one in tables:
        buffer = io.BytesIO()
        one.write_parquet(buffer, compression=compression)
        contents.append(buffer.getvalue())
    words = [b"PAR1", b"\x15", b"\x00" * 8, b"UTC", b"+05:30", b"payment_id", b"\xff\xff\xff\xff\x0f"]
    assert_every_mutation_is_answered(read, tmp_path / "own.parquet", contents, words=words, at_most=80)
