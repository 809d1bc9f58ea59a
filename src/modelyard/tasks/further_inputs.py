"""Further columns of own data as inputs of a model: what training rows teach about them is kept with the model.

A number is an input as it is. A column of text becomes one input for each of its most frequent categories, which is 1
where the row has it; other categories, and those that training has not seen, have zeros throughout.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import polars as pl
from pydantic import Field, StringConstraints

from modelyard.errors import DataContractError
from modelyard.parameters import Parameters

MOST_CATEGORIES = 20
"""Categories of a column that are inputs: the most frequent ones of the training rows."""

GIVEN = "further"
"""Field of a request with its further columns, and the column of decoded requests with the names that each gives."""

FurtherValues = Annotated[
    dict[
        Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=100)],
        Annotated[float, Field(ge=-1e12, le=1e12, allow_inf_nan=False)]
        | Annotated[str, StringConstraints(max_length=200)],
    ],
    Field(max_length=100),
]
"""Field of a request: further column to its value. Which ones there are is the model's: see :func:`refuse_unknown`."""


class FurtherInput(Parameters):
    """A further column as training saw it."""

    name: str = Field("", description="The column.")
    categories: tuple[str, ...] | None = Field(
        None, description="Its most frequent categories in the training rows. None: it holds numbers."
    )


def learn_further_inputs(rows: pl.DataFrame, names: Sequence[str]) -> tuple[FurtherInput, ...]:
    """Returns the further columns as the training rows have them; a column without any value is left out.

    Args:
        rows: Training rows.
        names: See :func:`modelyard.own_data.further_columns.further_names`.
    """
    found = []
    for name in names:
        values = rows[name].drop_nulls()
        if values.dtype.is_numeric() and values.len():
            found.append(FurtherInput(name=name))
        elif values.dtype == pl.String and values.len():
            counts = values.value_counts(name="n_rows").sort(pl.col("n_rows"), pl.col(name), descending=[True, False])
            found.append(FurtherInput(name=name, categories=tuple(counts[name].head(MOST_CATEGORIES))))
    return tuple(found)


def further_expressions(inputs: Sequence[FurtherInput]) -> dict[str, tuple[pl.Expr, str, str]]:
    """Returns the inputs by name: expression over :func:`with_further_inputs`, column, and category (empty: a number).

    Args:
        inputs: As the model keeps them.
    """
    found: dict[str, tuple[pl.Expr, str, str]] = {}
    for one in inputs:
        if one.categories is None:
            found[one.name] = (pl.col(one.name), one.name, "")
        for category in one.categories or ():
            found[f"{one.name}={category}"] = (pl.col(one.name) == category, one.name, category)
    return found


def with_further_inputs(examples: pl.DataFrame, inputs: Sequence[FurtherInput]) -> pl.DataFrame:
    """Returns ``examples`` with all further columns in the types that training saw, null where they are absent.

    Raises:
        DataContractError: A column of numbers holds text.
    """
    columns = []
    for one in inputs:
        dtype = pl.Float64() if one.categories is None else pl.String()
        if one.name not in examples.columns:
            columns.append(pl.lit(None, dtype).alias(one.name))
        elif one.categories is None:
            columns.append(_as_numbers(examples[one.name]))
        else:
            columns.append(_as_text(examples[one.name]))
    return examples.with_columns(columns)


def _as_numbers(values: pl.Series) -> Any:
    numbers = values.cast(pl.Float64, strict=False)
    if numbers.null_count() > values.null_count():
        raise DataContractError(
            f"The further column '{values.name}' holds numbers in the training data, and text here.",
            where=f"further.{values.name}",
            way_out="give a number, or leave it out",
        )
    return pl.lit(numbers)


def _as_text(values: pl.Series) -> Any:
    """A category may be written as a number: 5411 is the category "5411"."""
    if not values.dtype.is_numeric():
        return pl.lit(values.cast(pl.String))
    whole = values.cast(pl.Float64).cast(pl.Int64, strict=False)
    text = pl.when(whole == values).then(whole.cast(pl.String)).otherwise(values.cast(pl.String))
    return pl.select(text.alias(values.name)).to_series()


def further_frame(values: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Returns the further columns of requests, a row for each; a column that any request sends as text is text.

    Beside them :data:`GIVEN` holds which of them each request gives. No columns at all where no request gives any.
    """
    names = sorted({name for one in values for name in one})
    columns = []
    for name in names:
        given = [one.get(name) for one in values]
        if any(isinstance(value, str) for value in given):
            columns.append(pl.Series(name, [_text(value) for value in given], dtype=pl.String))
        else:
            columns.append(pl.Series(name, given, dtype=pl.Float64))
    if names:
        columns.append(pl.Series(GIVEN, [list(one) for one in values], dtype=pl.List(pl.String)))
    return pl.DataFrame(columns)


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return str(int(value)) if math.isfinite(value) and value == int(value) else str(value)


def refuse_unknown(frame: pl.DataFrame, inputs: Sequence[FurtherInput]) -> None:
    """Checks that a model has the further columns that requests give.

    Args:
        frame: Decoded requests, or other examples, of which nothing is checked: their columns may be of another model.
        inputs: As the model keeps them.

    Raises:
        DataContractError: It has not.
    """
    known = [one.name for one in inputs]
    given = frame[GIVEN].explode().drop_nulls().unique().sort().to_list() if GIVEN in frame.columns else []
    if unknown := [name for name in given if name not in known]:
        raise DataContractError(
            f"The model has no further column {', '.join(unknown)}.",
            where=GIVEN,
            way_out=f"its further columns are {', '.join(known)}" if known else f"leave `{GIVEN}` out",
        )
