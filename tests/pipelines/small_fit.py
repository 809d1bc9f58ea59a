"""One small fit for a project's tests: features joined as the spine joins them, one thread, every report kept."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from modelyard.parameters import Parameters
from modelyard.project import FitRun, Project
from modelyard.scoring import learning_rows, rows_of

Fitter = Callable[..., tuple[Any, list[tuple[int, float]]]]


@dataclass(frozen=True)
class Trained:
    """Examples, the model fitted on them, what it reported, and where its checkpoints are."""

    examples: pl.DataFrame
    model: Any
    reports: list[tuple[int, float]]
    folder: Path

    def rows(self, split: str) -> pl.DataFrame:
        return rows_of(self.examples, split)


def with_features(project: Project, records: pl.DataFrame, feature_params: Parameters) -> pl.DataFrame:
    """Records with what was known of their entities."""
    derived = project.derive_features(records, feature_params)
    for view in project.feature_views:
        on = [view.entity, "event_time"]
        records = records.join(derived[view.name], on=on, how="left", maintain_order="left")
    return records


def fitter(project: Project, quick: Parameters) -> Fitter:
    """A function of examples and a folder; it gives the model and the reports.

    Others than ``quick`` may be given as ``params``; report number ``stop_at`` ends the fit with an error.
    """

    def fitted(examples: pl.DataFrame, folder: Path, params: Parameters = quick, stop_at: int | None = None):
        reports: list[tuple[int, float]] = []

        def report(step: int, value: float) -> None:
            reports.append((step, value))
            if step == stop_at:
                raise InterruptedError

        run = FitRun(seed=0, folder=folder, report=report, n_threads=1)
        return project.fit(learning_rows(examples), params, run), reports

    return fitted


def trained_on(examples: pl.DataFrame, fitted: Fitter, folder: Path) -> Trained:
    """The one fit that a project's tests share."""
    return Trained(examples, *fitted(examples, folder), folder)
