"""What is good: forecasts whose whole distribution is close to what comes, and that are honest about their spread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from modelyard.parameters import Parameters
from pipelines.climate_pattern_recognition.figures import figures
from pipelines.climate_pattern_recognition.gaussian import crps
from pipelines.climate_pattern_recognition.inputs import (
    input_matrix,
    lead_positions,
    learning_arrays,
    target_months,
    target_values,
)
from pipelines.climate_pattern_recognition.model import (
    FORECASTS,
    ForecastModel,
    build_network,
    forecasts_of,
    simple_forecasts,
)
from pipelines.climate_pattern_recognition.oscillations import OSCILLATIONS, forecast_phases, observed_phase
from pipelines.climate_pattern_recognition.rules import fit_rules

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["ScoreParameters", "figures", "floor", "predict", "score"]

DYNAMICAL_LEADS = (5, 10, 15, 20, 25, 30)
_FEWEST_ROWS = 30


class ScoreParameters(Parameters):
    """How forecasts are judged."""

    interval_share: float = Field(0.9, gt=0, lt=1, description="Share of outcomes that the judged interval promises.")


def predict(model: ForecastModel, examples: pl.DataFrame) -> pl.DataFrame:
    """Where the oscillation will be.

    Args:
        model: A trained model.
        examples: Records with features, at least one row.

    Returns:
        Row for row, float64, for each of ``forecast`` (ours), ``linear``, ``persistence`` and ``climatology``: the
        columns ``<name>_first``, ``<name>_second`` (means) and ``<name>_first_spread``, ``<name>_second_spread``
        (standard deviations); then ``phase`` (the likeliest), ``phase_probability`` and ``active_probability``. Null
        where the model has not learnt the row's oscillation or lead.
    """
    return _columns(forecasts_of(model, examples), model.oscillation)


def floor(train: pl.DataFrame, test: pl.DataFrame) -> pl.DataFrame:
    """The linear rule, the best of the simple ones, fitted on the training rows.

    Args:
        train: Examples.
        test: Examples.

    Returns:
        The columns of :func:`predict`; ``forecast`` is ``linear``.
    """
    leads = tuple(sorted(train["lead_count"].unique().to_list()))
    oscillation = str(train["oscillation"][0])
    from pipelines.climate_pattern_recognition.train import NetworkParameters

    network = build_network(NetworkParameters(members=1, width=1), len(leads))
    rules, _ = fit_rules(learning_arrays(train, leads))
    network.take(rules)
    simple = simple_forecasts(network, input_matrix(test), lead_positions(test, leads)[0], target_months(test))
    return _columns({"forecast": simple["linear"], **simple}, oscillation)


def _columns(forecasts: dict[str, tuple[Floats, Floats]], oscillation: str) -> pl.DataFrame:
    import numpy as np
    import polars as pl

    phases = forecast_phases(oscillation, *forecasts["forecast"])
    columns = {}
    for name in FORECASTS:
        mean, spread = forecasts[name]
        for position, index in enumerate(("first", "second")):
            columns[f"{name}_{index}"] = mean[:, position]
            columns[f"{name}_{index}_spread"] = spread[:, position]
    return (
        pl.DataFrame(
            {
                **columns,
                "phase": np.array(OSCILLATIONS[oscillation].phases)[phases.phase].tolist(),
                "phase_probability": phases.phase_probability,
                "active_probability": phases.active_probability,
            }
        )
        .with_columns(
            pl.when(pl.col("forecast_first").is_not_nan()).then(pl.all().exclude("forecast_first")),
            pl.col("forecast_first").fill_nan(None),
        )
        .select(*columns, "phase", "phase_probability", "active_probability")
    )


def means_and_spreads(rows: pl.DataFrame, name: str) -> tuple[Floats, Floats]:
    """One forecast's columns as arrays of shape (N, 2)."""
    mean = rows.select(f"{name}_first", f"{name}_second").to_numpy()
    spread = rows.select(f"{name}_first_spread", f"{name}_second_spread").to_numpy()
    return mean, spread


