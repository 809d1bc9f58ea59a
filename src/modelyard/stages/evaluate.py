"""Evaluate: test metrics with confidence intervals, beside the trivial floor and today's champion on the same rows."""

import logging
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import Field

from modelyard.feature_store.schema import feature_names, schema_digest
from modelyard.gate import Evaluation, GateParameters, Interval
from modelyard.parameters import Parameters, parameters_of, typed
from modelyard.project import Project
from modelyard.stages.examples import rows_of
from modelyard.stages.media import with_media
from modelyard.stages.train import with_predictions

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)


class EvaluateParameters(Parameters):
    """How sure the numbers are."""

    n_resamples: int = Field(200, ge=20, description="Bootstrap resamples behind each confidence interval.")
    confidence: float = Field(0.95, gt=0, lt=1, description="Share of resamples inside the interval.")
    min_slice_rows: int = Field(200, ge=1, description="Slices with fewer test rows are not reported.")
    seed: int = Field(0, ge=0, description="Seed of the resampling.")


def make_evaluate(project: Project) -> Callable[..., Any]:
    """Node function ``(examples, media, model, champion, *params) -> (evaluation, predictions, figures)``.

    ``champion`` is None or the loaded champion (:class:`modelyard.datasets.model_registry.Champion`).
    """

    def evaluate(
        examples: Any, media: Any, model: Any, champion: Any, evaluate_params: Any, score_params: Any, gate_params: Any
    ) -> Any:
        test = with_media(rows_of(examples, "test"), media, project.contract)
        rows = with_predictions(project, model, test)
        champion_rows = _champion_rows(project, champion, test)
        ours = resampled(project, rows, score_params, evaluate_params)
        theirs = None if champion_rows is None else resampled(project, champion_rows, score_params, evaluate_params)
        measured = Evaluation(
            primary=project.metrics.primary,
            greater_is_better=project.metrics.greater_is_better,
            metrics=_intervals(ours, evaluate_params),
            floor=_floor(project, with_media(rows_of(examples, "train"), media, project.contract), test, score_params),
            champion=None if theirs is None else theirs.values,
        )
        seen = [*feature_names(project.feature_views), *(media.name for media in project.contract.media)]
        verdict = project.gate(measured, gate_params)
        logger.info("gate %s: %s", "passed" if verdict.passed else "FAILED", verdict.reason)
        evaluation = {
            "n_test": test.height,
            "primary": measured.primary,
            "greater_is_better": measured.greater_is_better,
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
        return evaluation, rows, dict(project.figures(rows.hstack(test.select(seen)), model))

    return typed(
        evaluate,
        evaluate_params=EvaluateParameters,
        score_params=parameters_of(project.metrics.score),
        gate_params=GateParameters,
    )


class Scores(NamedTuple):
    """A model's metrics on the test rows and on every resample of them.

    Args:
        values: Metric name to value on all rows.
        samples: Shape (B, M): resamples, metrics in the order of ``values``; NaN where one is undefined.
    """

    values: dict[str, float]
    samples: "NDArray[np.float64]"


def resampled(project: Project, rows: "pl.DataFrame", score_params: Any, params: EvaluateParameters) -> Scores:
    """Scores rows with predictions, and resamples of them; the same rows in the same order give the same resamples."""
    import numpy as np

    score = project.metrics.score
    samples = [list(score(one, score_params).values()) for one in _resamples(rows, project.contract.group, params)]
    return Scores(score(rows, score_params), np.array(samples))


def intervals(
    project: Project, rows: "pl.DataFrame", score_params: Any, params: EvaluateParameters
) -> dict[str, Interval]:
    """Each metric with its percentile bootstrap interval (Efron & Tibshirani 1993, chapter 13).

    Whole groups are resampled where the contract names a group: rows of one customer or patient resemble each other,
    and resampling single rows would promise too narrow an interval.

    Args:
        project: Gives ``score`` and the contract.
        rows: Test rows with predictions.
        score_params: Parameters of ``score``.
        params: Number of resamples, confidence, seed.

    Returns:
        Metric name to (value, low, high); NaN where the metric is undefined on these rows.
    """
    return _intervals(resampled(project, rows, score_params, params), params)


def _intervals(scores: Scores, params: EvaluateParameters) -> dict[str, Interval]:
    return {
        name: Interval(float(value), float(low), float(high))
        for (name, value), low, high in zip(scores.values.items(), *_bounds(scores.samples, params), strict=True)
    }


def gain(project: Project, ours: Scores, theirs: Scores, params: EvaluateParameters) -> Interval:
    """How much better than the champion, in the primary metric: a paired bootstrap (Efron & Tibshirani 1993, 16.2).

    Both models are scored on the same resamples, so that what makes a resample easy or hard for both cancels out;
    comparing two separate intervals would hide small but certain gains.

    Args:
        project: Names the primary metric and its direction.
        ours: The new model's scores (:func:`resampled`).
        theirs: The champion's, on the same rows in the same order.
        params: Confidence.

    Returns:
        The difference, positive where the new model is better, whichever direction the metric has.
    """
    primary, sign = project.metrics.primary, 1 if project.metrics.greater_is_better else -1
    column = list(ours.values).index(primary)
    low, high = _bounds(sign * (ours.samples[:, column] - theirs.samples[:, column]), params)
    return Interval(sign * float(ours.values[primary] - theirs.values[primary]), float(low), float(high))


def _bounds(samples: Any, params: EvaluateParameters) -> Any:
    """Lower and upper percentile along the first axis, of those resamples in which the metric is defined."""
    import numpy as np

    tail = (1 - params.confidence) / 2 * 100
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a metric that is NaN in every resample stays NaN
        return np.nanpercentile(samples, [tail, 100 - tail], axis=0)


def _resamples(rows: "pl.DataFrame", group: str | None, params: EvaluateParameters) -> Iterator["pl.DataFrame"]:
    """Resampled frames; each copy of a group gets an id of its own, so that copies count as distinct groups."""
    import numpy as np
    import polars as pl

    random = np.random.default_rng(params.seed)
    if group is None:
        for _ in range(params.n_resamples):
            yield rows[random.integers(0, rows.height, rows.height)]
        return
    rows = rows.sort(group, maintain_order=True)
    sizes = rows.group_by(group, maintain_order=True).len()["len"].to_numpy().astype(np.int64)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    for _ in range(params.n_resamples):
        drawn = random.integers(0, len(sizes), len(sizes))
        lengths = sizes[drawn]
        offsets = np.repeat(np.cumsum(lengths) - lengths, lengths)
        index = np.repeat(starts[drawn], lengths) + np.arange(lengths.sum()) - offsets
        copies = np.repeat(np.arange(len(drawn)), lengths)
        yield rows[index].with_columns(pl.Series(group, copies).cast(rows.schema[group]))


def _floor(project: Project, train: "pl.DataFrame", test: "pl.DataFrame", score_params: Any) -> dict[str, float]:
    records = test.select(column.name for column in project.contract.columns if column.name in test.columns)
    predictions = project.metrics.floor(train, test)
    return project.metrics.score(records.hstack(predictions), score_params)


def _champion_rows(project: Project, champion: Any, test: "pl.DataFrame") -> "pl.DataFrame | None":
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
    return with_predictions(project, champion.model, test)


def _slices(project: Project, rows: "pl.DataFrame", score_params: Any, min_rows: int) -> list[dict[str, Any]]:
    slices = []
    for column in project.metrics.slices:
        for (value,), part in sorted(rows.group_by(column), key=lambda item: str(item[0])):
            if part.height >= min_rows:
                metrics = project.metrics.score(part, score_params)
                slices.append({"column": column, "value": value, "n_rows": part.height, "metrics": metrics})
    return slices
