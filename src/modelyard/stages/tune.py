"""Tuning: searches parameters around the trained model, in parallel worker processes, repeatable to the bit.

Trial 0 is the trained model itself, so the winner is never worse than it on the validation rows. Trials come in
generations: all of one generation are drawn from the trials of earlier ones, run side by side, and are told in order
when the last has ended. See docs/tuning.md.
"""

from __future__ import annotations

import inspect
import logging
import os
import shutil
import time
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from pydantic import Field

from modelyard.errors import BusyError, ConfigurationError, ModelyardError
from modelyard.files import writing
from modelyard.parameters import Parameters

if TYPE_CHECKING:
    import polars as pl
    from optuna.trial import FrozenTrial
    from pydantic import BaseModel

    from modelyard.project import Project
    from modelyard.tuning_pool import WorkerPool
    from modelyard.tuning_study import StoredStudy
    from modelyard.tuning_worker import FitTask, Outcome

logger = logging.getLogger(__name__)

STORAGE_VARIABLE = "MODELYARD_OPTUNA_STORAGE"
"""Environment variable with the database URL of the studies (it may hold a password, so it is no parameter)."""


class Pruned(Exception):  # noqa: N818 - no error: the ordinary end of a hopeless trial
    """Raised by :attr:`modelyard.project.FitRun.report` to end a hopeless trial; ``fit`` lets it pass through."""


class TuneParameters(Parameters):
    """How long, how wide and how patiently parameters are searched."""

    n_trials: int = Field(
        20, ge=1, description="Trials in all; the trained model is trial 0, so 1 means no search. May be raised later."
    )
    n_parallel: int = Field(
        2,
        ge=1,
        description="Trials of one generation, run side by side as far as there are cores. Not taken from the machine:"
        " the search must not depend on where it runs.",
    )
    n_threads: int = Field(1, ge=1, description="CPU threads of each trial; sums may differ in the last bit with it.")
    seed: int = Field(0, ge=0, description="Seed of the search and of every fit in it; use the training's own.")
    n_random_trials: int = Field(
        10, ge=1, description="Trials that must have ended before suggestions are learnt from them; random until then."
    )
    prune_after_trials: int | None = Field(
        5,
        ge=1,
        description="A trial whose best report is below the median at the same step is ended early, once this many"
        " trials have completed. None: never.",
    )
    prune_warmup_steps: int = Field(1, ge=0, description="No trial is ended at a step (epoch, block) below this one.")
    timeout_s: float | None = Field(
        None,
        gt=0,
        description="No generation begins after this many seconds. How many trials fit into it depends on the"
        " machine, so results are not repeatable with it.",
    )
    refit: bool = Field(True, description="Fit the winner once more on training and validation rows together.")


