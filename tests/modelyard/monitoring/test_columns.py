import numpy as np
import polars as pl
import pytest

from modelyard.monitoring.columns import bins_of, count, describe, n_bins_of, widened
from modelyard.watched_columns import is_watchable


def test_quantiles_make_bins_of_equal_size():
    values = pl.Series("x", np.random.default_rng(0).permutation(1000).astype(float))
    column = describe(values, 10)
    counts = count(values, column).counts
    assert len(counts) == 10
    assert np.ptp(counts) <= 2  # 0.3 of 1,000 rows is a little more than 300 of them
    assert (column["minimum"], column["maximum"]) == (0.0, 999.0)


def test_a_value_that_most_rows_share_is_one_bin():
    values = pl.Series("x", [0.0] * 95 + [1.0, 2.0, 3.0, 4.0, 5.0])
    column = describe(values, 10)
    assert column["edges"] == [0.0]
    assert count(values, column).counts.tolist() == [95, 5]


def test_missing_values_are_null_or_nan():
    values = pl.Series("x", [1.0, None, float("nan"), 2.0])
    counted = count(values, describe(values, 2))
    assert (counted.counts.sum(), counted.n_missing, counted.mean) == (2, 2, 1.5)
    empty = pl.Series("x", [None, None], dtype=pl.Float64)
    assert count(values, describe(empty, 2)).n_unknown == 2


def test_rare_categories_share_a_bin_and_stay_known():
    letters = [chr(ord("a") + place) for place in range(26)]
    values = pl.Series("x", letters[:20] * 3 + letters[20:])
    column = describe(values, 10)
    assert n_bins_of(column) == 21
    assert count(values, column).counts.tolist() == [3] * 20 + [6]
    assert count(values, column).n_unknown == 0
    counted = count(pl.Series("x", ["a", "new", None]), column)
    assert (counted.n_unknown, counted.example, counted.n_missing) == (1, "new", 1)


def test_booleans_are_categories():
    values = pl.Series("x", [True, False, None, True])
    counted = count(values, describe(values, 10))
    assert (counted.counts.tolist(), counted.n_missing) == ([2, 1, 0], 1)


@pytest.mark.parametrize("dtype", [pl.List(pl.Float32), pl.Array(pl.Float32, 2)])
def test_a_list_is_watched_by_its_mean(dtype):
    values = pl.Series("x", [[1.0, 3.0], [5.0, 7.0]], dtype=dtype)
    assert is_watchable(dtype)
    assert count(values, describe(values, 2)).mean == 4.0
    assert not is_watchable(pl.List(pl.String))
    assert not is_watchable(pl.Datetime("us"))


def test_what_training_rows_have_is_known_but_moves_no_bin():
    column = describe(pl.Series("x", [1.0, 2.0, 3.0]), 2)
    wider = widened(column, pl.Series("x", [-1.0, 2.0, None]))
    assert (wider["minimum"], wider["maximum"], wider["edges"]) == (-1.0, 3.0, column["edges"])
    known = widened(describe(pl.Series("x", ["a", "a"]), 2), pl.Series("x", ["b", None]))
    assert known["known"] == ["a", "b"]


def test_free_text_has_no_list_of_known_values():
    values = pl.Series("x", ["", "", "", "large amount", "odd hour", "new place"])
    assert describe(values, 2)["known"] is None
    assert count(pl.Series("x", ["what else"]), describe(values, 2)).n_unknown == 0


def test_each_row_has_its_bin():
    column = describe(pl.Series("x", [1.0, 2.0, 3.0, 4.0]), 4)
    assert bins_of(pl.Series("x", [0.0, 1.0, 1.5, 99.0, None]), column).tolist() == [0, 0, 1, 3, -1]
