"""Worker processes of the tuning stage: each runs one fit at a time, with pruning, and resumes it after a kill.

A worker is a fresh interpreter (spawn), finds the project by name, and gets the examples as a memory-mapped Arrow file
that all workers share. It exits when its parent process ends, so a killed run leaves no process behind.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import math
import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from multiprocessing import connection as ipc
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from modelyard.arrow_mmap import read_arrow
from modelyard.errors import ConfigurationError, ModelyardError, StorageError
from modelyard.files import atomic_directory, write_text, writing
from modelyard.project import Device, FitRun, Precision, Pruned
from modelyard.scoring import rows_of, score

if TYPE_CHECKING:
    from modelyard.project import Project

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")
_REASON_LENGTH = 500  # characters, for a log line and a database column; the whole traceback is in error.txt

Curve = dict[int, float]
"""Step to the primary metric on validation rows."""


@dataclass(frozen=True, kw_only=True)
class PruningRule:
    """Optuna's median rule over the trials that had finished before this generation began.

    Args:
        completed: Value and curve of each completed trial.
        after_trials: No trial is pruned before this many have completed and reported the step in question.
        warmup_steps: No trial is pruned at a step below this one.
        greater_is_better: Direction of the metric.
    """

    completed: tuple[tuple[float, Curve], ...]
    after_trials: int
    warmup_steps: int
    greater_is_better: bool


@dataclass(frozen=True, kw_only=True)
class FitTask:
    """One fit.

    Args:
        label: Name in messages, such as ``trial 7``.
        params: The project's fit parameters.
        score_params: The project's score parameters; None: the rows of ``valid`` are trained on too (a refit), and
            nothing is scored.
        folder: Folder of this fit's checkpoints, reports, model and outcome; the same on a re-run.
        examples: Arrow file of the rows ``train`` and ``valid``.
        primary: Name of the metric that decides.
        seed: Seed of the fit.
        n_threads: CPU threads of the fit.
        device: See :class:`modelyard.project.FitRun`.
        precision: See :class:`modelyard.project.FitRun`.
        pruning: When to prune the fit; None: never.
    """

    label: str
    params: Any
    score_params: Any
    folder: Path
    examples: Path
    primary: str
    seed: int
    n_threads: int
    device: Device = "auto"
    precision: Precision = "auto"
    pruning: PruningRule | None = None

    @property
    def model_folder(self) -> Path:
        """Returns the folder of the fitted model, which exists once the fit is complete."""
        return self.folder / "model"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a fit ended.

    Args:
        state: Optuna's name of the end state.
        value: The primary metric on validation rows; None unless scored.
        metrics: All metrics on validation rows.
        reports: ``[step, value]`` in order of steps.
        reason: Why it failed or where it was pruned.
        seconds: Wall time, for logs only.
    """

    state: Literal["COMPLETE", "PRUNED", "FAIL"]
    value: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    reports: list[list[float]] = field(default_factory=list)
    reason: str = ""
    seconds: float = 0.0


def run_task(project: Project, task: FitTask) -> Outcome:
    """Fits, scores and saves; a task that an earlier process finished is read from its folder.

    Raises:
        StorageError: The disk is full or read-only, which would affect every other trial too.
    """
    record = task.folder / "outcome.json"
    if record.exists():
        return Outcome(**json.loads(record.read_text()))
    started = time.monotonic()
    reports = Reports(task.folder / "reports.jsonl", judge_of(task.pruning))
    try:
        with writing(task.folder):
            value, metrics = _fit(project, task, reports)
        outcome = Outcome(state="COMPLETE", value=value, metrics=metrics, reports=reports.in_order())
    except Pruned as pruned:
        outcome = Outcome(state="PRUNED", reports=reports.in_order(), reason=str(pruned))
    except StorageError:
        raise
    except Exception as error:
        write_text(task.folder / "error.txt", traceback.format_exc())
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:_REASON_LENGTH]
        return Outcome(state="FAIL", reports=reports.in_order(), reason=reason, seconds=time.monotonic() - started)
    outcome = Outcome(**{**asdict(outcome), "seconds": time.monotonic() - started})
    write_text(record, json.dumps(asdict(outcome)))
    shutil.rmtree(task.folder / "checkpoints", ignore_errors=True)
    return outcome


