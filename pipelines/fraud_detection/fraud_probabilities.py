"""How likely each simulated transaction was a fraud, given what can be known: the best that a detector can do.

Every transaction of :mod:`pipelines.fraud_detection.simulator` comes from a few superposed streams (the customer's own
purchases, thinned by large amounts, compromised terminals and stolen details; card testing; cloned cards), each with a
known rate per day, customer, terminal and euro. The probability of fraud is the fraudulent streams' share of the rate
at the transaction. Two observers differ in the campaigns that they know:

- ``clairvoyant`` knows every running campaign from its first second;
- ``informed`` knows the world's numbers but a campaign only once it can have shown itself: a compromised terminal when
  the label of its first fraud has arrived, stolen details and a cloned card after one of their frauds, a burst of card
  testing after two. Before that, it expects campaigns at their average rate.

The informed observer is an approximation from above: it never takes chance for a campaign, knows exactly when one
ends, and needs no training. Its average precision is the ceiling to place a model beside.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipelines.fraud_detection.world import (
    AMOUNT_SHAPE,
    BURST_NIGHT_S,
    BURST_S,
    CLONED_FACTOR,
    DAY_S,
    HABIT,
    HOUR_SPREAD_S,
    LARGE_SCALE,
    SPREE_S,
    STOLEN_CAMPAIGN_S,
    TINY,
    WEEKDAY_FACTORS,
    SimulationParameters,
    World,
    daily_campaigns,
    large_amount_rates,
)

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


def true_probabilities(world: World, drawn: pl.DataFrame, delay_days: int) -> pl.DataFrame:
    """Returns both observers' probability of fraud for each transaction, in their order: ``informed``, ``clairvoyant``.

    Args:
        world: The world.
        drawn: All that ``draw(world)`` returned.
        delay_days: Days until the label of a transaction is known.
    """
    running = _running(world, drawn)
    unknown = _unknown_rates(world.params, drawn, delay_days * DAY_S)
    shown = _shown(drawn, running, delay_days * DAY_S)
    return pl.DataFrame(
        {
            "informed": _fraud_share(world, drawn, shown, unknown),
            "clairvoyant": _fraud_share(world, drawn, running >= 0, np.zeros_like(unknown)),
        }
    )


def _running(world: World, drawn: pl.DataFrame) -> Integers:
    """Index of the running campaign of scenarios 2 to 5 at each transaction, -1 for none; shape (4, N)."""
    second, customer, terminal = (drawn[name].to_numpy() for name in ("second", "customer", "terminal"))
    return np.stack(
        [
            world.terminals.at(terminal, second),
            world.stolen.at(customer, second),
            world.bursts.at(terminal, second),
            world.cloned.at(customer, second),
        ]
    )


def _shown(drawn: pl.DataFrame, running: Integers, delay_s: int) -> NDArray[np.bool_]:
    """Whether the running campaign can be known at each transaction; shape (4, N)."""
    scenario = pl.col("scenario")
    names = ("terminals", "stolen", "bursts", "cloned")
    first_label = pl.col("second").filter(scenario == 2).min().over("terminals") + delay_s
    earlier = {
        name: ((scenario == kind).cum_sum() - (scenario == kind)).over(name)
        for name, kind in (("stolen", 3), ("bursts", 4), ("cloned", 5))
    }
    shown = drawn.with_columns(pl.Series(name, campaign) for name, campaign in zip(names, running, strict=True)).select(
        (pl.col("terminals") >= 0) & (first_label <= pl.col("second")).fill_null(False),
        (pl.col("stolen") >= 0) & (earlier["stolen"] >= 1),
        (pl.col("bursts") >= 0) & (earlier["bursts"] >= 2),
        (pl.col("cloned") >= 0) & (earlier["cloned"] >= 1),
    )
    return shown.to_numpy().T


def _unknown_rates(params: SimulationParameters, drawn: pl.DataFrame, delay_s: int) -> Floats:
    """What campaigns that have not shown themselves contribute on average; shape (4, N).

    For terminals and stolen details the probability that one is running; for bursts the transactions per day at a
    terminal, for clones those per day of a customer.
    """
    second = drawn["second"].to_numpy()
    daily = daily_campaigns(params)[:, second // DAY_S]
    visits = params.n_customers * params.daily_transactions / params.n_terminals
    hidden_terminal_days = delay_s / DAY_S + 1 / (params.terminal_strength * visits)
    hidden_stolen_days = min(STOLEN_CAMPAIGN_S / DAY_S, 1 / (params.stolen_strength * params.daily_transactions))
    night_s = BURST_NIGHT_S + BURST_S
    return np.stack(
        [
            np.minimum(daily[0] / params.n_terminals * hidden_terminal_days, 1),
            np.minimum(daily[1] / params.n_customers * hidden_stolen_days, 1),
            np.where(second % DAY_S < night_s, daily[2] / params.n_terminals * 2 * DAY_S / night_s, 0),
            daily[3] / params.n_customers,
        ]
    )


def _fraud_share(world: World, drawn: pl.DataFrame, is_known: NDArray[np.bool_], unknown: Floats) -> Floats:
    """Rate of frauds over the rate of all transactions at each transaction, shape (N,).

    Rates are per day, customer, terminal and euro. Known campaigns run for sure, others at their ``unknown`` rate.
    """
    params = world.params
    second, customer, amount = (drawn[name].to_numpy() for name in ("second", "customer", "amount"))
    means, factors, large_from = (
        world.means_at(customer, second),
        world.stolen_factors(second),
        world.large_amounts(second),
    )
    purchases = _purchase_rates(world, drawn)
    own = purchases * _amount_density(amount, means)
    enlarged = purchases * _amount_density(amount, means * factors)
    excess = (amount / large_from - 1) / LARGE_SCALE
    large = purchases * np.where(excess >= 0, np.exp(-np.maximum(excess, 0)) / (large_from * LARGE_SCALE), 0)
    tiny_from, tiny_to = (end * world.tiny_factors(second) for end in TINY)
    tiny = np.where((amount >= tiny_from) & (amount <= tiny_to), 1 / (tiny_to - tiny_from), 0)

    at_terminal = params.terminal_strength * np.where(is_known[0], 1, unknown[0])
    is_stolen = params.stolen_strength * np.where(is_known[1], 1, unknown[1])
    testing = np.where(is_known[2], params.burst_size * DAY_S / BURST_S, unknown[2]) / params.n_customers * tiny
    clones = np.where(is_known[3], params.spree_size * DAY_S / SPREE_S, unknown[3]) / params.n_terminals
    is_large = large_amount_rates(params)[second // DAY_S]
    genuine = own * (1 - is_large) * (1 - is_stolen) * (1 - at_terminal)
    frauds = (
        large * is_large
        + enlarged * (1 - is_large) * is_stolen
        + own * (1 - is_large) * (1 - is_stolen) * at_terminal
        + testing
        + clones * _amount_density(amount, means * CLONED_FACTOR)
    )
    share: Floats = frauds / np.maximum(genuine + frauds, 1e-300)
    return share


def _purchase_rates(world: World, drawn: pl.DataFrame) -> Floats:
    """Rate at which the customer itself buys at this terminal at this moment, per day; shape (N,)."""
    params = world.params
    second, customer, terminal = (drawn[name].to_numpy() for name in ("second", "customer", "terminal"))
    weekday = (second // DAY_S + params.start_date.weekday()) % 7
    offsets = second % DAY_S - world.peaks_s[customer]
    wrapped = (offsets[:, None] + DAY_S * np.arange(-1, 2)) / HOUR_SPREAD_S
    of_day = np.exp(-(wrapped**2) / 2).sum(axis=1) * DAY_S / (HOUR_SPREAD_S * np.sqrt(2 * np.pi))
    reach = np.diff(world.near_begins)[customer]
    owner = np.repeat(np.arange(params.n_customers), np.diff(world.near_begins))
    reached = owner * params.n_terminals + world.near  # sorted: customer by customer, terminals in order
    wanted = customer * params.n_terminals + terminal
    index = np.minimum(np.searchsorted(reached, wanted), len(reached) - 1)
    is_near = reached[index] == wanted
    rank = np.where(is_near, (index - world.near_begins[customer] - customer) % reach, 0)
    habit = ((rank + 1) / reach) ** (1 / HABIT) - (rank / reach) ** (1 / HABIT)
    choice = (1 - params.away_share) * is_near * habit + params.away_share / params.n_terminals
    rates: Floats = world.rates[customer] * np.array(WEEKDAY_FACTORS)[weekday] * of_day * choice
    return rates


def _amount_density(amount: Floats, means: Floats) -> Floats:
    """Gamma density of ``AMOUNT_SHAPE`` with the given means."""
    import math

    scaled = amount * AMOUNT_SHAPE / means
    density: Floats = scaled ** (AMOUNT_SHAPE - 1) * np.exp(-scaled) / math.gamma(AMOUNT_SHAPE) * AMOUNT_SHAPE / means
    return density
