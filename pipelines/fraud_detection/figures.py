"""Figures for the reviewer of a model, in one style, readable at the width of a README."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelyard.tasks.figure_style import MUTED, figure_style
from modelyard.tasks.ranking import average_precision, counts_above
from pipelines.fraud_detection.alerts import ScoreParameters, card_days, costs, raise_alerts
from pipelines.fraud_detection.inputs import input_columns
from pipelines.fraud_detection.simulator import SCENARIOS

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pipelines.fraud_detection.model import FraudModel

_COLOURS = ("#0b6e99", "#d1495b", "#edae49", "#3f9c74", "#7a5195")
_BUDGETS = (0, 10, 20, 30, 40, 50, 75, 100, 150, 200, 300, 400)
_SHOWN_COLUMNS = 15


def figures(rows: pl.DataFrame, model: FraudModel) -> dict[str, Figure]:
    """What a reviewer looks at.

    Args:
        rows: Test rows with predictions; both classes are there.
        model: The model that made them.

    Returns:
        ``precision_recall`` (of the model and its parts, beside ranking by amount), ``cost_by_budget``,
        ``reliability``, ``importance`` and ``scores_by_scenario``.
    """
    import matplotlib as mpl

    draw = {
        "precision_recall": lambda axes: _precision_recall(axes, rows),
        "cost_by_budget": lambda axes: _cost_by_budget(axes, rows),
        "reliability": lambda axes: _reliability(axes, rows),
        "importance": lambda axes: _importance(axes, model),
        "scores_by_scenario": lambda axes: _scores_by_scenario(axes, rows),
    }
    with mpl.rc_context(figure_style()):
        return {name: _drawn(function) for name, function in draw.items()}


def _drawn(draw: Any) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.4), dpi=120, layout="constrained")
    draw(figure.subplots())
    return figure


def _precision_recall(axes: Axes, rows: pl.DataFrame) -> None:
    is_fraud = rows["is_fraud"].to_numpy()
    curves = (
        ("score", "blend", _COLOURS[0], "-"),
        ("booster_logit", "trees", _COLOURS[3], "--"),
        ("network_logit", "network", _COLOURS[2], "--"),
        ("amount_eur", "by amount", MUTED, ":"),
    )
    for column, name, colour, line in curves:
        values = rows[column].to_numpy()
        frauds, seen = counts_above(is_fraud, values)
        label = f"{name}: AP {average_precision(is_fraud, values):.3f}"
        axes.plot(frauds / frauds[-1], frauds / seen, line, color=colour, label=label)
    axes.axhline(is_fraud.mean(), color=MUTED, linewidth=1)
    axes.set(
        xlim=(0, 1), ylim=(0, 1.02), xlabel="share of the frauds found", ylabel="share of frauds among those flagged"
    )
    axes.set_title("Precision and recall on the test rows")
    axes.legend(loc="lower center", bbox_to_anchor=(0.57, 0.04))


def _cost_by_budget(axes: Axes, rows: pl.DataFrame) -> None:
    params, cards = ScoreParameters(), card_days(rows)
    ours = [costs(rows, raise_alerts(cards, budget), params)["cost_eur_per_1000_transactions"] for budget in _BUDGETS]
    by_amount = card_days(rows.with_columns(score=rows["amount_eur"]))
    trivial = [
        costs(rows, raise_alerts(by_amount, budget), params)["cost_eur_per_1000_transactions"] for budget in _BUDGETS
    ]
    axes.plot(_BUDGETS, ours, color=_COLOURS[0], marker="o", markersize=4, label="model")
    axes.plot(_BUDGETS, trivial, ":", color=MUTED, marker="o", markersize=3, label="largest amounts")
    axes.axhline(ours[0], color=MUTED, linewidth=1)
    axes.annotate("no alerts", (_BUDGETS[-1], ours[0]), ha="right", va="bottom", color=MUTED)
    axes.set(xlabel="cards looked at in a day", ylabel="EUR per 1000 transactions", ylim=(0, None))
    axes.set_title("Cost of fraud and of its prevention")
    axes.annotate(
        f"alert {params.alert_cost_eur:g} EUR, missed fraud its amount + {params.fraud_fee_eur:g} EUR",
        (0.02, 0.03),
        xycoords="axes fraction",
        color=MUTED,
        fontsize=9,
    )
    axes.legend(loc="upper center")


def _reliability(axes: Axes, rows: pl.DataFrame) -> None:
    """Bins of equal width in log-odds: most probabilities are tiny, and the few large ones matter most."""
    import numpy as np
    import polars as pl

    edges = np.array([0, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.25, 0.5, 0.75, 0.9, 0.97, 1.0000001])
    bins = (
        rows.select("is_fraud", "score", pl.Series("bin", np.digitize(rows["score"].to_numpy(), edges)))
        .group_by("bin")
        .agg(pl.col("score").mean(), pl.col("is_fraud").mean().alias("seen"), pl.len())
        .filter(pl.col("len") >= 10)
        .sort("bin")
    )
    # Shares of 0 and 1 lie at infinity on this axis: they are drawn at its ends.
    seen = np.clip(bins["seen"].to_numpy(), 1.2e-4, 0.9988)
    low, high = _wilson(bins["seen"].to_numpy(), bins["len"].to_numpy())
    low, high = np.clip(low, 1e-4, seen), np.clip(high, seen, 0.999)
    axes.plot([1e-4, 0.999], [1e-4, 0.999], color=MUTED, linewidth=1)
    axes.errorbar(
        bins["score"],
        seen,
        [seen - low, high - seen],
        fmt="o",
        color=_COLOURS[0],
        capsize=2,
        markersize=5,
        linewidth=1.5,
    )
    axes.set(xscale="logit", yscale="logit", xlim=(1e-4, 0.999), ylim=(1e-4, 0.999))
    ticks = [0.001, 0.01, 0.1, 0.5, 0.9, 0.99]
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(ticks, labels=[f"{100 * tick:g} %" for tick in ticks])
        axis.set_ticks([], minor=True)
    axes.set(xlabel="predicted probability of fraud", ylabel="share that was fraud (95 % interval)")
    axes.set_title("Do the probabilities mean what they say?")


def _wilson(share: Any, counts: Any) -> tuple[Any, Any]:
    """Wilson's score interval of 95 %, https://doi.org/10.1080/01621459.1927.10502953."""
    import numpy as np

    z = 1.96
    centre = (share + z * z / (2 * counts)) / (1 + z * z / counts)
    half = z / (1 + z * z / counts) * np.sqrt(share * (1 - share) / counts + z * z / (4 * counts**2))
    return centre - half, centre + half


