"""A request that is sent again and again counts once, and rows that are alike by nature stay."""

import polars as pl
import pytest

from modelyard.monitoring.copies import distinct_requests, largest_share

INPUTS = ["amount", "recent", "kind"]


def rows_of(*amounts):
    n = len(amounts)
    return pl.DataFrame(
        {
            "amount": pl.Series(amounts, dtype=pl.Float64, strict=False),
            "recent": pl.Series([[1.0, amount] for amount in amounts], dtype=pl.List(pl.Float64), strict=False),
            "kind": pl.Series(["a"] * n, dtype=pl.String),
            "score": pl.Series([number / n for number in range(n)], dtype=pl.Float64),
        }
    )


def test_a_request_that_is_more_than_its_share_counts_once_and_others_stay_in_order():
    rows = rows_of(*range(50), *[7.5] * 40, *range(100, 150), *[None] * 30)
    found = distinct_requests(rows, INPUTS, 0.15)
    assert found.n_copies == 40
    assert found.rows["amount"].to_list() == [*range(50), 7.5, *range(100, 150), None]
    assert found.rows["score"].to_list() == [rows["score"][at] for at in (*range(51), *range(90, 141))]


@pytest.mark.parametrize(
    ("rows", "share"),
    [
        (rows_of(*range(80), *[7.5] * 20), 0.2),  # no more than it may be
        (rows_of(*range(80), *[7.5] * 20), 0.0),  # twenty are never too many
        (rows_of(), 0.05),
    ],
)
def test_rows_that_are_few_stay(rows, share):
    found = distinct_requests(rows, INPUTS, share)
    assert (found.rows.equals(rows), found.n_copies) == (True, 0)


def test_without_watched_inputs_nothing_can_be_a_copy():
    rows = rows_of(*[1.0] * 100)
    assert distinct_requests(rows, [], 0.05).n_copies == 0
    assert largest_share(rows, []) == largest_share(rows_of(), INPUTS) == 0.0


def test_the_largest_share_counts_missing_and_not_a_number_too():
    assert largest_share(rows_of(1.0, 2.0, 2.0, None), INPUTS) == 0.5
    assert largest_share(rows_of(None, None, None, 2.0), INPUTS) == 0.75
    assert largest_share(rows_of(float("nan"), float("nan"), 1.0, 2.0), INPUTS) == 0.5
