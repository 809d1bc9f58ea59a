"""Validate: the contract and the project's expectations; what breaks them goes into quarantine.

Rules about single rows send a row to quarantine with its reasons. Rules about the whole table are judged on the rows
that stay, and stop the run, as does a rejected share above the limit. Nothing is lost either way: validation hands
over all its tables and its report, and :func:`accept_records`, the next node, raises.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl
from pydantic import Field

from modelyard.errors import DataContractError
from modelyard.lineage.table_digest import table_digest
from modelyard.own_data.cells import PARSE_ERRORS, unreadable_columns
from modelyard.own_data.further_columns import with_further_columns
from modelyard.parameters import Parameters, parameters_of, typed
from modelyard.paths import data_directory
from modelyard.project import Project
from modelyard.records import Column, Contract, Dtype
from modelyard.startup.great_expectations import load_great_expectations
from modelyard.validation.checks import Check, evaluate
from modelyard.validation.quarantine import (
    CHECKS,
    IS_RELEASABLE,
    REASONS,
    ROW_DIGEST,
    ROW_NUMBER,
    RULES,
    apply_releases,
    row_digests,
)
from modelyard.validation.report import render_report
from modelyard.validation.summary import refuse, summarise
from modelyard.validation.violations import contract_expectations, violations

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import Expectation

logger = logging.getLogger(__name__)

_PARSE_ERRORS = Column(name=PARSE_ERRORS, dtype="string", description="Cells that cannot be read.", nullable=True)
_SPLIT = Column(name="split", dtype="string", description="The official split.")


class ValidateParameters(Parameters):
    """How much bad data a run tolerates."""

    max_rejected_share: float = Field(
        0.05, ge=0, le=1, description="The run stops when more than this share of the rows is rejected."
    )
    n_report_rows: int = Field(20, ge=0, le=1000, description="Rejected rows shown in the HTML report.")


class Validated(NamedTuple):
    """What validation hands over.

    Args:
        records: Accepted rows: the contract's columns, and ``split`` where given.
        rejected: Rejected rows as they came, with ``row_number`` (from 1), ``rejected_because`` (in words, with the
            offending values), ``broken_rules``, ``broken_checks``, ``is_releasable`` and ``row_digest``.
        report: One self-contained HTML page.
        summary: Row counts, checks and, under ``stop``, why the run may not go on (empty: it may).
    """

    records: pl.DataFrame
    rejected: pl.DataFrame
    report: str
    summary: dict[str, Any]


def make_validate(project: Project) -> Callable[..., Any]:
    """Node function ``(raw, released, ingest params, params) -> (checked, rejected, report, summary)``."""

    def validate_records(raw_records: Any, released_records: Any, ingest_params: Any, params: Any) -> Any:
        source = f"source '{ingest_params.source}'"
        if ingest_params.source == "own" and ingest_params.path:
            source += f", {ingest_params.path}"
        load_great_expectations()  # before the project's own import of it
        validated = validate(
            raw_records,
            released_records,
            with_further_columns(project.contract, ingest_params),
            project.expectations(ingest_params),
            params,
            about={"project": project.name, "source": source},
        )
        _log(validated.summary)
        return tuple(validated)

    return typed(validate_records, ingest_params=parameters_of(project.ingest), params=ValidateParameters)


def accept_records(checked_records: Any, validation_summary: Any) -> Any:
    """Node function ``(checked_records, validation_summary) -> records``: the end of the run, if it must end.

    Raises:
        DataContractError: Validation says stop: which rules failed, how often, with sample rows, and the way out.
    """
    if not validation_summary["stop"]:
        return checked_records
    project = validation_summary["project"]
    found = [f"The records of {project} break its data contract; nothing was trained."]
    found += [f"  - {reason}" for reason in validation_summary["stop"]]
    found += [f"    {sample}" for sample in validation_summary["samples"]]
    report = data_directory() / "08_reporting" / project / "validation_report.html"
    rejected = data_directory() / "02_intermediate" / project / "rejected_records.parquet"
    look = f"kedro quarantine show {project}; " if validation_summary["n_rejected"] else "open the report; "
    raise DataContractError(
        "\n".join(found),
        where=f"{validation_summary['source']}\n           report {report}\n           rejected rows {rejected}",
        way_out=f"{look}correct the data, map its columns (ingest.columns), release rows (kedro quarantine release "
        f"{project}), or change the limits (validate.max_rejected_share; expectations in pipelines/{project}/data.py)",
    )


def validate(
    raw_records: pl.DataFrame,
    released: pl.DataFrame | None,
    contract: Contract,
    expectations: "Sequence[Expectation]",
    params: ValidateParameters,
    about: Mapping[str, str],
) -> Validated:
    """Checks records against the contract and the project's expectations.

    A row leaves for quarantine when it breaks a promise of the contract (an unreadable or missing cell, a key that
    another row has) or a row-level expectation that it was not released from. Expectations about the whole table are
    judged on the rows that stay. Expectations of a severity below critical are reported and nothing more.

    Args:
        raw_records: The contract's columns, perhaps ``split``, perhaps ``parse_errors``; others are dropped.
        released: Rows that a person has released or corrected (:mod:`modelyard.validation.quarantine`); None: none.
        contract: See :class:`modelyard.records.Contract`.
        expectations: The project's own.
        params: See :class:`ValidateParameters`.
        about: ``project`` and ``source``, for the report and for messages.
    """
    records, schema_errors = conform(raw_records, contract)
    # A column that nobody can read is the one reason that helps; what follows from it would hide it.
    unreadable = unreadable_columns(raw_records).items()
    said = [f"no cell of column {name} can be read: {'; '.join(problems)}" for name, problems in unreadable]
    schema_errors = said or schema_errors
    if schema_errors or records.is_empty():
        return _nothing_accepted(raw_records, contract, schema_errors or ["the source gave no rows"], params, about)
    applied = apply_releases(records, released, contract)
    promises = contract_expectations(contract, "split" in records.columns)
    rules = [*promises, *expectations]
    checks = evaluate(applied.records, rules)
    broken, waived = violations(applied.records, checks, contract, len(promises), applied.waived)
    is_rejected = _marks(records.height, broken["row"])
    accepted = applied.records.filter(~is_rejected).drop(PARSE_ERRORS)
    rejected = _rejected_rows(records, broken, applied.corrected, contract.key)
    if accepted.height + rejected.height != raw_records.height:
        raise RuntimeError(f"{raw_records.height} rows in, {accepted.height} accepted, {rejected.height} rejected")
    if rejected.height and accepted.height:
        checks = _judge_tables_again(accepted, rules, checks)
    summary = summarise(accepted, rejected, checks, broken, waived, contract, params.max_rejected_share) | {
        "n_corrected": len(applied.corrected) - int(is_rejected.gather(applied.corrected).sum()),
        "n_stale_releases": applied.n_stale,
        "releases_digest": None if released is None or released.is_empty() else table_digest(released),
        **about,
    }
    return _validated(accepted, rejected, summary, contract, params)


def conform(raw_records: pl.DataFrame, contract: Contract) -> tuple[pl.DataFrame, list[str]]:
    """Gives records the contract's columns and exact types, where that loses nothing.

    Returns:
        The contract's columns and ``parse_errors``, null throughout where a nullable one is not there, and ``split``
        where given; and, in words, the columns that are missing or of a type that does not fit.
    """
    wanted = {column.name: column for column in (*contract.columns, _PARSE_ERRORS)}
    if "split" in raw_records.columns:
        wanted.setdefault("split", _SPLIT)
    dropped = [name for name in raw_records.columns if name not in wanted]
    if dropped:
        logger.info("dropped columns that the contract does not have: %s", ", ".join(dropped))
    schema_errors, read = [], {}
    for name, column in wanted.items():
        if name in raw_records.columns:
            values = _cast(raw_records[name], column.dtype)
            if values is None:
                schema_errors.append(f"column {name} is {raw_records[name].dtype}, the contract says {column.dtype}")
            else:
                read[name] = values
        elif column.nullable:
            nothing = pl.Series(name, [None], dtype=_polars_type(column.dtype))
            read[name] = nothing.new_from_index(0, raw_records.height)
        else:
            schema_errors.append(f"column {name} is missing")
    return pl.DataFrame(read), schema_errors


def _cast(values: pl.Series, dtype: Dtype) -> pl.Series | None:
    """The values in a contract's type; None where the change of type would change or lose something."""
    given, wanted = values.dtype, _polars_type(dtype)
    is_fit = (
        given in (wanted, pl.Null)
        or (dtype == "string" and given in (pl.Categorical, pl.Enum))
        or (dtype == "int64" and given.is_integer() and given != pl.UInt64)
        or (dtype == "float64" and (given.is_float() or given.is_integer()))
        or (isinstance(given, pl.Datetime) and dtype == "datetime" and given.time_zone is not None)
    )
    if not is_fit:
        return None
    return values.dt.convert_time_zone("UTC").cast(wanted) if isinstance(given, pl.Datetime) else values.cast(wanted)


