"""How are the pictures drawn? Ranking, honesty, use, doubt, the most doubtful exams, and where the model looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelyard.tasks.ranking import average_precision, curve, roc_auc
from pipelines.medical_image_analysis.decisions import sureness
from pipelines.medical_image_analysis.pictures import SIDE

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from pipelines.medical_image_analysis.model import RadiographModel

    Floats = NDArray[np.float64]
    Booleans = NDArray[np.bool_]

_OURS, _OTHER, _QUIET = "#1f5f8b", "#c8553d", "#8a8f98"


def figures(rows: pl.DataFrame, model: RadiographModel) -> dict[str, Figure]:
    """What a reviewer looks at.

    Args:
        rows: Test rows with predictions and ``image``.
        model: Tells its threshold, and where it looks.

    Returns:
        ``ranking``, ``calibration``, ``decision_curve``, ``risk_coverage``, ``most_unsure``, ``where_it_looks``.
    """
    is_ill, probability = rows["is_pneumonia"].to_numpy(), rows["score"].to_numpy()
    return {
        "ranking": _ranking(rows, is_ill, probability),
        "calibration": _calibration(is_ill, probability),
        "decision_curve": _decision_curve(is_ill, probability),
        "risk_coverage": _risk_coverage(rows, model),
        "most_unsure": _most_unsure(rows, model),
        "where_it_looks": _where_it_looks(rows, model),
    }


def _ranking(rows: pl.DataFrame, is_ill: Booleans, probability: Floats) -> Figure:
    figure, (roc, precision) = _axes(2)
    _, hits, alarms = curve(is_ill, probability)
    roc.plot(alarms / alarms[-1], hits / hits[-1], color=_OURS)
    roc.axline((0, 0), slope=1, color=_QUIET, linewidth=1, linestyle=":")
    called = rows["is_called"].to_numpy()
    point = (called[~is_ill].mean(), called[is_ill].mean())
    roc.plot(*point, "o", color=_OTHER)
    roc.annotate(
        f"threshold chosen on\nvalidation: {point[1]:.0%} found,\n{point[0]:.0%} false alarms", point, (0.4, 0.45)
    )
    roc.set(
        xlabel="false alarms among normal exams",
        ylabel="pneumonias found",
        title=f"AUC {roc_auc(is_ill, probability):.3f}",
    )
    precision.plot(hits[1:] / hits[-1], hits[1:] / (hits + alarms)[1:], color=_OURS)
    precision.axhline(is_ill.mean(), color=_QUIET, linewidth=1, linestyle=":")
    precision.set(
        xlabel="pneumonias found",
        ylabel="share of alarms that are right",
        ylim=(0, 1.02),
        title=f"average precision {average_precision(is_ill, probability):.3f}",
    )
    return figure


def _calibration(is_ill: Booleans, probability: Floats) -> Figure:
    import numpy as np

    figure, (reliability, histogram) = _axes(2)
    for part in np.array_split(np.argsort(probability, kind="stable"), 10):
        if len(part):
            seen, error = is_ill[part].mean(), np.sqrt(is_ill[part].mean() * (1 - is_ill[part].mean()) / len(part))
            reliability.errorbar(probability[part].mean(), seen, 1.96 * error, color=_OURS, marker="o", capsize=3)
    reliability.axline((0, 0), slope=1, color=_QUIET, linewidth=1, linestyle=":")
    reliability.set(
        xlabel="promised (mean of a tenth of the exams)",
        ylabel="share that is pneumonia",
        xlim=(-0.03, 1.03),
        ylim=(-0.06, 1.06),
    )
    bins = np.linspace(0, 1, 26).tolist()
    histogram.hist(
        [probability[~is_ill], probability[is_ill]], bins, color=[_QUIET, _OTHER], label=["normal", "pneumonia"]
    )
    histogram.set(xlabel="predicted probability", ylabel="exams", yscale="log")
    histogram.legend(frameon=False)
    return figure


def _decision_curve(is_ill: Booleans, probability: Floats) -> Figure:
    import numpy as np

    from pipelines.medical_image_analysis.evaluate import net_benefit

    figure, (axes,) = _axes(1)
    thresholds = np.linspace(0.01, 0.99, 99)
    everybody = net_benefit(is_ill, np.ones_like(probability), thresholds)
    axes.plot(thresholds, net_benefit(is_ill, probability, thresholds), color=_OURS, label="treat whom the model calls")
    axes.plot(thresholds, everybody, color=_OTHER, linestyle="--", label="treat everybody")
    axes.axhline(0, color=_QUIET, linewidth=1, label="treat nobody")
    axes.set(
        xlabel="probability from which on one would treat",
        ylabel="net benefit (true positives for each exam)",
        ylim=(-0.1, is_ill.mean() + 0.03),
    )
    axes.legend(frameon=False)
    return figure


def _risk_coverage(rows: pl.DataFrame, model: RadiographModel) -> Figure:
    import numpy as np

    figure, (axes,) = _axes(1)
    order = np.argsort(-_sureness(rows, model), kind="stable")
    is_right = (rows["is_called"] == rows["is_pneumonia"]).to_numpy()
    n = len(order)
    share = np.arange(1, n + 1) / n
    axes.plot(share, np.cumsum(~is_right[order]) / np.arange(1, n + 1), color=_OURS, label="surest exams first")
    axes.axhline(1 - is_right.mean(), color=_QUIET, linestyle=":", label="exams in any order")
    axes.plot(
        share, np.maximum(0, 1 - is_right.sum() / (share * n)), color=_OTHER, linestyle="--", label="wrong ones last"
    )
    decided = 1 - rows["is_referred"].to_numpy().mean()
    highest = 1.4 * axes.get_ylim()[1]
    axes.axvline(decided, color=_QUIET, linewidth=1)
    words = f"decides {decided:.0%},\nrefers {1 - decided:.0%}"
    axes.annotate(words, (decided, 0.9 * highest), (-6, 0), textcoords="offset points", ha="right")
    axes.set(
        xlabel="share of the exams that the model decides",
        ylabel="wrong calls among them",
        xlim=(0, 1),
        ylim=(0, highest),
    )
    axes.legend(frameon=False, loc="upper left")
    return figure


def _most_unsure(rows: pl.DataFrame, model: RadiographModel) -> Figure:
    import numpy as np

    nearest = np.argsort(_sureness(rows, model), kind="stable")[:18]
    figure, axes = _gallery(3, 6, "Exams that the model is least sure about (red: wrong call)")
    for place, row in zip(axes, nearest, strict=False):
        one = rows.row(int(row), named=True)
        place.imshow(_pixels(rows[int(row)])[0], cmap="gray", vmin=0, vmax=255)
        truth = "pneumonia" if one["is_pneumonia"] else "normal"
        is_right = one["is_called"] == one["is_pneumonia"]
        place.set_title(f"{truth}, says {one['score']:.0%}", fontsize=8, color="black" if is_right else _OTHER)
    return figure


def _where_it_looks(rows: pl.DataFrame, model: RadiographModel) -> Figure:
    import numpy as np
    import torch

    from pipelines.medical_image_analysis.model import Inputs
    from pipelines.medical_image_analysis.network import as_pictures, attention

    is_ill, called, probability = (rows[name].to_numpy() for name in ("is_pneumonia", "is_called", "score"))
    figure, axes = _gallery(4, 6, "Where the networks see signs of pneumonia (Grad-CAM, mean of the networks)")
    for line, (name, wanted) in enumerate(
        {
            "found": is_ill & called,
            "left alone": ~is_ill & ~called,
            "false alarm": ~is_ill & called,
            "missed": is_ill & ~called,
        }.items()
    ):
        chosen = np.flatnonzero(wanted)
        chosen = chosen[np.argsort(-np.abs(probability[chosen] - 0.5), kind="stable")][:6]
        if not len(chosen):
            continue
        inputs = Inputs.of(rows[chosen])
        pictures = as_pictures(torch.tensor(inputs.pixels), SIDE)
        heat = torch.stack(
            [attention(network.cpu(), pictures, torch.tensor(inputs.levels)) for network in model.networks]
        ).mean(dim=0)
        for place, picture, warm, row in zip(axes[6 * line :], pictures, heat, chosen, strict=False):
            place.imshow(picture.numpy(), cmap="gray", vmin=0, vmax=1)
            place.imshow(warm.numpy(), cmap="inferno", alpha=0.45 * warm.numpy(), vmin=0, vmax=1)
            place.set_title(f"{name}: {probability[row]:.0%}", fontsize=8)
    return figure


def _sureness(rows: pl.DataFrame, model: RadiographModel) -> Floats:
    return sureness(rows["score"].to_numpy(), model.params.decisions.threshold or 0.5)


def _pixels(rows: pl.DataFrame) -> NDArray[np.uint8]:
    pixels: NDArray[np.uint8] = rows["image"].to_numpy().reshape(-1, SIDE, SIDE)
    return pixels


def _axes(n: int) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2 * n, 4), layout="constrained")
    axes = [figure.add_subplot(1, n, number + 1) for number in range(n)]
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _gallery(n_lines: int, n_columns: int, title: str) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.5 * n_columns, 1.75 * n_lines + 0.4), layout="constrained")
    figure.suptitle(title, fontsize=10)
    axes = [figure.add_subplot(n_lines, n_columns, number + 1) for number in range(n_lines * n_columns)]
    for each in axes:
        each.set_axis_off()
    return figure, axes
