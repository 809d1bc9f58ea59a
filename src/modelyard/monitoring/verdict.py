"""Decides whether served rows differ from the reference significantly and by much, and lists the alarms."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from modelyard.monitoring.reference import MonitorParameters, check_thresholds, cluster_columns
from modelyard.project import Project

if TYPE_CHECKING:
    import polars as pl

    from modelyard.monitoring.columns import Counted

TEST = "chi-square, Rao-Scott"

_SHORT = 0.75
"""A window shorter than this share of the reference's days may cover only some weekdays; it may differ as they do."""

_MIN_UNKNOWN = 5.0
"""Effective rows with unknown values that an alarm needs; all rows of one customer count as about one."""


def judge(
    project: Project, summary: Mapping[str, Any], table: "pl.DataFrame", params: MonitorParameters
) -> dict[str, Any]:
    """Returns the verdict on a window's inputs and predictions, from counts and without the reference's rows.

    Args:
        project: Gives the columns that cluster rows.
        summary: :attr:`Reference.summary`.
        table: The window's rows, M rows; may lack watched columns and identifiers.
        params: Thresholds of distance and significance.

    Returns:
        ``n_rows``, ``n_copies``, ``n_judged``, ``is_drifted``, ``columns``, ``prediction``, ``quality`` (findings),
        ``alarms`` (sentences; copies of one request come first, because they are left out of all that follows).
    """
    from modelyard.monitoring.columns import clusters_of, count, days_in
    from modelyard.monitoring.copies import distinct_requests
    from modelyard.monitoring.statistics import cluster_size

    check_thresholds(params, [column["name"] for column in summary["columns"]])
    event_time, n_rows = project.contract.event_time, table.height
    inputs = [c["name"] for c in summary["columns"] if c["role"] == "input" and c["name"] in table.columns]
    table, n_copies = distinct_requests(table, inputs, params.max_copies_share + summary.get("usual_copies", 0.0))
    clusters = clusters_of(table, cluster_columns(project), event_time)
    # If the window lacks an entity's column, its clusters are assumed to have as many rows a day as in the reference.
    growth = (days_in(table, event_time) or summary["days"]) / summary["days"] if summary["days"] else 1.0
    sizes = {name: size * growth for name, size in summary["clusters"].items()}
    sizes |= {name: cluster_size(codes) for name, codes in clusters.items()}
    present = [column for column in summary["columns"] if column["name"] in table.columns]
    tables = {"input": table, "prediction": with_predictions(table)}
    pairs = [(column, count(tables[column["role"]][column["name"]], column)) for column in present]
    drift, missing, effects = _tested(summary, pairs, sizes, growth < _SHORT, params)
    quality = [_copies(n_copies, n_rows, table.height)] if n_copies else []
    quality += [
        finding
        for (column, counted), p_value, effect in zip(pairs, missing, effects, strict=True)
        for finding in _quality(column, counted, p_value, effect, params)
    ]
    asked = [found for (column, _), found in zip(pairs, drift, strict=True) if column["role"] == "input"]
    answers = [found for (column, _), found in zip(pairs, drift, strict=True) if column["role"] == "prediction"]
    drifted = sorted((found for found in drift if found["is_drifted"]), key=lambda found: -found["distance"])
    return {
        "n_rows": n_rows,
        "n_copies": n_copies,
        "n_judged": table.height,
        "is_tested": table.height >= params.min_rows,
        "is_drifted": bool(drifted),
        "columns": asked,
        "prediction": {"is_drifted": any(found["is_drifted"] for found in answers), "columns": answers},
        "quality": quality,
        "not_served": [c["name"] for c in summary["columns"] if c["name"] not in table.columns],
        "alarms": [finding["words"] for finding in quality if finding["kind"] == "copies"]
        + [_drift_words(found, {c["name"]: c for c, _ in pairs}[found["name"]]) for found in drifted]
        + [finding["words"] for finding in quality if finding["is_alarm"] and finding["kind"] != "copies"],
    }


def with_predictions(table: "pl.DataFrame") -> "pl.DataFrame":
    """Returns the rows that have predictions; streamed answers have none."""
    import polars as pl

    return table.filter(pl.col("role").ne_missing("stream")) if "role" in table.columns else table


def _tested(
    summary: Mapping[str, Any],
    pairs: "list[tuple[dict[str, Any], Counted]]",
    sizes: Mapping[str, float],
    is_short: bool,
    params: MonitorParameters,
) -> tuple[list[dict[str, Any]], list[float], list[float]]:
    """Returns each column's drift test, the p-values of the tests for more missing values, and the design effects.

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
    thresholds = [params.min_distance_of.get(column["name"], params.min_distance) for column, _ in pairs]
    drift = [
        {
            "name": column["name"],
            "test": TEST,
            "statistic": statistic,
            "degrees_of_freedom": freedom,
            "p_value_adjusted": p_value,
            "distance": distance,
            "threshold": least + allowed,
            "mean_before": column["mean"],
            "mean": counted.mean,
            "is_drifted": _n_rows(counted) >= params.min_rows
            and p_value < params.alpha
            and distance >= least + allowed,
        }
        for (column, counted), (distance, statistic, freedom, _), p_value, allowed, least in zip(
            pairs, tests, adjusted, usual, thresholds, strict=False
        )
    ]
    return drift, adjusted[len(tests) :], window_effects


def _n_rows(counted: "Counted") -> int:
    return int(counted.counts.sum()) + counted.n_missing


def _quality(
    column: Mapping[str, Any], counted: "Counted", p_value: float, effect: float, params: MonitorParameters
) -> Iterator[dict[str, Any]]:
    """Yields findings on one column: missing values, new categories, values out of range, a constant column."""
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
        is_alarm = is_tested and is_large and counted.n_unknown / effect >= _MIN_UNKNOWN
        yield _finding(name, kind, share, words, is_alarm)
    usual = max(column["counts"], default=0) / max(sum(column["counts"]), 1)
    if counted.is_constant and n_values > 1 and usual < 1:
        words = f"{name}: all {n_values:,} values are the same; in the reference they vary"
        yield _finding(name, "constant", 1.0, words, is_tested and usual <= 0.95)


def _copies(n_copies: int, n_rows: int, n_judged: int) -> dict[str, Any]:
    words = (
        f"{n_copies:,} of {n_rows:,} rows are copies of one request; it counts once, so {n_judged:,} rows are judged"
    )
    return _finding("request", "copies", n_copies / n_rows, words, is_alarm=True)


def _finding(name: str, kind: str, share: float, words: str, is_alarm: bool) -> dict[str, Any]:
    return {"name": name, "kind": kind, "share": share, "words": words, "is_alarm": is_alarm}


def _drift_words(found: Mapping[str, Any], column: Mapping[str, Any]) -> str:
    is_answer = column["role"] == "prediction"
    what = f"predictions: '{found['name']}' has" if is_answer else f"{found['name']}: its values have"
    words = f"{what} drifted (distance {found['distance']:.2f}, p {found['p_value_adjusted']:.1g})"
    if column["kind"] == "number":
        words += f", mean {found['mean_before']:.4g} before, {found['mean']:.4g} now"
    return words
