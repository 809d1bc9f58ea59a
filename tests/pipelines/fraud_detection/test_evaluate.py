"""Metrics: equal to the handbook's definitions, and honest about what they cannot say."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from modelyard.lineage.table_digest import table_digest
from pipelines.fraud_detection.alerts import card_days, costs, raise_alerts
from pipelines.fraud_detection.evaluate import ScoreParameters, floor, predict, score
from pipelines.fraud_detection.figures import figures
from tests.modelyard.tasks.overlapping_words import overlapping_words

START = datetime(2024, 1, 1, 12, tzinfo=UTC)


def rows_of(*rows, scenario=1):
    """Rows of (day, card, score, is_fraud) with an amount of 100."""
    return pl.DataFrame(
        [
            (START + timedelta(days=day), str(card), 100.0, value, fraud, scenario * fraud)
            for day, card, value, fraud in rows
        ],
        ["event_time", "customer_id", "amount", "score", "is_fraud", "fraud_scenario"],
        orient="row",
    ).with_columns(pl.col("is_fraud").cast(pl.Boolean), pl.col("score").cast(pl.Float64))


def test_what_is_shown_beside_the_primary_metric_comes_first():
    assert list(score(random_rows(1), ScoreParameters()))[:7] == [
        *("average_precision", "roc_auc", "card_precision_at_100", "recall_at_budget"),
        *("log_loss", "brier_score", "expected_calibration_error"),
    ]


def random_rows(seed, n=3000):
    random = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "event_time": [START + timedelta(days=int(day)) for day in random.integers(0, 4, n)],
            "customer_id": random.integers(0, 400, n).astype(str),
            "amount": random.gamma(2, 30, n),
            "score": random.random(n).round(2),
            "is_fraud": random.random(n) < 0.05,
        }
    )


def handbook_card_precision(rows, top_k):
    """The definition in words, day by day and card by card."""
    found, daily = set(), []
    for day in sorted(rows["event_time"].unique()):
        cards = {}
        for row in rows.filter(pl.col("event_time") == day).iter_rows(named=True):
            if row["customer_id"] not in found:
                highest, fraud = cards.get(row["customer_id"], (-1.0, False))
                cards[row["customer_id"]] = (max(highest, row["score"]), fraud or row["is_fraud"])
        top = sorted(cards, key=lambda card: (-cards[card][0], len(card), card))[:top_k]
        caught = {card for card in top if cards[card][1]}
        daily.append(len(caught) / top_k)
        found |= caught
    return sum(daily) / len(daily)


@pytest.mark.parametrize("top_k", [1, 30, 100, 1000])
def test_card_precision_is_the_handbooks(top_k):
    rows = random_rows(3)
    alerts = raise_alerts(card_days(rows), top_k)
    assert np.mean(alerts.precisions) == pytest.approx(handbook_card_precision(rows, top_k))


def test_a_card_found_on_one_day_takes_no_alert_on_the_next():
    rows = rows_of((0, 1, 0.9, 1), (0, 2, 0.5, 0), (1, 1, 0.9, 1), (1, 2, 0.5, 1))
    alerts = raise_alerts(card_days(rows), 1)
    assert alerts.is_alerted.tolist() == [True, False, False, True]
    assert alerts.is_blocked.tolist() == [False, False, True, False]
    assert alerts.precisions == [1.0, 1.0]


def test_copies_of_a_customer_in_a_resample_are_cards_of_their_own():
    rows = rows_of((0, 1, 0.9, 1), (0, 2, 0.9, 1))
    assert score(rows, ScoreParameters())["card_precision_at_100"] == pytest.approx(0.02)


def test_costs_are_the_sum_of_their_parts():
    rows = rows_of((0, 1, 0.9, 1), (0, 2, 0.1, 1), (0, 3, 0.8, 0), (1, 1, 0.9, 1))
    params = ScoreParameters(cards_per_day=2, alert_cost=5, fraud_fee=10, stopped_share=0.5)
    result = costs(rows, raise_alerts(card_days(rows), 2), params)
    # Two alerts, half of the alerted fraud, all of the missed one, nothing of the blocked card's.
    assert result["cost_per_1000_transactions"] == pytest.approx(1000 * (2 * 5 + 55 + 110 + 0) / 4)
    assert result["saved_cost_share"] == pytest.approx(1 - 175 / 330)


def test_the_recall_of_each_scenario_is_its_own():
    rows = pl.concat([rows_of((0, 1, 0.9, 1), scenario=2), rows_of((0, 2, 0.1, 1), scenario=3)])
    metrics = score(rows, ScoreParameters(cards_per_day=1))
    assert (metrics["recall_compromised_terminal"], metrics["recall_stolen_details"]) == (1, 0)
    assert metrics["recall_at_budget"] == 0.5
    assert math.isnan(metrics["recall_cloned_card"])


def test_rows_of_one_class_have_no_ranking_metrics():
    metrics = score(rows_of((0, 1, 0.9, 0), (0, 2, 0.1, 0)), ScoreParameters())
    assert math.isnan(metrics["roc_auc"])
    assert math.isnan(metrics["average_precision"])
    assert math.isnan(metrics["saved_cost_share"])


def test_rows_without_scenarios_can_be_scored():
    assert math.isnan(score(random_rows(5), ScoreParameters())["recall_large_amount"])


def test_the_floor_has_the_columns_of_predict_and_knows_training_rows_only(trained):
    train, test = trained.rows("train"), trained.rows("test")
    trivial = floor(train, test)
    assert trivial.schema == predict(trained.model, test.head(5)).schema
    turned = test.with_columns(~pl.col("is_fraud"))
    assert floor(train, turned).equals(trivial)
    assert trivial["score"].is_between(0, 1).all()


def test_predicting_and_scoring_change_nothing(trained):
    test = trained.rows("test")
    before = table_digest(test)
    rows = test.hstack(predict(trained.model, test))
    assert table_digest(test) == before
    first = score(rows, ScoreParameters())
    assert score(rows, ScoreParameters()) == pytest.approx(first, nan_ok=True)


def test_only_alerts_have_reasons(trained):
    answers = predict(trained.model, trained.rows("test"))
    has_reasons = answers["reasons"] != ""
    assert answers["is_alert"].any()
    assert not has_reasons.filter(~answers["is_alert"]).any()
    assert has_reasons.filter(answers["is_alert"]).any()


def test_reasons_and_figures_state_the_currency_of_the_training_rows(trained):
    assert trained.model.params.currency == "EUR"
    test = trained.rows("test")
    in_francs = replace(trained.model, params=trained.model.params.model_copy(update={"currency": "CHF"}))
    for model, there, not_there in ((trained.model, "EUR", "CHF"), (in_francs, "CHF", "EUR")):
        answers = predict(model, test)
        said = " ".join(answers["reasons"])
        assert there in said
        assert not_there not in said
        place = figures(test.hstack(answers), model)["cost_by_budget"].axes[0]
        words = [place.get_ylabel(), *(text.get_text() for text in place.texts)]
        assert sum(there in word for word in words) == 2
        assert not any(not_there in word for word in words)


def test_the_floor_is_the_same_rule_in_every_currency(trained):
    train, test = trained.rows("train"), trained.rows("test")
    dearer = [rows.with_columns(pl.col("amount") * 100) for rows in (train, test)]
    assert floor(*dearer)["score"].equals(floor(train, test)["score"])


def test_every_figure_is_drawn(trained):
    test = trained.rows("test")
    drawn = figures(test.hstack(predict(trained.model, test)), trained.model)
    assert set(drawn) == {"precision_recall", "cost_by_budget", "reliability", "importance", "scores_by_scenario"}
    assert all(figure.axes[0].get_title("left") for figure in drawn.values())
    assert {name: overlapping_words(figure) for name, figure in drawn.items()} == {name: [] for name in drawn}


def test_figures_of_rows_without_scenarios_are_drawn(trained):
    test = trained.rows("test").drop("fraud_scenario")
    assert "scores_by_scenario" in figures(test.hstack(predict(trained.model, test)), trained.model)
