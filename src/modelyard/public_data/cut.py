"""Extracts the rows of a publisher's CSV file that belong to the data set: those before a certain time."""

import csv
from pathlib import Path

from modelyard.errors import FetchError
from modelyard.files import sha256_of_file, writing
from modelyard.public_data.catalogue import Cut, PublishedFile


def write_cut(whole: Path, file: PublishedFile, rule: Cut, part: Path) -> None:
    """Writes the header line and the kept rows, each byte for byte and in order.

    Args:
        whole: The publisher's file; its bytes have been verified.
        file: Size and sha256 that the kept rows must have.
        rule: Which rows are kept.
        part: File to write; deleted on failure.

    Raises:
        FetchError: The column is missing, or the kept rows have another digest.
        StorageError: The disk is full or the folder read-only.
    """
    lines = whole.read_bytes().splitlines(keepends=True)
    header = _cells(lines[0]) if lines else []
    if rule.column not in header:
        raise FetchError(f"{file.path}: the publisher's file has no column '{rule.column}'.", where=str(whole))
    place = header.index(rule.column)
    kept = [line for line in lines[1:] if (cells := _cells(line))[place : place + 1] and cells[place] < rule.before]
    with writing(part):
        part.write_bytes(b"".join([lines[0], *kept]))
    if sha256_of_file(part) != file.sha256:
        part.unlink()
        raise FetchError(f"{file.path}: its rows before {rule.before} are not the published ones.", where=str(whole))


def _cells(line: bytes) -> list[str]:
    return next(csv.reader([line.decode("utf-8-sig", errors="replace")]), [])
