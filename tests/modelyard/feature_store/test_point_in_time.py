"""The order of a source's rows, on which the join rests, for keys and times of any size."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.feature_store.point_in_time import TIME, _ordered, _packed

KEYS = {
    pl.Int64: [-(2**63), -1, 0, 1, 2**63 - 1],
    pl.UInt64: [0, 1, 2**63 - 1, 2**64 - 1],
    pl.Int8: [-128, 0, 127],
    pl.Int128: [-(2**100), -(2**63) - 1, -(2**63), 0, 2**63],
}
TIMES = st.sampled_from([-(2**63), -1, 0, 1, 1_704_067_200_000_000, 2**63 - 1]) | st.integers(0, 9)


@pytest.mark.parametrize("dtype", list(KEYS))
@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data())
def test_rows_are_ordered_by_key_and_time_and_equal_ones_stay_in_their_order(dtype, data):
    keys = st.sampled_from(KEYS[dtype]) if data.draw(st.booleans()) else st.integers(0, 3)
    rows = data.draw(st.lists(st.tuples(keys, TIMES), max_size=30))
    source = pl.DataFrame(rows, schema={"key": dtype, TIME: pl.Int64}, orient="row")
    ordered, numbers = _ordered(source, ["key"], only_created=False)
    expected = sorted(range(len(rows)), key=lambda number: rows[number])
    assert (list(range(len(rows))) if numbers is None else numbers.tolist()) == expected
    assert ordered.rows() == [rows[number] for number in expected]


def test_usual_rows_fit_into_one_integer_and_extreme_ones_do_not():
    day = 86_400_000_000
    usual = pl.DataFrame({"key": [7, 400_000, 7], TIME: [1_704_067_200_000_000 + number * day for number in (1, 2, 0)]})
    packed = _packed(usual)
    assert packed is not None
    assert packed.arg_sort().to_list() == [2, 0, 1]
    assert _packed(usual.with_columns(key=pl.Series([0, 2**62, 1]))) is None
    assert _packed(usual.with_columns(key=pl.lit("a"))) is None
    assert _packed(usual.with_columns(key=pl.lit(None, pl.Int64))) is None
