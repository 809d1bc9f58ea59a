"""The simulated world: customers and terminals in a plane, and the campaigns of fraud that run in it.

After the simulator of the Fraud Detection Handbook, chapter 3 "Transaction data simulator"
(https://fraud-detection-handbook.github.io/fraud-detection-handbook/): its three fraud scenarios (large amount,
compromised terminal, stolen card details) with its durations and factors, made less certain, and two more (card
testing at night, a cloned card's spree).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from modelyard.parameters import Parameters

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

SCENARIOS = ("genuine", "large_amount", "compromised_terminal", "stolen_details", "card_testing", "cloned_card")
"""What each value of ``fraud_scenario`` means. 1 to 3 are the handbook's."""

PLANE = 100.0
"""Side of the square in which customers and terminals lie (handbook)."""

DAY_S = 86_400
WEEKDAY_FACTORS = (0.95, 0.95, 1.0, 1.0, 1.15, 1.15, 0.8)
"""Transactions on Monday to Sunday over a mean day."""

HOUR_SPREAD_S = 20_000.0
"""Customers shop around their favourite time of the day with this standard deviation (handbook), around the clock."""

AMOUNT_SHAPE = 4.0
"""Amounts are gamma distributed with this shape: a standard deviation of half the mean, as in the handbook."""

TERMINAL_CAMPAIGN_S = 28 * DAY_S
STOLEN_CAMPAIGN_S = 14 * DAY_S
SPREE_S = 3_600
BURST_S = 3_600
BURST_NIGHT_S = 5 * 3_600
"""Bursts of card testing start between midnight and five."""

TINY = (0.5, 3.0)
"""Amounts of card testing on the first day, uniform."""

HABIT = 2.0
"""A customer's n-th favourite of N terminals within reach is drawn where a uniform variable to this power is n / N."""

LARGE_SCALE = 0.5
"""A large amount is the threshold times one plus an exponential variable of this mean."""

CLONED_FACTOR = 1.5
"""A cloned card spends this multiple of what its owner does."""

_DRIFTED_MIX = (0.02, 0.13, 0.15, 0.35, 0.35)


class ScenarioMix(Parameters):
    """Shares of the five kinds of fraud; they need not add up to one."""

    large_amount: float = Field(0.1, ge=0, description="One purchase far above the usual; the amount tells.")
    compromised_terminal: float = Field(0.45, ge=0, description="Purchases at a terminal during 28 bad days.")
    stolen_details: float = Field(0.25, ge=0, description="Some of a card's purchases, enlarged, during 14 days.")
    card_testing: float = Field(0.1, ge=0, description="Tiny amounts on many cards at one terminal, in one night.")
    cloned_card: float = Field(0.1, ge=0, description="A copy of a card goes on a spree, anywhere, for an hour.")


class SimulationParameters(Parameters):
    """The world of :func:`simulate`."""

    seed: int = Field(0, ge=0, description="Seed of the world and its transactions.")
    n_customers: int = Field(3_200, ge=10, le=1_000_000, description="Customers.")
    n_terminals: int = Field(6_400, ge=10, le=1_000_000, description="Terminals.")
    n_days: int = Field(42, ge=3, le=3_650, description="Days; the first are history for the windows.")
    start_date: date = Field(date(2024, 1, 1), description="First day (UTC).")
    daily_transactions: float = Field(1.92, gt=0, le=100, description="Mean transactions of a customer in a day.")
    radius: float = Field(10.0, gt=0, description="How far customers go, in a square of side 100.")
    away_share: float = Field(0.02, ge=0, lt=1, description="Share of genuine purchases at any terminal of the plane.")
    fraud_share: float = Field(0.009, ge=0, le=0.3, description="Expected share of frauds among the transactions.")
    mix: ScenarioMix = Field(ScenarioMix(), description="Which frauds.")
    large_amount: float = Field(220.0, gt=0, description="Where large amounts begin.")
    terminal_strength: float = Field(0.9, gt=0, le=1, description="Frauds among purchases at a compromised terminal.")
    stolen_strength: float = Field(1 / 3, gt=0, le=1, description="Frauds among purchases with a stolen card.")
    stolen_factor: float = Field(5.0, gt=1, description="Amounts of these over the customer's own.")
    burst_size: int = Field(10, ge=2, description="Cards tested in one burst, on average.")
    spree_size: float = Field(6.0, gt=0, description="Purchases of a cloned card in its one hour, on average.")
    drift: float = Field(
        0.0,
        ge=0,
        le=1,
        description="How much the world changes until the last day: amounts double, terminals are replaced, "
        "frauds stand out less and shift from terminals to card testing and cloned cards. 0: nothing changes.",
    )


