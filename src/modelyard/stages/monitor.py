"""Monitor: the reference that a version carries, and the verdict on what was served beside it."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import Field

from modelyard.parameters import Parameters, typed
from modelyard.project import Project
from modelyard.stages.examples import learning_rows, rows_of

if TYPE_CHECKING:
    import polars as pl

    from modelyard.monitoring.columns import Counted, Integers

TEST = "chi-square, Rao-Scott"

_FEWEST_ROWS_OF_A_DAY = 200
_SHORT = 0.75
"""A window of less than this share of the reference's days may be a part of the week, and is allowed its oddity."""

_FEWEST_UNKNOWN = 5.0
"""Effective rows with unknown values that an alarm needs: one customer's rows are about one."""


class MonitorParameters(Parameters):
    """When a difference is an alarm: it must be real and it must be large."""

    n_bins: int = Field(10, ge=2, le=100, description="Bins of a number, between quantiles of the reference.")
    n_sample_rows: int = Field(2_000, ge=100, le=20_000, description="Rows of each side that the HTML report draws.")
    alpha: float = Field(0.01, gt=0, lt=1, description="Chance of any false finding in a window, all columns together.")
    min_distance: float = Field(
        0.1, ge=0, le=1, description="Distance, beyond that of the training rows, of a large drift."
    )
    min_rows: int = Field(200, ge=20, description="Windows with fewer rows are reported without tests.")
    max_missing_rise: float = Field(0.02, ge=0, le=1, description="By how much the share of missing values may rise.")
    max_unknown_share: float = Field(
        0.01, ge=0, le=1, description="Share of rows, beyond that of the reference to training rows, out of range."
    )
    min_labels: int = Field(200, ge=20, description="Labelled rows below which the metric is told but not judged.")


class Reference(NamedTuple):
    """What a version carries.

    Args:
        summary: ``n_rows``, ``columns`` (name, role, kind, bins, counts, clusterings), ``clusters``, ``performance``.
        sample: Some of its rows, for figures only.
    """

    summary: dict[str, Any]
    sample: "pl.DataFrame"


def make_summarise(project: Project) -> Callable[..., Any]:
    """Node function ``(examples, predictions, evaluation, params) -> (summary, sample)``.

    The reference is the test split: the latest rows, which the model has not learned from, so that its predictions
    there are what they will be in service.
    """

    def summarise(examples: Any, predictions: Any, evaluation: Any, params: Any) -> Any:
        test = rows_of(examples, "test")
        known = {column.name for column in project.contract.columns}
        answers = predictions.select(name for name in predictions.columns if name not in known)
        found = summarise_reference(project, test, answers, learning_rows(examples), params)
        name = evaluation["primary"]
        performance = {"metric": name, "greater_is_better": evaluation["greater_is_better"]}
        return found.summary | {"performance": performance | evaluation["metrics"][name]}, found.sample

    return typed(summarise, params=MonitorParameters)


def watched_inputs(project: Project, examples: "pl.DataFrame") -> list[str]:
    """The columns that are watched: what the model is given in service, but no identifiers, times and secrets."""
    from modelyard.monitoring.columns import is_watchable

    contract = project.contract
    left_out = {contract.key, contract.event_time, contract.target, contract.group, "split"}
    left_out |= {view.entity for view in project.feature_views}
    left_out |= {column.name for column in contract.columns if column.sensitive}
    given = project.api.decode([project.api.example]).columns
    return [name for name in given if name in examples and name not in left_out and is_watchable(examples.schema[name])]


def summarise_reference(
    project: Project,
    rows: "pl.DataFrame",
    predictions: "pl.DataFrame",
    learned: "pl.DataFrame",
    params: MonitorParameters,
) -> Reference:
    """The reference without its metric.

    Args:
        project: Says what is watched and which rows belong together.
        rows: Records with features, N rows.
        predictions: What ``predict`` returns for them, N rows.
        learned: Earlier rows that the model has learned from; they widen the known range, and their distance from
            ``rows`` is one that the model has been seen to cope with.
        params: Number of bins and of rows in the sample.
    """
    from modelyard.monitoring.columns import clusters_of, days_in, is_watchable
    from modelyard.monitoring.statistics import cluster_size

    sensitive = {column.name for column in project.contract.columns if column.sensitive}
    answers = [name for name, dtype in predictions.schema.items() if is_watchable(dtype) and name not in sensitive]
    table = rows.select(watched_inputs(project, rows)).hstack(predictions.select(answers))
    clusters = clusters_of(rows, cluster_columns(project), project.contract.event_time)
    columns = [
        {"name": name, "role": "prediction" if name in answers else "input"}
        | _summary(table[name], learned[name] if name in learned.columns else None, clusters, params.n_bins)
        for name in table.columns
    ]
    summary = {
        "format": 1,
        "n_rows": rows.height,
        "columns": columns,
        "clusters": {name: cluster_size(codes) for name, codes in clusters.items()},
        "days": days_in(rows, project.contract.event_time),
    }
    return Reference(summary, sample_of(table, params))


