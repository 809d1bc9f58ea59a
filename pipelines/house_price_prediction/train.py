"""Fits the trees, those of the folds of areas, the quantiles, the cap and the second model.

Validation rows decide when boosting and training stop, how the second model is blended in, and by how much intervals
are widened.
The offset of new areas comes from validation homes that are answered by trees which have not seen their area.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.errors import DataContractError
from modelyard.project import FitRun
from modelyard.scoring import rows_of
from modelyard.tasks.boosting import BoosterParameters, booster_logits, fit_booster
from modelyard.tasks.calibration import sigmoid
from modelyard.tasks.classification import probability_metrics
from modelyard.tasks.conformal import ALL, fit_cqr
from modelyard.tasks.quantiles import pinball
from modelyard.tasks.tabular import blend_weight
from pipelines.house_price_prediction.inputs import (
    Column,
    InputSchema,
    Places,
    laws_of,
    learn_schema,
    linear_columns,
    nearby_columns,
    stacked,
    tree_columns,
)
from pipelines.house_price_prediction.model import (
    NEW_AREA,
    TAIL,
    FitParameters,
    HouseModel,
    NetworkParameters,
    PriceTrees,
    Ridge,
    RidgeParameters,
    Rows,
    Scale,
    answers_of,
    build_network,
    cap_probability,
    groups_of,
    interval,
    new_area_answers,
    quantiles_around,
    second_answers,
    tree_answers,
)

if TYPE_CHECKING:
    import optuna
    import xgboost as xgb
    from torch import Tensor

    from pipelines.house_price_prediction.network import PriceNetwork

Floats = NDArray[np.float64]

logger = logging.getLogger(__name__)

_QUANTILES = np.array([TAIL, 1 - TAIL])
_FEWEST_ROWS = 50


class _Learning(NamedTuple):
    """Rows to learn from or to validate on: the homes, their places, and their prices on the model's scale."""

    rows: Rows
    places: Places
    z: Floats
    price: Floats

    @classmethod
    def of(cls, examples: pl.DataFrame, schema: InputSchema, scale: Scale) -> _Learning:
        price = examples["price"].to_numpy()
        z = scale.to_z(price)
        return cls(Rows.of(examples, schema), Places.of(examples, z), z, price)


def fit(examples: pl.DataFrame, params: FitParameters, run: FitRun) -> HouseModel:
    """Fits the model.

    Args:
        examples: Records with ``split``: rows of ``train`` are learnt from; rows of ``valid``, if there are any, decide
            what ``params`` leave open.
        params: See :class:`FitParameters`.
        run: The error on validation rows (in percent where prices are logarithms, else in their currency) is reported
            as steps 1, 2, ... of the trees (each ten rounds), of those that see prices nearby, of the network's epochs,
            then of the blend.

    Returns:
        The model; its ``params`` fit it again without validation rows.

    Raises:
        DataContractError: There are too few training rows, or all of them lie in one area.
    """
    train_rows, valid_rows = rows_of(examples, "train"), rows_of(examples, "valid")
    scale = learn_scale(train_rows, params)
    schema = learn_schema(train_rows, scale.to_z(train_rows["price"].to_numpy()), params.area.n_folds)
    train = _Learning.of(train_rows, schema, scale)
    valid = _Learning.of(valid_rows, schema, scale) if valid_rows.height else None
    laws = laws_of(list(tree_columns(train_rows.head(1), schema).values()))
    trees, params, n_reports = _fit_trees(train, valid, scale, laws, params, run)
    folds = [_fold_trees(train, number, laws, params, run) for number in range(params.area.n_folds)]
    quantiles, best = _fit_quantiles(train, valid, params, run)
    params = _decided(params, "interval", trees=best)
    cap, params = _fit_cap(train, valid, scale, params, run)
    second, params = _fit_second(train, train_rows, valid, schema, scale, params, run, n_reports)
    model = HouseModel(
        params=params, schema=schema, scale=scale, trees=trees, folds=folds, quantiles=quantiles, cap=cap, second=second
    )
    if valid is None:
        return model
    model = replace(model, params=_blended(model, valid))
    value = loss_of(answers_of(model, valid.rows).z, valid.price, scale)
    logger.info("blend: %.0f %% %s, error %.5g", 100 * (model.params.second_share or 0), params.second, value)
    run.report(n_reports + params.network.loop.epochs + 1, value)
    return replace(model, params=_with_offsets(model, valid))


