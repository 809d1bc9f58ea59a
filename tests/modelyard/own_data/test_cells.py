"""Problems of cells: one more is put behind those that are there, and a row without any stays without."""

import polars as pl

from modelyard.own_data.cells import with_problem

PROBLEM = pl.when(pl.col("place") == "nowhere").then(pl.format("place: {} is no place", "place"))


def test_one_more_problem_stands_behind_the_others():
    rows = pl.DataFrame(
        {
            "place": ["here", "nowhere", "here", "nowhere"],
            "parse_errors": [None, None, "age: 'x' is no number", "age: 'x' is no number"],
        }
    )
    assert with_problem(rows, PROBLEM)["parse_errors"].to_list() == [
        None,
        "place: nowhere is no place",
        "age: 'x' is no number",
        "age: 'x' is no number; place: nowhere is no place",
    ]


def test_rows_without_the_column_get_it():
    rows = with_problem(pl.DataFrame({"place": ["here", "nowhere"]}), PROBLEM)
    assert rows.schema["parse_errors"] == pl.String
    assert rows["parse_errors"].to_list() == [None, "place: nowhere is no place"]
