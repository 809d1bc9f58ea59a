"""What is good: calls are right, also at places never seen; probabilities are honest, and doubts are admitted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from modelyard.parameters import Parameters
from modelyard.tasks.ranking import average_precision, roc_auc
from pipelines.satellite_image_analysis.data import IngestParameters
from pipelines.satellite_image_analysis.decisions import calls, probabilities
from pipelines.satellite_image_analysis.figures import figures
from pipelines.satellite_image_analysis.model import Inputs, TileModel, logits_of
from pipelines.satellite_image_analysis.simulator import true_risks

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Booleans = NDArray[np.bool_]

__all__ = ["ScoreParameters", "figures", "floor", "known_ceiling", "predict", "score"]

_CALIBRATION_BINS = 10
_FLOOR_BINS = 20


class ScoreParameters(Parameters):
    """How the metrics look at errors."""

    budget_share: float = Field(
        0.25, gt=0, le=1, description="Share of the buildings that crews can visit, the most suspicious first."
    )


def predict(model: TileModel, examples: pl.DataFrame) -> pl.DataFrame:
    """How likely each building is damaged, and whether the model dares to say so.

    Args:
        model: A trained model.
        examples: Has ``image`` and the region's levels, at least one row.

    Returns:
        Row for row: ``score`` (calibrated probability, float64 in [0, 1]), ``disagreement`` (standard deviation of the
        networks' own probabilities), ``is_called`` (damaged, at the model's threshold) and ``is_referred`` (too
        near the threshold: somebody should look).
    """
    import numpy as np
    import polars as pl

    inputs, decisions = Inputs.of(examples), model.params.decisions
    logits = np.stack([logits_of(network, inputs, model.params) for network in model.networks])
    probability = probabilities(logits.mean(axis=0), decisions)
    is_called, is_referred = calls(probability, decisions)
    return pl.DataFrame(
        {
            "score": probability,
            "disagreement": probabilities(logits, decisions).std(axis=0),
            "is_called": is_called,
            "is_referred": is_referred,
        }
    )


def score(rows: pl.DataFrame, params: ScoreParameters) -> dict[str, float]:
    """Metrics of predictions.

    Args:
        rows: Records with what :func:`predict` returns.
        params: See :class:`ScoreParameters`.

    Returns:
        ``accuracy`` at the model's threshold, with ``accuracy_new_place`` (no training tile within 500 m) and
        ``accuracy_known_place``; ``recall``, ``precision``, ``f1``; ``roc_auc``, ``average_precision``,
        ``found_in_budget`` (share of the damaged buildings among those visited); ``log_loss``, ``brier_score``,
        ``expected_calibration_error``; ``referred_share``, ``accuracy_when_sure``, ``risk_coverage_area``. NaN where
        the rows cannot answer.
    """
    is_damaged, probability = rows["is_damaged"].to_numpy(), rows["score"].to_numpy()
    is_called, is_referred = rows["is_called"].to_numpy(), rows["is_referred"].to_numpy()
    is_right = is_called == is_damaged
    recall, precision = _share(is_called, is_damaged), _share(is_damaged, is_called)
    return {
        "accuracy": _share(is_right, is_right | True),
        **_by_place(rows, is_right),
        "recall": recall,
        "precision": precision,
        "f1": 2 * precision * recall / (precision + recall) if precision + recall > 0 else float("nan"),
        "roc_auc": roc_auc(is_damaged, probability),
        "average_precision": average_precision(is_damaged, probability),
        "found_in_budget": _found(is_damaged, probability, params.budget_share),
        **_calibration(is_damaged, probability),
        "referred_share": _share(is_referred, is_right | True),
        "accuracy_when_sure": _share(is_right, ~is_referred),
        "risk_coverage_area": float(risks(is_right, probability).mean()) if rows.height else float("nan"),
    }


def _by_place(rows: pl.DataFrame, is_right: Booleans) -> dict[str, float]:
    """Accuracy where training has seen the neighbourhood, and where it has not."""
    import polars as pl

    if "is_new_place" not in rows.columns:
        return {"accuracy_new_place": float("nan"), "accuracy_known_place": float("nan")}
    places = rows.select(
        new=pl.col("is_new_place").fill_null(False), known=pl.col("is_new_place").not_().fill_null(False)
    )
    return {
        "accuracy_new_place": _share(is_right, places["new"].to_numpy()),
        "accuracy_known_place": _share(is_right, places["known"].to_numpy()),
    }


def _found(is_damaged: Booleans, probability: Floats, budget_share: float) -> float:
    import numpy as np

    visited = np.argsort(-probability, kind="stable")[: round(budget_share * len(probability))]
    return float(is_damaged[visited].sum() / is_damaged.sum()) if is_damaged.any() else float("nan")


def _share(is_true: Booleans, among: Booleans) -> float:
    return float(is_true[among].mean()) if among.any() else float("nan")


def _calibration(is_damaged: Booleans, probability: Floats) -> dict[str, float]:
    """Proper scores, and the mean gap between promised and seen shares over bins of equally many rows."""
    import numpy as np

    label, bounded = is_damaged.astype(np.float64), np.clip(probability, 1e-12, 1 - 1e-12)
    order = np.argsort(probability, kind="stable")
    edges = np.unique(np.linspace(0, len(order), _CALIBRATION_BINS + 1).astype(np.int64))
    gaps = np.add.reduceat((label - probability)[order], edges[:-1])
    return {
        "log_loss": float(-np.mean(np.where(is_damaged, np.log(bounded), np.log1p(-bounded)))),
        "brier_score": float(np.mean((probability - label) ** 2)),
        "expected_calibration_error": float(np.abs(gaps).sum() / len(order)),
    }


def risks(is_right: Booleans, probability: Floats) -> Floats:
    """Share of wrong calls among the k surest tiles, for k = 1 to N; its mean is the area under the curve.

    Geifman and El-Yaniv 2017, https://arxiv.org/abs/1705.08500; sure is who is far from one half.
    """
    import numpy as np

    order = np.argsort(-np.abs(probability - 0.5), kind="stable")
    wrong: Floats = np.cumsum(~is_right[order]) / np.arange(1, len(order) + 1)
    return wrong


def floor(train: pl.DataFrame, test: pl.DataFrame) -> pl.DataFrame:
    """The trivial rule: a tile is as suspicious as training tiles were that are about as brown or blue.

    Args:
        train: Has ``red_blue_ratio``, ``is_damaged``.
        test: Has ``red_blue_ratio``.

    Returns:
        The columns of :func:`predict`; nothing is referred.
    """
    import numpy as np
    import polars as pl

    inner = np.quantile(train["red_blue_ratio"], np.linspace(0, 1, _FLOOR_BINS + 1)[1:-1])
    seen, asked = (np.searchsorted(inner, rows["red_blue_ratio"].to_numpy()) for rows in (train, test))
    counts = np.bincount(seen, minlength=_FLOOR_BINS)
    damaged = np.bincount(seen, weights=train["is_damaged"].to_numpy(), minlength=_FLOOR_BINS)
    probability = ((damaged + 1) / (counts + 2))[asked]
    return pl.DataFrame({"score": probability, "disagreement": 0.0, "is_called": probability >= 0.5}).with_columns(
        pl.lit(False).alias("is_referred")
    )


def known_ceiling(params: IngestParameters) -> dict[str, float]:
    """How good any model can be on simulated tiles: its accuracy and AUC if it knew each tile's true risk.

    Labels are drawn with that risk and depend on the tile in no other way, so nothing in a tile says more.

    Args:
        params: Those of a run with ``source: simulated``; its test rows are the last 15 % of the tiles.

    Returns:
        ``accuracy`` and ``roc_auc``.
    """
    risk, is_damaged = true_risks(params.simulation)
    n_test = round(0.15 * len(risk))
    risk, is_damaged = risk[-n_test:], is_damaged[-n_test:]
    return {"accuracy": float(((risk >= 0.5) == is_damaged).mean()), "roc_auc": roc_auc(is_damaged, risk)}
