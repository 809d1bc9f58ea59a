"""Measures the primary metric on served rows whose labels have arrived."""

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelyard.errors import DataContractError
from modelyard.paths import data_directory

if TYPE_CHECKING:
    import polars as pl

    from modelyard.monitoring.reference import MonitorParameters
    from modelyard.monitoring.watched_version import WatchedVersion
    from modelyard.project import Project

logger = logging.getLogger(__name__)


def label_folder(project: str) -> Path:
    """Returns the folder for labels: any number of Parquet files."""
    return data_directory() / "07_model_output" / project / "labels"


def read_labels(project: "Project", path: Path | None) -> "pl.DataFrame | None":
    """Returns labels from ``path`` or from :func:`label_folder`; of several for one key the last is used.

    Raises:
        ConfigurationError: The file does not exist.
        DataContractError: A file cannot be read, or has no key or no target.
    """
    import polars as pl

    from modelyard.monitoring.windows import read_table

    paths = [path] if path else sorted(label_folder(project.name).glob("*.parquet"))
    tables = []
    for each in paths:
        table = read_table(project, each, "--labels")
        _key(project, table.columns, each)
        tables.append(table)
    return pl.concat(tables, how="diagonal_relaxed") if tables else None


def with_labels(
    project: "Project", rows: "pl.DataFrame", labels: "pl.DataFrame", where: str, *, must_match: bool
) -> "pl.DataFrame":
    """Returns the rows whose label is known, with the target and the labels' other columns of the contract.

    Args:
        project: Gives the contract.
        rows: Served rows, or a batch.
        labels: The contract's key, or ``request_id`` (and ``row``, where a request had several), and the target.
        where: Source of the labels, for the error.
        must_match: Whether it is an error if no label belongs to these rows.

    Raises:
        DataContractError: The rows have none of the labels' keys.
    """
    import polars as pl

    contract, target = project.contract, _target(project)
    key = _key(project, [name for name in labels.columns if name in rows.columns or name == target], where)
    known = {column.name for column in contract.columns}
    brought = [name for name in labels.columns if name in known and name not in key]
    labels = labels.drop_nulls([*key, target]).unique(key, keep="last", maintain_order=True)
    labels = labels.select(*(pl.col(name).cast(rows.schema[name], strict=False) for name in key), *map(pl.col, brought))
    found = rows.drop(brought, strict=False).join(labels, on=key, how="inner", maintain_order="left")
    unknown = labels.join(rows, on=key, how="anti")
    if must_match and not found.height:
        raise DataContractError(
            f"None of the {labels.height:,} labels belongs to a row that is looked at: {', '.join(key)} such as "
            f"{', '.join(map(str, unknown.select(key).row(0)))} is unknown.",
            where=where,
            way_out="choose the window in which these rows were served, or correct the labels' keys",
        )
    if unknown.height:
        logger.info("%s of %s labels belong to rows outside the window", f"{unknown.height:,}", f"{labels.height:,}")
    return found


def _key(project: "Project", columns: list[str], where: object) -> list[str]:
    contract = project.contract
    candidates = [contract.key] if contract.key in columns else ["request_id", "row"]
    keys = [name for name in candidates if name in columns] if {contract.key, "request_id"} & set(columns) else []
    if not keys or contract.target not in columns:
        raise DataContractError(
            f"Labels need the key '{contract.key}' (or 'request_id' where requests do not carry it) and the target "
            f"'{contract.target}'; found {', '.join(columns) or 'none of them'}.",
            where=str(where),
            way_out="name the columns as the contract does",
        )
    return keys


def _target(project: "Project") -> str:
    """Returns the target's name; labels are read only for projects that have a target."""
    if project.contract.target is None:
        raise DataContractError(f"{project.name} has no target, so there are no labels.", where=project.name)
    return project.contract.target


def is_measurable(project: "Project") -> bool:
    """Returns whether the metric can be computed on served rows, with labels or, for a project without target, alone.

    It cannot if the service answers something other than ``predict`` returns, or if targets are masks or texts, which
    do not arrive as a table of labels.
    """
    has_target_media = any(media.role == "target" for media in project.contract.media)
    return project.api.answer is None and not has_target_media


def measure(
    project: "Project", version: "WatchedVersion", labelled: "pl.DataFrame", params: "MonitorParameters"
) -> dict[str, Any]:
    """Returns the primary metric on labelled rows with its interval, and that of the reference.

    It is worse if the whole interval lies on the worse side of the reference's whole interval. The same
    metric, its parameters and the bootstrap are those of the version's evaluation.
    """
    from modelyard.parameters import parameters_of
    from modelyard.scoring import EvaluateParameters, intervals, scored_rows

    score_params = parameters_of(project.metrics.score).model_validate(version.parameters("score"))
    rows = _completed(project, labelled)
    if project.metrics.measure is not None:
        answers = [each["name"] for each in version.summary["columns"] if each["role"] == "prediction"]
        predictions = rows.select(name for name in answers if name in rows.columns)
        rows = scored_rows(project, rows, predictions, score_params)
    resampling = EvaluateParameters.model_validate(version.parameters("evaluate"))
    before = version.summary["performance"]
    found = intervals(project, rows, score_params, resampling)[before["metric"]]
    group = project.contract.group
    return {
        "metric": before["metric"],
        **{name: _known(value) for name, value in found._asdict().items()},
        "n_labelled": labelled.height,
        "resampled": group if group and group in labelled.columns else "rows",
        "reference": {name: before[name] for name in ("value", "low", "high")},
        "is_worse": labelled.height >= params.min_labels and is_worse(found._asdict(), before),
    }


def is_worse(now: Mapping[str, float], before: Mapping[str, Any]) -> bool:
    """Returns whether the better end of ``now`` is worse than the worse end of ``before``; False for NaN."""
    if before["low"] is None or before["high"] is None:
        return False
    if before["greater_is_better"]:
        return bool(now["high"] < before["low"])
    return bool(now["low"] > before["high"])


def words(performance: Mapping[str, Any]) -> str:
    """Returns one sentence about a metric that has become worse."""
    now, before = (
        f"{each['value']:.4f} ({each['low']:.4f} to {each['high']:.4f})"
        for each in (performance, performance["reference"])
    )
    return f"{performance['metric']} is {now} on {performance['n_labelled']:,} labelled rows; it was {before}"


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _completed(project: "Project", rows: "pl.DataFrame") -> "pl.DataFrame":
    """Returns all of the contract's columns: null if not logged; rows of unknown group are groups of one row."""
    import polars as pl

    types: dict[str, Any] = {
        "string": pl.String,
        "int64": pl.Int64,
        "float64": pl.Float64,
        "bool": pl.Boolean,
        "datetime": pl.Datetime("us", "UTC"),
    }
    contract = project.contract
    absent = [column for column in contract.columns if column.name not in rows.columns]
    filled = [
        (pl.int_range(pl.len()) if column.name in (contract.group, contract.key) else pl.lit(None))
        .cast(types[column.dtype])
        .alias(column.name)
        for column in absent
    ]
    target = contract.column(contract.target) if contract.target else None
    cast = [pl.col(target.name).cast(types[target.dtype])] if target else []
    return rows.with_columns(*filled, *cast)
