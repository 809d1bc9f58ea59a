"""The journal of retrainings: one line for each event, read and written by every scheduler.

Dagster records what it launched. Whether a trigger has been handled must survive a second daemon, a lost Dagster
database and a kill at any moment; so it is written here before and after each retraining, under the project's lock
(:func:`modelyard.retraining.retrain.retrain`).
"""

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from modelyard.files import writing
from modelyard.paths import data_directory

Event = Literal["watched", "started", "attempt_ended", "finished", "failed", "cancelled", "given_up"]
_ENDS = ("finished", "failed", "cancelled", "given_up")


class Journal(NamedTuple):
    """The content of the journal; see :class:`modelyard.retraining.decision.Situation`.

    ``starts`` counts retrainings whose end is not recorded: killed, or still running.
    """

    since: datetime | None
    known_digest: str | None
    handled: Mapping[str, datetime]
    starts: Mapping[str, int]
    events: tuple[dict[str, Any], ...]


def clock() -> datetime:
    """Returns the time (UTC); the one place of this package that reads the clock."""
    return datetime.now(UTC)


def journal_path(project: str) -> Path:
    """Returns ``data/dagster/journal/<project>.jsonl``."""
    return data_directory() / "dagster" / "journal" / f"{project}.jsonl"


def write(project: str, event: Event, keys: Iterable[str] = (), *, at: datetime | None = None, **details: Any) -> None:
    """Appends one line and flushes it to the disk.

    Raises:
        StorageError: The disk is full or read-only.
    """
    path = journal_path(project)
    line = json.dumps({"at": (at or clock()).isoformat(), "event": event, "keys": list(keys), **details})
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            # A newline in front, too, in case a kill cut the last line short.
            file.write(f"\n{line}\n".encode())
            file.flush()
            os.fsync(file.fileno())


_READ: dict[Path, tuple[tuple[int, int], Journal]] = {}


def read(project: str) -> Journal:
    """Returns all events so far; a line that a kill cut short is skipped.

    Sensors read it twice a minute: the lines are parsed again only when the file has changed.
    """
    path = journal_path(project)
    if not path.exists():
        return _journal(())
    stat = path.stat()
    stamp = stat.st_size, stat.st_mtime_ns
    if path not in _READ or _READ[path][0] != stamp:
        _READ[path] = stamp, _journal(path.read_text(encoding="utf-8").splitlines())
    return _READ[path][1]


def _journal(lines: Iterable[str]) -> Journal:
    known = tuple(event for event in map(_parsed, lines) if event)
    watched = next((event for event in known if event["event"] == "watched"), None)
    started: Counter[str] = Counter(key for event in known if event["event"] == "started" for key in event["keys"])
    started.subtract(key for event in known if event["event"] == "attempt_ended" for key in event["keys"])
    return Journal(
        since=datetime.fromisoformat(watched["at"]) if watched else None,
        known_digest=_last_digest(known),
        handled={
            key: datetime.fromisoformat(event["at"])
            for event in known
            if event["event"] in _ENDS
            for key in event["keys"]
        },
        starts=dict(started),
        events=known,
    )


def _last_digest(events: Iterable[Mapping[str, Any]]) -> str | None:
    """Returns the data's digest that was handled last, or else the first one recorded."""
    known: str | None = None
    for event in events:
        if event["event"] == "watched":
            known = event.get("data_digest") or known
        elif event["event"] in _ENDS:
            digests = [key.removeprefix("new_data:") for key in event["keys"] if key.startswith("new_data:")]
            known = digests[-1] if digests else known
    return known


def _parsed(line: str) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) and "keys" in event else {}
