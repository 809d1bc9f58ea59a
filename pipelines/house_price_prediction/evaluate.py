"""What is good: prices near the truth, also where nobody has sold, and intervals that hold what they promise."""

from __future__ import annotations

import numpy as np
import polars as pl
import polars.selectors as cs
from numpy.typing import NDArray
from pydantic import Field

from modelyard.parameters import Parameters
from modelyard.tasks.quantiles import interval_coverage, pinball
from pipelines.house_price_prediction.inputs import PLACE, Places, area_of, neighbours, to_km
from pipelines.house_price_prediction.model import TAIL, HouseModel, Rows, answers_of

Floats = NDArray[np.float64]

_NEAREST = 20
_THIRDS = ("lower", "middle", "upper")


class ScoreParameters(Parameters):
    """What counts as near."""

    near_pct: float = Field(10.0, gt=0, le=100, description="An answer within this of the price is near it, percent.")


def predict(model: HouseModel, examples: pl.DataFrame) -> pl.DataFrame:
    """Returns the price of each home.

    Args:
        model: A trained model.
        examples: Records, at least one row.

    Returns:
        Row for row, in the currency of training: ``predicted_price`` (at most the cap, if there is one), ``low_price``
        and ``high_price`` (90 %; null where the price may be above the cap), ``cap_probability`` (that it is; null
        without a cap), ``is_far`` (from all training homes), its parts ``trees_price`` and ``second_price``, and
        ``new_area_price``, ``new_area_low_price``, ``new_area_high_price``: the same, had nobody sold in its area.
    """
    answers, price = answers_of(model, Rows.of(examples, model.schema)), model.scale.to_price
    columns = {
        "predicted_price": price(answers.z),
        "low_price": price(answers.low),
        "high_price": price(answers.high),
        "cap_probability": answers.cap_probability,
        "is_far": answers.is_far,
        "trees_price": price(answers.trees),
        "second_price": price(answers.second),
        "new_area_price": price(answers.new_area),
        "new_area_low_price": price(answers.new_area_low),
        "new_area_high_price": price(answers.new_area_high),
    }
    number = cs.float()
    return pl.DataFrame(columns).with_columns(pl.when(number.is_finite()).then(number))


def score(rows: pl.DataFrame, params: ScoreParameters) -> dict[str, float]:
    """Returns metrics of predictions.

    Args:
        rows: Records with predictions.
        params: See :class:`ScoreParameters`.

    Returns:
        ``root_mean_squared_error``; ``rmse_new_area`` (each home answered without any sale of its area);
        ``root_mean_squared_log_error``; ``median_absolute_percentage_error``; ``share_within_10_pct`` (or whatever
        ``near_pct`` says); ``picp_90`` (share of prices inside their interval), in thirds by price and in new areas;
        ``mean_width_share`` (of closed intervals, over the price), also in new areas; ``pinball_loss`` of both ends;
        assessors' ``coefficient_of_dispersion`` and ``price_related_differential``
        (https://www.iaao.org/wp-content/uploads/Standard_on_Ratio_Studies.pdf, good: at most 15, and 0.98 to 1.03);
        ``mean_absolute_error``, ``r2``; ``cap_brier_score`` (NaN without a cap).
    """
    price, predicted = rows["price"].to_numpy(), rows["predicted_price"].to_numpy()
    if not rows.height:
        return {"root_mean_squared_error": float("nan")}
    low, high = _ends(rows, "low_price", "high_price")
    new_low, new_high = _ends(rows, "new_area_low_price", "new_area_high_price")
    error, ratio = predicted - price, predicted / price
    third = np.searchsorted(np.quantile(price, [1 / 3, 2 / 3]), price)
    is_closed = np.isfinite(high)
    both = pinball(np.stack([low, np.where(is_closed, high, price)], axis=1), np.array([TAIL, 1 - TAIL]), price)
    return {
        "root_mean_squared_error": float(np.sqrt(np.mean(error**2))),
        "rmse_new_area": float(np.sqrt(np.mean((rows["new_area_price"].to_numpy() - price) ** 2))),
        "root_mean_squared_log_error": float(np.sqrt(np.mean(np.log(ratio) ** 2))),
        "median_absolute_percentage_error": float(100 * np.median(np.abs(ratio - 1))),
        "picp_90": interval_coverage(low, high, price),
        "picp_90_new_area": interval_coverage(new_low, new_high, price),
        "mean_width_share": _width(low, high, price),
        f"share_within_{params.near_pct:g}_pct": float(np.mean(np.abs(ratio - 1) <= params.near_pct / 100 + 1e-9)),
        **{
            f"picp_90_{name}_third": interval_coverage(low[third == place], high[third == place], price[third == place])
            for place, name in enumerate(_THIRDS)
        },
        "mean_width_share_new_area": _width(new_low, new_high, price),
        "pinball_loss": float(both.mean()),
        "coefficient_of_dispersion": float(100 * np.mean(np.abs(ratio - np.median(ratio))) / np.median(ratio)),
        "price_related_differential": float(np.mean(ratio) / (predicted.sum() / price.sum())),
        "mean_absolute_error": float(np.mean(np.abs(error))),
        "r2": float(1 - np.sum(error**2) / max(np.sum((price - price.mean()) ** 2), 1e-9)),
        "cap_brier_score": _cap_brier_score(rows, price),
    }


