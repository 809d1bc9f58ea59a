"""Asynchronous tracking: events go to a journal file, and a separate process copies them to MLflow.

Importing mlflow and writing to its database take seconds, during which training should not wait, and a kill must not
lose logged values. So every call here appends one line to ``mlflow_journal/<session>.jsonl`` and returns;
:mod:`modelyard.tracking.writer` follows the file while the run works. Without an active run every call is a no-op,
which keeps node functions callable from tests and notebooks.
"""

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from modelyard.errors import StorageError
from modelyard.files import writing
from modelyard.passwords import masked_values
from modelyard.paths import data_directory, repository

_WRITER_START_S = 120.0
_AFTER_FAILURE_S = 5.0
_POLL_S = 0.05

_journal: TextIO | None = None


def journal_directory() -> Path:
    """Returns the folder of the journals that are not fully copied to MLflow yet."""
    return data_directory() / "mlflow_journal"


def start(session: str, *, experiment: str, run_name: str, tags: Mapping[str, str], starts_writer: bool = True) -> None:
    """Opens the journal of one MLflow run and starts its writer.

    Args:
        session: Unique name of this run, safe as a file name.
        experiment: MLflow experiment.
        run_name: Shown in MLflow.
        tags: The run's tags.
        starts_writer: False for several runs one after the other, for which :func:`start_writer` starts one at the end.
    """
    global _journal
    path = journal_directory() / f"{session}.jsonl"
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _journal = path.open("a", encoding="utf-8", buffering=1)
    # Held until this process ends, however it ends: a free lock tells the writer that no more lines will come.
    fcntl.flock(_journal, fcntl.LOCK_EX)
    _append({"event": "start", "experiment": experiment, "run_name": run_name, "tags": dict(tags), "at": _now_ms()})
    if starts_writer:
        _start_writer(path)


def start_writer() -> None:
    """Starts one writer for all finished journals that no writer is copying to MLflow."""
    waiting = sorted(journal_directory().glob("*.jsonl"))
    if waiting:
        _start_writer(waiting[0])


def finish(status: str) -> None:
    """Ends the active run; waits for the writer if it has created the run already, else lets it finish on its own.

    Args:
        status: ``FINISHED`` or ``FAILED``.
    """
    global _journal
    if _journal is None:
        return
    path = Path(_journal.name)
    _append({"event": "finish", "status": status, "at": _now_ms()})
    _journal.close()
    _journal = None
    if state_file(path).exists():
        # The cause of a failure may block the writer too; the error message should not wait long for it.
        deadline = time.monotonic() + (_WRITER_START_S if status == "FINISHED" else _AFTER_FAILURE_S)
        while path.exists() and time.monotonic() < deadline:
            time.sleep(_POLL_S)


def run_id() -> str | None:
    """Returns the active run's MLflow id, once the writer has created the run; None without an active run.

    Raises:
        StorageError: The writer did not create the run in time.
    """
    if _journal is None:
        return None
    path = Path(_journal.name)
    deadline = time.monotonic() + _WRITER_START_S
    while time.monotonic() < deadline:
        if state_file(path).exists():
            return str(json.loads(state_file(path).read_text())["run_id"])
        time.sleep(_POLL_S)
    raise StorageError(
        "MLflow did not answer in two minutes.",
        where=str(path.parent / "writer.log"),
        way_out="read the log named above; check MLFLOW_TRACKING_URI and that the database is not locked",
    )


def state_file(journal: Path) -> Path:
    """Returns the file in which the writer keeps the run's id and its position in the journal."""
    return journal.with_suffix(".state.json")


def log_params(values: Mapping[str, Any]) -> None:
    """Logs parameters (name to value)."""
    _append({"event": "params", "values": {name: str(value) for name, value in values.items()}})


def log_metric(name: str, value: float, step: int = 0) -> None:
    """Logs one metric."""
    _append({"event": "metrics", "values": {name: float(value)}, "step": step, "at": _now_ms()})


def log_metrics(values: Mapping[str, float], step: int = 0) -> None:
    """Logs several metrics of one step."""
    numbers = {name: float(value) for name, value in values.items()}
    _append({"event": "metrics", "values": numbers, "step": step, "at": _now_ms()})


def set_tags(values: Mapping[str, str]) -> None:
    """Sets tags."""
    _append({"event": "tags", "values": dict(values)})


def log_dataset(name: str, source: str, digest: str) -> None:
    """Logs the data that the run used, for MLflow's column of data sets.

    Args:
        name: Of the data set.
        source: ``simulated``, ``public`` or ``own``.
        digest: Of the values.
    """
    _append({"event": "dataset", "name": name, "source": source, "digest": digest})


def log_artifact(path: Path, folder: str = "") -> None:
    """Logs a file or folder; it must stay in place until the run ends.

    Args:
        path: File or folder.
        folder: Folder among the run's artifacts; empty: their root.
    """
    _append({"event": "artifact", "path": str(path), "folder": folder})


def log_trial(trial: Mapping[str, Any]) -> None:
    """Logs one tuning trial as a child run; a trial logged before is only moved under the active run.

    Args:
        trial: ``study``, ``number``, ``state``, ``value``, ``params`` and, if any, ``reports`` ([[step, value], ...]).
    """
    _append({"event": "trial", "trial": dict(trial), "at": _now_ms()})


def _start_writer(path: Path) -> None:
    with (path.parent / "writer.log").open("a") as log:
        subprocess.Popen(
            [sys.executable, "-m", "modelyard.tracking.writer", str(path)],
            cwd=repository(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,  # Ctrl-C ends the run, but not the copying of what it logged
        )


def _append(event: Mapping[str, Any]) -> None:
    if _journal is not None:
        with writing(Path(_journal.name)):
            _journal.write(json.dumps(masked_values(event)) + "\n")
            _journal.flush()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _forget_in_child() -> None:
    global _journal
    _journal = None


os.register_at_fork(after_in_child=_forget_in_child)
