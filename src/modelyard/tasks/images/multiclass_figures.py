"""The figures of a classifier of pictures: what it confuses, how honest and robust it is, and where it looks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.tasks.figures import (
    COLOURS,
    axes,
    confusion_matrix,
    gallery,
    picture,
    reliability,
    risk_coverage,
    roc,
    wilson_interval,
)
from modelyard.tasks.images.corruptions import KINDS, SEVERITIES
from modelyard.tasks.images.multiclass_metrics import labels_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

    from modelyard.tasks.images.resnet import ResNet9

Heat = Callable[[NDArray[np.int64]], NDArray[np.float32]]
Pixels = NDArray[np.uint8]

_N_GALLERY = 18


def multiclass_figures(rows: pl.DataFrame, target: str, pictures: Pixels, heat: Heat | None) -> dict[str, Figure]:
    """Returns the figures of any such classifier.

    Args:
        rows: N test rows with predictions, perhaps with those of
            :func:`modelyard.tasks.images.multiclass_metrics.with_corrupted`, and perhaps strangers.
        target: Column of the class's name.
        pictures: uint8 of shape (N, H, W) or (N, H, W, 3).
        heat: ``heat(numbers)`` returns the Grad-CAM of the predicted class for some rows, shape (R, h, w). None: no
            picture is shown, because they are of people.

    Returns:
        ``confusion``, ``calibration``, ``risk_coverage``, where there are such rows ``corruptions`` and ``unknown``;
        and ``most_wrong``, ``least_sure``, ``grad_cam`` where pictures may be shown.
    """
    number = labels_of(rows, target)
    known, is_stranger = rows.filter(number >= 0), number < 0
    drawn = {
        "confusion": _confusion(known, target),
        "calibration": _calibration(known, target),
        "risk_coverage": _risk_coverage(known, target),
    }
    if "corrupted_predicted" in rows.columns:
        drawn["corruptions"] = _corruptions(known, target)
    if is_stranger.any():
        drawn["unknown"] = _unknown(is_stranger, rows["unknown_score"].to_numpy(), rows["is_known"].to_numpy())
    if heat is None:
        return drawn
    is_wrong = (rows["predicted"] != rows[target]).to_numpy() & ~is_stranger
    confidence, margin = rows["confidence"].to_numpy(), np.where(is_stranger, np.inf, rows["margin"].to_numpy())
    wrong = np.argsort(np.where(is_wrong, -confidence, np.inf), kind="stable")[: min(_N_GALLERY, is_wrong.sum())]
    unsure, sure = np.argsort(margin, kind="stable")[:_N_GALLERY], _surest_of_each(rows, is_wrong | is_stranger)
    return drawn | {
        "most_wrong": _gallery(rows, target, pictures, wrong, "Wrong and sure of it: predicted (labelled)"),
        "least_sure": _gallery(rows, target, pictures, unsure, "Least sure (red: wrong): predicted (labelled)"),
        "grad_cam": _gallery(rows, target, pictures, sure, "What speaks for the predicted class (Grad-CAM)", heat),
    }


def mean_heat(networks: list[ResNet9], pictures: Tensor, outputs: NDArray[np.int64]) -> NDArray[np.float32]:
    """Returns the networks' mean Grad-CAM of one class for each picture, (B, C, H, W) to (B, H, W)."""
    import torch

    from modelyard.tasks.images.grad_cam import grad_cam

    explained = torch.tensor(outputs)
    heat = torch.stack([grad_cam(network, pictures, explained) for network in networks]).mean(dim=0)
    values: NDArray[np.float32] = heat.numpy()
    return values


def _confusion(known: pl.DataFrame, target: str) -> Figure:
    classes = list(known["classes"][0])
    figure, (place,) = axes(size=(7.2, 6.4))
    shown = known.with_columns(pl.col("predicted").alias(target))
    confusion_matrix(place, labels_of(known, target), labels_of(shown, target), classes)
    return figure


