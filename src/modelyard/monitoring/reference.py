"""Builds a version's reference: counts of its inputs and predictions on the test rows."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from modelyard.errors import ConfigurationError
from modelyard.model_registry.registration import Reference
from modelyard.own_data.further_columns import further_names
from modelyard.parameters import Parameters
from modelyard.project import Project
from modelyard.watched_columns import flat, is_watchable, sensitive_columns, watched_columns

if TYPE_CHECKING:
    import polars as pl

    from modelyard.monitoring.columns import Integers

_MIN_ROWS_OF_A_DAY = 200


class MonitorParameters(Parameters):
    """When a difference is an alarm: it must be statistically significant and large."""

    n_bins: int = Field(10, ge=2, le=100, description="Bins of a number, between quantiles of the reference.")
    n_sample_rows: int = Field(2_000, ge=100, le=20_000, description="Rows of each side that the HTML report draws.")
    alpha: float = Field(0.01, gt=0, lt=1, description="Chance of any false finding in a window, all columns together.")
    min_distance: float = Field(
        0.1, ge=0, le=1, description="Distance, beyond that of the training rows, of a large drift."
    )
    min_distance_of: Mapping[str, Annotated[float, Field(ge=0, le=1)]] = Field(
        {}, description="Watched column to a distance of its own, where `min_distance` is too strict or too lax for it."
    )
    min_rows: int = Field(200, ge=20, description="Windows with fewer rows are reported without tests.")
    max_missing_rise: float = Field(0.02, ge=0, le=1, description="By how much the share of missing values may rise.")
    max_unknown_share: float = Field(
        0.01, ge=0, le=1, description="Share of rows, beyond that of the reference to training rows, out of range."
    )
    max_copies_share: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Share of rows, beyond the reference's, that may be copies of one request; more count once.",
    )
    min_labels: int = Field(200, ge=20, description="Labelled rows below which the metric is reported but not judged.")


def watched_inputs(project: Project, examples: "pl.DataFrame") -> list[str]:
    """Returns the watched columns: the model's inputs in service, without identifiers, media and sensitive columns.

    Further columns of own data are among them; the example of the request knows nothing of them.
    """
    watched = set(watched_columns(project, examples))
    served = project.api.decode([project.api.example]).columns
    further = further_names(examples.columns, project.contract, project.feature_views)
    return [name for name in dict.fromkeys((*served, *further)) if name in watched]


def summarise_reference(
    project: Project,
    rows: "pl.DataFrame",
    predictions: "pl.DataFrame",
    learned: "pl.DataFrame",
    params: MonitorParameters,
) -> Reference:
    """Returns the reference without its metric.

    Args:
        project: Gives the watched columns and the columns that cluster rows.
        rows: Records with features, N rows.
        predictions: What ``predict`` returns for them, N rows.
        learned: Earlier rows that the model was trained on; they widen the known range, and a window may differ as
            much from ``rows`` as they do without an alarm.
        params: Number of bins and of rows in the sample.
    """
    from modelyard.monitoring.columns import clusters_of, days_in
    from modelyard.monitoring.copies import largest_share
    from modelyard.monitoring.statistics import cluster_size

    sensitive = sensitive_columns(project)
    answers = [name for name, dtype in predictions.schema.items() if is_watchable(dtype) and name not in sensitive]
    table = rows.select(watched_inputs(project, rows)).hstack(predictions.select(answers))
    check_thresholds(params, table.columns)
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
        "usual_copies": largest_share(table, [column["name"] for column in columns if column["role"] == "input"]),
    }
    return Reference(summary, sample_of(table, params))


def check_thresholds(params: MonitorParameters, watched: Sequence[str]) -> None:
    """Checks that each column with a separate threshold is watched.

    Raises:
        ConfigurationError: A column is not watched; the nearest name is proposed.
    """
    for name in params.min_distance_of:
        if name not in watched:
            near = get_close_matches(name, watched, n=1)
            raise ConfigurationError(
                f"There is no watched column '{name}'." + (f" Did you mean '{near[0]}'?" if near else ""),
                where="monitor.min_distance_of",
                way_out=f"the watched columns are {', '.join(watched)}",
            )


def sample_of(table: "pl.DataFrame", params: MonitorParameters) -> "pl.DataFrame":
    """Returns rows for figures, with the mean in place of each list."""
    sample = table.sample(min(params.n_sample_rows, table.height), seed=0)
    return sample.with_columns(flat(column) for column in sample)


def cluster_columns(project: Project) -> list[str]:
    """Returns the columns that cluster resembling rows: the contract's group and the features' entities."""
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
    # How much the evaluated rows themselves differ from the training rows; the verdict tolerates as much.
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
    """Returns the largest distance of a single day of the reference from all of it (weekends, paydays)."""
    import numpy as np

    from modelyard.monitoring.statistics import jensen_shannon

    if days is None:
        return 0.0
    # Cross table of days and bins; days with few rows are left out, because their distance is mostly noise.
    table = np.bincount(days[bins >= 0] * n_bins + bins[bins >= 0], minlength=(days.max() + 1) * n_bins)
    table = table.reshape(-1, n_bins)
    large = table[table.sum(axis=1) >= _MIN_ROWS_OF_A_DAY]
    return max((jensen_shannon(table.sum(axis=0), day) for day in large), default=0.0)
