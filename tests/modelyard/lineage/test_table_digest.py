from datetime import UTC, datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.lineage.table_digest import table_digest

FRAME = pl.DataFrame(
    {
        "number": [1.5, None, 3.0],
        "text": ["a", None, "bc"],
        "is_on": [True, None, False],
        "at": [datetime(2026, 1, 1, tzinfo=UTC)] * 3,
        "series": pl.Series([[1.0, 2.0], [3.0, 4.0], None], dtype=pl.List(pl.Float32)),
    }
)


def test_equal_content_has_equal_digests_whatever_the_chunks():
    assert table_digest(FRAME) == table_digest(pl.concat([FRAME[:1], FRAME[1:]], rechunk=False))


def test_a_round_trip_through_parquet_keeps_the_digest(tmp_path):
    FRAME.write_parquet(tmp_path / "t.parquet")
    assert table_digest(pl.read_parquet(tmp_path / "t.parquet")) == table_digest(FRAME)


@pytest.mark.parametrize(
    "changed",
    [
        FRAME.reverse(),
        FRAME.rename({"number": "value"}),
        FRAME.with_columns(pl.col("number").fill_null(0.0)),
        FRAME.with_columns(pl.col("text").fill_null("")),
        FRAME.with_columns(pl.Series("text", ["ab", None, "c"])),
        FRAME.with_columns(pl.Series("series", [[1.0], [2.0, 3.0, 4.0], None], dtype=pl.List(pl.Float32))),
        FRAME.with_columns(pl.col("number").cast(pl.Float32)),
        FRAME.head(2),
    ],
)
def test_any_change_of_content_changes_the_digest(changed):
    assert table_digest(changed) != table_digest(FRAME)


@given(
    st.lists(st.one_of(st.none(), st.text(max_size=3)), max_size=6),
    st.lists(st.one_of(st.none(), st.text(max_size=3)), max_size=6),
)
def test_string_columns_collide_only_when_equal(left, right):
    digests = [table_digest(pl.DataFrame({"s": pl.Series(v, dtype=pl.String)})) for v in (left, right)]
    assert (digests[0] == digests[1]) == (left == right)
