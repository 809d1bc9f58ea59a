"""Means over earlier rows see neither the row itself nor those after it."""

from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from modelyard.tasks.earlier_rows import UNKNOWN, means_before

START = datetime(2026, 1, 1, tzinfo=UTC)


def rows(*values):
    """(scanner, hours since the start, brightness) each."""
    return pl.DataFrame(
        {
            "scanner_id": [scanner for scanner, _, _ in values],
            "event_time": [START + timedelta(hours=hours) for _, hours, _ in values],
            "brightness": [float(brightness) for _, _, brightness in values],
        },
        schema={"scanner_id": pl.String, "event_time": pl.Datetime("us", "UTC"), "brightness": pl.Float64},
    )


def means(records, fewest_rows=1, window=timedelta(days=1)):
    return means_before(records, "scanner_id", window, {"mean_brightness": "brightness"}, fewest_rows)


def test_the_window_begins_with_its_first_moment_and_ends_before_the_row():
    found = means(rows(("a", 0, 1), ("a", 24, 3), ("a", 25, 5), ("b", 24, 7)))
    assert found.rows() == [
        ("a", START, None),
        ("a", START + timedelta(hours=24), 1.0),
        ("a", START + timedelta(hours=25), 3.0),
        ("b", START + timedelta(hours=24), None),
    ]


def test_rows_of_one_moment_do_not_see_each_other():
    found = means(rows(("a", 0, 1), ("a", 5, 100), ("a", 5, 200)))
    assert found["mean_brightness"].to_list() == [None, 1.0]


def test_too_few_rows_and_an_entity_without_a_name_are_not_known():
    three = [("a", hour, 1) for hour in range(3)]
    assert means(rows(*three), fewest_rows=2)["mean_brightness"].to_list() == [None, None, 1.0]
    assert means(rows(*((UNKNOWN, hour, 1) for hour in range(3))))["mean_brightness"].null_count() == 3


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 60), st.integers(0, 9)), min_size=1, max_size=30))
def test_they_equal_a_loop_over_the_rows(values):
    for scanner, time, mean in means(rows(*values), fewest_rows=2).iter_rows():
        hours = (time - START) // timedelta(hours=1)
        seen = [value for name, hour, value in values if name == scanner and hours - 24 <= hour < hours]
        expected = sum(seen) / len(seen) if len(seen) >= 2 else None
        assert mean == expected or abs(mean - expected) < 1e-12


def test_a_truth_value_becomes_its_share():
    flags = rows(("a", 0, 1), ("a", 1, 0), ("a", 2, 1)).with_columns(pl.col("brightness").cast(pl.Boolean))
    assert means(flags)["mean_brightness"].to_list() == [None, 1.0, 0.5]
