"""Figures for the reviewer of a model, in one style, readable at the width of a README."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from modelyard.tasks.boosting import gain_shares
from modelyard.tasks.figures import (
    COLOURS,
    MUTED,
    axes,
    figure_style,
    importance,
    logit_axis,
    precision_recall,
    reliability,
)
from pipelines.fraud_detection.alerts import ScoreParameters, card_days, costs, raise_alerts
from pipelines.fraud_detection.inputs import input_columns
from pipelines.fraud_detection.world import SCENARIOS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pipelines.fraud_detection.model import FraudModel

_BUDGETS = (0, 10, 20, 30, 40, 50, 75, 100, 150, 200, 300, 400)


@figure_style()
def figures(rows: pl.DataFrame, model: FraudModel) -> dict[str, Figure]:
    """Returns what a reviewer looks at.

    Args:
        rows: Test rows with predictions; both classes are there.
        model: The model that made them.

    Returns:
        ``precision_recall`` (of the model and its parts, beside ranking by amount), ``cost_by_budget``,
        ``reliability``, ``importance`` and ``scores_by_scenario``.
    """
    return {
        "precision_recall": _precision_recall(rows),
        "cost_by_budget": _cost_by_budget(rows, model.params.currency),
        "reliability": _reliability(rows),
        "importance": importance(gain_shares(model.booster, list(input_columns(model.params.further)))),
        "scores_by_scenario": _scores_by_scenario(rows),
    }


def _precision_recall(rows: pl.DataFrame) -> Figure:
    names = {"score": "blend", "booster_logit": "trees", "network_logit": "network", "amount": "by amount"}
    figure, (place,) = axes()
    precision_recall(place, rows["is_fraud"].to_numpy(), {name: rows[key].to_numpy() for key, name in names.items()})
    place.set(xlabel="share of the frauds found", ylabel="share of frauds among those flagged")
    place.set_title("Precision and recall on the test rows")
    return figure


def _cost_by_budget(rows: pl.DataFrame, currency: str) -> Figure:
    params = ScoreParameters()

    def cost_of(ranked: pl.DataFrame) -> list[float]:
        cards = card_days(ranked)
        alerts = [raise_alerts(cards, budget) for budget in _BUDGETS]
        return [costs(rows, raised, params)["cost_per_1000_transactions"] for raised in alerts]

    ours, trivial = cost_of(rows), cost_of(rows.with_columns(score=rows["amount"]))
    figure, (place,) = axes()
    place.plot(_BUDGETS, ours, color=COLOURS[0], marker="o", markersize=4, label="model")
    place.plot(_BUDGETS, trivial, ":", color=MUTED, marker="o", markersize=3, label="largest amounts")
    place.axhline(ours[0], color=MUTED, linewidth=1)
    place.annotate("no alerts", (_BUDGETS[-1], ours[0]), ha="right", va="bottom", color=MUTED)
    place.set(xlabel="cards looked at in a day", ylabel=f"{currency} per 1000 transactions", ylim=(0, None))
    place.set_title("Cost of fraud and of its prevention")
    place.annotate(
        f"alert {params.alert_cost:g} {currency}, missed fraud its amount + {params.fraud_fee:g} {currency}",
        (0.02, 0.03),
        xycoords="axes fraction",
        color=MUTED,
        fontsize=9,
    )
    place.legend(loc="lower right", bbox_to_anchor=(1.0, 0.1))
    return figure


def _reliability(rows: pl.DataFrame) -> Figure:
    figure, (place,) = axes()
    reliability(place, rows["is_fraud"].to_numpy(), rows["score"].to_numpy(), "logit")
    place.set(xlabel="predicted probability of fraud", ylabel="share that was fraud (95 % interval)")
    place.set_title("Predicted and observed shares of fraud")
    return figure


def _scores_by_scenario(rows: pl.DataFrame) -> Figure:
    """Empirical distribution of each kind's scores: a curve that starts high was not seen."""
    has_kinds = "fraud_scenario" in rows.columns and rows["fraud_scenario"].null_count() < rows.height
    kind = pl.col("fraud_scenario").fill_null(0) if has_kinds else pl.col("is_fraud").cast(pl.Int64)
    names = dict(enumerate(SCENARIOS if has_kinds else ("genuine", "fraud")))
    labelled = rows.select("score", kind.alias("kind"))
    figure, (place,) = axes()
    for value in sorted(labelled["kind"].unique()):
        scores = np.sort(labelled.filter(pl.col("kind") == value)["score"].to_numpy())
        share = np.arange(1, len(scores) + 1) / len(scores)
        colour = COLOURS[(value - 1) % len(COLOURS)] if value else MUTED
        label = f"{names.get(value, f'kind {value}').replace('_', ' ')} ({len(scores)})"
        place.step(np.maximum(scores, 1e-4), share, where="post", color=colour, label=label)
    logit_axis(place, "x")
    place.set(ylim=(0, 1.02), xlabel="predicted probability of fraud", ylabel="share of the rows below it")
    place.set_title("Scores of each kind of transaction")
    place.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=3, fontsize=9)
    return figure
