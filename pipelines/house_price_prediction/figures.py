"""Figures for an assessor: prices against answers, the map of errors, coverage, ratios by price, what the trees ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.tasks.boosting import gain_shares
from modelyard.tasks.figures import COLOURS, MUTED, axes, figure_style, importance
from modelyard.tasks.quantiles import interval_coverage
from pipelines.house_price_prediction.inputs import PLACE, nearby_columns, tree_columns

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pipelines.house_price_prediction.model import HouseModel

Floats = NDArray[np.float64]

_N_TENTHS = 10
_MOST_NAMES = 28
_DOT_AREA = 6000.0


@figure_style()
def figures(rows: pl.DataFrame, model: HouseModel) -> dict[str, Figure]:
    """Returns what a reviewer looks at.

    Args:
        rows: Test rows with predictions.
        model: The model that made them.

    Returns:
        ``prices``, ``error_map`` (or ``error_by_neighbourhood`` where homes have no coordinates), ``coverage``,
        ``ratio_by_price`` and ``importance``.
    """
    trees, names = model.trees.plain, list(tree_columns(rows.head(1), model.schema))
    if model.trees.nearby is not None and model.trees.places is not None:
        trees = model.trees.nearby
        names += list(nearby_columns(np.full((1, 3), np.nan), model.trees.places, is_training=False)[0])
    return {
        "prices": _prices(rows, model),
        **({"error_map": _error_map(rows)} if model.schema.has_place else {"error_by_neighbourhood": _by_name(rows)}),
        "coverage": _coverage(rows),
        "ratio_by_price": _ratio_by_price(rows),
        "importance": importance(gain_shares(trees, names)),
    }


def _prices(rows: pl.DataFrame, model: HouseModel) -> Figure:
    """Answers over prices, both in thousands on logarithmic axes; a model that is right lies on the diagonal."""
    from matplotlib.ticker import LogLocator, NullLocator

    price, predicted = rows["price"].to_numpy() / 1e3, rows["predicted_price"].to_numpy() / 1e3
    figure, (place,) = axes()
    ends = min(price.min(), predicted.min()) * 0.9, max(price.max(), predicted.max()) * 1.1
    place.plot(ends, ends, color=MUTED, linewidth=1)
    place.scatter(price, predicted, s=6, alpha=0.25, linewidths=0, color=COLOURS[0])
    if model.scale.cap is not None:
        place.axvline(model.scale.cap / 1e3, color=COLOURS[1], linestyle=":")
        place.annotate("cap ", (model.scale.cap / 1e3, ends[0] * 1.1), ha="right", color=COLOURS[1])
    place.set(xscale="log", yscale="log", xlim=ends, ylim=ends)
    for axis in (place.xaxis, place.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:,.0f}")
        axis.set_minor_locator(NullLocator())
    unit = f"thousand {model.scale.currency}"
    place.set(xlabel=f"price, {unit}", ylabel=f"predicted price, {unit}")
    place.set_title("Predicted and paid prices of the test rows")
    return figure


def _error_map(rows: pl.DataFrame) -> Figure:
    """Where answers are too high (red) and too low (blue); beyond half of the price the colours are the same."""
    known = rows.drop_nulls(list(PLACE))
    error = 100 * (known["predicted_price"] / known["price"] - 1).to_numpy()
    size = float(np.clip(_DOT_AREA / known.height, 4, 30))
    figure, (place,) = axes(size=(6.4, 6.0))
    drawn = place.scatter(
        known[PLACE[0]], known[PLACE[1]], c=error, s=size, cmap="coolwarm", vmin=-50, vmax=50, linewidths=0
    )
    place.set_aspect(1 / np.cos(np.radians(float(np.median(known[PLACE[1]])))))
    place.locator_params(nbins=5)
    place.set(xlabel="longitude, degrees", ylabel="latitude, degrees")
    place.set_title("Where the prices of test rows are missed")
    figure.colorbar(drawn, ax=place, shrink=0.7, label="predicted over paid price, %", extend="both")
    return figure


def _by_name(rows: pl.DataFrame) -> Figure:
    """Ratios in each neighbourhood, the dearest one on top."""
    named = rows.with_columns(ratio=100 * (pl.col("predicted_price") / pl.col("price") - 1)).drop_nulls("neighbourhood")
    order = named.group_by("neighbourhood").agg(pl.col("price").median(), pl.len()).sort("price").tail(_MOST_NAMES)
    figure, (place,) = axes(size=(6.4, 0.24 * order.height + 1.4))
    values = [named.filter(pl.col("neighbourhood") == name)["ratio"].to_numpy() for name in order["neighbourhood"]]
    place.boxplot(values, orientation="horizontal", showfliers=False, medianprops={"color": COLOURS[0]})
    labels = [f"{name} ({count})" for name, count in zip(order["neighbourhood"], order["len"], strict=True)]
    place.set_yticks(range(1, len(labels) + 1), labels, fontsize=8)
    place.axvline(0, color=MUTED, linewidth=1)
    place.set(xlabel="predicted over paid price, %")
    place.set_title("Errors by neighbourhood, the dearest on top")
    return figure


def _coverage(rows: pl.DataFrame) -> Figure:
    """Shares of prices inside their intervals, in thirds by price and in new areas."""
    price = rows["price"].to_numpy()
    third = np.searchsorted(np.quantile(price, [1 / 3, 2 / 3]), price)

    def share(prefix: str, kept: NDArray[np.bool_]) -> float:
        low, high = rows[f"{prefix}low_price"], rows[f"{prefix}high_price"].fill_null(float("inf"))
        return 100 * interval_coverage(low.to_numpy()[kept], high.to_numpy()[kept], price[kept])

    every = np.ones(len(price), bool)
    shares = {"all homes": every} | {f"{name} third": third == n for n, name in enumerate(("lower", "middle", "upper"))}
    figure, (place,) = axes()
    for number, (prefix, label) in enumerate((("", "as asked"), ("new_area_", "had nobody sold in the area"))):
        heights = [share(prefix, kept) for kept in shares.values()]
        bars = place.bar(np.arange(4) + 0.38 * (number - 0.5), heights, 0.36, color=COLOURS[number], label=label)
        place.bar_label(bars, fmt="%.0f", fontsize=9)
    place.axhline(90, color=MUTED, linestyle=":")
    place.set_xticks(range(4), list(shares))
    place.set(ylabel="prices inside their interval, %", ylim=(0, 109))
    place.set_title("What the intervals of 90 % hold")
    place.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2)
    return figure


def _ratio_by_price(rows: pl.DataFrame) -> Figure:
    """The assessor's ratio in tenths of the prices: a line that falls taxes cheap homes more than dear ones."""
    price, ratio = rows["price"].to_numpy(), (rows["predicted_price"] / rows["price"]).to_numpy()
    tenths = np.array_split(np.argsort(price, kind="stable"), _N_TENTHS)
    middle = [float(np.median(price[part])) / 1e3 for part in tenths]
    low, median, high = np.array([np.quantile(ratio[part], [0.25, 0.5, 0.75]) for part in tenths]).T
    figure, (place,) = axes()
    place.fill_between(middle, low, high, alpha=0.2, color=COLOURS[0], label="middle half")
    place.plot(middle, median, marker="o", markersize=4, color=COLOURS[0], label="median")
    place.axhline(1, color=MUTED, linewidth=1)
    place.set(xlabel="paid price of the tenth, thousands", ylabel="predicted over paid price")
    place.set_title("Are cheap homes valued too high, dear ones too low?")
    place.legend()
    return figure
