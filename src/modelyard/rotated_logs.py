"""Log files of servers that run for weeks: earlier ones are kept, by number, up to a size and an age."""

import os
import shutil
import time
from pathlib import Path

_MOST_BYTES = 20_000_000
_KEPT_FILES = 5
_KEPT_DAYS = 30.0


def keep_earlier(log: Path) -> None:
    """Moves a log to ``<name>.1``, the one before to ``.2`` and so on; the log of a crash survives the next start."""
    if log.exists() and log.stat().st_size:
        _shift(log)
        os.replace(log, _numbered(log, 1))
    _delete_old(log)


def cut_if_large(log: Path) -> None:
    """Copies a log that has become large to ``<name>.1`` and empties it.

    Another process has it open for appending, and goes on at its new end. What is written between copy and cut is lost.
    """
    if log.exists() and log.stat().st_size > _MOST_BYTES:
        _shift(log)
        shutil.copyfile(log, _numbered(log, 1))
        os.truncate(log, 0)
        _delete_old(log)


def _shift(log: Path) -> None:
    for number in range(_KEPT_FILES - 1, 0, -1):
        if _numbered(log, number).exists():
            os.replace(_numbered(log, number), _numbered(log, number + 1))


def _delete_old(log: Path) -> None:
    for number in range(1, _KEPT_FILES + 1):
        earlier = _numbered(log, number)
        if earlier.exists() and time.time() - earlier.stat().st_mtime > _KEPT_DAYS * 86_400:
            earlier.unlink(missing_ok=True)


def _numbered(log: Path, number: int) -> Path:
    return log.with_name(f"{log.name}.{number}")
