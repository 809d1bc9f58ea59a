"""Evaluates Great Expectations on polars records, and describes each rule and the rows that break it in plain text.

A whole suite is evaluated in one graph on one pandas view: evaluating a dozen expectations one by one takes five times
as long. The view's index holds row numbers, so that Great Expectations returns failing positions and no values; having
it return key columns takes twice the time.
"""

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from modelyard.startup.great_expectations import load_great_expectations

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    from great_expectations.core import ExpectationValidationResult
    from great_expectations.data_context.types.base import DataContextConfig
    from great_expectations.expectations.expectation import Expectation
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

_RESULT_FORMAT = {
    "result_format": "COMPLETE",
    "exclude_unexpected_values": True,
    "return_unexpected_index_query": False,
}
_SHORTER = (
    (r"greater than or equal to (\S+) and less than or equal to (\S+?)(?=[,.\s]|$)", r"between \1 and \2"),
    (r"greater than or equal to ", "at least "),
    (r"less than or equal to ", "at most "),
    (r"belong to this set: ", "be one of: "),
    (r"\bmust always be\b", "must be"),
    (r"PassThrough\('(.*?)'\)", r"\1"),
)


@dataclass(frozen=True, kw_only=True)
class Check:
    """One expectation, evaluated.

    Args:
        name: Type and columns, without bounds: "expect_column_values_to_be_between(amount_eur)". Releases identify a
            rule by it, because a bound may be the current time and change with every run.
        rule: The expectation as text: "amount_eur values must be between 0 and 100000".
        columns: Columns that it checks.
        is_row_level: Whether single rows can break it. False: it checks the whole table, and a failure stops the run.
        is_warning: Whether a failure is only reported (the expectation's severity is below critical).
        is_passed: Whether it holds.
        rows: Positions of the rows that break it, from 0; of row-level checks only.
        n_broken: How many rows break it, also where a share of them is tolerated (``mostly``).
        observed: The observed value as text; may be empty.
        error: Why the expectation could not be evaluated; empty if it was.
    """

    name: str
    rule: str
    columns: tuple[str, ...]
    is_row_level: bool
    is_warning: bool
    is_passed: bool
    rows: tuple[int, ...] = ()
    n_broken: int = 0
    observed: str = ""
    error: str = ""


def evaluate(records: "pl.DataFrame", expectations: "Sequence[Expectation]") -> list[Check]:
    """Evaluates expectations on a table.

    Args:
        records: The rows; their positions are what :attr:`Check.rows` holds.
        expectations: Great Expectations' own or custom expectations.

    Returns:
        One check for each expectation, in the same order. One that raises is a failed check with its ``error``.
    """
    if not expectations:
        return []
    # Great Expectations returns results grouped by column; the position in the metadata restores the order.
    numbered = [each.copy(update={"meta": {"position": at}}) for at, each in enumerate(expectations)]
    gx = load_great_expectations()
    from great_expectations.validator.v1_validator import Validator

    context = gx.get_context(mode="ephemeral", project_config=_in_memory())
    asset = context.data_sources.add_pandas("records").add_dataframe_asset("records")
    # Batch.validate() would call the same validator, but hashes the whole table first.
    validator = Validator(
        batch_definition=asset.add_batch_definition_whole_dataframe("records"),
        batch_parameters={"dataframe": _pandas_view(records, expectations)},
        result_format=_RESULT_FORMAT,
    )
    results = validator.validate_expectation_suite(gx.ExpectationSuite(name="records", expectations=numbered)).results
    by_position = {_configuration(result).meta["position"]: result for result in results}
    return [_check(each, by_position[at]) for at, each in enumerate(expectations)]


def _pandas_view(records: "pl.DataFrame", expectations: "Sequence[Expectation]") -> "pd.DataFrame":
    """Returns the checked columns as a pandas frame, with nullable integers and booleans instead of floats.

    Other columns are left out, because converting each one takes time.
    """
    import pandas as pd
    import polars as pl

    if all(_names_its_columns(each) for each in expectations):
        names = dict.fromkeys(name for each in expectations for name in _columns(each) if name in records.columns)
        # A frame without columns has no rows to count.
        records = records.select(list(names) or records.columns[:1])
    view = records.to_pandas()
    for series in records:
        if series.null_count() and series.dtype in (pl.Int64, pl.Boolean):
            filler = False if series.dtype == pl.Boolean else 0
            values, missing = series.fill_null(filler).to_numpy(), series.is_null().to_numpy()
            array = pd.arrays.BooleanArray if series.dtype == pl.Boolean else pd.arrays.IntegerArray
            view[series.name] = array(values.copy(), missing.copy())
    return view


