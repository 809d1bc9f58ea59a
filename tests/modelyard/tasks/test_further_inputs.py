"""What training rows teach about further columns, and how later rows and requests are read by it."""

import polars as pl
import pytest
from pydantic import TypeAdapter, ValidationError

from modelyard.errors import DataContractError
from modelyard.tasks.further_inputs import (
    MOST_CATEGORIES,
    FurtherInput,
    FurtherValues,
    further_expressions,
    further_frame,
    learn_further_inputs,
    refuse_unknown,
    with_further_inputs,
)

ROWS = pl.DataFrame({"shop": ["fuel", "food", "food", None], "distance_km": [1.5, None, 2.0, 9.0], "empty": [None] * 4})
LEARNT = (FurtherInput(name="shop", categories=("food", "fuel")), FurtherInput(name="distance_km"))


def values(rows: pl.DataFrame, inputs: tuple[FurtherInput, ...] = LEARNT) -> list[tuple[float | None, ...]]:
    expressions = further_expressions(inputs)
    found = with_further_inputs(rows, inputs).select(
        value.cast(pl.Float64).alias(name) for name, (value, _, _) in expressions.items()
    )
    return found.rows()


def test_numbers_stay_and_the_most_frequent_categories_become_inputs():
    assert learn_further_inputs(ROWS, ROWS.columns) == LEARNT
    assert list(further_expressions(LEARNT)) == ["shop=food", "shop=fuel", "distance_km"]
    assert values(ROWS) == [(0, 1, 1.5), (1, 0, None), (1, 0, 2), (None, None, 9)]
    many = pl.DataFrame({"shop": [f"s{number:02d}" for number in range(50) for _ in range(50 - number)]})
    (learnt,) = learn_further_inputs(many, ["shop"])
    assert learnt.categories == tuple(f"s{number:02d}" for number in range(MOST_CATEGORIES))


def test_later_rows_are_read_as_training_saw_them():
    later = pl.DataFrame({"shop": ["never seen", "food"]})
    assert values(later) == [(0, 0, None), (1, 0, None)]
    codes = (FurtherInput(name="shop", categories=("5411",)),)
    assert values(pl.DataFrame({"shop": [5411.0, 7.5, None]}), codes) == [(1,), (0,), (None,)]
    assert values(pl.DataFrame({"distance_km": ["2.5", None]}))[0][2] == 2.5
    with pytest.raises(DataContractError, match="'distance_km' holds numbers in the training data, and text here"):
        values(pl.DataFrame({"distance_km": ["far"]}))


def test_the_columns_of_requests_are_those_that_any_of_them_gives():
    frame = further_frame([{"shop": "fuel", "distance_km": 2.0}, {}, {"shop": 5411.0}])
    assert frame.select("shop", "distance_km").rows() == [("fuel", 2.0), (None, None), ("5411", None)]
    assert further_frame([{}, {}]).width == 0


def test_a_column_that_the_model_does_not_have_is_refused():
    frame = further_frame([{"shop": "fuel"}, {"speed": 3.0}])
    with pytest.raises(DataContractError, match="no further column speed") as caught:
        refuse_unknown(frame, LEARNT)
    assert "shop, distance_km" in caught.value.way_out
    refuse_unknown(frame[:1], LEARNT)  # the other request's column is not this one's fault
    with pytest.raises(DataContractError) as caught:
        refuse_unknown(frame, ())
    assert caught.value.way_out == "leave `further` out"
    refuse_unknown(frame.drop("further"), ())  # rows of records, not requests


@pytest.mark.parametrize(
    "given",
    [
        {"Shop": "a"},
        {"shop": [1]},
        {"shop": None},
        {"shop": 1e300},
        {"shop": float("nan")},
        {"shop": "x" * 201},
        {f"c{number}": 1.0 for number in range(101)},
    ],
)
def test_what_is_no_value_of_a_column_is_refused(given):
    with pytest.raises(ValidationError):
        TypeAdapter(FurtherValues).validate_python(given)