def _polars_type(dtype: Dtype) -> "pl.DataType":
    types = {"string": pl.String(), "int64": pl.Int64(), "float64": pl.Float64(), "bool": pl.Boolean()}
    return types[dtype] if dtype in types else pl.Datetime("us", "UTC")


def _marks(n_rows: int, rows: pl.Series) -> pl.Series:
    """True at ``rows``, False elsewhere."""
    marks = pl.Series("is_rejected", [False]).new_from_index(0, n_rows)
    return marks.scatter(rows.unique(), True) if rows.len() else marks


def _judge_tables_again(accepted: pl.DataFrame, rules: "Sequence[Expectation]", checks: Sequence[Check]) -> list[Check]:
    """The checks, those about the whole table evaluated on the rows that stay."""
    tables = [at for at, check in enumerate(checks) if not check.is_row_level]
    again = dict(zip(tables, evaluate(accepted, [rules[at] for at in tables]), strict=True))
    # A rule that could not be evaluated at first keeps its word about the table: nobody has rejected its rows.
    return [
        replace(again[at], is_row_level=False, rows=()) if at in again else check for at, check in enumerate(checks)
    ]


def _rejected_rows(records: pl.DataFrame, broken: pl.DataFrame, corrected: Sequence[int], key: str) -> pl.DataFrame:
    """The rejected rows as they came, corrections aside, with their reasons."""
    reason = pl.col("reason")
    if corrected:
        is_corrected = pl.col("row").is_in(list(corrected))
        reason = pl.when(is_corrected).then(pl.format("after correction: {}", reason)).otherwise(reason)
    why = broken.group_by("row", maintain_order=True).agg(
        reason.alias(REASONS),
        pl.col("rule").alias(RULES),
        pl.col("check").alias(CHECKS),
        (~pl.col("is_promise").any()).alias(IS_RELEASABLE),
    )
    rows = records[why["row"]]
    # Copies of a row share its key: digests number the copies, so they need all rows of a key.
    has_rejected_key = pl.col(key).is_in(rows[key].implode()) | pl.col(key).is_null()
    numbered = records.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias("row")).filter(has_rejected_key)
    digests = numbered.select("row", row_digests(numbered.drop("row")))
    why = why.join(digests, on="row", how="left", maintain_order="left")
    return pl.concat([(why["row"] + 1).alias(ROW_NUMBER).to_frame(), rows, why.drop("row")], how="horizontal")


