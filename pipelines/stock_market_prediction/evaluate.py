"""What is good: calls that are right more often than chance, also after costs, and swings that are foreseen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from modelyard.gate import Evaluation, GateParameters, Verdict, standard_gate
from modelyard.parameters import Parameters
from pipelines.stock_market_prediction.figures import figures
from pipelines.stock_market_prediction.model import StockModel, inputs_of, up_probabilities, volatility_forecast
from pipelines.stock_market_prediction.significance import best_constant, correlation, p_value_beats_constant
from pipelines.stock_market_prediction.trading import earnings

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

__all__ = ["ScoreParameters", "figures", "floor", "gate", "predict", "score"]

MOST_CHANCE = 0.05
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
    """Direction and volatility of the target day.

    Args:
        model: A trained model.
        examples: Features and ``volatility_pct``, at least one row.

    Returns:
        Row for row: ``up_probability`` (given that the neutral band is left), ``is_up_predicted``, and
        ``volatility_forecast_pct`` (annualised).
    """
    import polars as pl

    probability = up_probabilities(model.booster, inputs_of(examples))
    threshold = 0.5 if model.params.threshold is None else model.params.threshold
    return pl.DataFrame(
        {
            "up_probability": probability,
            "is_up_predicted": probability >= threshold,
            "volatility_forecast_pct": volatility_forecast(model.volatility, examples),
        }
    )


def score(rows: pl.DataFrame, params: ScoreParameters) -> dict[str, float]:
    """Metrics of predictions.

    Args:
        rows: Records with predictions. Rows of the neutral band have no ``is_up``: they count for the book and the
            volatility only, as in the ACL18 protocol.
        params: See :class:`ScoreParameters`.

    Returns:
        ``matthews_corrcoef``, ``accuracy``, ``best_constant_accuracy`` (the better one of always up and always down on
        these rows), ``p_value_beats_constant`` (NaN on resamples, whose days have no order), ``roc_auc``,
        ``neg_log_loss``; ``gross_bps_per_day``, ``net_bps_per_day``, ``turnover_ratio`` (NaN where nothing can be
        traded, the last one also on resamples); ``volatility_rmse_pct`` and ``volatility_skill_share`` (1 - RMSE over
        that of no change).
    """
    import numpy as np

    labelled = rows.drop_nulls("is_up")
    is_up, is_called = labelled["is_up"].to_numpy(), labelled["is_up_predicted"].to_numpy()
    probability = np.clip(labelled["up_probability"].to_numpy(), 1e-9, 1 - 1e-9)
    is_resample = bool(labelled.select("symbol", "event_time").is_duplicated().any())
    earned, empty = earnings(rows, params.cost_bps), not len(is_up)
    return {
        "matthews_corrcoef": correlation(is_up, is_called),
        "accuracy": np.nan if empty else float((is_up == is_called).mean()),
        "best_constant_accuracy": np.nan if empty else float((is_up == best_constant(is_up)).mean()),
        "p_value_beats_constant": np.nan if empty or is_resample else p_value_beats_constant(labelled),
        "roc_auc": roc_auc(is_up, probability),
        "neg_log_loss": np.nan if empty else float(np.log(np.where(is_up, probability, 1 - probability)).mean()),
        **(earned | {"turnover_ratio": np.nan} if is_resample else earned),
        **_volatility_scores(rows),
    }


def roc_auc(is_up: NDArray[np.bool_], probability: NDArray[np.float64]) -> float:
    """How often a rise is ranked above a fall (Hanley and McNeil 1982); NaN where there are no such pairs."""
    import polars as pl

    ranks = pl.Series(probability).rank("average").to_numpy()
    n_up = int(is_up.sum())
    n_pairs = n_up * (len(is_up) - n_up)
    return float((ranks[is_up].sum() - n_up * (n_up + 1) / 2) / n_pairs) if n_pairs else float("nan")


def _volatility_scores(rows: pl.DataFrame) -> dict[str, float]:
    import numpy as np

    known = rows.drop_nulls(["next_volatility_pct", "volatility_pct"])
    if not known.height:
        return {"volatility_rmse_pct": float("nan"), "volatility_skill_share": float("nan")}
    happened = known["next_volatility_pct"].to_numpy()
    ours, unchanged = (
        float(np.sqrt(np.mean((known[name].to_numpy() - happened) ** 2)))
        for name in ("volatility_forecast_pct", "volatility_pct")
    )
    return {
        "volatility_rmse_pct": ours,
        "volatility_skill_share": 1 - ours / unchanged if unchanged > 0 else float("nan"),
    }


def floor(train: pl.DataFrame, test: pl.DataFrame) -> pl.DataFrame:
    """The trivial rule: call what was more frequent in training, every day, and tomorrow swings like today.

    Args:
        train: Has ``is_up``.
        test: Has ``volatility_pct``.

    Returns:
        The columns of :func:`predict`.
    """
    import polars as pl

    share: float = train["is_up"].mean()  # type: ignore[assignment]  # of booleans it is a float
    return test.select(
        pl.lit(share).alias("up_probability"),
        pl.lit(share >= 0.5).alias("is_up_predicted"),
        pl.col("volatility_pct").alias("volatility_forecast_pct"),
    )


def gate(evaluation: Evaluation, params: GateParameters) -> Verdict:
    """The usual gate, and one more question: are the calls better than the best constant one, or was it luck?

    Args:
        evaluation: Of the test rows.
        params: Those of the usual gate.
    """
    verdict = standard_gate(evaluation, params)
    p_value = evaluation.metrics["p_value_beats_constant"].value
    # "not (a <= b)" rather than "a > b": an unknown p-value must fail the gate.
    if verdict.passed and not p_value <= MOST_CHANCE:
        ours, rival = (evaluation.metrics[name].value for name in ("accuracy", "best_constant_accuracy"))
        return Verdict(
            False,
            f"accuracy {ours:.4f} is not better than calling the same every day ({rival:.4f}) beyond chance"
            f" (p = {p_value:.2g}, at most {MOST_CHANCE:g})",
        )
    return verdict