def sample_of(table: "pl.DataFrame", params: MonitorParameters) -> "pl.DataFrame":
    """Rows for figures, with lists as they are watched."""
    from modelyard.monitoring.columns import flat

    sample = table.sample(min(params.n_sample_rows, table.height), seed=0)
    return sample.with_columns(flat(column) for column in sample)


def cluster_columns(project: Project) -> list[str]:
    """Columns whose equal values mark rows that resemble each other: the contract's group, the features' entities."""
    names = [project.contract.group, *(view.entity for view in project.feature_views)]
    return [name for name in dict.fromkeys(names) if name and name != project.contract.key]


def _summary(
    series: "pl.Series", learned: "pl.Series | None", clusters: "Mapping[str, Integers]", n_bins: int
) -> dict[str, Any]:
    from modelyard.monitoring.columns import bins_of, count, describe, n_bins_of, widened
    from modelyard.monitoring.statistics import design_effect, jensen_shannon

    column, usual_distance, usual_unknown = describe(series, n_bins), 0.0, 0.0
    counted, bins = count(series, column), bins_of(series, column)
    effects = {name: design_effect(bins, n_bins_of(column), codes) for name, codes in clusters.items()}
    if learned is not None:
        usual_distance = jensen_shannon(count(learned, column).counts, counted.counts)
        usual_unknown = count(series, describe(learned, n_bins)).n_unknown / max(len(series), 1)
        column = widened(column, learned)
    return column | {
        "usual_distance": usual_distance,
        "usual_unknown": usual_unknown,
        "day_distance": _day_distance(bins, n_bins_of(column), clusters.get("day")),
        "counts": counted.counts.tolist(),
        "n_missing": counted.n_missing,
        "mean": counted.mean,
        "effects": effects,
    }


def _day_distance(bins: "Integers", n_bins: int, days: "Integers | None") -> float:
    """How far the reference's own days lie from it at most: nights, weekends, payday."""
    import numpy as np

    from modelyard.monitoring.statistics import jensen_shannon

    if days is None:
        return 0.0
    table = np.bincount(days[bins >= 0] * n_bins + bins[bins >= 0], minlength=(days.max() + 1) * n_bins)
    table = table.reshape(-1, n_bins)
    large = table[table.sum(axis=1) >= _FEWEST_ROWS_OF_A_DAY]
    return max((jensen_shannon(table.sum(axis=0), day) for day in large), default=0.0)


def judge(
    project: Project, summary: Mapping[str, Any], table: "pl.DataFrame", params: MonitorParameters
) -> dict[str, Any]:
    """The verdict on a window's inputs and predictions; nothing of the reference's rows is read.

    Args:
        project: Says which rows belong together.
        summary: :attr:`Reference.summary`.
        table: The window's rows, M rows; may lack watched columns and identifiers.
        params: What counts as large and as certain.

    Returns:
        ``n_rows``, ``is_drifted``, ``columns``, ``prediction``, ``quality`` (findings), ``alarms`` (words).
    """
    from modelyard.monitoring.columns import clusters_of, count, days_in
    from modelyard.monitoring.statistics import cluster_size

    event_time = project.contract.event_time
    clusters = clusters_of(table, cluster_columns(project), event_time)
    # A customer whom the window does not name is taken to have as many rows a day as in the reference.
    growth = (days_in(table, event_time) or summary["days"]) / summary["days"] if summary["days"] else 1.0
    sizes = {name: size * growth for name, size in summary["clusters"].items()}
    sizes |= {name: cluster_size(codes) for name, codes in clusters.items()}
    present = [column for column in summary["columns"] if column["name"] in table.columns]
    pairs = [(column, count(table[column["name"]], column)) for column in present]
    drift, missing, effects = _tested(summary, pairs, sizes, growth < _SHORT, params)
    quality = [
        finding
        for (column, counted), p_value, effect in zip(pairs, missing, effects, strict=True)
        for finding in _quality(column, counted, p_value, effect, params)
    ]
    inputs = [found for (column, _), found in zip(pairs, drift, strict=True) if column["role"] == "input"]
    answers = [found for (column, _), found in zip(pairs, drift, strict=True) if column["role"] == "prediction"]
    drifted = sorted((found for found in drift if found["is_drifted"]), key=lambda found: -found["distance"])
    return {
        "n_rows": table.height,
        "is_tested": table.height >= params.min_rows,
        "is_drifted": bool(drifted),
        "columns": inputs,
        "prediction": {"is_drifted": any(found["is_drifted"] for found in answers), "columns": answers},
        "quality": quality,
        "not_served": [c["name"] for c in summary["columns"] if c["name"] not in table.columns],
        "alarms": [_drift_words(found, {c["name"]: c for c, _ in pairs}[found["name"]]) for found in drifted]
        + [finding["words"] for finding in quality if finding["is_alarm"]],
    }


