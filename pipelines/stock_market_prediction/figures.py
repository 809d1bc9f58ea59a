"""Figures for the reviewer of a model: foresight period by period, chance, what followed, volatility, earnings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.tasks.boosting import gain_shares
from modelyard.tasks.figures import COLOURS, GRID, MUTED, axes, figure_style, importance
from pipelines.stock_market_prediction.evaluate import MAX_P_VALUE
from pipelines.stock_market_prediction.model import DIRECTION_INPUTS
from pipelines.stock_market_prediction.significance import BLOCK_DAYS, best_constant, chance_differences, p_value_of
from pipelines.stock_market_prediction.trading import daily_book

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pipelines.stock_market_prediction.model import StockModel

_SHOWN_FEATURES = 12
_COST_BPS = 5.0


@figure_style()
def figures(rows: pl.DataFrame, model: StockModel) -> dict[str, Figure]:
    """Returns what a reviewer looks at.

    Args:
        rows: Test rows with predictions.
        model: The model that made them.

    Returns:
        ``walk_forward`` (accuracy period by period), ``chance`` (the test of significance), ``predictions`` (what
        followed weak and strong ones), ``volatility``, ``importance``, and ``book`` where something can be traded.
    """
    labelled = rows.drop_nulls("is_up")
    drawn = {
        "walk_forward": _walk_forward(labelled, model),
        "chance": _chance(labelled),
        "predictions": _predictions(labelled),
        "volatility": _volatility(rows),
        "importance": importance(gain_shares(model.booster, DIRECTION_INPUTS), _SHOWN_FEATURES),
    }
    book = daily_book(rows, _COST_BPS)
    return drawn | ({"book": _book(rows, book)} if book.height else {})


def _walk_forward(rows: pl.DataFrame, model: StockModel) -> Figure:
    """Accuracy of each period that was predicted, the test last, with intervals over days for the test."""
    is_up, is_right = rows["is_up"].to_numpy(), (rows["is_up"] == rows["is_up_predicted"]).to_numpy()
    periods = model.params.walk_forward
    names = [f"{period.first_day[:7]}\nto {period.last_day[:7]}" for period in periods]
    months = rows["target_at"].sort().dt.to_string("%Y-%m").to_list()
    names.append(f"test {months[0]}\nto {months[-1]}")
    ours = [*(period.accuracy for period in periods), float(is_right.mean())]
    constant = [*(period.constant_accuracy for period in periods), float((is_up == best_constant(is_up)).mean())]
    number = np.arange(len(names))
    low, high = _day_interval(rows, is_right)
    figure, (place,) = axes()
    place.axhline(0.5, color=MUTED, linewidth=1)
    bars = [[ours[-1] - low], [high - ours[-1]]]
    place.errorbar(number[-1], ours[-1], bars, color=COLOURS[0], capsize=4, linewidth=1.5)
    place.plot(number, ours, "o", color=COLOURS[0], markersize=8, label="model (test: 95 % over days)")
    label = "best constant prediction"
    place.plot(number, constant, "_", color=COLOURS[1], markersize=18, markeredgewidth=2.5, label=label)
    place.set_xticks(number, names, fontsize=9)
    place.set(ylabel="share of right predictions", xlim=(-0.5, len(names) - 0.5))
    place.set_title("Right predictions in periods that the trees had not seen")
    place.legend(loc="best")
    return figure


def _day_interval(rows: pl.DataFrame, is_right: NDArray[np.bool_]) -> tuple[float, float]:
    """Returns the 95 % bootstrap interval of the mean over whole days."""
    days = rows.select("trading_day", pl.Series("right", is_right).cast(pl.Int64)).group_by("trading_day")
    sums = days.agg(pl.col("right").sum(), pl.len().alias("n")).sort("trading_day")
    right, n = sums["right"].to_numpy(), sums["n"].to_numpy()
    drawn = np.random.default_rng(0).integers(0, len(n), (1000, len(n)))
    low, high = np.percentile(right[drawn].sum(axis=1) / n[drawn].sum(axis=1), [2.5, 97.5])
    return float(low), float(high)


def _chance(rows: pl.DataFrame) -> Figure:
    observed, chance = chance_differences(rows)
    figure, (place,) = axes()
    if len(chance):
        p_value = p_value_of(observed, chance)
        place.hist(100 * chance, bins=40, color=GRID, edgecolor=MUTED, linewidth=0.5)
        place.annotate(
            f"p = {p_value:.2g}\n{'not ' if p_value > MAX_P_VALUE else ''}better than chance",
            (0.98, 0.95),
            xycoords="axes fraction",
            ha="right",
            va="top",
            color=COLOURS[0],
            fontweight="bold",
        )
    place.axvline(100 * observed, color=COLOURS[0])
    place.set(xlabel="percentage points of accuracy above the best constant prediction", ylabel="resamples of chance")
    place.grid(visible=False, axis="x")
    place.set_title(f"The model (line) and chance alone, in blocks of {BLOCK_DAYS} days")
    return figure


def _predictions(rows: pl.DataFrame) -> Figure:
    """Share of rises in tenths of the probability."""
    tenth = (pl.col("up_probability").rank("ordinal") * 10 // (pl.len() + 1)).alias("tenth")
    bins = rows.with_columns(tenth).sort("tenth").partition_by("tenth", maintain_order=True)
    predicted = np.array([part["up_probability"].mean() for part in bins])
    observed = np.array([part["is_up"].mean() for part in bins])
    bounds = np.array([_day_interval(part, part["is_up"].to_numpy()) for part in bins])
    span = [predicted.min() - 0.01, predicted.max() + 0.01]
    figure, (place,) = axes()
    place.plot(span, span, color=MUTED, linewidth=1, label="as predicted")
    place.axhline(float(rows["is_up"].to_numpy().mean()), color=COLOURS[1], linestyle=":", label="all rows")
    label = "tenths of the rows (95 % over days)"
    bars = np.abs(bounds.T - observed)
    place.errorbar(predicted, observed, bars, fmt="o", color=COLOURS[0], capsize=3, linewidth=1.5, label=label)
    place.set(xlabel="predicted probability of a rise", ylabel="share that rose", xlim=span)
    place.set_title("What followed weak and strong predictions")
    place.legend(loc="best", fontsize=9)
    return figure


def _volatility(rows: pl.DataFrame) -> Figure:
    """Median over the symbols, day by day."""
    names = ("next_volatility_pct", "volatility_forecast_pct")
    days = rows.drop_nulls("next_volatility_pct").group_by("target_at").agg(pl.col(names).median()).sort("target_at")
    figure, (place,) = axes()
    place.plot(days["target_at"], days[names[0]], color=MUTED, linewidth=1, label="observed")
    place.plot(days["target_at"], days[names[1]], color=COLOURS[0], linewidth=1.5, label="forecast")
    place.set(ylabel="annualised volatility (%)", ylim=(0, None))
    _short_dates(place)
    place.set_title("Volatility of the target day (median of the symbols)")
    place.legend(loc="best")
    return figure


def _book(rows: pl.DataFrame, book: pl.DataFrame) -> Figure:
    """Cumulated earnings before and after costs, beside a book that is always long."""
    long = daily_book(rows.with_columns(pl.lit(True).alias("is_up_predicted")), _COST_BPS)
    figure, (place,) = axes()
    place.axhline(0, color=MUTED, linewidth=1)
    for frame, name, style, colour, label in (
        (book, "gross_bps", "-", COLOURS[3], "before costs"),
        (book, "net_bps", "-", COLOURS[0], f"after {_COST_BPS:g} bps a trade"),
        (long, "net_bps", ":", COLOURS[1], "always long, after costs"),
    ):
        place.plot(frame["event_time"], frame[name].cum_sum() / 100, style, color=colour, label=label)
    place.set(ylabel="% of the book, added up")
    _short_dates(place)
    place.set_title("Long what is to rise, short what is to fall")
    place.legend(loc="best")
    return figure


def _short_dates(place: Axes) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator()  # type: ignore[no-untyped-call]  # matplotlib.dates has no types
    place.xaxis.set_major_locator(locator)
    place.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]  # as above