def _fit(project: Project, task: FitTask, reports: Reports) -> tuple[float | None, dict[str, float]]:
    import polars as pl

    reports.replay()
    checkpoints = task.folder / "checkpoints"
    checkpoints.mkdir(parents=True, exist_ok=True)
    run = FitRun(
        seed=task.seed,
        folder=checkpoints,
        report=reports,
        n_threads=task.n_threads,
        device=task.device,
        precision=task.precision,
    )
    examples = read_arrow(task.examples)
    if task.score_params is None:
        everything = pl.lit("train").cast(examples.schema["split"]).alias("split")
        model = project.fit(examples.with_columns(everything), task.params, run)
        value, metrics = None, dict[str, float]()
    else:
        model = project.fit(examples, task.params, run)
        scored = score(project, model, rows_of(examples, "valid"), task.score_params)
        metrics = {name: float(metric) for name, metric in scored.items()}
        value = metrics[task.primary]
        if math.isnan(value):
            raise ValueError(f"{task.primary} on the validation rows is not a number")
    with atomic_directory(task.model_folder) as temporary:
        project.model_format.save(model, temporary)
    return value, metrics


class Reports:
    """The reports of a fit, also kept on disk, so that a resumed fit is pruned exactly as an uninterrupted one.

    Args:
        path: JSON lines ``[step, value]``.
        judge: Returns whether a trial with this curve so far is to be pruned.
    """

    def __init__(self, path: Path, judge: Callable[[Curve], bool]) -> None:
        self._path, self._judge = path, judge
        self._curve: Curve = {}

    def __call__(self, step: int, value: float) -> None:
        """Stores one report.

        Raises:
            Pruned: The trial is to be pruned.
        """
        step, value = int(step), float(value)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps([step, value]) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._take(step, value)

    def replay(self) -> None:
        """Reads the reports of an earlier process; the fit resumes from a checkpoint and does not repeat all of them.

        Raises:
            Pruned: The trial was already to be pruned when it was killed.
        """
        if not self._path.exists():
            return
        # A kill may have cut the last line short; the resumed fit reports its step again.
        whole = [line for line in self._path.read_text(encoding="utf-8").splitlines(keepends=True) if line[-1] == "\n"]
        write_text(self._path, "".join(whole))
        for line in whole:
            self._take(*json.loads(line))

    def in_order(self) -> list[list[float]]:
        """Returns all reports so far, by step."""
        return [[step, value] for step, value in sorted(self._curve.items())]

    def _take(self, step: int, value: float) -> None:
        self._curve[step] = value
        if self._judge({known: at for known, at in self._curve.items() if known <= step}):
            raise Pruned(f"below the median of earlier trials at step {step}")


def judge_of(rule: PruningRule | None) -> Callable[[Curve], bool]:
    """Returns a function that decides by ``rule`` whether to prune, with Optuna's own median pruner."""
    if rule is None or len(rule.completed) < rule.after_trials:
        return lambda curve: False
    import optuna

    quiet_optuna()
    frozen = optuna.create_study(direction="maximize" if rule.greater_is_better else "minimize")
    frozen.add_trials(
        [optuna.trial.create_trial(value=value, intermediate_values=curve) for value, curve in rule.completed]
    )
    pruner = optuna.pruners.MedianPruner(rule.after_trials, rule.warmup_steps, n_min_trials=max(rule.after_trials, 1))
    running = optuna.trial.TrialState.RUNNING
    return lambda curve: pruner.prune(frozen, optuna.trial.create_trial(state=running, intermediate_values=curve))


def quiet_optuna() -> None:
    """Limits Optuna's log to warnings; it would otherwise report every study in memory."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)


def serve(tasks: ipc.Connection, loader: str, name: str, n_threads: int) -> None:
    """Runs a worker process: receives tasks and sends their outcome or a fatal error, until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole process group; the parent ends the workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, str(n_threads)))
    logging.basicConfig(level=logging.INFO)
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            try:
                task = _receive(tasks)
                _redirect_output(task.folder / "output.log")
                tasks.send(run_task(_load(loader, name), task))
            except ModelyardError as error:
                tasks.send(error)


def _receive(tasks: ipc.Connection) -> FitTask:
    try:
        task: FitTask = tasks.recv()
    except (EOFError, ConnectionError):
        raise
    except Exception as error:
        raise ConfigurationError(
            f"A tuning worker could not read a trial's parameters: {error}",
            way_out="their classes must be importable in a fresh Python process, not live in a notebook or script",
        ) from error
    return task


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # at once: a re-run may already be waiting for this trial's folder


def _load(loader: str, name: str) -> Project:
    module, _, function = loader.partition(":")
    try:
        project: Project = getattr(importlib.import_module(module), function)(name)
    except Exception as error:
        raise ConfigurationError(
            f"A tuning worker could not load the project '{name}': {type(error).__name__}: {error}",
            where=loader,
            way_out="the project must be importable by name in a fresh Python process",
        ) from error
    return project


def _redirect_output(path: Path) -> None:
    """Redirects all output, that of native code included, to a file, because several workers share the terminal."""
    sys.stdout.flush()
    sys.stderr.flush()
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