def _tested(
    summary: Mapping[str, Any],
    pairs: "list[tuple[dict[str, Any], Counted]]",
    sizes: Mapping[str, float],
    is_short: bool,
    params: MonitorParameters,
) -> tuple[list[dict[str, Any]], list[float], list[float]]:
    """What each column's drift test found, the p-values of more missing values, and the window's design effects.

    The p-values of both are adjusted as one family.
    """
    import numpy as np

    from modelyard.monitoring.statistics import (
        Clustering,
        chi_square,
        effect_in_window,
        holm,
        jensen_shannon,
    )

    tests, missing, window_effects = [], [], []
    for column, counted in pairs:
        by = {name: Clustering(effect, summary["clusters"][name]) for name, effect in column["effects"].items()}
        effects = (max([1.0, *column["effects"].values()]), effect_in_window(by, sizes))
        window_effects.append(effects[1])
        before = np.array(column["counts"])
        tests.append((jensen_shannon(before, counted.counts), *chi_square(before, counted.counts, effects)))
        absent_before = np.array([before.sum(), column["n_missing"]])
        absent = np.array([counted.counts.sum(), counted.n_missing])
        missing.append(chi_square(absent_before, absent, effects)[2])
    adjusted = holm([*(test[3] for test in tests), *missing])
    usual = [max(c["usual_distance"], c["day_distance"] if is_short else 0.0) for c, _ in pairs]
    drift = [
        {
            "name": column["name"],
            "test": TEST,
            "statistic": statistic,
            "degrees_of_freedom": freedom,
            "p_value_adjusted": p_value,
            "distance": distance,
            "threshold": params.min_distance + allowed,
            "mean_before": column["mean"],
            "mean": counted.mean,
            "is_drifted": _n_rows(counted) >= params.min_rows
            and p_value < params.alpha
            and distance >= params.min_distance + allowed,
        }
        for (column, counted), (distance, statistic, freedom, _), p_value, allowed in zip(
            pairs, tests, adjusted, usual, strict=False
        )
    ]
    return drift, adjusted[len(tests) :], window_effects


def _n_rows(counted: "Counted") -> int:
    return int(counted.counts.sum()) + counted.n_missing


def _quality(
    column: Mapping[str, Any], counted: "Counted", p_value: float, effect: float, params: MonitorParameters
) -> Iterator[dict[str, Any]]:
    """Findings of one column: missing values, new categories, values out of range, a value that never changes."""
    name, n_values = column["name"], int(counted.counts.sum())
    n_rows, n_before = _n_rows(counted), sum(column["counts"]) + column["n_missing"]
    is_tested = n_rows >= params.min_rows
    share, before = counted.n_missing / max(n_rows, 1), column["n_missing"] / max(n_before, 1)
    if share > before:
        words = f"{name}: {share:.1%} of the values are missing, {before:.1%} in the reference"
        is_alarm = is_tested and share - before >= params.max_missing_rise and p_value < params.alpha
        yield _finding(name, "missing", share, words, is_alarm)
    if counted.n_unknown:
        share = counted.n_unknown / n_values
        kind = "unknown_category" if column["kind"] == "category" else "out_of_range"
        what = "are categories" if column["kind"] == "category" else "lie outside the range"
        words = f"{name}: {share:.1%} of the values {what} that the reference does not have, such as {counted.example}"
        if column["kind"] == "number":
            words = f"{name}: {share:.1%} of the values lie outside the reference's range, such as {counted.example}"
        is_large = share >= params.max_unknown_share + column["usual_unknown"]
        is_alarm = is_tested and is_large and counted.n_unknown / effect >= _FEWEST_UNKNOWN
        yield _finding(name, kind, share, words, is_alarm)
    usual = max(column["counts"], default=0) / max(sum(column["counts"]), 1)
    if counted.is_constant and n_values > 1 and usual < 1:
        words = f"{name}: all {n_values:,} values are the same; in the reference they vary"
        yield _finding(name, "constant", 1.0, words, is_tested and usual <= 0.95)


def _finding(name: str, kind: str, share: float, words: str, is_alarm: bool) -> dict[str, Any]:
    return {"name": name, "kind": kind, "share": share, "words": words, "is_alarm": is_alarm}


def _drift_words(found: Mapping[str, Any], column: Mapping[str, Any]) -> str:
    what = "predictions have" if column["role"] == "prediction" else "values have"
    words = f"{found['name']}: its {what} drifted (distance {found['distance']:.2f}, p {found['p_value_adjusted']:.1g})"
    if column["kind"] == "number":
        words += f", mean {found['mean_before']:.4g} before, {found['mean']:.4g} now"
    return words
