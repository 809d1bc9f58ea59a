"""What is registered: trees that look at prices nearby where there are any, a second model beside them, intervals.

The models answer z, the price on a scale: log(price / unit), or price / unit, where unit is the mean price of the
training rows; training prices that are all 1.1 times as high give answers that are, too.

    z = (1 - second_share) * trees + second_share * second
    interval = 5 % and 95 % quantiles, moved from the trees to z, widened by the offset of the home's group
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from modelyard.model_files import load_arrays, load_booster, load_network, load_parameters, save_model
from modelyard.parameters import Parameters
from modelyard.tasks.boosting import BoosterParameters, booster_logits
from modelyard.tasks.calibration import sigmoid
from modelyard.tasks.conformal import apply
from modelyard.tasks.quantiles import uncrossed
from modelyard.tasks.tabular import filled
from modelyard.training.parameters import LoopParameters
from pipelines.house_price_prediction.inputs import (
    InputSchema,
    Places,
    area_of,
    is_outside,
    linear_columns,
    nearby_columns,
    stacked,
    to_km,
    tree_columns,
)

if TYPE_CHECKING:
    import xgboost as xgb

    from pipelines.house_price_prediction.network import PriceNetwork

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

NEW_AREA = "new_area"
"""The group of homes that are far from training, in whose area nobody has sold."""

_THIRDS = ("lower", "middle", "upper")
_LEAST_Z = 1e-3
_SHAPE = BoosterParameters(
    n_estimators=900, learning_rate=0.04, max_depth=6, min_child_weight=3, subsample=0.8, colsample_bytree=0.3
)


class NearbyParameters(Parameters):
    """Prices of the nearest training homes as inputs; of data whose homes have coordinates."""

    within_km: float = Field(
        10.0, gt=0, le=1e5, description="Farther than this from the nearest training home, they are not looked at."
    )
    trees: BoosterParameters = Field(_SHAPE, description="The trees that see them.")


class AreaParameters(Parameters):
    """How the error in areas without any sale is measured: each area is answered by trees that have not seen it."""

    n_folds: int = Field(5, ge=2, le=50, description="Parts that the areas are dealt to.")
    n_estimators: int = Field(200, ge=1, le=10_000, description="Boosting rounds of each part's trees.")


class IntervalParameters(Parameters):
    """The interval of 90 %: conformalised quantiles; `offsets` and `edges` are filled in by validation."""

    trees: BoosterParameters = Field(
        _SHAPE.model_copy(update={"learning_rate": 0.08, "max_depth": 5, "min_child_weight": 10, "n_estimators": 400}),
        description="The trees that answer the 5 % and the 95 % quantile.",
    )
    edges: tuple[float, float] | None = Field(
        None,
        description="Answers (on the model's scale) between which the middle third lies.",
        json_schema_extra={"unbounded": "logarithms have any sign"},
    )
    offsets: dict[str, float] = Field(
        {},
        description="Group to what its intervals are widened by: thirds of the answers, and `new_area`.",
        json_schema_extra={"unbounded": "an interval that is too wide is narrowed"},
    )


class CapParameters(Parameters):
    """Prices that are cut off: the largest one is a cap if many rows have exactly that price."""

    min_share: float = Field(0.01, gt=0, le=1, description="Share of training rows at the largest price that makes it.")
    trees: BoosterParameters = Field(
        _SHAPE.model_copy(update={"learning_rate": 0.08, "max_depth": 4, "n_estimators": 300}),
        description="The trees that answer the probability of a price at or above the cap.",
    )


class RidgeParameters(Parameters):
    """The linear second model: one coefficient for each input, none of them against a law."""

    alpha: float = Field(50.0, gt=0, le=1e6, description="Penalty on the squares of standardised coefficients.")


class NetworkParameters(Parameters):
    """The network as the second model."""

    width: int = Field(128, ge=4, le=1024, description="Units of each of the two hidden layers.")
    n_members: int = Field(8, ge=1, le=64, description="Perceptrons that share their weights.")
    n_bins: int = Field(16, ge=2, le=256, description="Bins of each number.")
    dropout: float = Field(0.1, ge=0, lt=1, description="Share of hidden units dropped while training.")
    loop: LoopParameters = Field(
        LoopParameters(epochs=30, batch_size=256, learning_rate=2e-3, weight_decay=3e-4),
        description="The training; validation fills in its best epoch.",
    )


class FitParameters(Parameters):
    """Everything that training needs, and that rebuilds the model."""

    is_log_price: bool = Field(
        True, description="Whether errors count in percent of a price (logarithms) or in its currency."
    )
    trees: BoosterParameters = Field(_SHAPE, description="The trees that see the home only.")
    use_nearby_prices: bool = Field(
        True, description="Whether prices of the nearest homes are inputs: better where homes have been sold nearby."
    )
    nearby: NearbyParameters = Field(NearbyParameters(), description="How they are looked at.")
    second: Literal["ridge", "network"] = Field(
        "ridge", description="What the trees are blended with; the ridge keeps the laws of more and better, too."
    )
    ridge: RidgeParameters = Field(RidgeParameters(), description="The ridge.")
    network: NetworkParameters = Field(NetworkParameters(), description="The network.")
    second_share: float | None = Field(
        None, ge=0, le=1, description="Weight of the second model; filled in by validation. None: one half."
    )
    interval: IntervalParameters = Field(IntervalParameters(), description="The interval.")
    area: AreaParameters = Field(AreaParameters(), description="The error in new areas.")
    cap: CapParameters = Field(CapParameters(), description="Prices that are cut off.")


class Scale(BaseModel):
    """From prices to z and back, as training rows decided.

    Args:
        is_log: Whether z is a logarithm.
        unit: The mean price.
        cap: The price at which prices are cut off. None: nowhere.
        currency: What prices are in.
    """

    model_config = ConfigDict(frozen=True)

    is_log: bool
    unit: float
    cap: float | None
    currency: str

    def to_z(self, price: Floats) -> Floats:
        """Returns prices on the model's scale."""
        return np.log(price / self.unit) if self.is_log else price / self.unit

    def to_price(self, z: Floats) -> Floats:
        """Returns prices, none above the cap; infinities stay."""
        price = self.unit * (np.exp(z) if self.is_log else np.maximum(z, _LEAST_Z))
        return price if self.cap is None else np.where(np.isinf(z), price, np.minimum(price, self.cap))


