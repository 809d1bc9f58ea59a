"""Scores rows in parts that are kept, so that a run after a kill goes on where the last one stopped."""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl
from filelock import FileLock, Timeout
from pydantic import BaseModel, ValidationError

from modelyard.batch_prediction.rows import Row, rows_of
from modelyard.errors import BusyError, ConfigurationError, DataContractError
from modelyard.files import atomic_file, write_text
from modelyard.serving.bodies import problems_in
from modelyard.serving.inputs import decoded
from modelyard.serving.json_values import problems_as_sent, problems_of
from modelyard.serving.loaded_version import LoadedVersion

if TYPE_CHECKING:
    from modelyard.project import Project

ROWS_PER_PART = 1_000
"""Rows that are in memory at a time; a project's own limit of rows holds, too."""

FORMATS = (".jsonl", ".csv", ".parquet")

_ROW, _VERSION, _ERROR = "row", "model_version", "error"


class Scored(NamedTuple):
    """How a run ended.

    Args:
        n_rows: Rows of the input.
        n_failed: Rows without an answer; the output's column ``error`` says why.
        n_resumed: Rows that an earlier, interrupted run had scored.
    """

    n_rows: int
    n_failed: int
    n_resumed: int


def score(version: LoadedVersion, source: Path, output: Path, advance: Callable[[int], None]) -> Scored:
    """Scores every row of ``source`` and writes ``output``, whole or not at all.

    Args:
        version: Answers, as it does in the server.
        source: See :func:`modelyard.batch_prediction.rows.rows_of`.
        output: ``.jsonl``, ``.csv`` or ``.parquet``: for each row, in order, its number from 1 (``row``), the columns
            of the input that are no fields of the request, the fields of the response, ``model_version``, and
            ``error`` (null where there is an answer).
        advance: Called with the number of rows that have been done since the last call.

    Raises:
        ConfigurationError: The output's ending is unknown.
        BusyError: Another process writes this output.
    """
    if output.suffix not in FORMATS:
        raise ConfigurationError(
            f"Predictions are not written to a file that ends in '{output.suffix}'.",
            where=str(output),
            way_out=f"give one of {', '.join(FORMATS)}",
        )
    parts = output.with_name(f".{output.name}.parts")
    parts.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(parts / "lock", timeout=0):
            _begin(parts, _plan(version, source))
            scored = _score_parts(version, source, parts, advance)
            _write(parts, output, version.project.api.response)
    except Timeout as error:
        raise BusyError("Another process writes this output.", where=str(output)) from error
    shutil.rmtree(parts)
    return scored


def _plan(version: LoadedVersion, source: Path) -> str:
    """Returns what parts must have been made from to be used again: the files as they are, and the model."""
    files = sorted(path for path in source.rglob("*") if path.is_file()) if source.is_dir() else [source]
    seen = [[str(file), file.stat().st_size, file.stat().st_mtime_ns] for file in files]
    return json.dumps({"version": list(version.identity), "files": seen})


def _begin(parts: Path, plan: str) -> None:
    """Drops the parts of another plan."""
    noted = parts / "plan.json"
    if not noted.is_file() or noted.read_text(encoding="utf-8") != plan:
        for part in parts.glob("part-*.parquet"):
            part.unlink()
        write_text(noted, plan)


def _score_parts(version: LoadedVersion, source: Path, parts: Path, advance: Callable[[int], None]) -> Scored:
    project = version.project
    n_rows = n_failed = n_resumed = 0
    size = min(ROWS_PER_PART, project.api.max_rows or ROWS_PER_PART)
    for number, rows in enumerate(_in_parts(rows_of(source, project.api.request), size)):
        file = parts / f"part-{number:08d}.parquet"
        if file.is_file():
            n_resumed += len(rows)
        else:
            with atomic_file(file) as temporary:
                _part(version, rows, n_rows).write_parquet(temporary)
        n_failed += int(pl.read_parquet(file, columns=[_ERROR])[_ERROR].is_not_null().sum())
        n_rows += len(rows)
        advance(len(rows))
    if not n_rows:
        raise DataContractError("There is no row to score.", where=str(source))
    return Scored(n_rows, n_failed, n_resumed)


def _in_parts(rows: Iterable[Any], size: int) -> Iterator[list[Any]]:
    remaining = iter(rows)
    while part := list(islice(remaining, size)):
        yield part