def _names_its_columns(expectation: "Expectation") -> bool:
    if getattr(expectation, "row_condition", None):
        return False
    return bool(_columns(expectation)) or expectation.configuration.type.startswith("expect_table_row_count")


def _in_memory() -> "DataContextConfig":
    """Returns a context configuration without files (the default makes a temporary folder) and progress bars."""
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    return DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        progress_bars=ProgressBarsConfig(globally=False),
        analytics_enabled=False,
    )


def in_words(expectation: "Expectation") -> str:
    """Returns the expectation as text: its own ``description``, else Great Expectations' text, shortened."""
    from great_expectations.render.renderer.inline_renderer import InlineRenderer

    if expectation.description:
        return str(expectation.description)
    rendered = InlineRenderer(render_object=expectation.configuration).get_rendered_content()[0].value
    if rendered.template is None:  # rendered as a graph instead of text
        return f"{expectation.configuration.type} with {expectation.configuration.kwargs}"
    params = {name: _shown(param["value"]) for name, param in (rendered.params or {}).items()}
    template = re.sub(r"(\$\w+_\d+) (?=\$\w+_\d)", r"\1, ", rendered.template)
    text = string.Template(template).safe_substitute(params).rstrip(".")
    for pattern, shorter in _SHORTER:
        text = re.sub(pattern, shorter, text)
    return text


def _check(expectation: "Expectation", result: "ExpectationValidationResult") -> Check:
    found = result.result
    rows = found.get("unexpected_index_list")
    is_row_level = _is_row_level(expectation) and (rows is not None or bool(result.success))
    check = Check(
        name=_name(expectation),
        rule=in_words(expectation),
        columns=_columns(expectation),
        is_row_level=is_row_level,
        is_warning=str(expectation.severity.value) != "critical",
        is_passed=bool(result.success),
        n_broken=int(found.get("unexpected_count") or 0),
        observed=_observed(found),
        error=_error(result),
    )
    return replace(check, rows=tuple(map(int, rows or ()))) if is_row_level else check


def _is_row_level(expectation: "Expectation") -> bool:
    """Returns whether single rows can break it; a ``mostly`` below 1 tolerates a share, so it concerns the table."""
    from great_expectations.expectations.expectation import (
        ColumnMapExpectation,
        ColumnPairMapExpectation,
        MulticolumnMapExpectation,
    )

    kinds = (ColumnMapExpectation, ColumnPairMapExpectation, MulticolumnMapExpectation)
    return isinstance(expectation, kinds) and float(getattr(expectation, "mostly", 1)) >= 1


def _name(expectation: "Expectation") -> str:
    condition = getattr(expectation, "row_condition", None)
    return f"{expectation.configuration.type}({', '.join(_columns(expectation))})" + (
        f" if {condition}" if condition else ""
    )


def _columns(expectation: "Expectation") -> tuple[str, ...]:
    names = [getattr(expectation, name, None) for name in ("column", "column_A", "column_B")]
    return (*(str(name) for name in names if name), *map(str, getattr(expectation, "column_list", None) or ()))


def _observed(found: dict[str, Any]) -> str:
    if found.get("observed_value") is not None:
        return _shown(found["observed_value"])
    if found.get("partial_missing_list"):
        return ", ".join(map(_shown, found["partial_missing_list"])) + " missing"
    if found.get("element_count"):
        # Great Expectations gives None where every value is missing.
        share = found.get("unexpected_percent_nonmissing", found.get("unexpected_percent")) or 0.0
        return f"{share:.3g} % break it"
    return ""


def _configuration(result: "ExpectationValidationResult") -> "ExpectationConfiguration":
    if result.expectation_config is None:
        raise RuntimeError("Great Expectations returned a result without its expectation")
    return result.expectation_config


def _error(result: "ExpectationValidationResult") -> str:
    """Returns the first line of the exception's message if the expectation could not be evaluated, else ""."""
    info = result.exception_info or {}
    if "raised_exception" in info:
        info = {"": info}
    messages = [str(each["exception_message"]) for each in info.values() if each.get("raised_exception")]
    return messages[0].splitlines()[0] if messages else ""


def _shown(value: Any) -> str:
    """Returns a bound or an observed value as readable text."""
    if isinstance(value, datetime):
        text = value.isoformat().replace("+00:00", "Z")
        return text.removesuffix("T00:00:00Z")
    if isinstance(value, bool) or type(value).__name__ in ("bool_", "bool"):
        return str(bool(value)).lower()
    if isinstance(value, (list, tuple, set)):
        return ", ".join(map(_shown, value))
    if isinstance(value, str):
        return value
    number = float(value) if hasattr(value, "__float__") else None
    if number is None:
        return str(value)
    return f"{number:.0f}" if number.is_integer() else f"{number:.6g}"