class Campaigns(NamedTuple):
    """Periods in which something is wrong with a key (a terminal or a customer); sorted by key and start.

    Args:
        keys: Shape (K,).
        starts_s: Seconds from the first day, shape (K,); the earliest lie before it.
        duration_s: Of each.
    """

    keys: Integers
    starts_s: Integers
    duration_s: int

    def at(self, keys: Integers, seconds: Integers) -> Integers:
        """Returns the index of the latest campaign running for each key at each moment, -1 for none, shape (N,)."""
        if not len(self.keys):
            return np.full(len(keys), -1)
        # Wide enough to keep the ranges of neighbouring keys apart, whose earliest starts lie before the first day.
        span = int(max(seconds.max(initial=0), self.starts_s.max())) + 2 * (self.duration_s + DAY_S)
        index = np.searchsorted(self.keys * span + self.starts_s, keys * span + seconds, side="right") - 1
        at = np.maximum(index, 0)
        runs = (index >= 0) & (self.keys[at] == keys) & (seconds < self.starts_s[at] + self.duration_s)
        return np.where(runs, index, -1)


@dataclass(frozen=True, kw_only=True)
class World:
    """Who lives where, spends how, and what is wrong when.

    Args:
        params: What it was made from.
        means: Mean amount of each customer on the first day, shape (C,).
        rates: Transactions of each customer on a mean day, shape (C,).
        peaks_s: Favourite second of the day of each customer, shape (C,).
        near: Terminals within reach, customer by customer, shape (sum of reaches,).
        near_begins: Where each customer's terminals begin in ``near``, shape (C + 1,).
        replaced_s: When a drifting world replaces the terminal by a new one with another id, shape (K,).
        terminals: Campaigns on terminals; ``stolen`` and ``cloned`` on customers; ``bursts`` on terminals.
    """

    params: SimulationParameters
    means: Floats
    rates: Floats
    peaks_s: Floats
    near: Integers
    near_begins: Integers
    replaced_s: Integers
    terminals: Campaigns
    stolen: Campaigns
    bursts: Campaigns
    cloned: Campaigns

    def progress(self, seconds: Integers) -> Floats:
        """Returns how far the world has drifted at each moment: 0 on the first day, ``params.drift`` on the last."""
        return self.params.drift * seconds / (self.params.n_days * DAY_S)

    def means_at(self, customers: Integers, seconds: Integers) -> Floats:
        """Returns each customer's mean amount at each moment."""
        return self.means[customers] * (1 + self.progress(seconds))

    def stolen_factors(self, seconds: Integers) -> Floats:
        """Returns the factor of the amounts of stolen details at each moment."""
        return 1 + (self.params.stolen_factor - 1) * (1 - 0.5 * self.progress(seconds))

    def tiny_factors(self, seconds: Integers) -> Floats:
        """Returns the factor of the amounts of card testing at each moment."""
        return 1 + 3 * self.progress(seconds)

    def large_amounts(self, seconds: Integers) -> Floats:
        """Returns where large amounts begin at each moment."""
        return self.params.large_amount * (1 - 0.4 * self.progress(seconds))


def daily_frauds(params: SimulationParameters) -> Floats:
    """Returns the expected frauds of each scenario on each day, shape (5, n_days).

    Args:
        params: ``fraud_share`` and ``mix``; with drift the mix moves towards card testing and cloned cards.
    """
    mix = np.array(list(params.mix.model_dump().values()))[:, None]
    mix = mix / max(mix.sum(), 1e-12)
    progress = params.drift * (np.arange(params.n_days) + 0.5) / params.n_days
    moving = (1 - progress) * mix + progress * np.array(_DRIFTED_MIX)[:, None]
    # Card testing and cloned cards add transactions, the others turn genuine ones: s = s * (base + added).
    genuine = params.n_customers * params.daily_transactions
    total = params.fraud_share * genuine / (1 - params.fraud_share * moving[3:].sum(axis=0))
    daily: Floats = moving * total
    return daily


