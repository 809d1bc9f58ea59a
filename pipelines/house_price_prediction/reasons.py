"""What raises or lowers the price of a home, in words: what each input adds, summed over what belongs together.

Of the trees it is their Shapley values (Lundberg et al. 2020, https://doi.org/10.1038/s42256-019-0138-9), of the ridge
the terms of its sum; both are blended as the price is. A network is not explained: the trees then speak for it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipelines.house_price_prediction.inputs import linear_columns, nearby_columns, stacked, tree_columns
from pipelines.house_price_prediction.model import HouseModel, Ridge, Rows, Scale

_MAX_REASONS = 4
_LEAST_SHARE = 0.005
_TOPICS = (
    ("prices nearby", ("_of_nearest", "km_to_nearest")),
    ("place", ("longitude", "latitude", "place_at", "neighbourhood", "proximity", "zoning")),
    ("income of the block", ("income",)),
    ("people and homes of the block", ("people", "population", "household", "total_", "_per_room")),
    ("quality and condition", ("quality", "condition", "finish", "functionality", "central_air")),
    ("age", ("year_built", "year_remodelled", "median_age", "garage_year")),
    ("time of the sale", ("year_sold", "sale_")),
    ("size", ("_sqft", "_ft", "rooms", "baths", "storeys", "kitchens", "garage_cars", "area")),
)
"""What a reason is about, and the parts of inputs' names that belong to it; the first that fits."""


def reasons(model: HouseModel, examples: pl.DataFrame) -> list[list[str]]:
    """Returns at most four topics for each home, the strongest first, with what each adds to the price.

    Args:
        model: A trained model.
        examples: N homes.
    """
    rows, names = Rows.of(examples, model.schema), list(tree_columns(examples, model.schema))
    share = 0.5 if model.params.second_share is None else model.params.second_share
    parts = [_by_topic(names, row) for row in _shapley(model.trees.plain, rows.x)]
    if model.trees.nearby is not None and model.trees.places is not None:
        nearby, nearest_km = nearby_columns(rows.km, model.trees.places, is_training=False)
        x = np.concatenate([rows.x, stacked(nearby).astype(np.float32)], axis=1)
        near = np.flatnonzero(nearest_km <= model.params.nearby.within_km)
        for number, row in zip(near, _shapley(model.trees.nearby, x[near]), strict=True):
            parts[number] = _by_topic([*names, *nearby], row)
    if not isinstance(model.second, Ridge):
        return [_in_words(part, model.scale) for part in parts]
    linear = list(linear_columns(examples, model.schema))
    others = [_by_topic(linear, row) for row in model.second.contributions(rows.linear)]
    topics = [
        {name: (1 - share) * part.get(name, 0.0) + share * other.get(name, 0.0) for name in {**part, **other}}
        for part, other in zip(parts, others, strict=True)
    ]
    return [_in_words(each, model.scale) for each in topics]


def _shapley(booster: object, x: NDArray[np.float32]) -> NDArray[np.float32]:
    import xgboost as xgb

    if not len(x):
        return np.zeros((0, 0), np.float32)
    shares: NDArray[np.float32] = booster.predict(xgb.DMatrix(x), pred_contribs=True)[:, :-1]  # type: ignore[attr-defined]
    return shares


def _by_topic(names: list[str], shares: NDArray[Any]) -> dict[str, float]:
    weights: dict[str, float] = {}
    for name, share in zip(names, shares.tolist(), strict=True):
        topic = _topic(name)
        weights[topic] = weights.get(topic, 0.0) + share
    return weights


def _in_words(weights: dict[str, float], scale: Scale) -> list[str]:
    strongest = sorted(weights, key=lambda topic: -abs(weights[topic]))[:_MAX_REASONS]
    return [f"{topic}: {_amount(weights[topic], scale)}" for topic in strongest if abs(weights[topic]) > _LEAST_SHARE]


def _topic(name: str) -> str:
    return next((topic for topic, parts in _TOPICS if any(part in name for part in parts)), name.replace("_", " "))


def _amount(share: float, scale: Scale) -> str:
    """What a share of z is: a percentage of the price on a scale of logarithms, else an amount."""
    if scale.is_log:
        return f"{100 * np.expm1(share):+.0f} %"
    return f"{share * scale.unit:+,.0f} {scale.currency}"