def learn_scale(rows: pl.DataFrame, params: FitParameters) -> Scale:
    """Returns the scale of prices; the largest price is a cap where many rows have it.

    Raises:
        DataContractError: There are too few rows.
    """
    if rows.height < _FEWEST_ROWS:
        raise DataContractError(
            f"There are {rows.height} homes to learn from, fewer than {_FEWEST_ROWS}.",
            where="split 'train'",
            way_out="bring more sales",
        )
    price = rows["price"].to_numpy()
    share_at_most = float(np.mean(price == price.max()))
    cap = float(price.max()) if share_at_most >= params.cap.min_share else None
    currency = next(iter(rows["currency"].drop_nulls()), "USD") if "currency" in rows.columns else "USD"
    return Scale(is_log=params.is_log_price, unit=float(price.mean()), cap=cap, currency=currency)


def loss_of(z: Floats, price: Floats, scale: Scale) -> float:
    """Returns the root mean squared error: of logarithms where these are the scale, else of prices."""
    predicted = scale.to_price(z)
    error = np.log(predicted / price) if scale.is_log else predicted - price
    return float(np.sqrt(np.mean(error**2)))


def _fit_trees(
    train: _Learning, valid: _Learning | None, scale: Scale, laws: tuple[int, ...], params: FitParameters, run: FitRun
) -> tuple[PriceTrees, FitParameters, int]:
    """The trees of all training rows, the parameters with their best rounds, and how many steps they may report."""

    def error(x: NDArray[np.float32]) -> Any:
        return None if valid is None else lambda trees: -loss_of(booster_logits(trees, x), valid.price, scale)

    shown = replace(run, folder=run.folder / "plain", report=lambda step, value: run.report(step, -value))
    x_valid = train.rows.x[:0] if valid is None else valid.rows.x
    plain, best = _boosted(train.rows.x, train.z, params.trees, shown, error(x_valid), laws)
    params = params.model_copy(update={"trees": params.trees.model_copy(update={"best_iteration": best})})
    n_reports = params.trees.n_reports
    if not _uses_nearby(train, params):
        return PriceTrees(plain=plain), params, n_reports
    columns, _ = nearby_columns(train.places.km, train.places, is_training=True)
    x = _beside(_with_place(train).x, columns)
    x_valid = (
        x[:0]
        if valid is None
        else _beside(valid.rows.x, nearby_columns(valid.rows.km, train.places, is_training=False)[0])
    )
    first = n_reports
    shown = replace(run, folder=run.folder / "nearby", report=lambda step, value: run.report(first + step, -value))
    more = laws + laws_of(list(columns.values()))
    nearby, best = _boosted(x, train.places.z, params.nearby.trees, shown, error(x_valid), more)
    params = _decided(params, "nearby", trees=best)
    return (
        PriceTrees(plain=plain, nearby=nearby, places=train.places),
        params,
        n_reports + params.nearby.trees.n_reports,
    )


def _fold_trees(train: _Learning, fold: int, laws: tuple[int, ...], params: FitParameters, run: FitRun) -> PriceTrees:
    """Trees of the rows outside a fold of areas."""
    kept = train.rows.fold != fold
    if not kept.any():
        raise DataContractError(
            "All homes to learn from lie in one area, so the error in another one cannot be known.",
            where="neighbourhood, longitude_deg, latitude_deg",
            way_out="bring a column with the neighbourhood, or homes of more than one",
        )
    size = {"n_estimators": params.area.n_estimators, "best_iteration": None}
    rows, z = train.rows.at(kept), train.z[kept]
    silent = _silent(run, f"fold_{fold}")
    plain, _ = _boosted(rows.x, z, params.trees.model_copy(update=size), _silent(silent, "plain"), None, laws)
    if not _uses_nearby(train, params):
        return PriceTrees(plain=plain)
    is_there = ~np.isnan(rows.km).any(axis=1)
    places = Places(rows.km[is_there], z[is_there])
    columns, _ = nearby_columns(places.km, places, is_training=True)
    x, more = _beside(rows.x[is_there], columns), laws + laws_of(list(columns.values()))
    shape = params.nearby.trees.model_copy(update=size)
    nearby, _ = _boosted(x, places.z, shape, _silent(silent, "nearby"), None, more)
    return PriceTrees(plain=plain, nearby=nearby, places=places)


def _fit_quantiles(
    train: _Learning, valid: _Learning | None, params: FitParameters, run: FitRun
) -> tuple[xgb.Booster, int]:
    def score_on(rows: Rows, z: Floats) -> Callable[[xgb.Booster], float]:
        return lambda trees: -float(pinball(booster_logits(trees, rows.x), _QUANTILES, z).mean())

    return fit_booster(
        train.rows.x,
        train.z,
        params.interval.trees,
        _silent(run, "quantiles"),
        None if valid is None else score_on(valid.rows, valid.z),
        "reg:quantileerror",
        {"quantile_alpha": _QUANTILES.tolist(), "base_score": np.quantile(train.z, _QUANTILES).tolist()},
    )


