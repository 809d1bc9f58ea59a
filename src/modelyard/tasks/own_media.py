"""How do a user's own files (pictures, recordings, pieces) become records? A folder, or a CSV file that names files.

A folder has a sub-folder for each class. A CSV file, read as every own table is, has the columns ``file`` (relative to
it) and ``label``, and perhaps ``event_time`` (UTC without an offset), ``split``, and columns that the project knows. A
file that cannot be read becomes a row with its reason in ``parse_errors``, so that it is quarantined by name and all
others are used.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any

import polars as pl
from numpy.typing import NDArray

from modelyard.errors import ConfigurationError, DataContractError
from modelyard.own_data.cells import PARSE_ERRORS, SEPARATOR
from modelyard.own_data.format import TableFormat
from modelyard.own_data.table import UnreadableColumnsError, header_of, read_own_table
from modelyard.records import Column, Contract

logger = logging.getLogger(__name__)

_STANDARD = TableFormat()

_PARTS = (("train", 0.7), ("valid", 0.85), ("test", 1.0))
_SYSTEM_FOLDERS = ("__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information")
"""Folders that macOS, Synology and Windows leave behind; their other traces begin with a dot."""

_FIRST_SENSIBLE = datetime(1980, 1, 2, tzinfo=UTC)
"""ZIP archives without a time unpack to 1980-01-01, broken clocks to 1970-01-01."""

UNKNOWN_TIME = datetime(1970, 1, 1, tzinfo=UTC)
"""``event_time`` of a file whose own time says nothing."""


@dataclass(frozen=True)
class _File:
    """A file to read, and what is known about it."""

    path: Path
    name: str
    about: Mapping[str, Any]


def read_own_media(
    path: str | Path,
    read: Callable[[bytes], NDArray[Any]],
    *,
    media: str,
    blank: NDArray[Any],
    endings: Sequence[str],
    key: str,
    target: str = "",
    classes: Mapping[str, Any] | None = None,
    group: str = "",
    columns: Sequence[str] = (),
    headers: Mapping[str, str] = MappingProxyType({}),
    table_format: TableFormat = _STANDARD,
) -> tuple[pl.DataFrame, list[NDArray[Any]]]:
    """Reads a user's files.

    The split follows from each file's content, so that copies never lie on both sides of it, nor do files of one group;
    a CSV file may bring ``split`` itself, or ``event_time``, by which the spine then splits.

    Args:
        path: A folder or a CSV file; empty: nothing was configured.
        read: ``read(content)`` returns the values of one file, or raises ``ValueError`` with what is wrong.
        media: Name of the media column, for errors.
        blank: The values of a file that cannot be read.
        endings: Of files that are looked at (``.png``), in lower case; others in a folder, what systems leave behind,
            and links to outside are passed over, and counted in the log.
        key: Column for the file's name, relative to the folder or to the CSV file.
        target: Column for the label.
        classes: Name of a sub-folder or label, in any letter case, to the target's value. None: nothing is labelled,
            and all files in the folder and below are read.
        group: Column of the CSV file that names what belongs together. Empty: every file is alone.
        columns: Further text columns of the CSV file to pass on; null where they or their values are missing.
        headers: Names of the CSV file's columns where they are others (``ingest.columns``).
        table_format: How the CSV file is written (``ingest.format``).

    Returns:
        Rows (``key``, ``event_time``, ``split``, ``parse_errors``, ``target``, ``group``, ``columns``), sorted by name
        or in the CSV file's order, and the values of each. There is no ``split`` where the file brings times instead.

    Raises:
        ConfigurationError: Nothing is there.
        DataContractError: There are no such files, none that can be read, or folders or labels that ``classes`` does
            not have.
    """
    where = Path(path)
    if path == "":
        raise ConfigurationError(
            "No own data are named.",
            where="<project>.ingest.path",
            way_out=f"{_way_out(classes)} ({', '.join(endings)}), or choose source: simulated",
        )
    if not where.exists():
        raise ConfigurationError("The own data are not there.", where=str(where.absolute()), way_out=_way_out(classes))
    kept = [name for name in (group, *columns) if name]
    if where.is_dir():
        files = _in_folder(where, endings, classes)
    else:
        files = _in_csv(where, classes, kept, headers, table_format)
    values, digests, problems = zip(*(_read(file, read, media, blank) for file in files), strict=True)
    if all(problems):
        found = f"None of the {len(files):,} files can be read; the first: {problems[0][0]}."
        raise DataContractError(found, where=str(path), way_out=_way_out(classes))
    told = [file.about.get(PARSE_ERRORS) for file in files]
    problems = [[*problem, *([said] if said else [])] for problem, said in zip(problems, told, strict=True)]
    rows = pl.DataFrame(
        {
            key: [file.name for file in files],
            "event_time": [_time(file) for file in files],
            "split": _splits(files, digests, [file.about.get(group) for file in files]),
            PARSE_ERRORS: [SEPARATOR.join(problem) or None for problem in problems],
            **{name: [file.about.get(name) or None for file in files] for name in kept},
        },
        schema={
            **dict.fromkeys((key, "event_time", "split", PARSE_ERRORS, *kept), pl.String),
            "event_time": pl.Datetime("us", "UTC"),
        },
    )
    if rows["split"].null_count() == rows.height:
        rows = rows.drop("split")  # nobody has said one: the spine splits by time
    if classes is not None:
        rows = rows.with_columns(pl.Series(target, [_class(file.about["label"], classes) for file in files]))
    return rows, list(values)


def labels_in(path: str | Path) -> list[str]:
    """Returns the labels that own data have, sorted: names of a folder's sub-folders, or values of a CSV file's label.

    For projects that take any classes: ``classes={name: name for name in labels_in(path)}``. What is wrong with the
    path, :func:`read_own_media` says.
    """
    where = Path(path)
    if where.is_dir():
        return sorted(each.name for each in where.iterdir() if each.is_dir() and not _is_hidden(each.name))
    try:
        return sorted(pl.read_csv(where, infer_schema=False)["label"].drop_nulls().unique())
    except (pl.exceptions.PolarsError, OSError):
        return []


def _in_folder(path: Path, endings: Sequence[str], classes: Mapping[str, Any] | None) -> list[_File]:
    folders = sorted(each.name for each in path.iterdir() if each.is_dir() and not _is_hidden(each.name))
    _refuse_unknown(folders, classes, "folders", str(path), f"name them {', '.join(classes or ())}")
    found, passed = [], Counter[str]()
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path)
        if not (file.is_file() or file.is_symlink()):
            continue
        if why := _passed_over(path, name, endings, has_classes=classes is not None):
            passed[why] += 1
        else:
            found.append(_File(file, _text(name), {"label": name.parts[0]}))
    told = ", ".join(_counted(n, why) for why, n in passed.most_common())
    if not found:
        raise DataContractError(
            f"The folder holds no files ending in {', '.join(endings)}" + (f", but {told}." if told else "."),
            where=str(path),
            way_out=_way_out(classes),
        )
    if told:
        logger.warning("passed over below %s: %s (read are %s)", path, told, ", ".join(endings))
    return found


def _passed_over(path: Path, name: Path, endings: Sequence[str], *, has_classes: bool) -> str:
    """Returns why a file is not looked at, as words behind a number; empty if it is."""
    if any(map(_is_hidden, name.parts)):
        return "hidden files"
    if name.suffix.lower() not in endings:
        return f"files ending in {_text(Path(name.suffix.lower()))}" if name.suffix else "files without an ending"
    if has_classes and len(name.parts) == 1:
        return "files beside the folders of the classes"
    file = path / name
    if file.is_symlink() and not file.resolve().is_relative_to(path.resolve()):
        return "links to outside"
    return ""


def _counted(n: int, why: str) -> str:
    return f"{n:,} {why}" if n > 1 else f"1 {why.replace('files', 'file', 1).replace('links', 'link', 1)}"


def _refuse_unknown(
    names: Sequence[str], classes: Mapping[str, Any] | None, what: str, where: str, way_out: str
) -> None:
    known = {_plain(name) for name in classes or ()}
    unknown = [name for name in names if _plain(name) not in known]
    if classes is not None and unknown:
        raise DataContractError(
            f"There are {what} that are no class: {', '.join(unknown)}.",
            where=where,
            way_out=f"{way_out}, or say what they mean in ingest.classes",
        )


def _class(label: str | None, classes: Mapping[str, Any]) -> Any:
    """The value of a label; None where it is missing."""
    return None if label is None else {_plain(name): value for name, value in classes.items()}[_plain(label)]


def _plain(name: str) -> str:
    return name.strip().casefold()


def _text(name: Path) -> str:
    r"""Returns a file's name; bytes that are not UTF-8, as old archives have them, become ``\xe9``."""
    return os.fsencode(name.as_posix()).decode("utf-8", "backslashreplace")


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name in _SYSTEM_FOLDERS


