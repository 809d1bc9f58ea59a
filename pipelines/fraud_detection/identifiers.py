"""What identifies transactions, customers and terminals: text, as it stands in the source, leading zeros included.

The dtype is stated here and nowhere else. Where an order is needed (transactions of one moment, cards of one score),
shorter identifiers come first and equally long ones in the order of their characters, which is the order of numbers
where identifiers are numbers.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BeforeValidator, StringConstraints

IDENTIFIER: Final = "string"
"""Type of identifying columns in the contract and in the feature views."""

_LARGEST_EXACT_FLOAT = 2**53


def in_order(name: str) -> list[pl.Expr]:
    """Returns what to sort by, so that the column ``name`` is in the order of identifiers."""
    return [pl.col(name).str.len_bytes(), pl.col(name)]


def numbered(identifiers: pl.Series) -> NDArray[np.int64]:
    """Returns a number from 0 for each identifier, shape (N,): equal where they are equal, and in their order."""
    known = identifiers.unique().to_frame("known").sort(in_order("known"))["known"]
    return identifiers.cast(pl.Enum(known)).to_physical().to_numpy().astype(np.int64)


def _as_text(value: Any) -> Any:
    """Whole numbers as text: JSON has both, and pandas writes a float where a column has missing values."""
    if isinstance(value, bool):
        raise ValueError("an identifier is text or a whole number, not true or false")
    if isinstance(value, float) and value.is_integer() and abs(value) <= _LARGEST_EXACT_FLOAT:
        return str(int(value))
    return str(value) if isinstance(value, int) else value


Identifier = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    BeforeValidator(_as_text, json_schema_input_type=str | int),
]
"""An identifier in a request: text, or a whole number."""
