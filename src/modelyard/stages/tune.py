"""Tuning: searches parameters around the trained model, in parallel worker processes, repeatable to the bit.

Trial 0 is the trained model itself, so the winner is never worse than it on the validation rows. Trials come in
generations: all of one generation are drawn from the trials of earlier ones, run side by side, and are told in order
when the last has ended. See docs/tuning.md.
"""

from __future__ import annotations

import inspect
import logging
import os
import typing
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from pydantic import Field

from modelyard.errors import BusyError, ConfigurationError
from modelyard.files import writing
from modelyard.parameters import Parameters

if TYPE_CHECKING:
    import polars as pl
    from pydantic import BaseModel

    from modelyard.project import Project
    from modelyard.tuning.search import Search

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
        from modelyard.tuning.study import study_name

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
            with (
                _only_process(work_folder / name),
                _search(
                    project=project,
                    load=load,
                    examples=examples,
                    folder=work_folder / name,
                    fit_params=fit_params,
                    tune_params=tune_params,
                    score_params=score_params,
                ) as search,
            ):
                search.run(train_summary)
                return search.final_model(trained_model), search.summary()

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


@contextmanager
def _search(
    *,
    project: Project,
    load: str,
    examples: pl.DataFrame,
    folder: Path,
    fit_params: BaseModel,
    tune_params: TuneParameters,
    score_params: BaseModel,
) -> Iterator[Search]:
    from modelyard.tuning.pool import WorkerPool
    from modelyard.tuning.search import Search
    from modelyard.tuning.study import open_study
    from modelyard.tuning.worker import write_examples

    stored = open_study(
        folder.name,
        url=os.environ.get(STORAGE_VARIABLE, ""),
        journal=folder / "study.journal",
        greater_is_better=project.metrics.greater_is_better,
    )
    examples_file = folder / "examples.arrow"
    write_examples(examples, examples_file)
    n_workers = max(1, min(tune_params.n_parallel, available_cores() // tune_params.n_threads))
    try:
        with WorkerPool(loader=load, name=project.name, n_workers=n_workers, n_threads=tune_params.n_threads) as pool:
            yield Search(
                project=project,
                stored=stored,
                pool=pool,
                folder=folder,
                fit_params=fit_params,
                tune_params=tune_params,
                score_params=score_params,
            )
    except KeyboardInterrupt:
        logger.warning("tuning was interrupted; the same command continues it")
        raise
    finally:
        examples_file.unlink(missing_ok=True)