def _in_csv(
    path: Path,
    classes: Mapping[str, Any] | None,
    kept: Sequence[str],
    headers: Mapping[str, str],
    table_format: TableFormat,
) -> list[_File]:
    needed = ("file", "label") if classes is not None else ("file",)
    there = header_of(path, [headers.get(name, name) for name in needed])
    optional = [name for name in ("event_time", *kept) if name in headers or name in there]
    contract = Contract(
        key="file",
        event_time="event_time",
        columns=tuple(
            Column(name=name, dtype="datetime" if name == "event_time" else "string", description=name)
            for name in (*needed, *optional)
        ),
    )
    try:
        table = read_own_table(path, contract, headers, "UTC", table_format)
    except UnreadableColumnsError as error:
        table = error.records  # each row says why, and validation rejects it
    labels = table["label"].drop_nulls().unique().sort().to_list() if classes is not None else []
    _refuse_unknown(labels, classes, "labels", f"{path}, column 'label'", f"use {', '.join(classes or ())}")
    return [
        _File(path.parent / (row["file"] or ""), (row["file"] or "").replace("\\", "/"), row)
        for row in table.iter_rows(named=True)
    ]


def _read(
    file: _File, read: Callable[[bytes], NDArray[Any]], media: str, blank: NDArray[Any]
) -> tuple[NDArray[Any], str, list[str]]:
    """Returns a file's values, the digest of its content, and what is wrong with it."""
    content = file.name.encode()
    try:
        content = file.path.read_bytes()
        return read(content), sha256(content).hexdigest(), []
    except OSError as error:
        problem = f"{media}: the file cannot be read ({error.strerror})"
    except ValueError as error:
        problem = f"{media}: {error}"
    return blank, sha256(content).hexdigest(), [problem]


