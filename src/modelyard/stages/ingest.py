"""Ingest: the project's records from the configured source, in the contract's shape."""

import logging
from collections.abc import Callable
from typing import Any

from modelyard.parameters import parameters_of, typed
from modelyard.project import Project
from modelyard.stages.media import split_media

logger = logging.getLogger(__name__)


def make_ingest(project: Project) -> Callable[..., Any]:
    """Node function ``(params) -> (raw_records, media)``."""

    def ingest(params: Any) -> Any:
        records = project.ingest(params)
        logger.info("ingested %s rows from source '%s'", f"{records.height:,}", params.source)
        return split_media(records, project.contract)

    return typed(ingest, params=parameters_of(project.ingest))