def _fit_cap(
    train: _Learning, valid: _Learning | None, scale: Scale, params: FitParameters, run: FitRun
) -> tuple[xgb.Booster | None, FitParameters]:
    """All that a capped price says is that it is at or above the cap: that is what these trees learn."""
    if scale.cap is None:
        return None, params
    limit = scale.cap
    is_capped = (train.price >= limit).astype(np.float64)

    def score_on(rows: Rows, price: Floats) -> Callable[[xgb.Booster], float]:
        return lambda trees: -probability_metrics(price >= limit, sigmoid(booster_logits(trees, rows.x)))["log_loss"]

    score = None if valid is None else score_on(valid.rows, valid.price)
    cap, best = fit_booster(train.rows.x, is_capped, params.cap.trees, _silent(run, "cap"), score)
    return cap, _decided(params, "cap", trees=best)


def _fit_second(
    train: _Learning,
    train_rows: pl.DataFrame,
    valid: _Learning | None,
    schema: InputSchema,
    scale: Scale,
    params: FitParameters,
    run: FitRun,
    first: int,
) -> tuple[Ridge | PriceNetwork, FitParameters]:
    if params.second == "ridge":
        return fit_ridge(linear_columns(train_rows, schema), train.z, params.ridge), params
    network, best = fit_network(train, valid, scale, params.network, run, first)
    loop = params.network.loop.stopping_after(best)
    return network, params.model_copy(update={"network": params.network.model_copy(update={"loop": loop})})


def fit_ridge(columns: Mapping[str, Column], z: Floats, params: RidgeParameters) -> Ridge:
    """Returns the ridge regression whose coefficients keep the laws: least squares with bounds.

    Args:
        columns: D inputs of shape (N,), NaN where one is missing.
        z: Answers, shape (N,).
        params: The penalty.
    """
    from scipy.optimize import lsq_linear  # type: ignore[import-untyped]  # scipy ships no types

    x = stacked(dict(columns))
    is_missing = np.isnan(x)
    n_there = np.maximum((~is_missing).sum(axis=0), 1)
    mean = np.where(is_missing, 0, x).sum(axis=0) / n_there
    spread = np.sqrt((np.where(is_missing, 0, x - mean) ** 2).sum(axis=0) / n_there)
    ridge = Ridge(mean, np.where(spread > 1e-9, spread, 1.0), np.zeros(2 * x.shape[1]), np.array(z.mean()))
    standard = np.where(is_missing, 0.0, np.clip((x - mean) / ridge.deviation, -8, 8))
    inputs = np.concatenate([standard, is_missing], axis=1)
    centre = inputs.mean(axis=0)
    penalty = np.sqrt(params.alpha) * np.eye(inputs.shape[1])
    left = np.concatenate([inputs - centre, penalty])
    right = np.concatenate([z - z.mean(), np.zeros(len(penalty))])
    least = [0.0 if column.law else -np.inf for column in columns.values()] + [-np.inf] * x.shape[1]
    # The triangle of a QR decomposition has the same solution and a fraction of the rows.
    orthogonal, triangle = np.linalg.qr(left)
    solution = lsq_linear(triangle, orthogonal.T @ right, bounds=(least, np.inf), method="bvls").x
    return ridge._replace(coefficients=solution, intercept=np.array(z.mean() - centre @ solution))


def fit_network(
    train: _Learning, valid: _Learning | None, scale: Scale, params: NetworkParameters, run: FitRun, first: int
) -> tuple[PriceNetwork, int]:
    """Trains the network with the repository's loop, which keeps a checkpoint of each epoch.

    Returns:
        The network of the best epoch on the CPU, and that epoch's number.
    """
    from modelyard.training.loop import train as run_loop
    from modelyard.training.randomness import seeded

    with seeded(run.seed):
        network = build_network(params, train.rows.x.shape[1])
    network.learn(train.rows.x, train.z)
    result = run_loop(
        network,
        {"columns": train.rows.x, "z": train.z.astype(np.float32)},
        squared_error,
        params.loop,
        run=replace(run, folder=run.folder / "network", report=lambda epoch, value: run.report(first + epoch, value)),
        evaluate=None if valid is None else lambda net: loss_of(second_answers(net, valid.rows), valid.price, scale),
        greater_is_better=False,
    )
    return result.network.to("cpu").eval(), result.best_epoch


def squared_error(network: PriceNetwork, batch: dict[str, Tensor]) -> Tensor:
    """Returns the mean squared error of all members, in the answers' variance: ``columns`` (B, D), ``z`` (B,)."""
    error = (network(batch["columns"]) - batch["z"][:, None]) / network.deviation
    loss: Tensor = error.square().mean()
    return loss


