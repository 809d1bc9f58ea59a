"""Card transactions that never happened, drawn from a simulated world; the best that a detector could do is known.

Everything that is drawn from a :class:`~pipelines.fraud_detection.world.World` has a known density, so that
:mod:`pipelines.fraud_detection.fraud_probabilities` can say how likely each transaction was a fraud.
"""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.tasks.ranking import average_precision
from pipelines.fraud_detection.fraud_probabilities import true_probabilities
from pipelines.fraud_detection.world import (
    AMOUNT_SHAPE,
    BURST_S,
    CLONED_FACTOR,
    DAY_S,
    HABIT,
    HOUR_SPREAD_S,
    LARGE_SCALE,
    SPREE_S,
    TINY,
    WEEKDAY_FACTORS,
    SimulationParameters,
    World,
    build_world,
    large_amount_rates,
)

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

UNDETECTABLE_LIFT = 3.0
"""A fraud whose informed probability is below this multiple of the fraud share looks like any other transaction."""


def simulate(params: SimulationParameters) -> pl.DataFrame:
    """Simulates transactions; the same parameters give the same table, to the bit.

    Returns:
        ``transaction_id``, ``event_time``, ``customer_id``, ``terminal_id``, ``amount``, ``is_fraud``,
        ``fraud_scenario`` (index into :data:`SCENARIOS`), ordered by time.
    """
    world = build_world(params)
    drawn = draw(world)
    is_new = pl.Series(world.replaced_s[drawn["terminal"].to_numpy()] <= drawn["second"].to_numpy())
    start = datetime(params.start_date.year, params.start_date.month, params.start_date.day, tzinfo=UTC)
    return drawn.select(
        pl.int_range(pl.len()).cast(pl.String).alias("transaction_id"),
        (pl.lit(start).cast(pl.Datetime("us", "UTC")) + pl.duration(seconds="second")).alias("event_time"),
        pl.col("customer").cast(pl.String).alias("customer_id"),
        (pl.col("terminal") + is_new.cast(pl.Int64) * params.n_terminals).cast(pl.String).alias("terminal_id"),
        "amount",
        (pl.col("scenario") > 0).alias("is_fraud"),
        pl.col("scenario").alias("fraud_scenario"),
    )


def draw(world: World) -> pl.DataFrame:
    """Draws the world's transactions.

    Returns:
        ``second`` (from the first day), ``customer``, ``terminal`` (its place, which outlives a replacement),
        ``amount`` (in hundredths), ``scenario``; ordered by ``second``.
    """
    rng = np.random.default_rng([world.params.seed, 1])
    kinds = (_purchases(world, rng), _card_testing(world, rng), _cloned_cards(world, rng))
    drawn = pl.concat(kinds).filter(pl.col("second").is_between(0, world.params.n_days * DAY_S, closed="left"))
    cents = (pl.col("amount") * 100).round().clip(lower_bound=1)
    return drawn.with_columns((cents / 100).alias("amount")).sort("second", maintain_order=True)


def _purchases(world: World, rng: np.random.Generator) -> pl.DataFrame:
    """The customers' own purchases, some of them turned into frauds of the handbook's scenarios."""
    params = world.params
    first = params.start_date.weekday()
    weekday_factors = np.array(WEEKDAY_FACTORS)[(first + np.arange(params.n_days)) % 7]
    counts = rng.poisson(world.rates[:, None] * weekday_factors)
    customer = np.repeat(np.arange(params.n_customers), counts.sum(axis=1))
    day = np.repeat(np.tile(np.arange(params.n_days), params.n_customers), counts.ravel())
    of_day = (world.peaks_s[customer] + rng.normal(0, HOUR_SPREAD_S, len(day))) % DAY_S
    second = day * DAY_S + of_day.astype(np.int64)
    reach = np.diff(world.near_begins)[customer]
    rank = (rng.random(len(day)) ** HABIT * reach).astype(np.int64)
    terminal = world.near[world.near_begins[customer] + (rank + customer) % reach]
    is_away = rng.random(len(day)) < params.away_share
    terminal = np.where(is_away, rng.integers(0, params.n_terminals, len(day)), terminal)
    amount = rng.gamma(AMOUNT_SHAPE, world.means_at(customer, second) / AMOUNT_SHAPE)
    scenario = np.zeros(len(day), np.int64)

    scenario[(world.terminals.at(terminal, second) >= 0) & (rng.random(len(day)) < params.terminal_strength)] = 2
    is_stolen = (world.stolen.at(customer, second) >= 0) & (rng.random(len(day)) < params.stolen_strength)
    amount = np.where(is_stolen, amount * world.stolen_factors(second), amount)
    scenario[is_stolen] = 3
    is_large = rng.random(len(day)) < large_amount_rates(params)[day]
    large = world.large_amounts(second) * (1 + LARGE_SCALE * rng.exponential(size=len(day)))
    scenario[is_large] = 1
    return _table(second, customer, terminal, np.where(is_large, large, amount), scenario)


def _card_testing(world: World, rng: np.random.Generator) -> pl.DataFrame:
    sizes = rng.integers(world.params.burst_size // 2, world.params.burst_size * 3 // 2 + 1, len(world.bursts.keys))
    n = int(sizes.sum())
    second = np.repeat(world.bursts.starts_s, sizes) + rng.integers(0, BURST_S, n)
    customer = rng.integers(0, world.params.n_customers, n)
    amount = rng.uniform(*TINY, n) * world.tiny_factors(second)
    return _table(second, customer, np.repeat(world.bursts.keys, sizes), amount, np.full(n, 4))


def _cloned_cards(world: World, rng: np.random.Generator) -> pl.DataFrame:
    sizes = rng.poisson(world.params.spree_size, len(world.cloned.keys))
    n = int(sizes.sum())
    second = np.repeat(world.cloned.starts_s, sizes) + rng.integers(0, SPREE_S, n)
    customer = np.repeat(world.cloned.keys, sizes)
    amount = CLONED_FACTOR * rng.gamma(AMOUNT_SHAPE, world.means_at(customer, second) / AMOUNT_SHAPE)
    return _table(second, customer, rng.integers(0, world.params.n_terminals, n), amount, np.full(n, 5))


def _table(
    second: Integers, customer: Integers, terminal: Integers, amount: Floats, scenario: Integers
) -> pl.DataFrame:
    return pl.DataFrame(
        {"second": second, "customer": customer, "terminal": terminal, "amount": amount, "scenario": scenario}
    )


def known_ceiling(records: pl.DataFrame, params: SimulationParameters, delay_days: int) -> dict[str, float]:
    """Returns what the two observers of ``fraud_probabilities`` reach on the test rows: how good any detector can be.

    Args:
        records: The world's transactions with their ``split``, in the order of :func:`simulate`.
        params: The world.
        delay_days: Days until the label of a transaction is known.

    Returns:
        ``average_precision_informed``, ``average_precision_clairvoyant``, ``undetectable_share`` (of the frauds).
    """
    world = build_world(params)
    test = records.hstack(true_probabilities(world, draw(world), delay_days)).filter(pl.col("split") == "test")
    is_fraud, informed = test["is_fraud"].to_numpy(), test["informed"].to_numpy()
    n_frauds = max(int(is_fraud.sum()), 1)
    is_hidden = is_fraud & (informed < UNDETECTABLE_LIFT * n_frauds / len(is_fraud))
    return {
        "average_precision_informed": average_precision(is_fraud, informed),
        "average_precision_clairvoyant": average_precision(is_fraud, test["clairvoyant"].to_numpy()),
        "undetectable_share": float(is_hidden.sum()) / n_frauds,
    }
