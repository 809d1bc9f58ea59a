"""Tuning: searches parameters around the trained model, in parallel worker processes, repeatable to the bit.

Trial 0 is the trained model itself, so the winner is never worse than it on the validation rows. Trials come in
generations: all of one generation are drawn from the trials of earlier ones, run side by side, and are reported to the
study in order when the last has ended. See docs/tuning.md.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelyard.errors import BusyError, ConfigurationError
from modelyard.files import writing
from modelyard.lineage.run_context import available_cores
from modelyard.parameters import parameters_of, typed
from modelyard.scoring import learning_rows
from modelyard.stages.media import with_media
from modelyard.stages.train import RunParameters
from modelyard.tuning.parameters import STORAGE_VARIABLE, TuneParameters

if TYPE_CHECKING:
    import polars as pl

    from modelyard.project import Project
    from modelyard.tuning.search import Search, SearchSettings

logger = logging.getLogger(__name__)


def make_tune(project: Project, load: str = "modelyard.projects:load_project") -> Callable[..., Any]:
    """Node function that searches around the trained model and returns the best model and a summary.

    ``(examples, media, trained_model, train_summary, fit_params, tune_params, run_params, score_params, work_folder) ->
    (model, summary)``. The summary is equal to the last bit for equal inputs. Of ``examples``, only the splits
    ``train`` and ``valid`` are seen. Raises BusyError (another process tunes on the same inputs), ConfigurationError
    (nothing to tune on, no database), StorageError (disk full).

    Args:
        project: The project.
        load: ``module:function`` by which a worker process gets the project from its name.
    """

    def tune(
        examples: Any,
        media: Any,
        trained_model: Any,
        train_summary: Any,
        fit_params: Any,
        tune_params: Any,
        run_params: Any,
        score_params: Any,
        work_folder: Any,
    ) -> Any:
        from modelyard.tuning.search import SearchSettings
        from modelyard.tuning.study import study_name

        learning = with_media(learning_rows(examples), media, project.contract)
        _check_inputs(project, learning, train_summary)
        folder = work_folder / "tune"
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            settings = SearchSettings(
                fit_params=fit_params,
                tune_params=tune_params,
                score_params=score_params,
                seed=run_params.seed,
                device=run_params.device,
                precision=run_params.precision,
            )
            name = study_name(project, learning, trained_model, train_summary["valid"], settings, folder)
            _say_if_new(folder, name)
            with (
                _only_process(folder / name),
                _search(project, load, learning, folder / name, settings) as search,
            ):
                search.run(train_summary)
                return search.final_model(trained_model), search.summary()

    return typed(
        tune,
        fit_params=parameters_of(project.fit),
        tune_params=TuneParameters,
        run_params=RunParameters,
        score_params=parameters_of(project.metrics.score),
    )


def _check_inputs(project: Project, learning: pl.DataFrame, train_summary: Mapping[str, Any]) -> None:
    if not (learning["split"] == "valid").any():
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


def _say_if_new(folder: Path, name: str) -> None:
    """Says that earlier studies are not continued, where there are some and none has these inputs."""
    before = sorted(study.name for study in folder.iterdir() if study.is_dir())
    if before and name not in before:
        logger.info(
            "study %s begins anew: data, trained model, code, search space or parameters differ from those of %s",
            name,
            ", ".join(before),
        )


@contextmanager
def _only_process(folder: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise BusyError(
            "Another process is tuning on the same inputs.",
            where=str(folder),
            way_out="wait for it; the same command then returns its result at once",
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _search(
    project: Project, load: str, learning: pl.DataFrame, folder: Path, settings: SearchSettings
) -> Iterator[Search]:
    from modelyard.arrow_mmap import write_arrow
    from modelyard.tuning.pool import WorkerPool
    from modelyard.tuning.search import Search
    from modelyard.tuning.study import open_study

    stored = open_study(
        folder.name,
        url=os.environ.get(STORAGE_VARIABLE, ""),
        journal=folder / "study.journal",
        greater_is_better=project.metrics.greater_is_better,
    )
    examples_file = folder / "examples.arrow"
    write_arrow(learning, examples_file)
    n_parallel, n_threads = settings.tune_params.n_parallel, settings.tune_params.n_threads
    n_workers = max(1, min(n_parallel, available_cores() // n_threads))
    try:
        with WorkerPool(loader=load, name=project.name, n_workers=n_workers, n_threads=n_threads) as pool:
            yield Search(project, stored, pool, folder, settings)
    except KeyboardInterrupt:
        logger.warning("tuning was interrupted; the same command continues it")
        raise
    finally:
        examples_file.unlink(missing_ok=True)
