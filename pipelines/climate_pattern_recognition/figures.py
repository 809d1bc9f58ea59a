"""Figures for the reviewer of a forecast, in one style, readable at the width of a README."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelyard.tasks.figure_style import INK, MUTED, figure_style
from pipelines.climate_pattern_recognition.gaussian import crps
from pipelines.climate_pattern_recognition.inputs import target_values
from pipelines.climate_pattern_recognition.model import FORECASTS
from pipelines.climate_pattern_recognition.oscillations import OSCILLATIONS, observed_phase

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pipelines.climate_pattern_recognition.model import ForecastModel

_COLOURS = {"forecast": "#0b6e99", "linear": "#d1495b", "persistence": "#edae49", "climatology": "#8796a5"}
_NAMES = {"forecast": "ours", "linear": "linear rule", "persistence": "persistence", "climatology": "climatology"}
_BANDS = ((1.645, 0.18), (0.674, 0.35))
"""Half-widths of the intervals of 90 % and 50 % in spreads, and how dark they are drawn."""


def figures(rows: pl.DataFrame, model: ForecastModel) -> dict[str, Figure]:
    """What a reviewer looks at.

    Args:
        rows: Test rows with predictions.
        model: The model that made them.

    Returns:
        ``crps_by_lead`` and ``correlation_by_lead`` (beside the simple rules), ``calibration`` (shares of outcomes
        below each quantile), ``phases`` (named against seen) and ``plume`` (forecasts at a middle lead).
    """
    import matplotlib as mpl

    draw = {
        "crps_by_lead": _crps_by_lead,
        "correlation_by_lead": _correlation_by_lead,
        "calibration": _calibration,
        "phases": _phases,
        "plume": _plume,
    }
    with mpl.rc_context(figure_style()):
        return {name: _drawn(function, rows, model) for name, function in draw.items()}


def _drawn(draw: Any, rows: pl.DataFrame, model: ForecastModel) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 4.0) if draw is _plume else (6.4, 4.4), dpi=120, layout="constrained")
    draw(figure.subplots(), rows, model)
    return figure


def _unit(model: ForecastModel) -> str:
    return "months" if OSCILLATIONS[model.oscillation].step == "month" else "days"


def _columns(rows: pl.DataFrame, name: str) -> tuple[Any, Any]:
    mean = rows.select(f"{name}_first", f"{name}_second").to_numpy()
    return mean, rows.select(f"{name}_first_spread", f"{name}_second_spread").to_numpy()


def _crps_by_lead(axes: Axes, rows: pl.DataFrame, model: ForecastModel) -> None:
    import numpy as np

    lead, outcome = rows["lead_count"].to_numpy(), target_values(rows)
    for name in reversed(FORECASTS):
        scores = crps(*_columns(rows, name), outcome)
        means = [float(np.nanmean(scores[lead == n])) for n in model.leads]
        axes.plot(model.leads, means, color=_COLOURS[name], marker="o", markersize=4, label=_NAMES[name])
    axes.set(xlabel=f"lead, {_unit(model)}", ylabel="CRPS, in units of the index", ylim=(0, None))
    axes.set_title("Error of the whole distribution (less is better)")
    axes.legend(loc="lower right")


def _correlation_by_lead(axes: Axes, rows: pl.DataFrame, model: ForecastModel) -> None:
    import numpy as np

    lead, outcome = rows["lead_count"].to_numpy(), target_values(rows)
    seen = np.nan_to_num(outcome)
    for name in ("persistence", "linear", "forecast"):
        mean = np.where(np.isfinite(outcome), _columns(rows, name)[0], 0)
        values = [_uncentred(mean[lead == n], seen[lead == n]) for n in model.leads]
        axes.plot(model.leads, values, color=_COLOURS[name], marker="o", markersize=4, label=_NAMES[name])
    axes.axhline(0.5, color=MUTED, linewidth=1, linestyle=":")
    axes.annotate("0.5, the usual limit of useful skill", (model.leads[0], 0.5), va="bottom", color=MUTED, fontsize=9)
    axes.set(xlabel=f"lead, {_unit(model)}", ylabel="anomaly correlation", ylim=(None, 1.02))
    axes.set_title("Correlation with what came")
    axes.legend(loc="upper right")


def _uncentred(ours: Any, theirs: Any) -> float:
    import numpy as np

    return float((ours * theirs).sum() / np.sqrt((ours**2).sum() * (theirs**2).sum() + 1e-12))


def _calibration(axes: Axes, rows: pl.DataFrame, model: ForecastModel) -> None:
    import numpy as np
    from scipy.special import ndtr  # type: ignore[import-untyped]  # scipy ships no types

    mean, spread = _columns(rows, "forecast")
    outcome, lead = target_values(rows), rows["lead_count"].to_numpy()
    shares = np.linspace(0.05, 0.95, 19)
    chosen = [model.leads[0], model.leads[len(model.leads) // 2], model.leads[-1]]
    axes.axline((0, 0), slope=1, color=MUTED, linewidth=1)
    for n, colour in zip(dict.fromkeys(chosen), ("#3f9c74", "#0b6e99", "#7a5195"), strict=False):
        places = ndtr((outcome - mean) / spread)[lead == n]
        places = places[np.isfinite(places)]
        seen = [float((places <= share).mean()) for share in shares]
        axes.plot(shares, seen, color=colour, marker="o", markersize=3, label=f"lead {n} {_unit(model)}")
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="promised share of outcomes below", ylabel="seen share of outcomes below")
    axes.set_title("Calibration of the quantiles")
    axes.legend(loc="upper left")


def _phases(axes: Axes, rows: pl.DataFrame, model: ForecastModel) -> None:
    import numpy as np

    names, middle = list(OSCILLATIONS[model.oscillation].phases), model.leads[min(2, len(model.leads) - 1)]
    part = rows.filter(rows["lead_count"] == middle)
    outcome = target_values(part)
    seen = observed_phase(model.oscillation, outcome[:, 0], outcome[:, 1])
    named = np.array([names.index(phase) for phase in part["phase"]])
    counts = np.zeros((len(names), len(names)))
    np.add.at(counts, (seen, named), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    labels = [name.replace("phase_", "").replace("_", " ") for name in names]
    axes.set_xticks(range(len(names)), labels)
    axes.set_yticks(range(len(names)), labels)
    axes.grid(visible=False)
    for row, column in np.ndindex(shares.shape):
        colour = "white" if shares[row, column] > 0.6 else INK
        axes.text(column, row, f"{100 * shares[row, column]:.0f}", ha="center", va="center", color=colour, fontsize=9)
    axes.set(xlabel=f"phase forecast {middle} {_unit(model)} before", ylabel="phase seen")
    axes.set_title("Of 100 times of a phase, what was forecast")


def _plume(axes: Axes, rows: pl.DataFrame, model: ForecastModel) -> None:
    import polars as pl

    middle = model.leads[min(2 if model.oscillation == "mjo" else 5, len(model.leads) - 1)]
    part = rows.filter(pl.col("lead_count") == middle).sort("target_at")
    part = part.filter(pl.col("series") == part["series"][0])
    if model.oscillation == "mjo":
        lively = part.group_by("block").agg(pl.col("target_index").abs().mean()).sort("target_index", "block")
        year = lively["block"][-1].split("-")[0]
        part = part.filter(pl.col("target_at").dt.year() == int(year))
    time, mean, spread = part["target_at"], part["forecast_first"].to_numpy(), part["forecast_first_spread"].to_numpy()
    for half, alpha in _BANDS:
        axes.fill_between(
            time, mean - half * spread, mean + half * spread, color=_COLOURS["forecast"], alpha=alpha, linewidth=0
        )
    axes.plot(time, mean, color=_COLOURS["forecast"], label=f"forecast {middle} {_unit(model)} before, 50 % and 90 %")
    axes.plot(time, part["target_index"], color=INK, linewidth=1.4, label="what came")
    threshold = OSCILLATIONS[model.oscillation].threshold
    for sign in (-1, 1):
        axes.axhline(sign * threshold, color=MUTED, linewidth=1, linestyle=":")
    is_simulated = part["series"][0].startswith("simulated")
    axes.set(ylabel="first index" if is_simulated else OSCILLATIONS[model.oscillation].label)
    axes.set_title(f"Forecasts beside what came, lead {middle} {_unit(model)}")
    axes.legend(loc="upper left", ncols=2)
