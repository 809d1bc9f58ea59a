"""How are the figures drawn? Ranking, honesty, doubt, geography, doubtful tiles, and where the model looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelyard.tasks.ranking import average_precision, curve, roc_auc
from pipelines.satellite_image_analysis.decisions import sureness
from pipelines.satellite_image_analysis.pictures import CHANNELS, SIDE

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from pipelines.satellite_image_analysis.model import TileModel

    Floats = NDArray[np.float64]
    Booleans = NDArray[np.bool_]

_OURS, _OTHER, _QUIET = "#1f5f8b", "#c8553d", "#8a8f98"


def figures(rows: pl.DataFrame, model: TileModel) -> dict[str, Figure]:
    """What a reviewer looks at.

    Args:
        rows: Test rows with predictions and ``image``.
        model: Tells its threshold, and where it looks.

    Returns:
        ``ranking``, ``calibration``, ``risk_coverage``, ``where_it_is_unsure``, ``where_it_looks``; ``map`` where
        there are coordinates.
    """
    is_damaged, probability = rows["is_damaged"].to_numpy(), rows["score"].to_numpy()
    drawn = {
        "ranking": _ranking(rows, is_damaged, probability),
        "calibration": _calibration(is_damaged, probability),
        "risk_coverage": _risk_coverage(rows, model),
        "where_it_is_unsure": _most_unsure(rows, model),
        "where_it_looks": _where_it_looks(rows, model),
    }
    has_places = rows["longitude_deg"].count() > 1
    return drawn | ({"map": _map(rows)} if has_places else {})


def _ranking(rows: pl.DataFrame, is_damaged: Booleans, probability: Floats) -> Figure:
    figure, (roc, precision) = _axes(2)
    _, hits, alarms = curve(is_damaged, probability)
    roc.plot(alarms / alarms[-1], hits / hits[-1], color=_OURS)
    roc.axline((0, 0), slope=1, color=_QUIET, linewidth=1, linestyle=":")
    called = rows["is_called"].to_numpy()
    point = (called[~is_damaged].mean(), called[is_damaged].mean())
    roc.plot(*point, "o", color=_OTHER)
    roc.annotate(
        f"threshold chosen on\nvalidation: {point[1]:.0%} found,\n{point[0]:.0%} false alarms", point, (0.4, 0.45)
    )
    roc.set(
        xlabel="false alarms among whole buildings",
        ylabel="damaged buildings found",
        title=f"AUC {roc_auc(is_damaged, probability):.3f}",
    )
    precision.plot(hits[1:] / hits[-1], hits[1:] / (hits + alarms)[1:], color=_OURS)
    precision.axhline(is_damaged.mean(), color=_QUIET, linewidth=1, linestyle=":")
    precision.set(
        xlabel="damaged buildings found",
        ylabel="share of alarms that are right",
        ylim=(0, 1.02),
        title=f"average precision {average_precision(is_damaged, probability):.3f}",
    )
    return figure


def _calibration(is_damaged: Booleans, probability: Floats) -> Figure:
    import numpy as np

    figure, (reliability, histogram) = _axes(2)
    for part in np.array_split(np.argsort(probability, kind="stable"), 10):
        if len(part):
            seen, error = (
                is_damaged[part].mean(),
                np.sqrt(is_damaged[part].mean() * (1 - is_damaged[part].mean()) / len(part)),
            )
            reliability.errorbar(probability[part].mean(), seen, 1.96 * error, color=_OURS, marker="o", capsize=3)
    reliability.axline((0, 0), slope=1, color=_QUIET, linewidth=1, linestyle=":")
    reliability.set(
        xlabel="promised (mean of a tenth of the tiles)",
        ylabel="share that is damaged",
        xlim=(-0.03, 1.03),
        ylim=(-0.06, 1.06),
    )
    bins = np.linspace(0, 1, 26).tolist()
    histogram.hist(
        [probability[~is_damaged], probability[is_damaged]], bins, color=[_QUIET, _OTHER], label=["whole", "damaged"]
    )
    histogram.set(xlabel="predicted probability", ylabel="tiles", yscale="log")
    histogram.legend(frameon=False)
    return figure


def _map(rows: pl.DataFrame) -> Figure:
    """Right and wrong calls where they were made; a cluster of wrong ones is a place that the model does not know."""
    import numpy as np

    figure, (axes,) = _axes(1)
    is_right = (rows["is_called"] == rows["is_damaged"]).to_numpy()
    east, north = rows["longitude_deg"].to_numpy(), rows["latitude_deg"].to_numpy()
    for wanted, colour, size, name in ((is_right, _OURS, 8, "right"), (~is_right, _OTHER, 26, "wrong")):
        axes.scatter(east[wanted], north[wanted], s=size, color=colour, alpha=0.7, linewidths=0, label=name)
    axes.set(xlabel="longitude (degrees)", ylabel="latitude (degrees)")
    axes.set_aspect(1 / np.cos(np.radians(np.nanmean(north))))
    axes.legend(frameon=False)
    return figure


def _risk_coverage(rows: pl.DataFrame, model: TileModel) -> Figure:
    import numpy as np

    figure, (axes,) = _axes(1)
    order = np.argsort(-_sureness(rows, model), kind="stable")
    is_right = (rows["is_called"] == rows["is_damaged"]).to_numpy()
    n = len(order)
    share = np.arange(1, n + 1) / n
    axes.plot(share, np.cumsum(~is_right[order]) / np.arange(1, n + 1), color=_OURS, label="surest tiles first")
    axes.axhline(1 - is_right.mean(), color=_QUIET, linestyle=":", label="tiles in any order")
    axes.plot(
        share, np.maximum(0, 1 - is_right.sum() / (share * n)), color=_OTHER, linestyle="--", label="wrong ones last"
    )
    decided = 1 - rows["is_referred"].to_numpy().mean()
    highest = 1.4 * axes.get_ylim()[1]
    axes.axvline(decided, color=_QUIET, linewidth=1)
    words = f"decides {decided:.0%},\nrefers {1 - decided:.0%}"
    axes.annotate(words, (decided, 0.9 * highest), (-6, 0), textcoords="offset points", ha="right")
    axes.set(
        xlabel="share of the tiles that the model decides",
        ylabel="wrong calls among them",
        xlim=(0, 1),
        ylim=(0, highest),
    )
    axes.legend(frameon=False, loc="upper left")
    return figure


def _most_unsure(rows: pl.DataFrame, model: TileModel) -> Figure:
    import numpy as np

    nearest = np.argsort(_sureness(rows, model), kind="stable")[:18]
    figure, axes = _gallery(3, 6, "Tiles that the model is least sure about (red: wrong call)")
    for place, row in zip(axes, nearest, strict=False):
        one = rows.row(int(row), named=True)
        place.imshow(_pixels(rows[int(row)])[0])
        truth = "damaged" if one["is_damaged"] else "whole"
        is_right = one["is_called"] == one["is_damaged"]
        place.set_title(f"{truth}, says {one['score']:.0%}", fontsize=8, color="black" if is_right else _OTHER)
    return figure


def _where_it_looks(rows: pl.DataFrame, model: TileModel) -> Figure:
    import numpy as np
    import torch

    from pipelines.satellite_image_analysis.model import Inputs
    from pipelines.satellite_image_analysis.network import as_tiles, attention

    is_damaged, called, probability = (rows[name].to_numpy() for name in ("is_damaged", "is_called", "score"))
    figure, axes = _gallery(4, 6, "Where the networks see signs of damage (Grad-CAM)")
    for line, (name, wanted) in enumerate(
        {
            "found": is_damaged & called,
            "left alone": ~is_damaged & ~called,
            "false alarm": ~is_damaged & called,
            "missed": is_damaged & ~called,
        }.items()
    ):
        chosen = np.flatnonzero(wanted)
        chosen = chosen[np.argsort(-np.abs(probability[chosen] - 0.5), kind="stable")][:6]
        if not len(chosen):
            continue
        inputs = Inputs.of(rows[chosen])
        levels = torch.tensor(inputs.levels)
        tiles = as_tiles(torch.tensor(inputs.pixels), SIDE)
        heat = torch.stack(
            [
                attention(network.cpu(), as_tiles(torch.tensor(inputs.pixels), model.params.input_side), levels)
                for network in model.networks
            ]
        ).mean(dim=0)
        for place, tile, warm, row in zip(axes[6 * line :], tiles, heat, chosen, strict=False):
            place.imshow(tile.permute(1, 2, 0).numpy())
            place.imshow(
                warm.numpy(),
                cmap="inferno",
                alpha=0.5 * warm.numpy(),
                vmin=0,
                vmax=1,
                extent=(-0.5, SIDE - 0.5, SIDE - 0.5, -0.5),
            )
            place.set_title(f"{name}: {probability[row]:.0%}", fontsize=8)
    return figure


def _sureness(rows: pl.DataFrame, model: TileModel) -> Floats:
    return sureness(rows["score"].to_numpy(), model.params.decisions.threshold or 0.5)


def _pixels(rows: pl.DataFrame) -> NDArray[np.uint8]:
    pixels: NDArray[np.uint8] = rows["image"].to_numpy().reshape(-1, SIDE, SIDE, CHANNELS)
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
