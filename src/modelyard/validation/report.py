"""Renders the validation report: one self-contained HTML page, byte-identical for identical data."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelyard.records import Column, Contract
from modelyard.validation.quarantine import REASONS, ROW_NUMBER

if TYPE_CHECKING:
    import polars as pl

_TEMPLATE = Path(__file__).with_name("report.html.j2")
_N_BINS = 24
_BAR_HEIGHT = 22
_N_TOP_VALUES = 3


def render_report(
    summary: Mapping[str, Any], accepted: "pl.DataFrame", shown: "pl.DataFrame", contract: Contract
) -> str:
    """Returns the page as HTML.

    Args:
        summary: The result of :mod:`modelyard.validation.summary`, with ``project`` and ``source``.
        accepted: The accepted rows, whose columns are profiled.
        shown: The rejected rows to list.
        contract: Gives descriptions and units.
    """
    from jinja2 import Environment

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        summary=summary,
        profile=[_profile(accepted[column.name], column) for column in contract.columns],
        rejected=[{name: _cell(value) for name, value in row.items()} for row in shown.iter_rows(named=True)],
        columns=[column.name for column in contract.columns if column.name in shown.columns],
        reasons=REASONS,
        row_number=ROW_NUMBER,
    )


def _profile(values: "pl.Series", column: Column) -> dict[str, Any]:
    """Returns one column's share of missing values, its range or most frequent values, and its histogram."""
    there = values.drop_nulls()
    profile = {
        "name": column.name,
        "dtype": column.dtype,
        "unit": column.unit,
        "description": column.description,
        "n_missing": values.null_count(),
        "share_missing": values.null_count() / values.len() if values.len() else 0.0,
    }
    if there.is_empty():
        return profile | {"values": "no values", "bars": []}
    if column.dtype in ("string", "bool"):
        return profile | {"values": _top_values(there), "bars": []}
    spread = ", ".join(f"{name} {_text(value)}" for name, value in _spread(there).items())
    return profile | {"values": spread, "bars": _bars(there)}


def _spread(values: "pl.Series") -> dict[str, Any]:
    return {"min": values.min(), "median": values.median(), "max": values.max()}


def _top_values(values: "pl.Series") -> str:
    counts = values.value_counts(sort=True).sort(["count", values.name], descending=[True, False])
    n_distinct = counts.height
    if n_distinct == values.len() > _N_TOP_VALUES:
        return f"{n_distinct:,} distinct, none twice"
    top = [f"{_text(value)} {count / values.len():.1%}" for value, count in counts.head(_N_TOP_VALUES).iter_rows()]
    return f"{n_distinct:,} distinct: " + ", ".join(top)


def _bars(values: "pl.Series") -> list[int]:
    """Returns the bar heights of a histogram in pixels; a bin that is not empty is at least one pixel high."""
    import math

    numbers = values.to_physical().cast(float)
    numbers = numbers.filter(numbers.is_finite())
    if numbers.is_empty() or numbers.min() == numbers.max():
        return []
    counts = numbers.hist(bin_count=_N_BINS)["count"]
    highest = counts.max()
    return [math.ceil(_BAR_HEIGHT * count / highest) for count in counts]


def _cell(value: Any) -> Any:
    """Returns a rejected row's value for display, unrounded; lists (of reasons) and missing values unchanged."""
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat(sep=" ").replace("+00:00", "Z") if isinstance(value, datetime) else value


def _text(value: Any) -> str:
    """Returns a profile's value as text, rounded."""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return f"{value:.6g}" if isinstance(value, float) else str(_cell(value))