@dataclass(frozen=True, kw_only=True)
class PriceTrees:
    """Trees of one set of training rows.

    Args:
        plain: See the home only.
        nearby: See prices nearby, too. None: they are not used.
        places: Whose prices these are.
    """

    plain: xgb.Booster
    nearby: xgb.Booster | None = None
    places: Places | None = None


class Ridge(NamedTuple):
    """A linear model of standardised inputs; a missing one is its mean and has a coefficient of its own.

    Args:
        mean: Shape (D,).
        deviation: Shape (D,); 1 where an input is constant.
        coefficients: Shape (2 D,): of the inputs, then of their flags.
        intercept: Shape ().
    """

    mean: Floats
    deviation: Floats
    coefficients: Floats
    intercept: Floats

    def contributions(self, x: Floats) -> Floats:
        """Returns what each input adds to z against its mean, shape (N, D); one beyond 8 deviations counts as 8.

        Args:
            x: Shape (N, D), NaN where an input is missing.
        """
        n = x.shape[1]
        standard, is_missing = filled(np.clip((x - self.mean) / self.deviation, -8, 8), np.zeros(n))
        found: Floats = standard * self.coefficients[:n] + is_missing * self.coefficients[n:]
        return found

    def answers(self, x: Floats) -> Floats:
        """Returns z for inputs of shape (N, D)."""
        found: Floats = self.contributions(x).sum(axis=1) + self.intercept
        return found


@dataclass(frozen=True, kw_only=True)
class HouseModel:
    """A trained model.

    Args:
        params: What it was fitted with; everything that validation rows decided is filled in.
        schema: Its inputs.
        scale: Of its answers.
        trees: Answer the price.
        folds: Of each fold of areas, trees that have not seen them.
        quantiles: Answer the 5 % and the 95 % quantile of z.
        cap: Answers the log-odds of a price at or above the cap. None: there is no cap.
        second: The ridge, or the network on the CPU in evaluation mode.
    """

    params: FitParameters
    schema: InputSchema
    scale: Scale
    trees: PriceTrees
    folds: Sequence[PriceTrees]
    quantiles: xgb.Booster
    cap: xgb.Booster | None
    second: Ridge | PriceNetwork


