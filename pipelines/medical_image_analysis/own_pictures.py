"""How do your own radiographs become records? A folder for each class, or a CSV file that names files and labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelyard.errors import ConfigurationError, DataContractError
from modelyard.tasks.earlier_rows import UNKNOWN
from pipelines.medical_image_analysis.pictures import SIDE, read_picture

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

ENDINGS = (".png", ".jpg", ".jpeg")
"""Files of other kinds in a class's folder are not pictures and are passed over."""

_PARTS = (("train", 0.7), ("valid", 0.85), ("test", 1.0))
_CSV_COLUMNS = ("file", "label")
_WAY_OUT = "give a folder with a sub-folder for each class, or a CSV file with the columns file and label"


@dataclass(frozen=True)
class _Listed:
    """One picture to read, and what is known about it."""

    path: Path
    label: str
    about: Mapping[str, str | None]


def read_own_pictures(path: Path, classes: Mapping[str, bool]) -> tuple[pl.DataFrame, NDArray[np.uint8]]:
    """Reads a user's pictures; one that cannot be read becomes a black one with its reason in ``parse_errors``.

    The split follows from each file's content, so that copies of a picture never lie on both sides of it, unless a
    CSV file brings ``split`` or ``event_time`` (then the spine splits by time).

    Args:
        path: A folder with one sub-folder for each class, or a CSV file with ``file`` (relative to it) and ``label``,
            and perhaps ``patient_id``, ``scanner_id``, ``event_time`` (ISO 8601, UTC without an offset), ``split``.
        classes: Label, as folders or the CSV file have it, to whether it means pneumonia.

    Returns:
        Rows (``exam_id``, ``event_time``, ``patient_id``, ``scanner_id``, ``is_pneumonia``, ``split``,
        ``parse_errors``), and the pictures, shape (N, 28, 28).

    Raises:
        ConfigurationError: Nothing is there.
        DataContractError: There are no pictures, or folders or labels that ``classes`` does not have.
    """
    import numpy as np
    import polars as pl

    if not path.exists():
        raise ConfigurationError("The own pictures are not there.", where=str(path.absolute()), way_out=_WAY_OUT)
    listed = _in_folder(path, classes) if path.is_dir() else _in_csv(path, classes)
    read = [_read(item) for item in listed]
    pictures = np.stack([pixels for pixels, _, _ in read])
    rows = [
        {
            "exam_id": _name(item.path, path),
            "event_time": when,
            "patient_id": item.about.get("patient_id") or _name(item.path, path),
            "scanner_id": item.about.get("scanner_id") or UNKNOWN,
            "is_pneumonia": classes[item.label],
            "split": _split(item, digest),
            "parse_errors": "; ".join(problems) or None,
        }
        for item, (_, digest, problems) in zip(listed, read, strict=True)
        for when in [_time(item, problems)]
    ]
    texts = dict.fromkeys(("exam_id", "patient_id", "scanner_id", "split", "parse_errors"), pl.String)
    types: dict[str, Any] = {**texts, "event_time": pl.Datetime("us", "UTC"), "is_pneumonia": pl.Boolean}
    return pl.DataFrame(rows, schema={name: types[name] for name in rows[0]}), pictures


def _in_folder(path: Path, classes: Mapping[str, bool]) -> list[_Listed]:
    folders = sorted(each.name for each in path.iterdir() if each.is_dir() and not each.name.startswith("."))
    unknown = sorted(set(folders) - set(classes))
    if unknown:
        raise DataContractError(
            f"There are folders that are no class: {', '.join(unknown)}.",
            where=str(path),
            way_out=f"name them {', '.join(classes)}, or say what they mean in ingest.classes",
        )
    listed = [
        _Listed(file, folder, {})
        for folder in folders
        for file in sorted((path / folder).rglob("*"))
        if file.suffix.lower() in ENDINGS and not file.name.startswith(".")
    ]
    if not listed:
        raise DataContractError("The folder holds no pictures.", where=str(path), way_out=_WAY_OUT)
    return listed


def _in_csv(path: Path, classes: Mapping[str, bool]) -> list[_Listed]:
    import polars as pl

    try:
        table = pl.read_csv(path, infer_schema=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        found = f"The file cannot be read as CSV: {str(error).splitlines()[0]}"
        raise DataContractError(found, where=str(path), way_out=_WAY_OUT) from error
    missing = [name for name in _CSV_COLUMNS if name not in table.columns]
    if missing or table.is_empty():
        found = f"The columns {', '.join(missing)} are missing." if missing else "The file has no rows."
        raise DataContractError(found, where=str(path), way_out=_WAY_OUT)
    unknown = sorted({str(label) for label in table["label"].unique()} - set(classes))
    if unknown:
        raise DataContractError(
            f"There are labels that are no class: {', '.join(unknown)}.",
            where=f"{path}, column 'label'",
            way_out=f"use {', '.join(classes)}, or say what they mean in ingest.classes",
        )
    return [_Listed(path.parent / (row["file"] or ""), row["label"], row) for row in table.iter_rows(named=True)]


def _read(item: _Listed) -> tuple[NDArray[np.uint8], str, list[str]]:
    """Pixels, digest of the file, and what is wrong with it."""
    import numpy as np

    try:
        content = item.path.read_bytes()
        return read_picture(content), sha256(content).hexdigest(), []
    except OSError as error:
        problem = f"image: the file cannot be read ({error.strerror})"
    except ValueError as error:
        problem = f"image: {error}"
    return np.zeros((SIDE, SIDE), np.uint8), sha256(str(item.path).encode()).hexdigest(), [problem]


def _time(item: _Listed, problems: list[str]) -> datetime | None:
    """When the picture was taken: as the CSV file says, else when the file was changed."""
    text = item.about.get("event_time")
    if text:
        try:
            when = datetime.fromisoformat(text)
        except ValueError:
            problems.append(f"event_time: {text!r} is no time")
            return None
        return when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)
    try:
        return datetime.fromtimestamp(int(item.path.stat().st_mtime), UTC)
    except OSError:
        return datetime.fromtimestamp(0, UTC)


def _split(item: _Listed, digest: str) -> str | None:
    if item.about.get("split") or item.about.get("event_time"):
        return item.about.get("split")
    place = int(digest[:8], 16) / 16**8
    return next(name for name, end in _PARTS if place < end)


def _name(file: Path, root: Path) -> str:
    """The file's name as people know it: relative to the folder, or to the CSV file's."""
    folder = root if root.is_dir() else root.parent
    return file.relative_to(folder).as_posix() if file.is_relative_to(folder) else file.as_posix()
