"""Monitors a model once: reads the rows, makes the verdict, writes the files and the tracking run."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelyard.files import write_json
from modelyard.monitoring import performance
from modelyard.monitoring.reference import MonitorParameters, sample_of
from modelyard.monitoring.verdict import judge, with_predictions
from modelyard.monitoring.watched_version import WatchedVersion, watched_version
from modelyard.monitoring.windows import Served, Window, scored_batch, served_rows
from modelyard.paths import verdicts_folder
from modelyard.projects import load_project
from modelyard.tracking import journal as tracking

if TYPE_CHECKING:
    import polars as pl

    from modelyard.project import Project


@dataclass(frozen=True, kw_only=True)
class Question:
    """What to monitor.

    Args:
        project: The project's name.
        version: Version number in the registry; None: the champion.
        window: Time span of the served rows.
        batch: A file to score and compare instead of served rows.
        labels: A file of labels; None: all labels in the project's label folder.
    """

    project: str
    version: str | None
    window: Window
    batch: Path | None = None
    labels: Path | None = None


def watch(question: Question, params: MonitorParameters) -> tuple[dict[str, Any], Path]:
    """Makes a verdict; writes ``verdict.json``, ``latest.json``, ``report.html`` and the journal of a tracking run.

    The verdict is written before the HTML report, so that its readers need not wait for figures. The journal is copied
    by :func:`modelyard.tracking.journal.start_writer`, one process for all projects of the command.

    Args:
        question: What to monitor.
        params: When a difference is an alarm.

    Returns:
        The verdict, and its folder.

    Raises:
        ConfigurationError: The project, version, champion or file does not exist, or the version has no reference.
        DataContractError: Nothing was served, or the batch or the labels do not fit.
    """
    from modelyard.monitoring.html_report import write_html

    project = load_project(question.project)
    with watched_version(project.name, question.version) as version:
        rows, n_set_aside = _rows(project, version, question)
        verdict = _verdict(project, version, question, rows, params) | {"n_set_aside": n_set_aside}
        folder = verdicts_folder(project.name) / f"{question.window.until:%Y%m%dT%H%M%SZ}"
        for path in (folder / "verdict.json", verdicts_folder(project.name) / "latest.json"):
            write_json(path, verdict)
        names = [column["name"] for column in verdict["columns"] + verdict["prediction"]["columns"]]
        sample = sample_of(rows.select(names), params)
        write_html(folder / "report.html", version.sample, sample, verdict, min_distance=params.min_distance)
    _track(verdict, folder)
    return verdict, folder


def _rows(project: "Project", version: WatchedVersion, question: Question) -> Served:
    if question.batch is not None:
        return Served(scored_batch(project, version.model(), question.batch), 0)
    return served_rows(project, version.version, question.window)


def _verdict(
    project: "Project", version: WatchedVersion, question: Question, rows: "pl.DataFrame", params: MonitorParameters
) -> dict[str, Any]:
    judged = judge(project, version.summary, rows, params)
    measured = _performance(project, version, question, rows, params)
    if measured and measured["is_worse"]:
        # The most important alarm comes first, but for copies, which decide what all others are about.
        judged["alarms"].insert(1 if judged["n_copies"] else 0, performance.words(measured))
    return {
        "project": project.name,
        "model_version": int(version.version),
        "source": str(question.batch) if question.batch else "served",
        "window": {"since": question.window.since.isoformat(), "until": question.window.until.isoformat()},
        "made_at": datetime.now(UTC).isoformat(),
        "parameters": params.model_dump(mode="json"),
        "performance": measured,
        **judged,
    }


def _performance(
    project: "Project", version: WatchedVersion, question: Question, rows: "pl.DataFrame", params: MonitorParameters
) -> dict[str, Any] | None:
    if not performance.is_measurable(project):
        return None
    rows = with_predictions(rows)
    if project.contract.target is None:
        return performance.measure(project, version, rows, params) if rows.height else None
    labels = performance.read_labels(project, question.labels)
    if labels is None and project.contract.target in rows.columns:
        # A batch may contain its labels.
        labelled = rows.drop_nulls(project.contract.target)
    elif labels is None:
        return None
    else:
        where = str(question.labels or performance.label_folder(project.name))
        labelled = performance.with_labels(project, rows, labels, where, must_match=question.labels is not None)
    return performance.measure(project, version, labelled, params) if labelled.height else None


def _track(verdict: Mapping[str, Any], folder: Path) -> None:
    """Logs one MLflow run with ``kind`` = ``monitor``, apart from the trainings, to an experiment of its own."""
    project, until = verdict["project"], folder.name
    tracking.start(
        f"monitor-{project}-{until}-{os.getpid()}",
        experiment=f"{project}.monitoring",
        run_name=f"monitor {project} {until}",
        tags={
            "kind": "monitor",
            "model_version": str(verdict["model_version"]),
            "is_drifted": str(verdict["is_drifted"]).lower(),
            "alarms": "; ".join(verdict["alarms"])[:500],
        },
        starts_writer=False,
    )
    tracking.log_params({"source": verdict["source"], **verdict["window"], **verdict["parameters"]})
    found = verdict["columns"] + verdict["prediction"]["columns"]
    tracking.log_metrics({f"distance.{column['name']}": column["distance"] for column in found})
    tracking.log_metrics({"n_rows": verdict["n_rows"], "n_alarms": len(verdict["alarms"])})
    measured = verdict["performance"]
    if measured and measured["value"] is not None:
        tracking.log_metrics({f"served.{measured['metric']}": measured["value"]})
    tracking.log_artifact(folder, "monitoring")
    tracking.finish("FINISHED")