def score(rows: pl.DataFrame, params: ScoreParameters) -> dict[str, float]:
    """Metrics of predictions.

    Args:
        rows: Records with predictions, of one oscillation.
        params: See :class:`ScoreParameters`.

    Returns:
        ``crps_skill``: share of the linear rule's CRPS that the forecast saves, over all leads; the same beside
        ``persistence`` and ``climatology``. ``crps``, ``root_mean_squared_error``, ``correlation`` (of both indices
        together, about zero as usual for the MJO) and ``accuracy`` of the phase, the last three also by lead.
        ``interval_coverage`` and ``interval_width``. ``brier_score`` of being active. Where NASA's dynamical
        forecasts are known, ``dynamical_rmm1_lead_<n>`` and ``our_rmm1_lead_<n>`` are correlations on the same rows.
        NaN where the rows cannot answer.
    """
    import numpy as np
    from scipy.special import ndtri  # type: ignore[import-untyped]  # scipy ships no types

    if not rows.height:
        return {"crps_skill": float("nan")}
    oscillation = str(rows["oscillation"][0])
    outcome, lead = target_values(rows), rows["lead_count"].to_numpy()
    is_known = np.isfinite(outcome)
    mean, spread = means_and_spreads(rows, "forecast")
    totals = {name: float(np.nansum(crps(*means_and_spreads(rows, name), outcome))) for name in FORECASTS}
    half = float(ndtri(0.5 + params.interval_share / 2)) * spread
    errors = np.where(is_known, mean - outcome, 0)
    seen = observed_phase(oscillation, outcome[:, 0], outcome[:, 1])
    is_named = rows["phase"].to_numpy() == np.array(OSCILLATIONS[oscillation].phases)[seen]
    return {
        "crps_skill": 1 - totals["forecast"] / totals["linear"],
        "crps_skill_over_persistence": 1 - totals["forecast"] / totals["persistence"],
        "crps_skill_over_climatology": 1 - totals["forecast"] / totals["climatology"],
        "crps": totals["forecast"] / is_known.sum(),
        "root_mean_squared_error": float(np.sqrt((errors**2).sum() / is_known.sum())),
        "correlation": _correlation(mean, outcome),
        **_by_lead(OSCILLATIONS[oscillation].told_leads, lead, mean, outcome, is_named),
        "interval_coverage": float((np.abs(errors) <= half)[is_known].mean()),
        "interval_width": float(2 * half[is_known].mean()),
        "accuracy": float(is_named.mean()),
        "brier_score": float(((rows["active_probability"].to_numpy() - (seen > 0)) ** 2).mean()),
        **(_beside_dynamical(rows, lead) if oscillation == "mjo" else {}),
    }


def _by_lead(
    leads: Sequence[int], lead: NDArray[np.int64], mean: Floats, outcome: Floats, is_named: NDArray[np.bool_]
) -> dict[str, float]:
    """Correlation, error and accuracy at each of ``leads``; N rows."""
    import numpy as np

    scores = {}
    for n in leads:
        at = lead == n
        is_enough = int(at.sum()) >= _FEWEST_ROWS
        squared = (mean[at] - outcome[at]) ** 2
        scores[f"correlation_lead_{n}"] = _correlation(mean[at], outcome[at])
        scores[f"root_mean_squared_error_lead_{n}"] = float(np.sqrt(np.nanmean(squared))) if is_enough else float("nan")
        scores[f"accuracy_lead_{n}"] = float(is_named[at].mean()) if is_enough else float("nan")
    return scores


def _correlation(forecast: Floats, outcome: Floats) -> float:
    """Bivariate anomaly correlation (Gottschalck et al. 2010, BAMS 91, 1247, equation 1); one index alone is plain.

    For a single index this is the uncentred correlation of anomalies.
    """
    import numpy as np

    if len(forecast) < _FEWEST_ROWS:
        return float("nan")
    is_known = np.isfinite(outcome)
    ours, theirs = forecast[is_known], outcome[is_known]
    size = float(np.sqrt((ours**2).sum() * (theirs**2).sum()))
    return float(ours @ theirs) / size if size else float("nan")


def _beside_dynamical(rows: pl.DataFrame, lead: NDArray[np.int64]) -> dict[str, float]:
    """Correlations of RMM1 of the dynamical model and of ours, on the rows for which it has a forecast."""
    import numpy as np

    scores = {
        name: float("nan") for n in DYNAMICAL_LEADS for name in (f"dynamical_rmm1_lead_{n}", f"our_rmm1_lead_{n}")
    }
    if "dynamical_index" not in rows.columns or rows["dynamical_index"].null_count() == rows.height:
        return scores
    theirs = rows["dynamical_index"].to_numpy()
    ours, seen = rows["forecast_first"].to_numpy(), rows["target_index"].to_numpy()
    for n in DYNAMICAL_LEADS:
        both = (lead == n) & np.isfinite(theirs)
        if both.sum() >= _FEWEST_ROWS:
            scores[f"dynamical_rmm1_lead_{n}"] = float(np.corrcoef(theirs[both], seen[both])[0, 1])
            scores[f"our_rmm1_lead_{n}"] = float(np.corrcoef(ours[both], seen[both])[0, 1])
    return scores