def _blended(model: HouseModel, valid: _Learning) -> FitParameters:
    """The parameters with the weight of the second model that has the least error."""
    if model.params.second_share is not None:
        return model.params
    trees, second = tree_answers(model.trees, valid.rows, model.params)[0], second_answers(model.second, valid.rows)
    share = blend_weight(trees, second, lambda z: loss_of(z, valid.price, model.scale))
    return model.params.model_copy(update={"second_share": share})


def _with_offsets(model: HouseModel, valid: _Learning) -> FitParameters:
    """The parameters with the offsets of all groups, from validation homes; too few of them bound nothing."""
    if len(valid.z) < _FEWEST_ROWS:
        return model.params
    bare = model.params.interval.model_copy(update={"offsets": {}, "edges": None})
    answers = answers_of(replace(model, params=model.params.model_copy(update={"interval": bare})), valid.rows)
    low, high = np.quantile(answers.z, [1 / 3, 2 / 3])
    params = bare.model_copy(update={"edges": (float(low), float(high))})
    around, chance = quantiles_around(model, valid.rows), cap_probability(model.cap, valid.rows)
    near = ~answers.is_far
    groups = np.array(groups_of(answers.z, answers.is_far, params))[near].tolist()
    low_z, high_z = interval(answers.z, around, chance, bare, [])
    offsets = fit_cqr(low_z[near], high_z[near], valid.z[near], 1 - 2 * TAIL, groups)
    unseen = new_area_answers(model.trees, model.folds, valid.rows, model.params)
    low_z, high_z = interval(unseen, around, chance, bare, [])
    offsets[NEW_AREA] = fit_cqr(low_z, high_z, valid.z, 1 - 2 * TAIL)[ALL]
    return model.params.model_copy(update={"interval": params.model_copy(update={"offsets": offsets})})


def _uses_nearby(train: _Learning, params: FitParameters) -> bool:
    return params.use_nearby_prices and len(train.places.z) > 1


def _with_place(train: _Learning) -> Rows:
    return train.rows.at(~np.isnan(train.rows.km).any(axis=1))


def _beside(x: NDArray[np.float32], columns: Mapping[str, Column]) -> NDArray[np.float32]:
    return np.concatenate([x, stacked(dict(columns)).astype(np.float32)], axis=1)


def _boosted(
    x: NDArray[np.float32],
    z: Floats,
    params: BoosterParameters,
    run: FitRun,
    score: Any,
    laws: tuple[int, ...],
) -> tuple[xgb.Booster, int]:
    constraints = {"monotone_constraints": str(laws).replace(" ", "")} if any(laws) else {}
    return fit_booster(x, z, params, run, score, "reg:squarederror", constraints)


def _silent(run: FitRun, name: str) -> FitRun:
    """A run in a folder of its own whose values nobody hears: they are no measure of the price."""
    return replace(run, folder=run.folder / name, report=lambda step, value: None)


def _decided(params: FitParameters, name: str, *, trees: int) -> FitParameters:
    """The parameters with the best round of the trees of one of their groups."""
    group = getattr(params, name)
    chosen = group.trees.model_copy(update={"best_iteration": trees})
    return params.model_copy(update={name: group.model_copy(update={"trees": chosen})})


def search_space(trial: optuna.Trial, params: FitParameters) -> FitParameters:
    """Returns ``params`` with a trial's suggestions: shape and pace of the trees, strength of the second model."""
    shape = {
        "learning_rate": trial.suggest_float("trees.learning_rate", 0.02, 0.1, log=True),
        "max_depth": trial.suggest_int("trees.max_depth", 3, 9),
        "min_child_weight": trial.suggest_float("trees.min_child_weight", 1, 20, log=True),
        "subsample": trial.suggest_float("trees.subsample", 0.5, 1),
        "colsample_bytree": trial.suggest_float("trees.colsample_bytree", 0.15, 0.8),
    }
    nearby = params.nearby.model_copy(update={"trees": params.nearby.trees.model_copy(update=shape)})
    alpha = trial.suggest_float("ridge.alpha", 1, 300, log=True)
    rate = trial.suggest_float("network.loop.learning_rate", 5e-4, 5e-3, log=True)
    network = params.network.model_copy(update={"loop": params.network.loop.model_copy(update={"learning_rate": rate})})
    return params.model_copy(
        update={
            "trees": params.trees.model_copy(update=shape),
            "nearby": nearby,
            "ridge": params.ridge.model_copy(update={"alpha": alpha}),
            "network": network,
        }
    )
