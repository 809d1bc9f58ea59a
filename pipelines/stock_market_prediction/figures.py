"""Figures for the reviewer of a model, in one style, readable at the width of a README."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelyard.tasks.figure_style import GRID, MUTED, figure_style
from pipelines.stock_market_prediction.model import DIRECTION_INPUTS
from pipelines.stock_market_prediction.significance import BLOCK_DAYS, best_constant, chance_differences
from pipelines.stock_market_prediction.trading import daily_book

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pipelines.stock_market_prediction.model import StockModel

_BLUE, _RED, _YELLOW, _GREEN = "#0b6e99", "#d1495b", "#edae49", "#3f9c74"
_SHOWN_FEATURES = 12
_COST_BPS = 5.0


def figures(rows: pl.DataFrame, model: StockModel) -> dict[str, Figure]:
    """What a reviewer looks at.

    Args:
        rows: Test rows with predictions.
        model: The model that made them.

    Returns:
        ``walk_forward`` (accuracy period by period), ``chance`` (the test of significance), ``calls`` (what followed
        weak and strong calls), ``volatility``, ``importance``, and ``book`` where something can be traded.
    """
    import matplotlib as mpl

    labelled = rows.drop_nulls("is_up")
    draw = {
        "walk_forward": lambda axes: _walk_forward(axes, labelled, model),
        "chance": lambda axes: _chance(axes, labelled),
        "calls": lambda axes: _calls(axes, labelled),
        "volatility": lambda axes: _volatility(axes, rows),
        "importance": lambda axes: _importance(axes, model),
    }
    if daily_book(rows, _COST_BPS).height:
        draw["book"] = lambda axes: _book(axes, rows)
    with mpl.rc_context(figure_style()):
        return {name: _drawn(function) for name, function in draw.items()}


def _drawn(draw: Any) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), dpi=120, layout="constrained")
    draw(figure.subplots())
    return figure


def _walk_forward(axes: Axes, rows: pl.DataFrame, model: StockModel) -> None:
    """Accuracy of each period that was foreseen, the test last, with intervals over days for the test."""
    import numpy as np

    is_up, is_right = rows["is_up"].to_numpy(), (rows["is_up"] == rows["is_up_predicted"]).to_numpy()
    periods = model.params.walk_forward
    names = [f"{period.first_day[:7]}\nto {period.last_day[:7]}" for period in periods]
    months = rows["target_at"].sort().dt.to_string("%Y-%m").to_list()
    names.append(f"test {months[0]}\nto {months[-1]}")
    ours = [*(period.accuracy for period in periods), float(is_right.mean())]
    constant = [*(period.constant_accuracy for period in periods), float((is_up == best_constant(is_up)).mean())]
    place = np.arange(len(names))
    low, high = _day_interval(rows, is_right)
    axes.axhline(0.5, color=MUTED, linewidth=1)
    axes.errorbar(place[-1], ours[-1], [[ours[-1] - low], [high - ours[-1]]], color=_BLUE, capsize=4, linewidth=1.5)
    axes.plot(place, ours, "o", color=_BLUE, markersize=8, label="model (test: 95 % over days)")
    axes.plot(place, constant, "_", color=_RED, markersize=18, markeredgewidth=2.5, label="best constant call")
    axes.set_xticks(place, names, fontsize=9)
    axes.set(ylabel="share of right calls", xlim=(-0.5, len(names) - 0.5))
    axes.set_title("Right calls in periods that the trees had not seen")
    axes.legend(loc="best")


def _day_interval(rows: pl.DataFrame, is_right: Any) -> tuple[float, float]:
    """95 % bootstrap interval of the mean over whole days."""
    import numpy as np
    import polars as pl

    days = rows.select("trading_day", pl.Series("right", is_right).cast(pl.Int64)).group_by("trading_day")
    sums = days.agg(pl.col("right").sum(), pl.len().alias("n")).sort("trading_day")
    right, n = sums["right"].to_numpy(), sums["n"].to_numpy()
    drawn = np.random.default_rng(0).integers(0, len(n), (1000, len(n)))
    low, high = np.percentile(right[drawn].sum(axis=1) / n[drawn].sum(axis=1), [2.5, 97.5])
    return float(low), float(high)


def _chance(axes: Axes, rows: pl.DataFrame) -> None:
    observed, chance = chance_differences(rows)
    if len(chance):
        p_value = (1 + (chance >= observed).sum()) / (1 + len(chance))
        axes.hist(100 * chance, bins=40, color=GRID, edgecolor=MUTED, linewidth=0.5)
        axes.annotate(
            f"p = {p_value:.2g}\n{'not ' if p_value > 0.05 else ''}better than chance",
            (0.98, 0.95),
            xycoords="axes fraction",
            ha="right",
            va="top",
            color=_BLUE,
            fontweight="bold",
        )
    axes.axvline(100 * observed, color=_BLUE)
    axes.set(xlabel="percentage points of accuracy above the best constant call", ylabel="resamples of chance")
    axes.grid(visible=False, axis="x")
    axes.set_title(f"The model (line) and chance alone, in blocks of {BLOCK_DAYS} days")


def _calls(axes: Axes, rows: pl.DataFrame) -> None:
    """Share of rises in tenths of the probability."""
    import numpy as np
    import polars as pl

    tenth = (pl.col("up_probability").rank("ordinal") * 10 // (pl.len() + 1)).alias("tenth")
    bins = rows.with_columns(tenth).sort("tenth").partition_by("tenth", maintain_order=True)
    predicted = np.array([part["up_probability"].mean() for part in bins])
    seen = np.array([part["is_up"].mean() for part in bins])
    bounds = np.array([_day_interval(part, part["is_up"].to_numpy()) for part in bins])
    span = [predicted.min() - 0.01, predicted.max() + 0.01]
    axes.plot(span, span, color=MUTED, linewidth=1, label="as promised")
    axes.axhline(float(rows["is_up"].cast(pl.Int64).mean()), color=_RED, linestyle=":", label="all rows")  # type: ignore[arg-type]  # a mean of integers is a float
    axes.errorbar(
        predicted,
        seen,
        np.abs(bounds.T - seen),
        fmt="o",
        color=_BLUE,
        capsize=3,
        linewidth=1.5,
        label="tenths of the rows (95 % over days)",
    )
    axes.set(xlabel="predicted probability of a rise", ylabel="share that rose", xlim=span)
    axes.set_title("What followed weak and strong calls")
    axes.legend(loc="best", fontsize=9)


def _volatility(axes: Axes, rows: pl.DataFrame) -> None:
    """Median over the symbols, day by day."""
    import polars as pl

    names = ("next_volatility_pct", "volatility_forecast_pct")
    days = rows.drop_nulls("next_volatility_pct").group_by("target_at").agg(pl.col(names).median()).sort("target_at")
    axes.plot(days["target_at"], days[names[0]], color=MUTED, linewidth=1, label="happened")
    axes.plot(days["target_at"], days[names[1]], color=_BLUE, linewidth=1.5, label="foreseen")
    axes.set(ylabel="annualised volatility (%)", ylim=(0, None))
    _short_dates(axes)
    axes.set_title("How far the target day swung (median of the symbols)")
    axes.legend(loc="best")


def _short_dates(axes: Axes) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator()  # type: ignore[no-untyped-call]  # matplotlib.dates has no types
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]  # as above


def _importance(axes: Axes, model: StockModel) -> None:
    gains: dict[str, Any] = model.booster.get_score(importance_type="total_gain")
    total = sum(gains.values()) or 1.0
    # XGBoost calls the columns of a matrix f0, f1, ...
    shares = {DIRECTION_INPUTS[int(key[1:])]: gain / total for key, gain in gains.items()}
    shown = sorted(shares.items(), key=lambda item: item[1])[-_SHOWN_FEATURES:]
    axes.barh([name.replace("_", " ") for name, _ in shown], [share for _, share in shown], color=_BLUE)
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    axes.tick_params(axis="y", labelsize=9)
    axes.set(xlabel="share of the trees' gain")
    axes.set_title("What the trees look at")


def _book(axes: Axes, rows: pl.DataFrame) -> None:
    """Cumulated earnings before and after costs, beside a book that is always long."""
    import polars as pl

    book = daily_book(rows, _COST_BPS)
    long = daily_book(rows.with_columns(pl.lit(True).alias("is_up_predicted")), _COST_BPS)
    axes.axhline(0, color=MUTED, linewidth=1)
    axes.plot(book["event_time"], book["gross_bps"].cum_sum() / 100, color=_GREEN, label="before costs")
    axes.plot(
        book["event_time"], book["net_bps"].cum_sum() / 100, color=_BLUE, label=f"after {_COST_BPS:g} bps a trade"
    )
    axes.plot(long["event_time"], long["net_bps"].cum_sum() / 100, ":", color=_RED, label="always long, after costs")
    axes.set(ylabel="% of the book, added up")
    _short_dates(axes)
    axes.set_title("Long what is called up, short what is called down")
    axes.legend(loc="best")
