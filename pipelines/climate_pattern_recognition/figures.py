"""Figures for the reviewer of a forecast, in one style, readable at the width of a README."""

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from modelyard.tasks.figures import COLOURS, INK, MUTED, axes, confusion_matrix, figure_style
from modelyard.tasks.series.scores import crps_gaussian
from pipelines.climate_pattern_recognition.evaluate import anomalies, anomaly_correlation, means_and_spreads
from pipelines.climate_pattern_recognition.inputs import target_values
from pipelines.climate_pattern_recognition.model import FORECASTS, ForecastModel
from pipelines.climate_pattern_recognition.oscillations import OSCILLATIONS, observed_phase

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = dict(zip(("forecast", "linear", "persistence"), COLOURS, strict=False)) | {"climatology": MUTED}
_NAMES = {"forecast": "ours", "linear": "linear baseline", "persistence": "persistence", "climatology": "climatology"}
_BANDS = ((1.645, 0.18), (0.674, 0.35))
"""Half-widths of the intervals of 90 % and 50 % in spreads, and how dark they are drawn."""


@figure_style()
def figures(rows: pl.DataFrame, model: ForecastModel) -> "dict[str, Figure]":
    """Returns what a reviewer looks at.

    Args:
        rows: Test rows with predictions.
        model: The model that made them.

    Returns:
        ``crps_by_lead`` and ``correlation_by_lead`` (beside the simple forecasts), ``calibration`` (share of outcomes
        below each quantile), ``phases`` (forecast against observed) and ``plume`` (forecasts at a middle lead).
    """
    found = {}
    for draw in (_crps_by_lead, _correlation_by_lead, _calibration, _phases, _plume):
        figure, (place,) = axes(size=(9.0, 4.0) if draw is _plume else None)
        draw(place, rows, model)
        found[draw.__name__.removeprefix("_")] = figure
    return found


def _unit(model: ForecastModel) -> str:
    return f"{OSCILLATIONS[model.scope.oscillation].step}s"


def _crps_by_lead(place: "Axes", rows: pl.DataFrame, model: ForecastModel) -> None:
    lead, outcome = rows["lead_count"].to_numpy(), target_values(rows)
    for name in reversed(FORECASTS):
        scores = crps_gaussian(*means_and_spreads(rows, name), outcome)
        means = [float(np.nanmean(scores[lead == n])) for n in model.scope.leads]
        place.plot(model.scope.leads, means, color=_COLOURS[name], marker="o", markersize=4, label=_NAMES[name])
    place.set(xlabel=f"lead, {_unit(model)}", ylabel="CRPS, in units of the index", ylim=(0, None))
    place.set_title("Error of the whole distribution (less is better)")
    place.legend(loc="lower right")


def _correlation_by_lead(place: "Axes", rows: pl.DataFrame, model: ForecastModel) -> None:
    oscillation, normal = model.scope.oscillation, means_and_spreads(rows, "climatology")
    lead, outcome = rows["lead_count"].to_numpy(), anomalies(oscillation, target_values(rows), normal)
    for name in ("persistence", "linear", "forecast"):
        mean = anomalies(oscillation, means_and_spreads(rows, name)[0], normal)
        values = [anomaly_correlation(mean[lead == n], outcome[lead == n]) for n in model.scope.leads]
        place.plot(model.scope.leads, values, color=_COLOURS[name], marker="o", markersize=4, label=_NAMES[name])
    place.axhline(0.5, color=MUTED, linewidth=1, linestyle=":")
    place.annotate(
        "0.5, the usual limit of useful skill", (model.scope.leads[0], 0.5), va="bottom", color=MUTED, fontsize=9
    )
    place.set(xlabel=f"lead, {_unit(model)}", ylabel="anomaly correlation", ylim=(None, 1.02))
    place.set_title("Correlation with the outcome")
    place.legend(loc="upper right")


def _calibration(place: "Axes", rows: pl.DataFrame, model: ForecastModel) -> None:
    from scipy.special import ndtr  # type: ignore[import-untyped]  # scipy ships no types

    mean, spread = means_and_spreads(rows, "forecast")
    # The probability integral transform: uniform where the forecast is calibrated.
    pit, lead = ndtr((target_values(rows) - mean) / spread), rows["lead_count"].to_numpy()
    levels = np.linspace(0.05, 0.95, 19)
    leads = model.scope.leads
    chosen = dict.fromkeys([leads[0], leads[len(leads) // 2], leads[-1]])
    place.axline((0, 0), slope=1, color=MUTED, linewidth=1)
    for n, colour in zip(chosen, COLOURS, strict=False):
        found = pit[lead == n]
        found = found[np.isfinite(found)]
        observed = [float((found <= level).mean()) for level in levels]
        place.plot(levels, observed, color=colour, marker="o", markersize=3, label=f"lead {n} {_unit(model)}")
    place.set(xlim=(0, 1), ylim=(0, 1), xlabel="level of the quantile", ylabel="share of outcomes below it")
    place.set_title("Calibration of the quantiles")
    place.legend(loc="upper left")


def _phases(place: "Axes", rows: pl.DataFrame, model: ForecastModel) -> None:
    oscillation, leads = model.scope.oscillation, model.scope.leads
    names, middle = list(OSCILLATIONS[oscillation].phases), leads[min(2, len(leads) - 1)]
    part = rows.filter(rows["lead_count"] == middle)
    outcome = anomalies(oscillation, target_values(part), means_and_spreads(part, "climatology"))
    observed = observed_phase(oscillation, outcome[:, 0], outcome[:, 1])
    forecast = np.array([names.index(phase) for phase in part["phase"]])
    confusion_matrix(place, observed, forecast, [name.replace("phase_", "").replace("_", " ") for name in names])
    place.set(xlabel=f"phase forecast {middle} {_unit(model)} before", ylabel="phase observed")
    place.set_title("What was forecast, % of each phase")


def _plume(place: "Axes", rows: pl.DataFrame, model: ForecastModel) -> None:
    oscillation, leads = model.scope.oscillation, model.scope.leads
    is_daily = OSCILLATIONS[oscillation].step == "day"
    middle = leads[min(2 if is_daily else 5, len(leads) - 1)]
    part = rows.filter(pl.col("lead_count") == middle).sort("target_at")
    part = part.filter(pl.col("series") == part["series"][0])
    if is_daily:
        # The year with the liveliest quarter; all years would be a blur.
        lively = part.group_by("block").agg(pl.col("target_index").abs().mean()).sort("target_index", "block")
        year = lively["block"][-1].split("-")[0]
        part = part.filter(pl.col("target_at").dt.year() == int(year))
    time, mean, spread = part["target_at"], part["forecast_first"].to_numpy(), part["forecast_first_spread"].to_numpy()
    for half, alpha in _BANDS:
        place.fill_between(
            time, mean - half * spread, mean + half * spread, color=_COLOURS["forecast"], alpha=alpha, linewidth=0
        )
    place.plot(time, mean, color=_COLOURS["forecast"], label=f"forecast {middle} {_unit(model)} before, 50 % and 90 %")
    place.plot(time, part["target_index"], color=INK, linewidth=1.4, label="outcome")
    if OSCILLATIONS[oscillation].is_anomaly:
        for sign in (-1, 1):
            place.axhline(sign * OSCILLATIONS[oscillation].threshold, color=MUTED, linewidth=1, linestyle=":")
    name = part["series"][0]
    place.set(ylabel="first index" if name.startswith("simulated") else OSCILLATIONS[oscillation].label or name)
    place.set_title(f"Forecasts beside the outcomes, lead {middle} {_unit(model)}")
    place.legend(loc="upper left", ncols=2)
