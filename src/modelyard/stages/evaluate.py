"""Evaluate: test metrics with confidence intervals, beside the trivial floor and today's champion on the same rows."""

import logging
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from modelyard.feature_store.schema import feature_names, schema_digest
from modelyard.gate import Evaluation, GateParameters, Interval
from modelyard.parameters import parameters_of, typed
from modelyard.project import Project
from modelyard.scoring import (
    EvaluateParameters,
    gain,
    percentile_intervals,
    resampled,
    rows_of,
    scored_rows,
    without_answers,
)
from modelyard.stages.media import with_media

if TYPE_CHECKING:
    import polars as pl

logger = logging.getLogger(__name__)


def make_evaluate(project: Project) -> Callable[..., Any]:
    """Node function ``(examples, media, model, champion, *params) -> (evaluation, predictions, figures)``.

    ``champion`` is None or the loaded champion (:class:`modelyard.catalog.model_versions.Champion`).
    """

    def evaluate(
        examples: Any, media: Any, model: Any, champion: Any, evaluate_params: Any, score_params: Any, gate_params: Any
    ) -> Any:
        test = with_media(rows_of(examples, "test"), media, project.contract)
        predictions = project.predict(model, without_answers(project, test))
        rows = scored_rows(project, test, predictions, score_params)
        champion_rows = _champion_rows(project, champion, test, score_params)
        ours = resampled(project, rows, score_params, evaluate_params)
        theirs = None if champion_rows is None else resampled(project, champion_rows, score_params, evaluate_params)
        measured = Evaluation(
            primary=project.metrics.primary,
            greater_is_better=project.metrics.greater_is_better,
            metrics=percentile_intervals(ours, evaluate_params) | _once(project, rows, score_params),
            floor=_floor(project, with_media(rows_of(examples, "train"), media, project.contract), test, score_params),
            champion=None if theirs is None else theirs.values,
        )
        verdict = project.gate(measured, gate_params)
        logger.info("gate %s: %s", "passed" if verdict.passed else "FAILED", verdict.reason)
        evaluation = {
            "n_test": test.height,
            "primary": measured.primary,
            "greater_is_better": measured.greater_is_better,
            "shown": shown_metrics(measured),
            "metrics": {name: interval._asdict() for name, interval in measured.metrics.items()},
            "floor": measured.floor,
            "champion": measured.champion,
            "gain": None
            if theirs is None
            else gain(project, ours, theirs, evaluate_params)._asdict() | {"champion_version": str(champion.version)},
            "gate": verdict._asdict(),
            "slices": _slices(project, rows, score_params, evaluate_params.min_slice_rows),
            "splits": dict(sorted(examples["split"].value_counts().iter_rows())),
        }
        known = [column.name for column in project.contract.columns if column.name in test.columns]
        answered = test.select(known).hstack(predictions)
        return evaluation, answered, dict(project.figures(shown_rows(project, test, answered, rows), model))

    return typed(
        evaluate,
        evaluate_params=EvaluateParameters,
        score_params=parameters_of(project.metrics.score),
        gate_params=GateParameters,
    )


def shown_metrics(evaluation: Evaluation, n_others: int = 6) -> list[str]:
    """Returns the names that a summary shows: the primary metric, then the first others that have a value."""
    defined = [name for name, metric in evaluation.metrics.items() if not math.isnan(metric.value)]
    others = [name for name in defined if name != evaluation.primary]
    return [evaluation.primary, *others[:n_others]]


def shown_rows(
    project: Project, test: "pl.DataFrame", answered: "pl.DataFrame", rows: "pl.DataFrame"
) -> "pl.DataFrame":
    """Returns what figures may show of the test rows: records, predictions, measures, features and media.

    Args:
        project: The project's record.
        test: N rows with features and media.
        answered: Their records with predictions.
        rows: What :func:`modelyard.scoring.scored_rows` returned for them.
    """
    measured = rows.drop(name for name in rows.columns if name in answered.columns)
    seen = [*feature_names(project.feature_views), *(media.name for media in project.contract.media)]
    return answered.hstack(measured).hstack(test.select(name for name in seen if name not in rows.columns))


def _once(project: Project, rows: "pl.DataFrame", score_params: Any) -> dict[str, Interval]:
    once = project.metrics.once
    found = {} if once is None else once(rows, score_params)
    return {name: Interval(float(value), math.nan, math.nan) for name, value in found.items()}


def _floor(project: Project, train: "pl.DataFrame", test: "pl.DataFrame", score_params: Any) -> dict[str, float]:
    predictions = project.metrics.floor(train, without_answers(project, test))
    rows = scored_rows(project, test, predictions, score_params)
    once = project.metrics.once
    return project.metrics.score(rows, score_params) | ({} if once is None else once(rows, score_params))


def _champion_rows(project: Project, champion: Any, test: "pl.DataFrame", score_params: Any) -> "pl.DataFrame | None":
    """The test rows with the champion's predictions; None where there is no champion that can predict them."""
    if champion is None:
        return None
    if champion.feature_schema_digest != schema_digest(project.feature_views):
        logger.warning(
            "champion version %s was trained on another feature schema and cannot score these rows; "
            "the gate compares with the floor only",
            champion.version,
        )
        return None
    predictions = project.predict(champion.model, without_answers(project, test))
    return scored_rows(project, test, predictions, score_params)


def _slices(project: Project, rows: "pl.DataFrame", score_params: Any, min_rows: int) -> list[dict[str, Any]]:
    slices = []
    for column in project.metrics.slices:
        for (value,), part in sorted(rows.group_by(column), key=lambda item: str(item[0])):
            if part.height >= min_rows:
                metrics = project.metrics.score(part, score_params)
                slices.append({"column": column, "value": value, "n_rows": part.height, "metrics": metrics})
    return slices
