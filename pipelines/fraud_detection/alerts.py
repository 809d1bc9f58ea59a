"""Who is looked at, and what that costs: each day the most suspicious cards, until the day's budget of alerts is spent.

As the Fraud Detection Handbook does (chapter 3 "Baseline fraud detection system", ``card_precision_top_k``): a card is
as suspicious as its most suspicious transaction of the day, and a card found compromised is blocked from the next day
on, so that it takes no second alert.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from modelyard.parameters import Parameters
from pipelines.fraud_detection.identifiers import numbered

_DAY_US = 86_400_000_000


class ScoreParameters(Parameters):
    """What an alert costs, what a fraud costs, and how many cards can be looked at."""

    cards_per_day: int = Field(100, ge=1, description="Alert budget: cards that people can look at in a day.")
    alert_cost: float = Field(5.0, ge=0, description="Cost of looking at one card, in `ingest.currency`.")
    fraud_fee: float = Field(
        15.0, ge=0, description="Cost of one fraud that went through, beside its amount, in `ingest.currency`."
    )
    stopped_share: float = Field(
        0.7, ge=0, le=1, description="Share of a card's frauds on the day of its alert that the alert still stops."
    )


class Alerts(NamedTuple):
    """What a budget of alerts found.

    Args:
        n_alerts: Alerts raised in all.
        precisions: Cards rightly alerted over the budget, one value for each day.
        is_alerted: Whether the transaction's card is alerted on its day, shape (N,).
        is_blocked: Whether the transaction's card was found compromised on an earlier day, shape (N,).
    """

    n_alerts: int
    precisions: list[float]
    is_alerted: NDArray[np.bool_]
    is_blocked: NDArray[np.bool_]


class CardDays(NamedTuple):
    """Transactions gathered by day and card; G groups, ordered by day.

    Args:
        group: Of each transaction, shape (N,).
        card: Number of the card from 0, shape (G,).
        score: Highest of the group, shape (G,).
        is_fraud: Whether there is a fraud in it, shape (G,).
        days: Slices of groups, one for each day.
    """

    group: NDArray[np.int64]
    card: NDArray[np.int64]
    score: NDArray[np.float64]
    is_fraud: NDArray[np.bool_]
    days: list[slice]


def card_days(rows: pl.DataFrame) -> CardDays:
    """Gathers ``event_time``, ``customer_id``, ``score`` and ``is_fraud`` of at least one row."""
    day = rows["event_time"].to_physical().to_numpy() // _DAY_US
    card = numbered(rows["customer_id"])
    order = np.lexsort((card, day))
    is_first = np.ones(len(order), dtype=bool)
    is_first[1:] = (np.diff(day[order]) != 0) | (np.diff(card[order]) != 0)
    starts = np.flatnonzero(is_first)
    group = np.empty(len(order), np.int64)
    group[order] = np.cumsum(is_first) - 1
    begins = np.append(np.flatnonzero(np.diff(day[order][starts], prepend=-1)), len(starts)).tolist()
    return CardDays(
        group=group,
        card=card[order][starts],
        score=np.maximum.reduceat(rows["score"].to_numpy()[order], starts),
        is_fraud=np.logical_or.reduceat(rows["is_fraud"].to_numpy()[order], starts),
        days=[slice(begin, end) for begin, end in pairwise(begins)],
    )


def raise_alerts(cards: CardDays, per_day: int) -> Alerts:
    """Returns alerts on the ``per_day`` most suspicious cards of each day; of equals, on the lower number."""
    is_blocked_card = np.zeros(cards.card.max() + 1, dtype=bool)
    is_alerted, is_blocked = np.zeros(len(cards.card), dtype=bool), np.zeros(len(cards.card), dtype=bool)
    precisions = []
    for day in cards.days:
        is_blocked[day] = is_blocked_card[cards.card[day]]
        open_groups = day.start + np.flatnonzero(~is_blocked[day])
        chosen = open_groups[np.argsort(-cards.score[open_groups], kind="stable")[:per_day]]
        is_alerted[chosen] = True
        found = chosen[cards.is_fraud[chosen]]
        is_blocked_card[cards.card[found]] = True
        precisions.append(len(found) / per_day if per_day else 0.0)
    return Alerts(int(is_alerted.sum()), precisions, is_alerted[cards.group], is_blocked[cards.group])


def costs(rows: pl.DataFrame, alerts: Alerts, params: ScoreParameters) -> dict[str, float]:
    """Returns what fraud and its prevention cost, and which share of the cost without any model that saves.

    A fraud costs its amount and a fee. On an alerted card only what the alert came too late for is lost; on a card
    blocked on an earlier day, nothing.

    Args:
        rows: Has ``amount``, ``is_fraud``.
        alerts: Of the same rows.
        params: The costs.
    """
    is_fraud = rows["is_fraud"].to_numpy()
    loss = np.where(is_fraud, rows["amount"].to_numpy() + params.fraud_fee, 0.0)
    lost_share = np.where(alerts.is_blocked, 0.0, np.where(alerts.is_alerted, 1 - params.stopped_share, 1.0))
    cost, without = params.alert_cost * alerts.n_alerts + float(loss @ lost_share), float(loss.sum())
    return {
        "cost_per_1000_transactions": 1000 * cost / rows.height,
        "saved_cost_share": 1 - cost / without if without else float("nan"),
    }
