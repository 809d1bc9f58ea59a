"""One small fit for a project's tests: features joined as the spine joins them, one thread, every report kept.

Each project says its sizes once, as ``SMALL`` in ``tests/pipelines/<project>/small.py``. The fixtures ``small``,
``trained`` and ``refit`` (``conftest.py`` beside this file) and the learning tests that are the same for all projects
(``tests/contract/check_learning.py``) work on it; a session trains it once, whichever worker asks first.
"""

import functools
import importlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
from filelock import FileLock

from modelyard.parameters import Parameters, parameters_of
from modelyard.project import FitRun, Project
from modelyard.scoring import learning_rows, rows_of, without_answers
from modelyard.stages.examples import SplitParameters, with_split


@dataclass(frozen=True, kw_only=True, eq=False)
class SmallFit:
    """The sizes at which a project's tests fit it, in seconds.

    Args:
        project: The project.
        ingest: A small simulated source.
        fit: A quick fit that still learns: above the floor, at least two reports.
        features: Parameters of ``derive_features``; None: its defaults.
        split: The time-ordered split, where the records bring no official one.
        score: Parameters of ``Metrics.score``; None: its defaults.
        ceiling: ``ceiling(ingest)`` returns the best value of the primary metric (and maybe others) that any model
            can have on the test rows. None: it is not known.
        ceiling_slack: How far beyond the ceiling chance may lift the primary metric on so few test rows.
        as_requests: ``as_requests(examples, rows)`` returns the requests that a client would send for ``rows``, a few
            of the ``examples``. None: requests ask for something else than the rows of a batch.
    """

    project: Project
    ingest: Parameters
    fit: Parameters
    features: Parameters | None = None
    split: SplitParameters = field(default_factory=SplitParameters)
    score: Parameters | None = None
    ceiling: Callable[[Any], dict[str, float]] | None = None
    ceiling_slack: float = 0.0
    as_requests: Callable[[pl.DataFrame, pl.DataFrame], list[Any]] | None = None

    @property
    def score_params(self) -> Any:
        """Parameters of ``Metrics.score``."""
        return self.score or parameters_of(self.project.metrics.score)()

    def joined(self, records: pl.DataFrame) -> pl.DataFrame:
        """Returns records with what was known of their entities at their time."""
        derive = self.project.derive_features
        if derive is None:
            return records
        return join_features(self.project, records, derive(records, self.features or parameters_of(derive)()))

    def examples(self) -> pl.DataFrame:
        """Returns the small source's examples: records with features, media and split."""
        records = self.joined(self.project.ingest(self.ingest))
        return with_split(records, self.project.contract, self.split)

    def fitted(
        self, examples: pl.DataFrame, folder: Path, params: Any = None, stop_at: int | None = None
    ) -> tuple[Any, list[tuple[int, float]]]:
        """Fits on the learning rows of ``examples``.

        Args:
            examples: Rows of any split.
            folder: Keeps the checkpoints.
            params: Others than ``fit``.
            stop_at: The report of this step ends the fit with an ``InterruptedError``.

        Returns:
            The model, and what it reported: (step, value).
        """
        reports: list[tuple[int, float]] = []

        def report(step: int, value: float) -> None:
            reports.append((step, float(value)))
            if step == stop_at:
                raise InterruptedError

        run = FitRun(seed=0, folder=folder, report=report, n_threads=1)
        return self.project.fit(learning_rows(examples), params or self.fit, run), reports

    def predicted(self, model: Any, rows: pl.DataFrame) -> pl.DataFrame:
        """Returns what ``model`` predicts for ``rows``, which it sees as the spine shows them: without the answers."""
        return self.project.predict(model, without_answers(self.project, rows))


def join_features(project: Project, records: pl.DataFrame, derived: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """Returns records with each view's latest row at their time, as the feature store joins them.

    Args:
        project: Names the views and the records' time.
        records: In any order, which is kept.
        derived: What ``derive_features`` returned for them.
    """
    time = project.contract.event_time
    joined = records.with_row_index("_row").sort(time)
    for view in project.feature_views:
        known = derived[view.name].rename({"event_time": time}).sort(time)
        joined = joined.join_asof(known, on=time, by=view.entity, tolerance=view.ttl, check_sortedness=False)
    return joined.sort("_row").drop("_row")


@dataclass(frozen=True)
class Trained:
    """Examples, the model fitted on them, what it reported and predicted, and where its checkpoints are."""

    examples: pl.DataFrame
    model: Any
    reports: list[tuple[int, float]]
    predictions: pl.DataFrame
    folder: Path

    def rows(self, split: str) -> pl.DataFrame:
        """Returns the examples of one split."""
        return rows_of(self.examples, split)


def small_of(name: str) -> SmallFit:
    """Returns what ``tests/pipelines/<name>/small.py`` calls ``SMALL``."""
    small: SmallFit = importlib.import_module(f"tests.pipelines.{name}.small").SMALL
    return small


@functools.cache
def trained_once(small: SmallFit, shared: Path) -> Trained:
    """Returns the one model of a test session: the first worker that asks trains and saves it, the others load it.

    Args:
        small: The project and its sizes.
        shared: A folder of the session, the same for all of its workers.
    """
    home = shared / "small_fits" / small.project.name
    home.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{home}.lock"):
        return _loaded(small, home) if (home / "reports.json").exists() else _trained(small, home)


def _trained(small: SmallFit, home: Path) -> Trained:
    examples = small.examples()
    (home / "model").mkdir(parents=True)
    model, reports = small.fitted(examples, home / "checkpoints")
    predictions = small.predicted(model, rows_of(examples, "test"))
    small.project.model_format.save(model, home / "model")
    examples.write_ipc(home / "examples.arrow")
    predictions.write_ipc(home / "predictions.arrow")
    (home / "reports.json").write_text(json.dumps(reports))  # comes last: it says that all is there
    return Trained(examples, model, reports, predictions, home / "checkpoints")


def _loaded(small: SmallFit, home: Path) -> Trained:
    reports = [(step, value) for step, value in json.loads((home / "reports.json").read_text())]
    examples, predictions = (pl.read_ipc(home / f"{name}.arrow") for name in ("examples", "predictions"))
    return Trained(
        examples, small.project.model_format.load(home / "model"), reports, predictions, home / "checkpoints"
    )