class Rows(NamedTuple):
    """Homes as the models read them.

    Args:
        x: The trees' inputs, float32 of shape (N, D).
        linear: The ridge's inputs, shape (N, D').
        km: Places, shape (N, 3).
        fold: The fold of a home's area, shape (N,); -1 for an area without training rows.
        is_outside: Whether a home is unlike all of training, shape (N,).
    """

    x: NDArray[np.float32]
    linear: Floats
    km: Floats
    fold: NDArray[np.int64]
    is_outside: Booleans

    @classmethod
    def of(cls, examples: pl.DataFrame, schema: InputSchema) -> Rows:
        """Returns the inputs of ``examples``; no row depends on another."""
        return cls(
            stacked(tree_columns(examples, schema)).astype(np.float32),
            stacked(linear_columns(examples, schema)),
            to_km(examples),
            np.array([schema.areas.get(area, -1) for area in area_of(examples)], dtype=np.int64),
            is_outside(examples, schema),
        )

    def at(self, kept: Any) -> Rows:
        """Returns some of the rows."""
        return Rows(*(part[kept] for part in self))


class Answers(NamedTuple):
    """What the model says about N homes, each float64 or bool of shape (N,), z on the model's scale.

    Args:
        z: The price.
        trees: The trees' part of it.
        second: The second model's.
        low: Lower end of the interval.
        high: Upper end; infinite where the price may be above the cap.
        cap_probability: Of a price at or above the cap; NaN where there is none.
        is_far: Whether nothing like the home was sold near it.
        new_area: The price, had nobody sold in the home's area.
        new_area_low: Lower end of its interval.
        new_area_high: Upper end.
    """

    z: Floats
    trees: Floats
    second: Floats
    low: Floats
    high: Floats
    cap_probability: Floats
    is_far: Booleans
    new_area: Floats
    new_area_low: Floats
    new_area_high: Floats


def answers_of(model: HouseModel, rows: Rows) -> Answers:
    """Returns everything that the model says about homes."""
    trees, is_far = tree_answers(model.trees, rows, model.params)
    second = second_answers(model.second, rows)
    share = 0.5 if model.params.second_share is None else model.params.second_share
    z = (1 - share) * trees + share * second
    new_area = new_area_answers(model.trees, model.folds, rows, model.params)
    chance = cap_probability(model.cap, rows)
    around = quantiles_around(model, rows)
    params = model.params.interval
    low, high = interval(z, around, chance, params, groups_of(z, is_far, params))
    new_low, new_high = interval(new_area, around, chance, params, [NEW_AREA] * len(z))
    return Answers(z, trees, second, low, high, chance, is_far, new_area, new_low, new_high)


def tree_answers(trees: PriceTrees, rows: Rows, params: FitParameters) -> tuple[Floats, Booleans]:
    """Returns z of the trees, and whether a home is far from training: unlike it, or without a neighbour.

    Prices nearby are looked at only where a training home lies within ``nearby.within_km``: on new ground they mislead.
    """
    z = booster_logits(trees.plain, rows.x)
    if trees.nearby is None or trees.places is None:
        return z, rows.is_outside
    columns, nearest_km = nearby_columns(rows.km, trees.places, is_training=False)
    has_neighbour = nearest_km <= params.nearby.within_km
    x = np.concatenate([rows.x, stacked(columns).astype(np.float32)], axis=1)
    z[has_neighbour] = booster_logits(trees.nearby, x[has_neighbour])
    return z, rows.is_outside | ~has_neighbour


def new_area_answers(trees: PriceTrees, folds: Sequence[PriceTrees], rows: Rows, params: FitParameters) -> Floats:
    """Returns z of each home from the trees that have not seen its area: those of its fold."""
    z = np.empty(len(rows.x))
    for fold, each in enumerate((*folds, trees)):
        own = rows.fold == (fold if fold < len(folds) else -1)
        if own.any():
            z[own] = tree_answers(each, rows.at(own), params)[0]
    return z


def second_answers(second: Ridge | PriceNetwork, rows: Rows) -> Floats:
    """Returns z of the second model, shape (N,)."""
    if isinstance(second, Ridge):
        return second.answers(rows.linear)
    from modelyard.training.prediction import predict

    answers: Floats = predict(second, {"columns": rows.x}).astype(np.float64).mean(axis=1)
    return answers


def cap_probability(cap: xgb.Booster | None, rows: Rows) -> Floats:
    """Returns the probability that a price is at or above the cap, NaN where there is none, shape (N,)."""
    return np.full(len(rows.x), np.nan) if cap is None else sigmoid(booster_logits(cap, rows.x))