def _nothing_accepted(
    raw_records: pl.DataFrame,
    contract: Contract,
    schema_errors: Sequence[str],
    params: ValidateParameters,
    about: Mapping[str, str],
) -> Validated:
    """Every row is rejected because the table as a whole does not fit the contract."""
    accepted = pl.DataFrame(schema={column.name: _polars_type(column.dtype) for column in contract.columns})
    reasons = pl.lit(pl.Series([list(schema_errors)])).first()
    rejected = raw_records.select(
        pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias(ROW_NUMBER),
        pl.all(),
        *([] if PARSE_ERRORS in raw_records.columns else [pl.lit(None, dtype=pl.String).alias(PARSE_ERRORS)]),
        reasons.alias(REASONS),
        reasons.alias(RULES),
        reasons.alias(CHECKS),
        pl.lit(False).alias(IS_RELEASABLE),
        pl.lit(None, dtype=pl.String).alias(ROW_DIGEST),
    )
    summary = refuse(rejected, schema_errors, contract, params.max_rejected_share) | dict(about)
    return _validated(accepted, rejected, summary, contract, params)


def _validated(
    accepted: pl.DataFrame,
    rejected: pl.DataFrame,
    summary: dict[str, Any],
    contract: Contract,
    params: ValidateParameters,
) -> Validated:
    report = render_report(summary, accepted, rejected.head(params.n_report_rows), contract)
    return Validated(accepted, rejected, report, summary)


def _log(summary: Mapping[str, Any]) -> None:
    logger.info(
        "checked %s rows: %s accepted (%s by release, %s corrected), %s rejected",
        *(f"{summary[name]:,}" for name in ("n_ingested", "n_accepted", "n_released", "n_corrected", "n_rejected")),
    )
    if summary["n_stale_releases"]:
        logger.warning("%s releases match no row any more: their rows have changed", summary["n_stale_releases"])
    for check in summary["checks"]:
        if check["verdict"] == "warning":
            logger.warning("%s (seen: %s)", check["rule"], check["observed"])
