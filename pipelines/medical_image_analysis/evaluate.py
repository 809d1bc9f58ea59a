"""What is good: ill exams are found, few others are alarmed, probabilities are honest, and doubts are admitted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from modelyard.parameters import Parameters
from modelyard.tasks.ranking import average_precision, roc_auc
from pipelines.medical_image_analysis.data import IngestParameters
from pipelines.medical_image_analysis.decisions import calls, probabilities, sensitivity_at
from pipelines.medical_image_analysis.figures import figures
from pipelines.medical_image_analysis.model import Inputs, RadiographModel, logits_of
from pipelines.medical_image_analysis.simulator import true_risks

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

    specificity: float = Field(0.9, gt=0, lt=1, description="At this specificity the sensitivity is told.")
    treat_probability: float = Field(
        0.3,
        gt=0,
        lt=1,
        description="Probability from which on one would treat: 0.3 means that a missed pneumonia is as bad as 2.3"
        " needless treatments.",
    )


def predict(model: RadiographModel, examples: pl.DataFrame) -> pl.DataFrame:
    """How likely each exam shows a pneumonia, and whether the model dares to say so.

    Args:
        model: A trained model.
        examples: Has ``image`` and the scanner's levels, at least one row.

    Returns:
        Row for row: ``score`` (calibrated probability, float64 in [0, 1]), ``disagreement`` (standard deviation of the
        networks' own probabilities), ``is_called`` (pneumonia, at the model's threshold) and ``is_referred`` (too
        near the threshold: a person decides).
    """
    import numpy as np
    import polars as pl

    inputs, decisions = Inputs.of(examples), model.params.decisions
    logits = np.stack([logits_of(network, inputs) for network in model.networks])
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
        ``roc_auc``, ``average_precision``, ``sensitivity_at_specificity``; at the model's threshold ``accuracy``,
        ``balanced_accuracy``, ``sensitivity``, ``specificity``; ``log_loss``, ``brier_score``,
        ``expected_calibration_error``; ``net_benefit`` at ``treat_probability``; of selective prediction
        ``referred_share``, ``accuracy_when_sure`` and ``risk_coverage_area``. NaN where the rows cannot answer.
    """
    import numpy as np

    is_ill, probability = rows["is_pneumonia"].to_numpy(), rows["score"].to_numpy()
    is_called, is_referred = rows["is_called"].to_numpy(), rows["is_referred"].to_numpy()
    ranking = {
        "roc_auc": roc_auc(is_ill, probability),
        "average_precision": average_precision(is_ill, probability),
        "sensitivity_at_specificity": sensitivity_at(is_ill, probability, params.specificity),
    }
    if not rows.height:
        return ranking
    is_right = is_called == is_ill
    sensitivity, specificity = _share(is_called, is_ill), _share(~is_called, ~is_ill)
    return {
        **ranking,
        "accuracy": float(is_right.mean()),
        "balanced_accuracy": (sensitivity + specificity) / 2,
        "sensitivity": sensitivity,
        "specificity": specificity,
        **_calibration(is_ill, probability),
        "net_benefit": float(net_benefit(is_ill, probability, np.array([params.treat_probability]))[0]),
        "referred_share": float(is_referred.mean()),
        "accuracy_when_sure": _share(is_right, ~is_referred),
        "risk_coverage_area": float(risks(is_right, probability).mean()),
    }


def _share(is_true: Booleans, among: Booleans) -> float:
    return float(is_true[among].mean()) if among.any() else float("nan")


def _calibration(is_ill: Booleans, probability: Floats) -> dict[str, float]:
    """Proper scores, and the mean gap between promised and seen shares over bins of equally many rows."""
    import numpy as np

    label, bounded = is_ill.astype(np.float64), np.clip(probability, 1e-12, 1 - 1e-12)
    order = np.argsort(probability, kind="stable")
    edges = np.unique(np.linspace(0, len(order), _CALIBRATION_BINS + 1).astype(np.int64))
    gaps = np.add.reduceat((label - probability)[order], edges[:-1])
    return {
        "log_loss": float(-np.mean(np.where(is_ill, np.log(bounded), np.log1p(-bounded)))),
        "brier_score": float(np.mean((probability - label) ** 2)),
        "expected_calibration_error": float(np.abs(gaps).sum() / len(order)),
    }


def net_benefit(is_ill: Booleans, probability: Floats, thresholds: Floats) -> Floats:
    """True positives minus false ones weighted by the threshold's odds, for each exam (Vickers and Elkin 2006).

    https://doi.org/10.1177/0272989X06295361. Treating nobody has 0.

    Args:
        is_ill: Shape (N,).
        probability: Shape (N,).
        thresholds: Probabilities from which on one would treat, shape (K,), each in (0, 1).

    Returns:
        Shape (K,).
    """
    is_treated = probability[None, :] >= thresholds[:, None]
    hits, alarms = (is_treated & is_ill).mean(axis=1), (is_treated & ~is_ill).mean(axis=1)
    benefit: Floats = hits - alarms * thresholds / (1 - thresholds)
    return benefit


def risks(is_right: Booleans, probability: Floats) -> Floats:
    """Share of wrong calls among the k surest exams, for k = 1 to N; its mean is the area under the curve.

    Geifman and El-Yaniv 2017, https://arxiv.org/abs/1705.08500; sure is who is far from one half.
    """
    import numpy as np

    order = np.argsort(-np.abs(probability - 0.5), kind="stable")
    wrong: Floats = np.cumsum(~is_right[order]) / np.arange(1, len(order) + 1)
    return wrong


def floor(train: pl.DataFrame, test: pl.DataFrame) -> pl.DataFrame:
    """The trivial rule: an exam is as suspicious as training exams were whose lungs are about as bright.

    Args:
        train: Has ``lung_brightness_ratio``, ``is_pneumonia``.
        test: Has ``lung_brightness_ratio``.

    Returns:
        The columns of :func:`predict`; nothing is referred.
    """
    import numpy as np
    import polars as pl

    inner = np.quantile(train["lung_brightness_ratio"], np.linspace(0, 1, _FLOOR_BINS + 1)[1:-1])
    seen, asked = (np.searchsorted(inner, rows["lung_brightness_ratio"].to_numpy()) for rows in (train, test))
    counts = np.bincount(seen, minlength=_FLOOR_BINS)
    ill = np.bincount(seen, weights=train["is_pneumonia"].to_numpy(), minlength=_FLOOR_BINS)
    probability = ((ill + 1) / (counts + 2))[asked]
    return pl.DataFrame({"score": probability, "disagreement": 0.0, "is_called": probability >= 0.5}).with_columns(
        pl.lit(False).alias("is_referred")
    )


def known_ceiling(params: IngestParameters) -> dict[str, float]:
    """How good any model can be on simulated exams: its AUC and accuracy if it knew each exam's true risk.

    Labels are drawn with that risk and depend on the picture in no other way, so nothing in a picture says more.

    Args:
        params: Those of a run with ``source: simulated``; its test rows are the last 15 % of the exams.

    Returns:
        ``roc_auc`` and ``accuracy``.
    """
    risk, is_ill = true_risks(params.simulation)
    n_test = round(0.15 * len(risk))
    risk, is_ill = risk[-n_test:], is_ill[-n_test:]
    return {"roc_auc": roc_auc(is_ill, risk), "accuracy": float(((risk >= 0.5) == is_ill).mean())}
