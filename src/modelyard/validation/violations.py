"""Turns failed checks into the rules that each row breaks, with reasons that quote the offending values."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from modelyard.own_data.cells import PARSE_ERRORS, quoted
from modelyard.records import SPLITS, Contract
from modelyard.validation.checks import Check

if TYPE_CHECKING:
    import polars as pl
    from great_expectations.expectations.expectation import Expectation

READABLE = "every cell must be readable as its type"


def contract_expectations(contract: Contract, has_split: bool) -> "list[Expectation]":
    """Returns the contract's rules as expectations: readable cells first, then a unique key, then no missing values.

    Args:
        contract: The contract.
        has_split: Whether the records have a column with an official split.
    """
    import great_expectations.expectations as gxe

    promises: list[Expectation] = [
        gxe.ExpectColumnValuesToBeNull(column=PARSE_ERRORS, description=READABLE),
        gxe.ExpectColumnValuesToBeUnique(column=contract.key, description=f"{contract.key} must be unique"),
    ]
    required = [column.name for column in contract.columns if not column.nullable]
    if has_split and all(column.name != "split" for column in contract.columns):
        required.append("split")
    promises += [
        gxe.ExpectColumnValuesToNotBeNull(column=name, description=f"{name} must have a value")
        for name in dict.fromkeys([contract.key, *required])
    ]
    if has_split:
        promises.append(gxe.ExpectColumnValuesToBeInSet(column="split", value_set=list(SPLITS)))
    return promises


def violations(
    records: "pl.DataFrame", checks: Sequence[Check], contract: Contract, n_promises: int, waived: "pl.DataFrame"
) -> tuple["pl.DataFrame", "pl.DataFrame"]:
    """Returns which rows break which rules.

    Args:
        records: The rows that were checked.
        checks: Checks of :func:`contract_expectations`, then of the project's expectations.
        contract: Gives the name of the key.
        n_promises: How many of ``checks`` are the contract's; those cannot be waived.
        waived: Columns ``row`` and ``check`` (a name): the rules from which rows were released.

    Returns:
        The rules that reject a row, and those that were waived. Both have the columns ``row`` (position from 0),
        ``position`` and ``check`` (its name), ``rule``, ``reason`` and ``is_promise``, ordered by row and position.
    """
    import polars as pl

    # All broken rules but the unique key (position 1), without those that were waived for a row.
    frames = [
        _broken(records, check, position, position < n_promises)
        for position, check in enumerate(checks)
        if check.rows and not check.is_warning and position != 1
    ]
    broken = pl.concat([_nothing(), *frames])
    let_through = broken.filter(~pl.col("is_promise")).join(waived, on=["row", "check"], how="semi")
    broken = broken.join(let_through, on=["row", "position"], how="anti")
    # Which copy of a key is kept depends on the rows that other rules reject, so duplicates come last.
    duplicates = _duplicates(records, checks[1], contract.key, broken["row"])
    return pl.concat([broken, duplicates]).sort("row", "position"), let_through.sort("row", "position")


def _nothing() -> "pl.DataFrame":
    import polars as pl

    texts = dict.fromkeys(("check", "rule", "reason"), pl.String)
    return pl.DataFrame(schema={"row": pl.Int64, "position": pl.Int64, **texts, "is_promise": pl.Boolean})


def _broken(records: "pl.DataFrame", check: Check, position: int, is_promise: bool) -> "pl.DataFrame":
    import polars as pl

    rows = pl.Series("row", check.rows, dtype=pl.Int64)
    cells = records.select(list(dict.fromkeys([*check.columns, PARSE_ERRORS])))[rows].insert_column(0, rows)
    if is_promise and check.rule.endswith("must have a value"):
        # A cell that cannot be parsed is null; it must not be reported as missing too.
        named = rf"(?:^|; ){check.columns[0]}: "
        cells = cells.filter(~pl.col(PARSE_ERRORS).str.contains(named).fill_null(False))
    return cells.select(
        "row",
        pl.lit(position, dtype=pl.Int64).alias("position"),
        pl.lit(check.name).alias("check"),
        pl.lit(check.rule).alias("rule"),
        _reason(check, cells).alias("reason"),
        pl.lit(is_promise).alias("is_promise"),
    )


def _reason(check: Check, cells: "pl.DataFrame") -> "pl.Expr":
    """Returns a text such as "amount_eur = -5.0, expected between 0 and 100000"; for parse errors their own text."""
    import polars as pl

    if check.columns == (PARSE_ERRORS,):
        return pl.col(PARSE_ERRORS)
    if check.rule.endswith("must have a value"):
        return pl.lit(f"{check.columns[0]} is missing")
    found = pl.concat_str(
        [pl.format("{} = {}", pl.lit(name), _value(cells, name)) for name in check.columns], separator=", "
    )
    demand = check.rule.removeprefix(f"{check.columns[0]} values must ")
    if demand == check.rule:
        return pl.format("{}: {}", found, pl.lit(check.rule))
    if demand == "never be null":
        return pl.format("{}, expected a value", found)
    demand = demand.removeprefix("be ") if demand.startswith("be ") else f"to {demand}"
    return pl.format("{}, expected {}", found, pl.lit(demand))


def _value(cells: "pl.DataFrame", name: str) -> "pl.Expr":
    import polars as pl

    column, dtype = pl.col(name), cells.schema[name]
    if dtype == pl.String:
        return quoted(column).fill_null("null")
    if isinstance(dtype, pl.Datetime):
        return column.dt.strftime("%Y-%m-%dT%H:%M:%S%.fZ").fill_null("null")
    return column.cast(pl.String).fill_null("null")


def _duplicates(records: "pl.DataFrame", check: Check, key: str, rejected: "pl.Series") -> "pl.DataFrame":
    """Returns all rows of a duplicated key but one: the first row that no other rule rejects is kept."""
    import polars as pl

    if not check.rows:
        return _nothing()
    rows = pl.Series("row", check.rows, dtype=pl.Int64)
    cells = records.select(key)[rows].insert_column(0, rows)
    # Sorted with accepted rows first, the first row of each key is the one to keep.
    cells = cells.with_columns(pl.col("row").is_in(rejected.implode()).alias("is_rejected")).sort("is_rejected", "row")
    cells = cells.with_columns(
        pl.col("row").first().over(key).alias("kept"), pl.col("is_rejected").first().over(key).alias("is_kept_rejected")
    ).filter(pl.col("row") != pl.col("kept"))
    verdict = pl.when("is_kept_rejected").then(pl.lit("")).otherwise(pl.lit(", which is kept"))
    return cells.select(
        "row",
        pl.lit(1, dtype=pl.Int64).alias("position"),
        pl.lit(check.name).alias("check"),
        pl.lit(check.rule).alias("rule"),
        pl.format("{} = {} is also in row {}{}", pl.lit(key), _value(cells, key), pl.col("kept") + 1, verdict).alias(
            "reason"
        ),
        pl.lit(True).alias("is_promise"),
    )