def _part(version: LoadedVersion, rows: Sequence[Row], n_before: int) -> pl.DataFrame:
    """Returns the output of some rows; what is not text is JSON until all parts are joined."""
    project = version.project
    fields = project.api.request.model_fields
    answers = _answers(version, rows)
    found = []
    for number, (row, answer) in enumerate(zip(rows, answers, strict=True), start=n_before + 1):
        carried = {name: value for name, value in row.items() if name not in fields}
        payload, problem = (answer.model_dump_json(), None) if isinstance(answer, BaseModel) else (None, answer)
        said = {"answer": payload, _ERROR: problem}
        found.append({_ROW: number, "carried": json.dumps(carried, default=str), _VERSION: version.version, **said})
    dtypes = {_ROW: pl.Int64, "carried": pl.String, "answer": pl.String, _VERSION: pl.String, _ERROR: pl.String}
    return pl.DataFrame(found, schema=dtypes)


def _answers(version: LoadedVersion, rows: Sequence[Row]) -> list[BaseModel | str]:
    """Returns a response, or what is wrong, for each row."""
    answers: list[BaseModel | str] = [request_of(version.project, row) for row in rows]
    asked = [number for number, one in enumerate(answers) if isinstance(one, BaseModel)]
    for number, answer in zip(asked, _answered(version, [answers[number] for number in asked]), strict=True):
        answers[number] = answer
    return answers


def request_of(project: "Project", row: Row) -> BaseModel | str:
    """Returns the validated request of a row, or what is wrong with it, by field and without its values."""
    model = project.api.request
    fields = {name: value for name, value in row.items() if name in model.model_fields}
    problems = list(problems_as_sent(model, fields))
    if not problems:
        try:
            # As JSON, so that a value is read as the server reads it.
            request = model.model_validate_json(json.dumps(fields, default=str))
        except ValidationError as error:
            problems = problems_in(error)
        else:
            problems = list(problems_of(request))
            if not problems:
                return request
    return "; ".join(f"{'.'.join(map(str, one.place)) or 'row'}: {one.message}" for one in problems)


def _answered(version: LoadedVersion, requests: Sequence[Any]) -> Sequence[BaseModel | str]:
    """Returns the answers to valid requests; where they fail together, each is asked alone."""
    if not requests:
        return []
    try:
        return version.answer(decoded(version.project, requests)).responses
    except DataContractError as error:
        if len(requests) == 1:
            return [str(error)]
        return [answer for request in requests for answer in _answered(version, [request])]


def _write(parts: Path, output: Path, response: type[BaseModel]) -> None:
    """Joins the parts into one file; a second pass, so that rows of different widths get the same columns."""
    names = _carried_names(parts)
    with atomic_file(output) as temporary:
        if output.suffix == ".jsonl":
            with temporary.open("w", encoding="utf-8") as lines:
                for row in _joined_rows(parts, names, response):
                    lines.write(json.dumps(row, ensure_ascii=False) + "\n")
        elif output.suffix == ".csv":
            import csv

            with temporary.open("w", encoding="utf-8", newline="") as lines:
                writer = csv.writer(lines)
                for number, row in enumerate(_joined_rows(parts, names, response)):
                    if not number:
                        writer.writerow(row)
                    writer.writerow(map(_as_cell, row.values()))
        else:
            _write_parquet(parts, temporary, names, response)


def _carried_names(parts: Path) -> list[str]:
    """Returns the names of the input's further columns, in the order of their first rows."""
    names: dict[str, None] = {}
    for file in sorted(parts.glob("part-*.parquet")):
        for text in pl.read_parquet(file, columns=["carried"])["carried"].unique(maintain_order=True):
            names.update(dict.fromkeys(json.loads(text)))
    return list(names)


def _joined_rows(parts: Path, names: Sequence[str], response: type[BaseModel]) -> Iterator[dict[str, Any]]:
    """Yields the rows of the output."""
    for file in sorted(parts.glob("part-*.parquet")):
        for part in pl.read_parquet(file).iter_rows(named=True):
            carried, answer = json.loads(part["carried"]), json.loads(part["answer"] or "{}")
            yield (
                {_ROW: part[_ROW]}
                | {name: carried.get(name) for name in names}
                | {name: answer.get(name) for name in response.model_fields}
                | {_VERSION: part[_VERSION], _ERROR: part[_ERROR]}
            )


def _as_cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (list, Mapping)) else value


def _write_parquet(parts: Path, temporary: Path, names: Sequence[str], response: type[BaseModel]) -> None:
    """Writes row groups of one schema, found from all rows: polars' types of the values, wide enough for each part."""
    from pyarrow.parquet import ParquetWriter

    frames = (
        pl.DataFrame(list(rows), infer_schema_length=None, strict=False)
        for rows in _in_parts(_joined_rows(parts, names, response), ROWS_PER_PART)
    )
    schemas = [frame.clear() for frame in frames]
    whole = pl.concat(schemas, how="diagonal_relaxed").schema
    writer = None
    for rows in _in_parts(_joined_rows(parts, names, response), ROWS_PER_PART):
        table = pl.DataFrame(list(rows), schema=whole, strict=False).to_arrow()
        writer = writer or ParquetWriter(temporary, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()
