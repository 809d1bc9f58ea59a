"""Problems of cells: one more is put behind those that are there, and a row without any stays without."""

import polars as pl

from modelyard.own_data.cells import read_text_cells, with_problem
from modelyard.own_data.format import TableFormat

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


def test_an_amount_is_read_beside_the_mark_of_its_currency_and_no_other():
    marked = TableFormat(currency_marks=("$", "US$", "USD"))
    cells = [
        "$250,000",
        "$ 250000.50",
        "-$1,000",
        "250,000 USD",
        "US$1,234,567.5",
        "250000",
        "250,000",
        "€5",
        "$12,34",
        "$",
    ]
    values, problems = read_text_cells(pl.Series("price", cells), "float64", None, marked)
    assert values.to_list() == [250_000, 250_000.5, -1000, 250_000, 1_234_567.5, 250_000, None, None, None, None]
    assert problems.is_null().to_list() == [True] * 6 + [False] * 4
    plain, _ = read_text_cells(pl.Series("price", cells), "float64", None)
    assert plain.to_list() == [None] * 5 + [250_000] + [None] * 4


def test_a_mark_may_stand_beside_a_decimal_comma():
    european = TableFormat(currency_marks=("€",), decimal=",", thousands=".")
    values, _ = read_text_cells(pl.Series("price", ["1.250,50 €", "€3,5", "7"]), "float64", None, european)
    assert values.to_list() == [1250.5, 3.5, 7]
