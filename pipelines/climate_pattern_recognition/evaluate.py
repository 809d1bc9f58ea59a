"""Predictions, the floor, and the metrics of both: of the whole distribution, of its spread and of the phases."""

from collections.abc import Callable

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from modelyard.parameters import Parameters
from modelyard.tasks.quantiles import interval_coverage
from modelyard.tasks.series.leads import by_lead
from modelyard.tasks.series.scores import crps_gaussian, gaussian_quantiles
from pipelines.climate_pattern_recognition.baselines import Forecast, fit_baselines
from pipelines.climate_pattern_recognition.inputs import (
    arrays_of,
    input_matrix,
    lead_positions,
    target_months,
    target_values,
)
from pipelines.climate_pattern_recognition.model import FORECASTS, ForecastModel, forecasts_of
from pipelines.climate_pattern_recognition.oscillations import OSCILLATIONS, forecast_phases, observed_phase

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

DYNAMICAL_LEADS = (5, 10, 15, 20, 25, 30)
_MIN_ROWS = 30


class ScoreParameters(Parameters):
    """How forecasts are judged."""

    nominal_coverage: float = Field(
        0.9, gt=0, lt=1, description="Share of outcomes that the judged interval should hold."
    )


def predict(model: ForecastModel, examples: pl.DataFrame) -> pl.DataFrame:
    """Forecasts the oscillation.

    Args:
        model: A trained model.
        examples: Records with features, at least one row.

    Returns:
        Row for row, float64, for each of ``forecast`` (ours), ``linear``, ``persistence`` and ``climatology``: the
        columns ``<name>_first``, ``<name>_second`` (means) and ``<name>_first_spread``, ``<name>_second_spread``
        (standard deviations); then ``phase`` (the likeliest), ``phase_probability`` and ``active_probability``. Null
        where the model has not learnt the row's oscillation or lead.
    """
    return _columns(forecasts_of(model, examples), model.scope.oscillation)


def floor(train: pl.DataFrame, test: pl.DataFrame) -> pl.DataFrame:
    """Forecasts by the linear baseline, the best of the simple ones, fitted on the training rows.

    Args:
        train: Examples.
        test: Examples.

    Returns:
        The columns of :func:`predict`; ``forecast`` is ``linear``.
    """
    leads = tuple(sorted(train["lead_count"].unique().to_list()))
    baselines, _ = fit_baselines(arrays_of(train, leads))
    simple = baselines.forecasts(input_matrix(test), lead_positions(test, leads)[0], target_months(test))
    return _columns({"forecast": simple["linear"], **simple}, str(train["oscillation"][0]))


def anomalies(oscillation: str, values: Floats, normal: Forecast) -> Floats:
    """Returns values as anomalies, shape (N, 2): as they are where the index is one, else their distance from normal.

    Args:
        oscillation: A name of :data:`.oscillations.OSCILLATIONS`.
        values: Shape (N, 2).
        normal: Mean and spread of the climatology, shape (N, 2) each.
    """
    return values if OSCILLATIONS[oscillation].is_anomaly else (values - normal[0]) / normal[1]


def _phases(forecasts: dict[str, Forecast], oscillation: str) -> pl.DataFrame:
    (mean, spread), normal = forecasts["forecast"], forecasts["climatology"]
    scale = 1.0 if OSCILLATIONS[oscillation].is_anomaly else normal[1]
    return forecast_phases(oscillation, anomalies(oscillation, mean, normal), spread / scale)


def _columns(forecasts: dict[str, Forecast], oscillation: str) -> pl.DataFrame:
    columns = {}
    for name in FORECASTS:
        mean, spread = forecasts[name]
        for position, index in enumerate(("first", "second")):
            columns[f"{name}_{index}"] = mean[:, position]
            columns[f"{name}_{index}_spread"] = spread[:, position]
    predictions = pl.DataFrame(columns).hstack(_phases(forecasts, oscillation))
    return predictions.select(pl.when(pl.col("forecast_first").is_not_nan()).then(pl.all()))


def means_and_spreads(rows: pl.DataFrame, name: str) -> Forecast:
    """Returns one forecast's columns as arrays of shape (N, 2) each."""
    mean = rows.select(f"{name}_first", f"{name}_second").to_numpy()
    spread = rows.select(f"{name}_first_spread", f"{name}_second_spread").to_numpy()
    return mean, spread