def _importance(axes: Axes, model: FraudModel) -> None:
    names = list(input_columns())
    gains: dict[str, Any] = model.booster.get_score(importance_type="total_gain")
    total = sum(gains.values()) or 1.0
    # XGBoost calls the columns of a matrix f0, f1, ...
    shares = {names[int(key[1:])]: gain / total for key, gain in gains.items()}
    shown = sorted(shares.items(), key=lambda item: item[1])[-_SHOWN_COLUMNS:]
    axes.barh([name.replace("_", " ") for name, _ in shown], [share for _, share in shown], color=_COLOURS[0])
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    axes.tick_params(axis="y", labelsize=9)
    axes.set(xlabel="share of the trees' gain")
    axes.set_title("What the trees look at")


def _scores_by_scenario(axes: Axes, rows: pl.DataFrame) -> None:
    """Empirical distribution of each kind's scores: a curve that starts high was not seen."""
    import numpy as np
    import polars as pl

    has_kinds = "fraud_scenario" in rows.columns and rows["fraud_scenario"].null_count() < rows.height
    kind = pl.col("fraud_scenario").fill_null(0) if has_kinds else pl.col("is_fraud").cast(pl.Int64)
    labelled = rows.select("score", kind.alias("kind"))
    for value in sorted(labelled["kind"].unique()):
        scores = np.sort(labelled.filter(pl.col("kind") == value)["score"].to_numpy())
        name = dict(enumerate(SCENARIOS if has_kinds else ("genuine", "fraud"))).get(value, f"kind {value}")
        colour = _COLOURS[(value - 1) % len(_COLOURS)] if value else MUTED
        share = np.arange(1, len(scores) + 1) / len(scores)
        axes.step(
            np.maximum(scores, 1e-4),
            share,
            where="post",
            color=colour,
            label=f"{name.replace('_', ' ')} ({len(scores)})",
        )
    axes.set(xscale="logit", xlim=(1e-4, 0.999), ylim=(0, 1.02))
    ticks = [0.001, 0.01, 0.1, 0.5, 0.9, 0.99]
    axes.xaxis.set_ticks(ticks, labels=[f"{100 * tick:g} %" for tick in ticks])
    axes.xaxis.set_ticks([], minor=True)
    axes.set(xlabel="predicted probability of fraud", ylabel="share of the rows below it")
    axes.set_title("Scores of each kind of transaction")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=3, fontsize=9)
