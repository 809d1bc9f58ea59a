"""How do your own MIDI files become records? Each file is a piece; what cannot be read goes to quarantine."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelyard.errors import ConfigurationError, DataContractError
from modelyard.tasks.earlier_rows import UNKNOWN
from pipelines.music_generation.midi import read_midi
from pipelines.music_generation.rolls import N_KEYS

if TYPE_CHECKING:
    import polars as pl

    from pipelines.music_generation.rolls import Roll

ENDINGS = (".mid", ".midi")
"""Files of other kinds are passed over."""

_PARTS = (("train", 0.7), ("valid", 0.85), ("test", 1.0))


def read_own_midi(path: Path, frames_per_quarter: int) -> tuple[pl.DataFrame, list[Roll]]:
    """Reads a user's pieces; one that cannot be read becomes a silent frame with its reason in ``parse_errors``.

    The split follows from each file's content, so that copies of a piece never lie on both sides of it.

    Args:
        path: A folder of MIDI files; the sub-folder that a file is in is its collection.
        frames_per_quarter: Frames in a quarter note.

    Returns:
        Rows (``piece_id``, ``event_time``, ``collection_id``, ``split``, ``parse_errors``), and the rolls.

    Raises:
        ConfigurationError: The folder is not there.
        DataContractError: It has no MIDI files, or none that can be read.
    """
    import numpy as np
    import polars as pl

    way_out = "give a folder with .mid files, best in a sub-folder for each collection"
    if not path.is_dir():
        raise ConfigurationError("The folder of own pieces is not there.", where=str(path.absolute()), way_out=way_out)
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in ENDINGS and not file.name.startswith("."))
    if not files:
        raise DataContractError("The folder holds no MIDI files.", where=str(path), way_out=way_out)
    rolls, rows = [], []
    for file in files:
        row, roll = _read(file, path, frames_per_quarter)
        rows.append(row)
        rolls.append(np.zeros((1, N_KEYS), dtype=bool) if roll is None else roll)
    if all(row["parse_errors"] for row in rows):
        found = f"None of {len(rows)} MIDI files can be read; the first: {rows[0]['parse_errors']}."
        raise DataContractError(found, where=str(path), way_out=way_out)
    types: dict[str, Any] = dict.fromkeys(rows[0], pl.String) | {"event_time": pl.Datetime("us", "UTC")}
    return pl.DataFrame(rows, schema=types), rolls


def _read(file: Path, root: Path, frames_per_quarter: int) -> tuple[dict[str, Any], Roll | None]:
    name, problem, roll, content = file.relative_to(root), None, None, str(file).encode()
    try:
        content = file.read_bytes()
        roll = read_midi(content, frames_per_quarter)
    except OSError as error:
        problem = f"roll: the file cannot be read ({error.strerror})"
    except ValueError as error:
        problem = f"roll: {error}"
    place = int(sha256(content).hexdigest()[:8], 16) / 16**8
    row = {
        "piece_id": name.as_posix(),
        "event_time": _changed(file),
        "collection_id": name.parent.as_posix() if len(name.parts) > 1 else UNKNOWN,
        "split": next(part for part, end in _PARTS if place < end),
        "parse_errors": problem,
    }
    return row, roll


def _changed(file: Path) -> datetime:
    try:
        return datetime.fromtimestamp(int(file.stat().st_mtime), UTC)
    except OSError:
        return datetime.fromtimestamp(0, UTC)