def make_tune(
    project: Project, load: str = "modelyard.registry:load_project"
) -> Callable[..., tuple[Any, dict[str, Any]]]:
    """The tuning node of ``project``.

    Args:
        project: The project.
        load: ``module:function`` by which a worker process gets the project from its name.

    Returns:
        ``tune(examples, trained_model, train_summary, fit_params, tune_params, score_params, work_folder)``, which
        returns the tuned model and a summary that is equal to the last bit for equal inputs. ``examples`` hold rows of
        the splits ``train`` and ``valid``; ``train_summary`` holds ``valid`` (metric to value) and ``reports``
        (``[[step, value], ...]``) of the trained model; ``work_folder`` keeps studies and checkpoints between runs.
        Raises BusyError (another process tunes on the same inputs), ConfigurationError (nothing to tune on, no
        database), StorageError (disk full).
    """

    def tune(
        examples: pl.DataFrame,
        trained_model: Any,
        train_summary: Mapping[str, Any],
        fit_params: BaseModel,
        tune_params: TuneParameters,
        score_params: BaseModel,
        work_folder: Path,
    ) -> tuple[Any, dict[str, Any]]:
        from modelyard.tuning_pool import WorkerPool
        from modelyard.tuning_study import open_study, study_name
        from modelyard.tuning_worker import write_examples

        _check_inputs(project, examples, train_summary)
        with writing(work_folder):
            work_folder.mkdir(parents=True, exist_ok=True)
            name = study_name(
                project,
                examples=examples,
                trained_model=trained_model,
                valid=train_summary["valid"],
                fit_params=fit_params,
                score_params=score_params,
                tune_params=tune_params,
                folder=work_folder,
            )
            folder = work_folder / name
            with _only_process(folder):
                stored = open_study(
                    name,
                    url=os.environ.get(STORAGE_VARIABLE, ""),
                    journal=folder / "study.journal",
                    greater_is_better=project.metrics.greater_is_better,
                )
                write_examples(examples, folder / "examples.arrow")
                n_workers = max(1, min(tune_params.n_parallel, available_cores() // tune_params.n_threads))
                with WorkerPool(
                    loader=load, name=project.name, n_workers=n_workers, n_threads=tune_params.n_threads
                ) as pool:
                    search = Search(project, stored, pool, folder, fit_params, tune_params, score_params)
                    search.run(trained_model, train_summary)
                    tuned_model = search.final_model(trained_model)
                (folder / "examples.arrow").unlink()
                return tuned_model, search.summary()

    # Kedro validates parameters by the annotations; here they are the project's own classes.
    tune.__annotations__ |= {
        "examples": Any,
        "train_summary": Mapping[str, Any],
        "fit_params": parameter_type(project.fit, 1),
        "tune_params": TuneParameters,
        "score_params": parameter_type(project.metrics.score, 1),
        "work_folder": Path,
        "trained_model": Any,
        "return": tuple[Any, dict[str, Any]],
    }
    return tune


def parameter_type(function: Callable[..., Any], position: int) -> Any:
    """The class that annotates one argument, though others may be annotated with names known to type checkers only."""
    name = list(inspect.signature(function).parameters)[position]
    alone = SimpleNamespace(__annotations__={name: function.__annotations__[name]})
    return typing.get_type_hints(alone, globalns=function.__globals__)[name]


def available_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _check_inputs(project: Project, examples: pl.DataFrame, train_summary: Mapping[str, Any]) -> None:
    if not (examples["split"] == "valid").any():
        raise ConfigurationError(
            "There are no validation rows to tune on.",
            where=f"examples of {project.name}",
            way_out="give the split a validation part, or run the pipeline without tuning (--to-nodes)",
        )
    if project.metrics.primary not in train_summary["valid"]:
        raise ConfigurationError(
            f"The trained model has no validation value of '{project.metrics.primary}'.",
            where=f"score() of {project.name} returned {sorted(train_summary['valid'])}",
            way_out="let score() return the metric that `metrics.primary` names",
        )


@contextmanager
def _only_process(folder: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout as error:
        raise BusyError(
            "Another process is tuning on the same inputs.",
            where=str(folder),
            way_out="wait for it; the same command then returns its result at once",
        ) from error


@dataclass
class Search:
    """One study being worked on.

    Args:
        project: The project.
        stored: The study.
        pool: Worker processes.
        folder: The study's folder.
        fit_params: The configured parameters.
        tune_params: How to search.
        score_params: The project's score parameters.
    """

    project: Project
    stored: StoredStudy
    pool: WorkerPool
    folder: Path
    fit_params: BaseModel
    tune_params: TuneParameters
    score_params: BaseModel

    def run(self, trained_model: Any, train_summary: Mapping[str, Any]) -> None:
        """Brings the study to ``n_trials`` ended trials, from wherever an earlier process has left it."""
        from modelyard.tuning_progress import TuningProgress
        from modelyard.tuning_study import generations

        if not self.stored.trials(before=1):
            self._add_trained_trial(train_summary)
        started = time.monotonic()
        with TuningProgress(self.tune_params.n_trials, self.project.metrics) as progress:
            for number, trial in enumerate(self.trials()):
                ...
