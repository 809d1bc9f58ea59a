"""Logs as JSON lines: one object for each event, with the fields that were given as ``extra``."""

import json
import logging
import logging.handlers
import queue
import sys
import traceback
from datetime import UTC, datetime
from typing import Any

from modelyard.passwords import masked

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """``at``, ``level``, ``logger``, ``message``, the extras, and the traceback if there is one."""
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": masked(record.getMessage()),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            line["traceback"] = masked(self.formatException(record.exc_info))
        return json.dumps(line, default=str)


def place_of(error: BaseException) -> dict[str, Any]:
    """``error`` and ``traceback`` for a log line: what was raised and where, without its message.

    Messages of libraries repeat the values that they could not work with, and those may be nobody's business.
    """
    frames = traceback.extract_tb(error.__traceback__)
    return {"error": type(error).__name__, "traceback": [f"{one.filename}:{one.lineno} {one.name}" for one in frames]}


class _Unchanged(logging.handlers.QueueHandler):
    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        return record  # it stays in this process, and is formatted in the listener's thread


def log_to_stderr() -> logging.handlers.QueueListener:
    """Makes all loggers write JSON lines to stderr from a thread, so that a slow reader does not slow requests.

    Returns:
        The listener; ``stop()`` writes what is queued.
    """
    waiting: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    target = logging.StreamHandler(sys.stderr)
    target.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[_Unchanged(waiting)], force=True)
    for name in ("uvicorn", "uvicorn.error", "modelyard", "kedro"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.INFO)
    for name in ("kedro", "alembic", "mlflow", "httpx"):
        logging.getLogger(name).setLevel(logging.WARNING)
    listener = logging.handlers.QueueListener(waiting, target)
    listener.start()
    return listener
