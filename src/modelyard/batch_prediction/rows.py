"""Reads the rows to score: JSON lines, CSV, Parquet, or a folder of pictures, in bounded memory."""

import base64
import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import click
from pydantic import BaseModel

from modelyard.errors import ConfigurationError, DataContractError
from modelyard.tasks.images.request_image import Base64Image

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".pgm")

Row = Mapping[str, Any]


def rows_of(path: Path, request: type[BaseModel]) -> Iterator[Row]:
    """Yields one mapping of field to value for each row, in the order of the file.

    Args:
        path: ``.jsonl`` (one object a line), ``.csv`` (a header; lists and objects in a cell as JSON), ``.parquet``, or
            a folder of pictures, whose rows are ``file`` (path in the folder) and the request's picture.
        request: The project's request model.

    Raises:
        ConfigurationError: There is no such file, or it is of another kind.
        DataContractError: A line is no JSON object, or the file is not UTF-8.
    """
    if path.is_dir():
        yield from _pictures(path, request)
    elif not path.is_file():
        raise ConfigurationError("There is no such file or folder.", where=str(path))
    elif path.suffix in (".jsonl", ".ndjson"):
        yield from _json_lines(path)
    elif path.suffix in (".csv", ".tsv"):
        yield from _csv(path)
    elif path.suffix == ".parquet":
        yield from _parquet(path)
    else:
        raise ConfigurationError(
            f"Rows are not read from a file that ends in '{path.suffix}'.",
            where=str(path),
            way_out="give .jsonl, .csv, .parquet, or a folder of pictures",
        )


def picture_field(request: type[BaseModel]) -> str | None:
    """Returns the field of a request that holds a picture, if it has one."""
    for name, field in request.model_fields.items():
        if any(isinstance(one, Base64Image) for one in (*field.metadata, *get_args(field.annotation))):
            return name
    return None


def _pictures(folder: Path, request: type[BaseModel]) -> Iterator[Row]:
    field = picture_field(request)
    if field is None:
        raise ConfigurationError(
            "This project's requests hold no picture: a folder cannot be scored.",
            where=str(folder),
            way_out="give a file of rows: .jsonl, .csv or .parquet",
        )
    # Hidden files and folders are those of programs, not the user's pictures.
    names = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.suffix.lower() in PICTURES and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    if not names:
        raise ConfigurationError("There is no picture.", where=str(folder), way_out=f"endings: {', '.join(PICTURES)}")
    for name in names:
        yield {"file": name, field: base64.b64encode((folder / name).read_bytes()).decode()}


def _json_lines(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig") as lines:
        try:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield _object(line, f"{path}, line {number}")
        except UnicodeDecodeError as error:
            raise _not_utf8(path) from error


def _object(line: str, where: str) -> Row:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise DataContractError(f"This line is no JSON: {error.args[0]}", where=where) from error
    if not isinstance(found, dict):
        raise DataContractError("This line is no JSON object.", where=where, way_out='write {"field": value, ...}')
    return found


def _csv(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="") as lines:
        try:
            header = lines.readline()
            delimiter = max(",;\t|", key=header.count)
            lines.seek(0)
            for row in csv.DictReader(lines, delimiter=delimiter, skipinitialspace=True):
                # An empty cell is a field that was left out; cells beyond the header are nobody's.
                yield {name.strip(): _cell(text) for name, text in row.items() if name and text}
        except UnicodeDecodeError as error:
            raise _not_utf8(path) from error
        except csv.Error as error:
            raise DataContractError(f"This file is no CSV: {error}", where=str(path)) from error


def _cell(text: str) -> Any:
    """Returns a cell; one that holds a JSON list or object as that."""
    if text[:1] in "[{":
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _parquet(path: Path) -> Iterator[Row]:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            for batch in file.iter_batches(1024):
                for row in batch.to_pylist():
                    yield {name: value for name, value in row.items() if value is not None}
    except pa.ArrowException as error:
        raise DataContractError(f"This is no Parquet file: {error}", where=str(path)) from error


def _not_utf8(path: Path) -> DataContractError:
    quoted = click.format_filename(path)
    return DataContractError(
        "This file is not UTF-8.",
        where=quoted,
        way_out=f"iconv -f WINDOWS-1252 -t UTF-8 '{quoted}' > utf8{path.suffix}",
    )
