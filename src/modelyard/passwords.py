"""Masks passwords in URLs wherever text leaves the process: errors, logs, tracking, records."""

import logging
import re
from typing import Any

_WITH_PASSWORD = re.compile(r"(?P<before>\w[\w+.-]*://[^\s/:@'\"]*):(?P<password>[^\s/'\"]+)@")


def masked(text: str) -> str:
    """Returns ``text`` with the password of every URL in it replaced: ``https://user:***@host/file``."""
    return _WITH_PASSWORD.sub(r"\g<before>:***@", text) if "://" in text else text


def masked_values(values: Any) -> Any:
    """Returns nested dictionaries, lists and strings with every string masked; other values as they are."""
    if isinstance(values, str):
        return masked(values)
    if isinstance(values, dict):
        return {name: masked_values(value) for name, value in values.items()}
    if isinstance(values, list | tuple):
        return [masked_values(value) for value in values]
    return values


class MaskPasswords(logging.Filter):
    """Masks the message and the traceback of every record that a handler writes."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Replaces message, arguments and traceback by masked text, if there is anything to mask."""
        message = record.getMessage()
        if (hidden := masked(message)) != message:
            record.msg, record.args = hidden, None
        if record.exc_info:
            # Formatters take this text instead of formatting the traceback, which ends with the error's own message.
            record.exc_text = masked(record.exc_text or logging.Formatter().formatException(record.exc_info))
        return True


def mask_passwords_in_logs() -> None:
    """Adds :class:`MaskPasswords` to the handlers of the root logger (Kedro refuses filters in conf/logging.yml)."""
    for handler in logging.getLogger().handlers:
        if not any(isinstance(known, MaskPasswords) for known in handler.filters):
            handler.addFilter(MaskPasswords())
