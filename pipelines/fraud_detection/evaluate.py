"""What is good: frauds ranked first, few alerts wasted, money saved, and probabilities that mean what they say."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.tasks.classification import probability_metrics
from modelyard.tasks.further_inputs import refuse_unknown
from modelyard.tasks.ranking import average_precision, roc_auc
from pipelines.fraud_detection.alerts import Alerts, ScoreParameters, card_days, costs, raise_alerts
from pipelines.fraud_detection.inputs import Inputs, model_inputs
from pipelines.fraud_detection.model import FraudModel, answers_of, reasons
from pipelines.fraud_detection.world import SCENARIOS

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

HANDBOOK_CARDS = 100
"""Cards per day of the handbook's card precision; the published values are for 100."""

_CALIBRATION_BINS = 20
_FLOOR_STEPS = 20


def predict(model: FraudModel, examples: pl.DataFrame) -> pl.DataFrame:
    """Returns how likely each transaction is a fraud.

    Args:
        model: A trained model.
        examples: Records with features, at least one row.

    Returns:
        Row for row: ``score`` (calibrated probability of fraud, float64 in [0, 1]), its parts ``booster_logit`` and
        ``network_logit`` (log-odds, float64), ``is_alert`` (whether the score reaches the model's threshold) and
        ``reasons`` (in words, separated by ``"; "``; empty where there is no alert).

    Raises:
        DataContractError: A request gives a further column that the model does not have.
    """
    refuse_unknown(examples, model.params.further)
    inputs = model_inputs(examples, model.params.further)
    answers = answers_of(model, inputs)
    threshold = model.params.alert.threshold
    is_alert = answers.probability >= (0.5 if threshold is None else threshold)
    words = np.full(len(is_alert), "", dtype=object)
    words[is_alert] = reasons(model.booster, Inputs(inputs.columns[is_alert], inputs.sequence[is_alert]), model.params)
    return pl.DataFrame(
        {
            "score": answers.probability,
            "booster_logit": answers.booster_logit,
            "network_logit": answers.network_logit,
            "is_alert": is_alert,
            "reasons": pl.Series(words.tolist(), dtype=pl.String),
        }
    )


def score(rows: pl.DataFrame, params: ScoreParameters) -> dict[str, float]:
    """Returns metrics of predictions.

    Args:
        rows: Records with ``score``; ``fraud_scenario`` may be missing.
        params: See :class:`ScoreParameters`.

    Returns:
        ``average_precision``, ``roc_auc``; ``card_precision_at_100`` (the handbook's); ``recall_at_budget`` (share of
        frauds on cards that are alerted at the alert budget or already blocked); ``log_loss``, ``brier_score``,
        ``expected_calibration_error``; at the alert budget ``cost_per_1000_transactions`` (in the currency of
        the amounts), ``saved_cost_share`` (against no model at all) and ``recall_<scenario>``. NaN where the rows
        cannot answer.
    """
    is_fraud, probability = rows["is_fraud"].to_numpy(), rows["score"].to_numpy()
    ranking = {
        "average_precision": average_precision(is_fraud, probability),
        "roc_auc": roc_auc(is_fraud, probability),
    }
    if not rows.height:
        return ranking
    cards = card_days(rows)
    handbook, alerts = (raise_alerts(cards, per_day) for per_day in (HANDBOOK_CARDS, params.cards_per_day))
    return {
        **ranking,
        "card_precision_at_100": sum(handbook.precisions) / len(handbook.precisions),
        "recall_at_budget": _recall(alerts, is_fraud),
        **probability_metrics(is_fraud, probability, _CALIBRATION_BINS),
        **costs(rows, alerts, params),
        **_scenario_recalls(rows, alerts),
    }


def _recall(alerts: Alerts, is_fraud: Booleans) -> float:
    """Returns the share of these frauds that the alerts catch; NaN for none."""
    return float((alerts.is_alerted | alerts.is_blocked)[is_fraud].mean()) if is_fraud.any() else float("nan")


def _scenario_recalls(rows: pl.DataFrame, alerts: Alerts) -> dict[str, float]:
    kinds = np.zeros(rows.height)
    if "fraud_scenario" in rows.columns:
        kinds = rows["fraud_scenario"].fill_null(0).to_numpy()
    is_fraud = rows["is_fraud"].to_numpy()
    return {
        f"recall_{name}": _recall(alerts, is_fraud & (kinds == kind)) for kind, name in enumerate(SCENARIOS) if kind
    }


def floor(train: pl.DataFrame, test: pl.DataFrame) -> pl.DataFrame:
    """Returns the trivial rule: as suspicious as transactions of its amount were in training, in 20 steps.

    A step is 0.4 of the median amount of training, to one digit (20 EUR for the public data), so that the rule is the
    same in every currency. From a share of frauds that falls with the amount nothing is believed: a step's share is at
    least that of the step below.

    Args:
        train: Has ``amount``, ``is_fraud``.
        test: Has ``amount``.

    Returns:
        The columns of :func:`predict`.
    """
    median = float(np.median(train["amount"].to_numpy())) or 1.0
    width = float(f"{0.4 * median:.0e}")

    def step(rows: pl.DataFrame) -> NDArray[np.int64]:
        return np.minimum(rows["amount"].to_numpy() // width, _FLOOR_STEPS).astype(np.int64)

    counts = np.bincount(step(train), minlength=_FLOOR_STEPS + 1)
    frauds = np.bincount(step(train), weights=train["is_fraud"].to_numpy(), minlength=_FLOOR_STEPS + 1)
    shares = np.maximum.accumulate(frauds / np.maximum(counts, 1))
    probability = shares[step(test)]
    bounded = np.clip(probability, 1e-6, 1 - 1e-6)
    logit = np.log(bounded / (1 - bounded))
    return pl.DataFrame(
        {"score": probability, "booster_logit": logit, "network_logit": logit, "is_alert": probability >= 0.5}
    ).with_columns(pl.lit("").alias("reasons"))