def _time(file: _File) -> datetime | None:
    """Returns when the file's example happened: as the CSV file says, else when the file was last changed."""
    said = file.about.get("event_time")
    if isinstance(said, datetime) or "event_time: " in (file.about.get(PARSE_ERRORS) or ""):
        return said  # None where it cannot be read
    try:
        changed = datetime.fromtimestamp(int(file.path.stat().st_mtime), UTC)
    except (OSError, OverflowError, ValueError):
        return UNKNOWN_TIME
    return changed if _FIRST_SENSIBLE <= changed <= datetime.now(UTC) else UNKNOWN_TIME


def _splits(files: Sequence[_File], digests: Sequence[str], groups: Sequence[str | None]) -> list[str | None]:
    """Returns each file's split: as the CSV file says, none if it has times, else by content."""
    if any(file.about.get("split") for file in files):
        return [file.about.get("split") or None for file in files]
    if any(file.about.get("event_time") for file in files):
        return [None] * len(files)
    # Files of equal content or of one group are tied together; the smallest digest of a tie places all of it.
    tied = list(digests)
    while True:
        smallest: dict[str, str] = {}
        for own, digest, group in zip(tied, digests, groups, strict=True):
            for name in (digest, f"group {group}" if group else digest):
                smallest[name] = min(own, smallest.get(name, own))
        before = tied
        tied = [
            min(smallest[digest], smallest[f"group {group}"] if group else smallest[digest])
            for digest, group in zip(digests, groups, strict=True)
        ]
        if tied == before:
            return [_part(digest) for digest in tied]


def _part(digest: str) -> str:
    place = int(digest[:8], 16) / 16**8
    return next(name for name, end in _PARTS if place < end)


def _way_out(classes: Mapping[str, Any] | None) -> str:
    if classes is None:
        return "give a folder with such files, or a CSV file with the column file"
    return "give a folder with a sub-folder for each class, or a CSV file with the columns file and label"
