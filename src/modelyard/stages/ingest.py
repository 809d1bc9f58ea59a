"""Ingest: the project's records from the configured source, in the contract's shape."""

import logging
from collections.abc import Callable
from typing import Any

import polars as pl

from modelyard.errors import ModelyardError
from modelyard.own_data.table import UnreadableColumnsError
from modelyard.parameters import parameters_of, typed
from modelyard.project import Project
from modelyard.stages.media import split_media

logger = logging.getLogger(__name__)


def make_ingest(project: Project) -> Callable[..., Any]:
    """Node function ``(params) -> (raw_records, media)``."""
    contract = project.contract

    def ingest(params: Any) -> Any:
        try:
            records = project.ingest(params)
        except UnreadableColumnsError as error:
            # The rows go on as they were read: validation rejects them, says why, and writes its report.
            logger.error("%s", error.found)
            return error.records, error.records.select(pl.int_range(pl.len()).cast(pl.String).alias(contract.key))
        except ModelyardError as error:
            raise error.naming(project.name) from error
        logger.info("ingested %s rows from source '%s'", f"{records.height:,}", params.source)
        return split_media(records, project.contract)

    return typed(ingest, params=parameters_of(project.ingest))
