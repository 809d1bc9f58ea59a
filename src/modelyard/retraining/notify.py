"""Alerts: a line in the log, a JSON file, and a POST to the webhook if one is configured."""

import json
import logging
import os
from datetime import UTC, datetime
from pathlib import Path

from modelyard.files import write_text
from modelyard.paths import data_directory

logger = logging.getLogger(__name__)

WEBHOOK_VARIABLE = "MODELYARD_ALERT_WEBHOOK"
_TIMEOUT_S = 10.0


def alert(project: str, title: str, details: str) -> Path:
    """Logs an alert, writes it to a file, and posts the same JSON to the address in ``$MODELYARD_ALERT_WEBHOOK``.

    The address may hold a secret and is never logged.

    Args:
        project: The project.
        title: One sentence.
        details: The last lines of output of what failed.

    Returns:
        The alert's file, ``data/08_reporting/<project>/alerts/<time>.json``.
    """
    now = datetime.now(UTC)
    document = {"project": project, "at": now.isoformat(), "title": title, "details": details}
    logger.error("%s: %s", project, title)
    path = data_directory() / "08_reporting" / project / "alerts" / f"{now:%Y%m%dT%H%M%S%f}.json"
    write_text(path, json.dumps(document, indent=2))
    if os.environ.get(WEBHOOK_VARIABLE):
        _post(os.environ[WEBHOOK_VARIABLE], document)
    return path


def _post(address: str, document: dict[str, str]) -> None:
    import httpx

    try:
        httpx.post(address, json=document, timeout=_TIMEOUT_S).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        logger.error("the alert could not be posted to the webhook: %s", type(error).__name__)
