"""Scoring: predictions of a model beside the records, metrics of them, and bootstrap intervals of the metrics."""

import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import Field

from modelyard.gate import Interval
from modelyard.parameters import Parameters
from modelyard.project import Project

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray


class EvaluateParameters(Parameters):
    """Parameters of the bootstrap intervals and of the metrics by slice."""

    n_resamples: int = Field(200, ge=20, description="Bootstrap resamples behind each confidence interval.")
    confidence: float = Field(0.95, gt=0, lt=1, description="Share of resamples inside the interval.")
    min_slice_rows: int = Field(200, ge=1, description="Slices with fewer test rows are not reported.")
    seed: int = Field(0, ge=0, description="Seed of the resampling.")


def learning_rows(examples: "pl.DataFrame") -> "pl.DataFrame":
    """Returns the rows that training and tuning may see: ``train`` and ``valid``."""
    import polars as pl

    return examples.filter(pl.col("split").is_in(["train", "valid"]))


def rows_of(examples: "pl.DataFrame", split: str) -> "pl.DataFrame":
    """Returns the rows of one split."""
    import polars as pl

    return examples.filter(pl.col("split") == split)


def score(project: Project, model: Any, examples: "pl.DataFrame", params: Any) -> dict[str, float]:
    """Returns the project's metrics of ``model`` on ``examples`` (records with features and media)."""
    predictions = project.predict(model, without_answers(project, examples))
    return project.metrics.score(scored_rows(project, examples, predictions, params), params)


def without_answers(project: Project, examples: "pl.DataFrame") -> "pl.DataFrame":
    """Returns ``examples`` as ``predict`` gets them: without the target and without media that are targets."""
    return examples.drop(project.contract.hidden_columns(), strict=False)


def scored_rows(project: Project, examples: "pl.DataFrame", predictions: "pl.DataFrame", params: Any) -> "pl.DataFrame":
    """Returns what ``Metrics.score`` takes: the records' columns beside the predictions, or beside their measures.

    Args:
        project: Gives the contract and ``Metrics.measure``.
        examples: N rows with target and media.
        predictions: What ``predict`` returned for them, N rows.
        params: Parameters of ``score``.

    Raises:
        ValueError: ``predict`` or ``measure`` did not return one row for each example.
    """
    records = examples.select(column.name for column in project.contract.columns if column.name in examples.columns)
    measure = project.metrics.measure
    measured = predictions if measure is None else measure(examples, predictions, params)
    for what, frame in (("predict", predictions), ("measure", measured)):
        if frame.height != examples.height:
            raise ValueError(f"{what}() of {project.name} returned {frame.height} rows for {examples.height} examples")
    return records.hstack(measured)


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
    """Returns each metric with its percentile bootstrap interval (Efron & Tibshirani 1993, chapter 13).

    Whole groups are resampled where the contract names a group: rows of one customer or patient resemble each other,
    and resampling single rows would give too narrow an interval.

    Args:
        project: Gives ``score`` and the contract.
        rows: Test rows with predictions.
        score_params: Parameters of ``score``.
        params: Number of resamples, confidence, seed.

    Returns:
        Metric name to (value, low, high); NaN where the metric is undefined on these rows.
    """
    return percentile_intervals(resampled(project, rows, score_params, params), params)


def percentile_intervals(scores: Scores, params: EvaluateParameters) -> dict[str, Interval]:
    """Returns metric name to (value, low, high), from the percentiles of its resamples.

    Some metrics are larger on resamples than on the rows themselves, because a resample repeats rows: a calibration
    error of bins, for one. Where the value would lie outside its percentiles, these are moved by the bootstrap's
    estimate of that bias (Efron & Tibshirani 1993, 10.6), and stay within 0 and 1 if all resamples do.
    """
    low, high = _bounds(scores.samples, params)
    found = {}
    for at, (name, value) in enumerate(scores.values.items()):
        ends = Interval(float(value), float(low[at]), float(high[at]))
        found[name] = ends if not value < ends.low and not value > ends.high else _unbiased(ends, scores.samples[:, at])
    return found


def _unbiased(interval: Interval, samples: "NDArray[np.float64]") -> Interval:
    import numpy as np

    bias = float(np.nanmean(samples)) - interval.value
    low, high = interval.low - bias, interval.high - bias
    low = max(low, 0.0) if np.nanmin(samples) >= 0 else low
    high = min(high, 1.0) if np.nanmax(samples) <= 1 else high
    return Interval(interval.value, min(low, interval.value), max(high, interval.value))


def gain(project: Project, ours: Scores, theirs: Scores, params: EvaluateParameters) -> Interval:
    """Returns the gain over the champion in the primary metric, by a paired bootstrap (Efron & Tibshirani 1993, 16.2).

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
    """Returns lower and upper percentile along the first axis, of those resamples in which the metric is defined."""
    import numpy as np

    tail = (1 - params.confidence) / 2 * 100
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a metric that is NaN in every resample stays NaN
        return np.nanpercentile(samples, [tail, 100 - tail], axis=0)


def _resamples(rows: "pl.DataFrame", group: str | None, params: EvaluateParameters) -> Iterator["pl.DataFrame"]:
    """Yields resampled frames; each copy of a group gets an id of its own, so that copies count as distinct groups."""
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
