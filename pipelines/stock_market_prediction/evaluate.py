"""What is good: predictions that are right more often than chance, also after costs, and a volatility that comes."""

from __future__ import annotations

import numpy as np
import polars as pl
from pydantic import Field

from modelyard.gate import Evaluation, GateParameters, Verdict, standard_gate
from modelyard.parameters import Parameters
from modelyard.tasks.classification import matthews_corrcoef
from modelyard.tasks.ranking import roc_auc
from pipelines.stock_market_prediction.model import StockModel, inputs_of, up_probabilities, volatility_forecast
from pipelines.stock_market_prediction.significance import best_constant, p_value_beats_constant
from pipelines.stock_market_prediction.trading import earnings, turnover_ratio

MAX_P_VALUE = 0.05
"""The gate stays shut where chance alone would do as well with more than this probability."""


class ScoreParameters(Parameters):
    """What trading costs."""

    cost_bps: float = Field(
        5.0,
        ge=0,
        le=500,
        description="Half the spread, fees and slippage, in hundredths of a percent of what is traded.",
    )


def predict(model: StockModel, examples: pl.DataFrame) -> pl.DataFrame:
    """Returns direction and volatility of the target day.

    Args:
        model: A trained model.
        examples: Features and ``volatility_pct``, at least one row.

    Returns:
        Row for row: ``up_probability`` (given that the neutral band is left), ``is_up_predicted``, and
        ``volatility_forecast_pct`` (annualised).
    """
    probability = up_probabilities(model.booster, inputs_of(examples))
    return pl.DataFrame(
        {
            "up_probability": probability,
            "is_up_predicted": probability >= model.params.threshold,
            "volatility_forecast_pct": volatility_forecast(model.volatility, examples),
        }
    )


def score(rows: pl.DataFrame, params: ScoreParameters) -> dict[str, float]:
    """Returns metrics of predictions.

    Args:
        rows: Records with predictions. Rows of the neutral band have no ``is_up``: they count for the book and the
            volatility only, as in the ACL18 protocol.
        params: See :class:`ScoreParameters`.

    Returns:
        ``matthews_corrcoef``, ``accuracy``, ``best_constant_accuracy`` (the better one of always up and always down on
        these rows), ``roc_auc``, ``neg_log_loss``; ``gross_bps_per_day``, ``net_bps_per_day`` (NaN where nothing can be
        traded); ``volatility_rmse_pct`` and ``volatility_skill_share`` (1 - RMSE over that of no change).
    """
    labelled = rows.drop_nulls("is_up")
    is_up, predicted = labelled["is_up"].to_numpy(), labelled["is_up_predicted"].to_numpy()
    probability = np.clip(labelled["up_probability"].to_numpy(), 1e-9, 1 - 1e-9)
    empty = not len(is_up)
    return {
        "matthews_corrcoef": matthews_corrcoef(is_up, predicted),
        "accuracy": np.nan if empty else float((is_up == predicted).mean()),
        "best_constant_accuracy": np.nan if empty else float((is_up == best_constant(is_up)).mean()),
        "roc_auc": roc_auc(is_up, probability),
        "neg_log_loss": np.nan if empty else float(np.log(np.where(is_up, probability, 1 - probability)).mean()),
        **earnings(rows, params.cost_bps),
        **_volatility_scores(rows),
    }


def once(rows: pl.DataFrame, params: ScoreParameters) -> dict[str, float]:
    """Returns what needs the days in their order, which a resample does not have.

    Args:
        rows: As for :func:`score`.
        params: See :class:`ScoreParameters`.

    Returns:
        ``p_value_beats_constant`` (NaN for too few days) and ``turnover_ratio`` (NaN where nothing can be traded).
    """
    labelled = rows.drop_nulls("is_up")
    return {
        "p_value_beats_constant": p_value_beats_constant(labelled) if labelled.height else np.nan,
        "turnover_ratio": turnover_ratio(rows),
    }


def _volatility_scores(rows: pl.DataFrame) -> dict[str, float]:
    known = rows.drop_nulls(["next_volatility_pct", "volatility_pct"])
    if not known.height:
        return {"volatility_rmse_pct": float("nan"), "volatility_skill_share": float("nan")}
    observed = known["next_volatility_pct"].to_numpy()
    ours, unchanged = (
        float(np.sqrt(np.mean((known[name].to_numpy() - observed) ** 2)))
        for name in ("volatility_forecast_pct", "volatility_pct")
    )
    return {
        "volatility_rmse_pct": ours,
        "volatility_skill_share": 1 - ours / unchanged if unchanged > 0 else float("nan"),
    }


def floor(train: pl.DataFrame, test: pl.DataFrame) -> pl.DataFrame:
    """Returns the trivial rule: what was more frequent in training, every day, and the volatility of today.

    Args:
        train: Has ``is_up``.
        test: Has ``volatility_pct``.

    Returns:
        The columns of :func:`predict`.
    """
    share: float = train["is_up"].mean()  # type: ignore[assignment]  # of booleans it is a float
    return test.select(
        pl.lit(share).alias("up_probability"),
        pl.lit(share >= 0.5).alias("is_up_predicted"),
        pl.col("volatility_pct").alias("volatility_forecast_pct"),
    )


def gate(evaluation: Evaluation, params: GateParameters) -> Verdict:
    """Returns the usual verdict after one more question: are the predictions better than a constant, or was it luck?

    Args:
        evaluation: Of the test rows.
        params: Those of the usual gate.
    """
    verdict = standard_gate(evaluation, params)
    p_value = evaluation.metrics["p_value_beats_constant"].value
    # "not (a <= b)" rather than "a > b": an unknown p-value must fail the gate.
    if verdict.passed and not p_value <= MAX_P_VALUE:
        ours, rival = (evaluation.metrics[name].value for name in ("accuracy", "best_constant_accuracy"))
        return Verdict(
            False,
            f"accuracy {ours:.4f} is not better than predicting the same every day ({rival:.4f}) beyond chance"
            f" (p = {p_value:.2g}, at most {MAX_P_VALUE:g})",
        )
    return verdict