def _ends(rows: pl.DataFrame, low: str, high: str) -> tuple[Floats, Floats]:
    """Ends of intervals, those that are open above at infinity."""
    return rows[low].to_numpy(), rows[high].fill_null(float("inf")).to_numpy()


def _width(low: Floats, high: Floats, price: Floats) -> float:
    is_closed = np.isfinite(high)
    return float(np.mean((high - low)[is_closed] / price[is_closed])) if is_closed.any() else float("nan")


def _cap_brier_score(rows: pl.DataFrame, price: Floats) -> float:
    if rows["cap_probability"].null_count():
        return float("nan")
    # Where there is a cap, no price lies above it, and the highest ones are at it.
    return float(np.mean((rows["cap_probability"].to_numpy() - (price >= price.max())) ** 2))


def floor(train: pl.DataFrame, test: pl.DataFrame) -> pl.DataFrame:
    """Returns what a person with a list of sales would say: the median of the 20 nearest homes, or the neighbourhood's.

    The interval holds the middle 90 % of the same prices; in a new area, all that is known are all prices.

    Args:
        train: Homes with prices.
        test: Homes without.

    Returns:
        The columns of :func:`predict`.
    """
    price = train["price"].to_numpy()
    if all(name in train.columns and train[name].count() for name in PLACE):
        found = _of_the_nearest(train, test)
    else:
        by_area = dict(
            pl.DataFrame({"area": area_of(train), "price": price})
            .group_by("area")
            .agg(pl.concat_list(pl.col("price").quantile(level, "linear") for level in (TAIL, 0.5, 1 - TAIL)))
            .iter_rows()
        )
        every = np.quantile(price, [TAIL, 0.5, 1 - TAIL])
        found = np.array([by_area.get(area, every) for area in area_of(test)], dtype=np.float64)
    low, middle, high = found.T
    chance = np.mean(price >= price.max())
    all_low, all_middle, all_high = np.broadcast_to(
        np.quantile(price, [TAIL, 0.5, 1 - TAIL])[:, None], (3, test.height)
    )
    names = ("predicted_price", "trees_price", "second_price")
    return pl.DataFrame(
        dict.fromkeys(names, middle)
        | {"low_price": low, "high_price": high, "cap_probability": np.full(test.height, chance)}
        | {"is_far": np.zeros(test.height, bool), "new_area_price": all_middle}
        | {"new_area_low_price": all_low, "new_area_high_price": all_high}
    )


def _of_the_nearest(train: pl.DataFrame, test: pl.DataFrame) -> Floats:
    """Quantiles of the prices of the nearest homes, shape (N, 3); of all homes where a place is missing."""
    places, km = Places.of(train, train["price"].to_numpy()), to_km(test)
    levels = [TAIL, 0.5, 1 - TAIL]
    found = np.tile(np.quantile(places.z, levels), (test.height, 1))
    is_there = ~np.isnan(km).any(axis=1)
    if is_there.any():
        _, nearest = neighbours(km[is_there], places, min(_NEAREST, len(places.z)))
        found[is_there] = np.quantile(places.z[nearest], levels, axis=1).T
    return found