def quantiles_around(model: HouseModel, rows: Rows) -> Floats:
    """Returns the distances of both quantiles from the trees that see the home only, shape (N, 2)."""
    found = uncrossed(booster_logits(model.quantiles, rows.x).reshape(-1, 2))
    return found - booster_logits(model.trees.plain, rows.x)[:, None]


def groups_of(z: Floats, is_far: Booleans, params: IntervalParameters) -> list[str]:
    """Returns the group whose offset a home's interval has: a third of the answers, or the homes far from training."""
    third = np.searchsorted(params.edges or (-np.inf, np.inf), z)
    return [NEW_AREA if far else _THIRDS[place] for place, far in zip(third.tolist(), is_far.tolist(), strict=True)]


def interval(
    z: Floats, around: Floats, chance: Floats, params: IntervalParameters, groups: Sequence[str]
) -> tuple[Floats, Floats]:
    """Returns the ends of the intervals, each around its answer; open above where the price may well be capped.

    Args:
        z: Answers, shape (N,).
        around: Of :func:`quantiles_around`.
        chance: Of :func:`cap_probability`.
        params: The offsets; without any the quantiles are taken as they are.
        groups: Of :func:`groups_of`.
    """
    low, high = z + around[:, 0], z + around[:, 1]
    if params.offsets:
        low, high = apply(low, high, params.offsets, groups)
    high = np.where(np.nan_to_num(chance) > TAIL, np.inf, high)
    return np.minimum(low, z), np.maximum(high, z)


TAIL = 0.05
"""Share of the prices above an interval, and below it."""


def build_network(params: NetworkParameters, n_columns: int) -> PriceNetwork:
    """Returns the untrained network; its first weights are drawn from torch's generator."""
    from pipelines.house_price_prediction.network import PriceNetwork

    return PriceNetwork(
        n_columns=n_columns,
        n_bins=params.n_bins,
        n_members=params.n_members,
        width=params.width,
        dropout=params.dropout,
    )


def save(model: HouseModel, folder: Path) -> None:
    """Writes boosters, the second model, places and parameters into an empty folder."""
    places = model.trees.places
    parts: dict[str, Any] = {
        "params": model.params,
        "schema": model.schema,
        "scale": model.scale,
        "trees": model.trees.plain,
        "fold_trees": [each.plain for each in model.folds],
        "quantile_trees": model.quantiles,
    }
    if model.cap is not None:
        parts["cap_trees"] = model.cap
    if places is not None and model.trees.nearby is not None:
        parts |= {
            "nearby_trees": model.trees.nearby,
            "fold_nearby_trees": [each.nearby for each in model.folds],
            "places": places._asdict(),
        }
        parts |= {
            f"fold_places_{number}": each.places._asdict()
            for number, each in enumerate(model.folds)
            if each.places is not None
        }
    parts["second"] = model.second._asdict() if isinstance(model.second, Ridge) else model.second
    save_model(folder, **parts)


def load(folder: Path) -> HouseModel:
    """Returns what :func:`save` wrote; the model answers the same, to the bit.

    Raises:
        StorageError: A file is missing or damaged.
    """
    params = load_parameters(folder, FitParameters)
    schema, scale = load_parameters(folder, InputSchema, "schema"), load_parameters(folder, Scale, "scale")
    uses_nearby = params.use_nearby_prices and schema.has_place

    def trees(prefix: str, number: str) -> PriceTrees:
        plain = load_booster(folder, f"{prefix}trees{number}")
        if not uses_nearby:
            return PriceTrees(plain=plain)
        places = Places(**load_arrays(folder, f"{prefix}places{number}"))
        return PriceTrees(plain=plain, nearby=load_booster(folder, f"{prefix}nearby_trees{number}"), places=places)

    second: Ridge | PriceNetwork
    if params.second == "ridge":
        second = Ridge(**load_arrays(folder, "second"))
    else:
        second = load_network(
            folder, build_network(params.network, load_booster(folder, "trees").num_features()), "second"
        )
    return HouseModel(
        params=params,
        schema=schema,
        scale=scale,
        trees=trees("", ""),
        folds=[trees("fold_", f"_{number}") for number in range(params.area.n_folds)],
        quantiles=load_booster(folder, "quantile_trees"),
        cap=None if scale.cap is None else load_booster(folder, "cap_trees"),
        second=second,
    )