def daily_campaigns(params: SimulationParameters) -> Floats:
    """Returns the expected new campaigns of scenarios 2 to 5 on each day, shape (4, n_days)."""
    visits = params.n_customers * params.daily_transactions / params.n_terminals
    sizes = (
        params.terminal_strength * visits * TERMINAL_CAMPAIGN_S / DAY_S,
        params.stolen_strength * params.daily_transactions * STOLEN_CAMPAIGN_S / DAY_S,
        params.burst_size,
        params.spree_size,
    )
    daily: Floats = daily_frauds(params)[1:] / np.array(sizes)[:, None]
    return daily


def build_world(params: SimulationParameters) -> World:
    """Draws customers, terminals and campaigns; the same parameters give the same world."""
    rng = np.random.default_rng([params.seed, 0])
    n, k, days = params.n_customers, params.n_terminals, params.n_days
    customer_xy, terminal_xy = rng.uniform(0, PLANE, (n, 2)), rng.uniform(0, PLANE, (k, 2))
    near, near_begins = _within_reach(customer_xy, terminal_xy, params.radius)
    replaced = np.where(rng.random(k) < 0.7 * params.drift, rng.uniform(0, 1, k), 2.0) * days * DAY_S
    daily = daily_campaigns(params)
    return World(
        params=params,
        means=rng.uniform(5, 100, n),
        rates=rng.uniform(0, 2 * params.daily_transactions, n),
        peaks_s=rng.normal(13, 2, n) * 3_600,
        near=near,
        near_begins=near_begins,
        replaced_s=replaced.astype(np.int64),
        terminals=_campaigns(rng, daily[0], k, TERMINAL_CAMPAIGN_S),
        stolen=_campaigns(rng, daily[1], n, STOLEN_CAMPAIGN_S),
        bursts=_bursts(_campaigns(rng, daily[2], k, BURST_S)),
        cloned=_campaigns(rng, daily[3], n, SPREE_S),
    )


def large_amount_rates(params: SimulationParameters) -> Floats:
    """Returns the probability that a purchase becomes one of a large amount, for each day, shape (n_days,)."""
    rates: Floats = daily_frauds(params)[0] / (params.n_customers * params.daily_transactions)
    return rates


def _campaigns(rng: np.random.Generator, daily: Floats, n_keys: int, duration_s: int) -> Campaigns:
    """Draws campaigns: ``daily`` new ones on each day, and before the first day as many as on it."""
    before = -(-duration_s // DAY_S)
    daily = np.concatenate([np.full(before, daily[0]), daily])
    expected = daily.sum()
    n = int(expected) + int(rng.random() < expected % 1)
    days = rng.choice(len(daily), n, p=daily / expected) - before if n else np.empty(0, np.int64)
    keys = rng.integers(0, n_keys, n)
    starts = (days + rng.random(n)) * DAY_S
    order = np.lexsort((starts, keys))
    return Campaigns(keys[order], starts[order].astype(np.int64), duration_s)


def _bursts(campaigns: Campaigns) -> Campaigns:
    """Moves each campaign into the night of its day."""
    day, of_day = np.divmod(campaigns.starts_s, DAY_S)
    starts = day * DAY_S + of_day * BURST_NIGHT_S // DAY_S
    return campaigns._replace(starts_s=starts)


def _within_reach(customer_xy: Floats, terminal_xy: Floats, radius: float) -> tuple[Integers, Integers]:
    """Terminals within ``radius`` of each customer, or the nearest one; see ``World.near``."""
    near, counts = [], []
    for begin in range(0, len(customer_xy), 256):
        offsets = customer_xy[begin : begin + 256, None, :] - terminal_xy
        distances = np.hypot(offsets[..., 0], offsets[..., 1])
        is_near = distances <= np.maximum(radius, distances.min(axis=1, keepdims=True))
        near.append(np.nonzero(is_near)[1])
        counts.append(is_near.sum(axis=1))
    return np.concatenate(near), np.concatenate([np.zeros(1, np.int64), np.cumsum(np.concatenate(counts))])
