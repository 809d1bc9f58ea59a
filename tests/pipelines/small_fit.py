"""One small fit for a project's tests: features joined as the spine joins them, one thread, every report kept."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from modelyard.parameters import Parameters
from modelyard.project import FitRun, Project
from modelyard.stages.examples import SplitParameters, learning_rows, rows_of, with_split


@dataclass(frozen=True)
class Trained:
    """Examples, the model fitted on them, and what it reported."""

    examples: pl.DataFrame
    model: Any
    reports: list[tuple[int, float]]

    def rows(self, split: str) -> pl.DataFrame:
        return rows_of(self.examples, split)


def examples_of(project: Project, records: pl.DataFrame, feature_params: Parameters) -> pl.DataFrame:
    """Records with what was known of their entities, and a split."""
    derived = project.derive_features(records, feature_params)
    for view in project.feature_views:
        on = [view.entity, "event_time"]
        records = records.join(derived[view.name], on=on, how="left", maintain_order="left")
    return with_split(records, project.contract, SplitParameters())


def fitter(project: Project, quick: Parameters) -> Callable[..., tuple[Any, list[tuple[int, float]]]]:
    """A function of examples, folder and, if others than ``quick``, parameters; it gives the model and the reports."""

    def fitted(examples: pl.DataFrame, folder: Path, params: Parameters = quick):
        reports: list[tuple[int, float]] = []
        run = FitRun(seed=0, folder=folder, report=lambda step, value: reports.append((step, value)), n_threads=1)
        return project.fit(learning_rows(examples), params, run), reports

    return fitted
