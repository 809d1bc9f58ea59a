"""What a good warning is: failing parts are ranked first, because a week has time for few inspections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from modelyard.parameters import Parameters
from modelyard.scoring import rows_of
from modelyard.stages.examples import SplitParameters, with_split

from .data import CONTRACT, SimulationParameters, simulate
from .model import INPUTS, FailureModel

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from torch import nn


class ScoreParameters(Parameters):
    """What the plant can do with the warnings."""

    inspected_share: float = Field(
        0.1, gt=0, lt=1, description="Share of the readings after which there is time to look."
    )


def predict(model: FailureModel, examples: pl.DataFrame) -> pl.DataFrame:
    """How likely each part fails within a week.

    Args:
        model: A trained model.
        examples: Has the columns :data:`INPUTS`, at least one row.

    Returns:
        ``failure_probability``, float64 in [0, 1], row for row.
    """
    import polars as pl

    return pl.DataFrame({"failure_probability": failure_probabilities(model.network, examples)})


def failure_probabilities(network: nn.Sequential, examples: pl.DataFrame) -> NDArray[np.float64]:
    """Probabilities, shape (N,)."""
    import numpy as np

    from modelyard.training.prediction import predict as run_network

    logits = run_network(network, {"inputs": inputs_of(examples)}, forward=lambda net, batch: net(batch["inputs"]))
    probabilities: NDArray[np.float64] = 1 / (1 + np.exp(-logits[:, 0].astype(np.float64)))
    return probabilities


def inputs_of(examples: pl.DataFrame) -> NDArray[np.float32]:
    """The columns :data:`INPUTS` as float32 of shape (N, len(INPUTS))."""
    import polars as pl

    inputs: NDArray[np.float32] = examples.select(pl.col(name).cast(pl.Float32) for name in INPUTS).to_numpy()
    return inputs


def score(rows: pl.DataFrame, params: ScoreParameters) -> dict[str, float]:
    """Metrics of predictions.

    Args:
        rows: Has ``is_failing`` and ``failure_probability``.
        params: See :class:`ScoreParameters`.

    Returns:
        ``roc_auc``, and ``found_when_inspecting``: the share of failing parts that are among the ``inspected_share``
        of the rows with the highest probability. NaN where all rows are of one class.
    """
    import numpy as np

    is_failing, probability = rows["is_failing"].to_numpy(), rows["failure_probability"].to_numpy()
    inspected = np.argsort(-probability, kind="stable")[: max(1, round(params.inspected_share * len(probability)))]
    n_failing, n_found = is_failing.sum(), is_failing[inspected].sum()
    return {
        "roc_auc": roc_auc(is_failing, probability),
        "found_when_inspecting": float(n_found / n_failing) if 0 < n_failing < len(is_failing) else np.nan,
    }


def roc_auc(is_failing: NDArray[np.bool_], probability: NDArray[np.float64]) -> float:
    """How often a failing part is ranked above a healthy one; NaN where there are no such pairs.

    The area under the ROC curve as Mann and Whitney's U (Hanley and McNeil 1982,
    https://doi.org/10.1148/radiology.143.1.7063747); importing scikit-learn would take longer than the training.
    """
    import polars as pl

    ranks = pl.Series(probability).rank("average").to_numpy()
    n_failing = int(is_failing.sum())
    n_pairs = n_failing * (len(is_failing) - n_failing)
    return float((ranks[is_failing].sum() - n_failing * (n_failing + 1) / 2) / n_pairs) if n_pairs else float("nan")


def floor(train: pl.DataFrame, test: pl.DataFrame) -> pl.DataFrame:
    """The trivial rule: a part fails as often as parts of its age (in quarters of a year) did so far."""
    import polars as pl

    quarter = (pl.col("age_d") // 91).alias("quarter")
    seen = train.group_by(quarter).agg(pl.col("is_failing").mean().alias("failure_probability"))
    rates = test.select(quarter).join(seen, on="quarter", how="left", maintain_order="left")
    return rates.select(pl.col("failure_probability").fill_null(train["is_failing"].mean()))


def ceiling(params: SimulationParameters) -> dict[str, float]:
    """What the best possible model scores on simulated test rows: one that knew each part's true risk."""
    records = simulate(params).rename({"true_risk": "failure_probability"})
    return score(rows_of(with_split(records, CONTRACT, SplitParameters()), "test"), ScoreParameters())


def figures(rows: pl.DataFrame, model: FailureModel) -> dict[str, Figure]:
    """What a reviewer looks at.

    Args:
        rows: Test rows with predictions.
        model: Not needed here.

    Returns:
        ``reliability``: how often parts failed, against how often that was predicted.
    """
    import polars as pl
    from matplotlib.figure import Figure

    tenth = (pl.col("failure_probability").rank("ordinal") * 10 // (pl.len() + 1)).alias("tenth")
    bins = rows.group_by(tenth).agg(pl.col("failure_probability").mean(), pl.col("is_failing").mean()).sort("tenth")
    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.subplots()
    axes.axline((0, 0), slope=1, color="grey", linewidth=1)
    axes.plot(bins["failure_probability"], bins["is_failing"], marker="o")
    axes.set(xlabel="predicted probability (mean of a tenth of the rows)", ylabel="share that failed")
    return {"reliability": figure}