def score(rows: pl.DataFrame, params: ScoreParameters) -> dict[str, float]:
    """Computes the metrics of predictions.

    Args:
        rows: Records with predictions, of one oscillation.
        params: See :class:`ScoreParameters`.

    Returns:
        ``crps_skill``: share of the linear baseline's CRPS that the forecast saves, over all leads; the same beside
        ``climatology`` and ``persistence``. ``correlation`` of the anomalies (of both indices together, about zero as
        usual for the MJO), ``root_mean_squared_error`` and ``accuracy`` of the phase, these three also by lead.
        ``interval_coverage`` and ``interval_width``, ``crps``, ``brier_score`` of being active. Where NASA's dynamical
        forecasts are known, ``dynamical_rmm1_lead_<n>`` and ``our_rmm1_lead_<n>`` are correlations on the same rows.
        NaN where the rows cannot answer.
    """
    if not rows.height:
        return {"crps_skill": float("nan")}
    oscillation = str(rows["oscillation"][0])
    outcome, lead = target_values(rows), rows["lead_count"].to_numpy()
    is_known = np.isfinite(outcome)
    mean, spread = means_and_spreads(rows, "forecast")
    totals = {name: float(np.nansum(crps_gaussian(*means_and_spreads(rows, name), outcome))) for name in FORECASTS}
    tail = (1 - params.nominal_coverage) / 2
    interval = gaussian_quantiles(mean, spread, (tail, 1 - tail))
    normal = means_and_spreads(rows, "climatology")
    ours, observed = (anomalies(oscillation, values, normal) for values in (mean, outcome))
    phase = observed_phase(oscillation, observed[:, 0], observed[:, 1])
    is_right = rows["phase"].to_numpy() == np.array(OSCILLATIONS[oscillation].phases)[phase]
    each_lead: dict[str, Callable[[Booleans], float]] = {
        "correlation": lambda at: anomaly_correlation(ours[at], observed[at]),
        "root_mean_squared_error": lambda at: float(np.sqrt(np.nanmean((mean[at] - outcome[at]) ** 2))),
        "accuracy": lambda at: float(is_right[at].mean()),
    }
    return {
        "crps_skill": 1 - totals["forecast"] / totals["linear"],
        "crps_skill_over_climatology": 1 - totals["forecast"] / totals["climatology"],
        "crps_skill_over_persistence": 1 - totals["forecast"] / totals["persistence"],
        "correlation": anomaly_correlation(ours, observed),
        "root_mean_squared_error": float(np.sqrt(((mean - outcome)[is_known] ** 2).mean())),
        "accuracy": float(is_right.mean()),
        "interval_coverage": interval_coverage(interval[..., 0], interval[..., 1], outcome),
        "interval_width": float(np.diff(interval)[is_known].mean()),
        "crps": totals["forecast"] / int(is_known.sum()),
        "brier_score": float(((rows["active_probability"].to_numpy() - (phase > 0)) ** 2).mean()),
        **by_lead(lead, OSCILLATIONS[oscillation].reported_leads, each_lead, _MIN_ROWS),
        **(_beside_dynamical(rows, lead) if oscillation == "mjo" else {}),
    }


def anomaly_correlation(forecast: Floats, outcome: Floats) -> float:
    """Returns the uncentred correlation of N rows, shape (N, 2) each; NaN for fewer than 30 rows.

    Of two indices it is the bivariate anomaly correlation (Gottschalck et al. 2010, BAMS 91, 1247, equation 1).
    Outcomes that are not known (NaN) do not count.
    """
    is_known = np.isfinite(outcome)
    ours, theirs = forecast[is_known], outcome[is_known]
    size = float(np.sqrt((ours**2).sum() * (theirs**2).sum()))
    return float(ours @ theirs) / size if size and len(forecast) >= _MIN_ROWS else float("nan")


def _beside_dynamical(rows: pl.DataFrame, lead: NDArray[np.int64]) -> dict[str, float]:
    """Returns correlations of RMM1 of the dynamical model and of ours, on the rows for which it has a forecast."""
    theirs = np.full(rows.height, np.nan)
    if "dynamical_index" in rows.columns:
        theirs = rows["dynamical_index"].cast(pl.Float64).to_numpy()
    ours, outcome = rows["forecast_first"].to_numpy(), rows["target_index"].to_numpy()
    has_both = np.isfinite(theirs)

    def correlation(forecast: Floats, at: Booleans) -> float:
        return float(np.corrcoef(forecast[at], outcome[at])[0, 1])

    each_lead: dict[str, Callable[[Booleans], float]] = {
        "dynamical_rmm1": lambda at: correlation(theirs, at),
        "our_rmm1": lambda at: correlation(ours, at),
    }
    return by_lead(np.where(has_both, lead, 0), DYNAMICAL_LEADS, each_lead, _MIN_ROWS)
