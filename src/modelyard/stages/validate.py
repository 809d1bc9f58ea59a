"""Validate: the contract and the project's expectations, row by row; what breaks them goes into quarantine.

Rules about single rows send a row to quarantine with its reasons. Rules about the whole table are judged on the rows
that are left, and stop the run, as does a rejected share above the limit. Nothing is lost either way: validation
hands over all its tables and its report, and :func:`accept_records`, the next node, raises.
"""

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import Field

from modelyard.datasets.own_cells import PARSE_ERRORS
from modelyard.errors import ConfigurationError, DataContractError
from modelyard.parameters import Parameters, parameters_of, typed
from modelyard.paths import data_directory
from modelyard.project import Project
from modelyard.quarantine import (
    BOOKKEEPING,
    IS_RELEASABLE,
    REASONS,
    ROW_DIGEST,
    ROW_NUMBER,
    RULES,
    apply_releases,
    row_digests,
)
from modelyard.records import Column, Contract
from modelyard.stages.broken_rules import broken_rules
from modelyard.stages.expectation_checks import Check, evaluate, pandas_view

if TYPE_CHECKING:
    import polars as pl
    from great_expectations.expectations.expectation import Expectation

logger = logging.getLogger(__name__)

_N_MESSAGE_ROWS = 3


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
            offending values), ``broken_rules``, ``is_releasable`` and ``row_digest``.
        report: One HTML page.
        summary: Row counts, checks and, under ``stop``, why the run may not go on (empty: it may).
    """

    records: "pl.DataFrame"
    rejected: "pl.DataFrame"
    report: str
    summary: dict[str, Any]


def make_validate(project: Project) -> Callable[..., Any]:
    """Node function ``(raw, released, ingest params, params) -> (checked, rejected, report, summary)``."""

    def validate_records(raw_records: Any, released_records: Any, ingest_params: Any, params: Any) -> Any:
        validated = validate(
            raw_records, released_records, project.contract, project.expectations(ingest_params), params
        )
        # The project and its source are for people: they make the message and the report say where.
        about = {"project": project.name, "source": ingest_params.source}
        if getattr(ingest_params, "path", None) is not None:
            about["path"] = str(ingest_params.path)
        summary = validated.summary | about
        _log(summary)
        return validated.records, validated.rejected, validated.report, summary

    return typed(validate_records, ingest_params=parameters_of(project.ingest), params=ValidateParameters)