def _calibration(known: pl.DataFrame, target: str) -> Figure:
    figure, (left, right) = axes(2)
    is_right, confidence = (known["predicted"] == known[target]).to_numpy(), known["confidence"].to_numpy()
    reliability(left, is_right, confidence)
    left.set(xlabel="confidence", ylabel="share that is right (95 % interval)")
    right.hist(
        [confidence[is_right], confidence[~is_right]], np.linspace(0, 1, 21).tolist(), color=COLOURS[:2], stacked=True
    )
    right.legend(["right", "wrong"], loc="upper left")
    right.set(xlabel="confidence", ylabel="pictures")
    return figure


def _risk_coverage(known: pl.DataFrame, target: str) -> Figure:
    figure, (place,) = axes()
    is_right = (known["predicted"] == known[target]).to_numpy()
    risk_coverage(place, is_right, known["margin"].to_numpy(), known["is_deferred"].to_numpy(), "pictures")
    return figure


def _corruptions(known: pl.DataFrame, target: str) -> Figure:
    """Draws accuracy by kind and by severity of the corruption that each picture met, and without any."""
    figure, (left, right) = axes(2)
    is_right = (known["corrupted_predicted"] == known[target]).to_numpy()
    clean = float((known["predicted"] == known[target]).to_numpy().mean())
    for place, name, values in (
        (left, "corruption", KINDS),
        (right, "corruption_severity", SEVERITIES),
    ):
        parts = [is_right[known[name].to_numpy() == value] for value in values]
        share = np.array([part.mean() if len(part) else np.nan for part in parts])
        low, high = wilson_interval(share, np.array([max(len(part), 1) for part in parts]))
        bars = np.maximum(np.stack([share - low, high - share]), 0)
        place.errorbar(range(len(values)), share, bars, fmt="o", color=COLOURS[0], capsize=3)
        place.axhline(clean, color=COLOURS[1], linestyle="--", label="as they are")
        place.set_xticks(range(len(values)), [str(value) for value in values], rotation=0 if place is right else 40)
        place.set(xlabel=name.replace("_", " "), ylabel="accuracy (95 % interval)", ylim=(0, 1.02))
        place.legend(loc="lower left")
    return figure


def _unknown(is_stranger: NDArray[np.bool_], score: NDArray[np.float64], is_known: NDArray[np.bool_]) -> Figure:
    figure, (left, right) = axes(2)
    roc(left, is_stranger, score, ~is_known)
    low, high = np.quantile(score, [0.001, 0.999])
    bins = np.linspace(float(low), float(high), 31).tolist()
    for mask, colour, name in ((~is_stranger, COLOURS[0], "known classes"), (is_stranger, COLOURS[1], "strangers")):
        right.hist(score[mask], bins, color=colour, alpha=0.6, density=True, label=name)
    right.set(xlabel="unknown score", ylabel="density")
    right.legend(loc="upper right")
    return figure


def _surest_of_each(rows: pl.DataFrame, is_left_out: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Returns the rows of up to eighteen right predictions, the surest of each class first."""
    ranked = (
        rows.select("predicted", "confidence")
        .with_row_index("row")
        .filter(~is_left_out)
        .with_columns(pl.col("confidence").rank("ordinal", descending=True).over("predicted").alias("rank"))
        .sort("rank", "predicted")
    )
    chosen: NDArray[np.int64] = ranked["row"].head(_N_GALLERY).to_numpy().astype(np.int64)
    return chosen


def _gallery(
    rows: pl.DataFrame, target: str, pictures: Pixels, chosen: NDArray[np.int64], title: str, heat: Heat | None = None
) -> Figure:
    figure, places = gallery(3, 6, title)
    warm = heat(chosen) if heat is not None and len(chosen) else [None] * len(chosen)
    for place, row, one in zip(places, chosen, warm, strict=False):
        predicted, label = rows["predicted"][int(row)], rows[target][int(row)]
        caption = f"{predicted} {rows['confidence'][int(row)]:.0%}" + ("" if predicted == label else f"\n({label})")
        picture(place, pictures[row], caption, heat=one, is_wrong=predicted != label)
    return figure
