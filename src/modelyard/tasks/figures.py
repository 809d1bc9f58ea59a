"""Figures of projects in one look: a function named after what it shows draws on the axes that it is given.

A project decorates its ``figures`` with ``@figure_style()``, makes axes with :func:`axes` or :func:`gallery`, and sets
labels of its own after the call (``axes.set(ylabel="share that is pneumonia")``). Nothing here opens a window: figures
are made without ``pyplot``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from modelyard.tasks import classification, decisions
from modelyard.tasks.ranking import average_precision, curve, roc_auc

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]

COLOURS = ("#0b6e99", "#d1495b", "#edae49", "#3f9c74", "#7a5195")
"""Of curves, in this order; the first is the model's, the second that of what it is compared with or of errors."""

INK, MUTED, GRID = "#22313f", "#8796a5", "#e4e9ee"
"""Colours of text, of what is beside the point, and of grids."""

STYLE: dict[Any, Any] = {
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "lines.linewidth": 2,
}
"""Settings of matplotlib; a notebook updates ``plt.rcParams`` with them."""

_LOGIT_ENDS = (1e-4, 0.999)
_LOGIT_TICKS = (0.001, 0.01, 0.1, 0.5, 0.9, 0.99)
_LOGIT_EDGES = np.array([0, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.25, 0.5, 0.75, 0.9, 0.97, 1.0000001])
_LEAST_ROWS_IN_BIN = 10


@contextlib.contextmanager
def figure_style() -> Iterator[None]:
    """Gives every figure made inside the block, or in a function decorated with it, the look of all projects."""
    import matplotlib as mpl

    with mpl.rc_context(STYLE):
        yield


def axes(n_columns: int = 1, n_rows: int = 1, size: tuple[float, float] | None = None) -> tuple[Figure, list[Axes]]:
    """Returns a figure and its axes, row by row, readable at the width of a README.

    Args:
        n_columns: Axes beside each other.
        n_rows: Axes below each other.
        size: Width and height in inches. None: 6.4 x 4.4 for one, 5.2 x 4 for each of several.
    """
    from matplotlib.figure import Figure

    if size is None:
        size = (6.4, 4.4) if n_columns * n_rows == 1 else (5.2 * n_columns, 4.0 * n_rows)
    figure = Figure(figsize=size, dpi=120, layout="constrained")
    return figure, list(figure.subplots(n_rows, n_columns, squeeze=False).flat)


def gallery(n_rows: int, n_columns: int, title: str) -> tuple[Figure, list[Axes]]:
    """Returns a figure for ``n_rows`` times ``n_columns`` pictures (:func:`picture`), and their axes row by row."""
    figure, places = axes(n_columns, n_rows, (1.6 * n_columns, 1.85 * n_rows + 0.4))
    figure.suptitle(title, fontsize=11)
    for place in places:
        place.set_axis_off()
    return figure, places


def picture(
    axes: Axes,
    pixels: NDArray[Any],
    caption: str,
    heat: NDArray[Any] | None = None,
    is_wrong: bool = False,
) -> None:
    """Draws one picture of a gallery.

    Args:
        axes: To draw on.
        pixels: Gray of shape (H, W) or colour of shape (H, W, 3): uint8, or float in [0, 1].
        caption: What is said above it, at most some twenty characters.
        heat: Where the model looks, in [0, 1] and of any shape (h, w): laid over the picture.
        is_wrong: Whether the caption is in the colour of errors.
    """
    brightest = 255 if pixels.dtype == np.uint8 else 1
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=brightest)
    if heat is not None:
        height, width = pixels.shape[:2]
        whole = (-0.5, width - 0.5, height - 0.5, -0.5)
        axes.imshow(heat, cmap="inferno", alpha=0.5 * heat, vmin=0, vmax=1, extent=whole)
    colour = COLOURS[1] if is_wrong else INK
    axes.set_title(caption, loc="center", fontsize=8, fontweight="normal", color=colour)


def roc_pr(is_positive: Booleans, score: Floats, is_predicted: Booleans, positives: str, negatives: str) -> Figure:
    """Returns the ROC curve with the model's own decisions as a point, and the precision-recall curve beside it.

    Args:
        is_positive: Labels of both classes, shape (N,).
        score: Higher is more likely positive, shape (N,).
        is_predicted: The model's decisions, shape (N,).
        positives: Name of the positive rows, in the plural ("pneumonias").
        negatives: Name of the others ("normal exams").
    """
    figure, (left, right) = axes(2)
    roc(left, is_positive, score, is_predicted)
    left.set(xlabel=f"false alarms among {negatives}", ylabel=f"{positives} found")
    precision_recall(right, is_positive, {"": score})
    right.set(xlabel=f"{positives} found")
    right.set_title(f"Average precision {average_precision(is_positive, score):.3f}")
    return figure


def roc(axes: Axes, is_positive: Booleans, score: Floats, is_predicted: Booleans | None = None) -> None:
    """Draws the ROC curve, the diagonal of chance, and the point of the decisions ``is_predicted`` if there are any."""
    _, true_positives, false_positives = curve(is_positive, score)
    axes.plot(false_positives / false_positives[-1], true_positives / true_positives[-1], color=COLOURS[0])
    axes.axline((0, 0), slope=1, color=MUTED, linewidth=1, linestyle=":")
    if is_predicted is not None:
        false_share, found = float(is_predicted[~is_positive].mean()), float(is_predicted[is_positive].mean())
        axes.plot(false_share, found, "o", color=COLOURS[1])
        words = f"at the model's threshold:\n{found:.0%} found, {false_share:.0%} false alarms"
        axes.annotate(words, (0.98, 0.08), xycoords="axes fraction", ha="right", va="bottom", color=COLOURS[1])
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="false positive rate", ylabel="true positive rate")
    axes.set_title(f"AUC {roc_auc(is_positive, score):.3f}")


def precision_recall(axes: Axes, is_positive: Booleans, scores: Mapping[str, Floats]) -> None:
    """Draws precision over recall of one or more scores, and the share of positives as a line.

    Args:
        axes: To draw on.
        is_positive: Shape (N,), with positives.
        scores: Name to scores of shape (N,), the model's first; a legend tells the names and average precisions of
            several.
    """
    for number, (name, score) in enumerate(scores.items()):
        _, true_positives, false_positives = (counts[1:] for counts in curve(is_positive, score))
        axes.plot(
            true_positives / true_positives[-1],
            true_positives / (true_positives + false_positives),
            color=COLOURS[number % len(COLOURS)],
            linestyle="--" if number else "-",
            label=f"{name}: AP {average_precision(is_positive, score):.3f}",
        )
    axes.axhline(is_positive.mean(), color=MUTED, linewidth=1, linestyle=":")
    axes.set(
        xlim=(0, 1.02), ylim=(0, 1.02), xlabel="share of the positives found", ylabel="share of alarms that are right"
    )
    if len(scores) > 1:
        axes.legend(loc="best")


def reliability(
    axes: Axes, is_positive: Booleans, probability: Floats, scale: Literal["linear", "logit"] = "linear"
) -> None:
    """Draws the share of positives over the predicted probability with intervals of 95 %, bin by bin.

    Args:
        axes: To draw on.
        is_positive: Shape (N,).
        probability: Shape (N,), in [0, 1].
        scale: ``linear``: tenths of the rows. ``logit``: bins and axes in log-odds, for rare positives: most of their
            probabilities are tiny, and the few large ones matter most; bins of fewer than ten rows are left out.
    """
    if scale == "logit":
        parts = [
            np.flatnonzero(np.digitize(probability, _LOGIT_EDGES) == number) for number in range(len(_LOGIT_EDGES))
        ]
        parts = [part for part in parts if len(part) >= _LEAST_ROWS_IN_BIN]
    else:
        parts = [part for part in np.array_split(np.argsort(probability, kind="stable"), 10) if len(part)]
    predicted = np.array([probability[part].mean() for part in parts])
    seen = np.array([is_positive[part].mean() for part in parts])
    low, high = wilson_interval(seen, np.array([len(part) for part in parts]))
    if scale == "logit":
        # Shares of 0 and 1 lie at infinity on this axis: they are drawn at its ends.
        first, last = _LOGIT_ENDS
        seen = np.clip(seen, 1.2 * first, 0.9998 * last)
        low, high = np.clip(low, first, seen), np.clip(high, seen, last)
        axes.plot(_LOGIT_ENDS, _LOGIT_ENDS, color=MUTED, linewidth=1)
        logit_axis(axes, "x")
        logit_axis(axes, "y")
    else:
        axes.axline((0, 0), slope=1, color=MUTED, linewidth=1)
        axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    bars = np.maximum(np.stack([seen - low, high - seen]), 0)
    axes.errorbar(predicted, seen, bars, fmt="o", color=COLOURS[0], capsize=2, markersize=5, linewidth=1.5)
    axes.set(xlabel="predicted probability", ylabel="share of positives (95 % interval)")


def score_histogram(axes: Axes, is_positive: Booleans, probability: Floats, names: tuple[str, str]) -> None:
    """Draws how many rows of each class have which probability, on a logarithmic scale.

    Args:
        axes: To draw on.
        is_positive: Shape (N,).
        probability: Shape (N,), in [0, 1].
        names: Of the negative and of the positive class.
    """
    bins = np.linspace(0, 1, 26).tolist()
    groups = [probability[~is_positive], probability[is_positive]]
    axes.hist(groups, bins, color=[MUTED, COLOURS[1]], label=list(names))
    axes.set(xlabel="predicted probability", ylabel="rows", yscale="log")
    axes.legend(loc="upper center")


def confusion_matrix(axes: Axes, true: Integers, predicted: Integers, names: Sequence[str]) -> None:
    """Draws what the rows of each class were predicted as, in percent of the class.

    Args:
        axes: To draw on.
        true: Class numbers, shape (N,).
        predicted: Class numbers, shape (N,).
        names: Of the K classes.
    """
    counts = classification.confusion_matrix(true, predicted, len(names))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=0 if sum(map(len, names)) < 40 else 90)
    axes.set_yticks(range(len(names)), names)
    axes.grid(visible=False)
    for row, column in np.ndindex(shares.shape):
        colour = "white" if shares[row, column] > 0.6 else INK
        axes.text(column, row, f"{100 * shares[row, column]:.0f}", ha="center", va="center", color=colour, fontsize=9)
    axes.set(xlabel="predicted (% of a row)", ylabel="true")


def risk_coverage(axes: Axes, is_right: Booleans, margin: Floats, is_deferred: Booleans, rows: str = "rows") -> None:
    """Draws the share of wrong decisions among the surest rows, over how many of them the model decides.

    Geifman and El-Yaniv 2017, https://arxiv.org/abs/1705.08500.

    Args:
        axes: To draw on.
        is_right: Whether the decision is right, shape (N,).
        margin: How sure the model is, shape (N,).
        is_deferred: Whether the row is left to a person, shape (N,).
        rows: Their name in the plural ("exams").
    """
    number = np.arange(1, len(margin) + 1)
    share = number / len(number)
    axes.plot(share, decisions.risk_coverage(is_right, margin), color=COLOURS[0], label="surest first")
    axes.axhline(1 - is_right.mean(), color=MUTED, linestyle=":", label="in any order")
    best = np.maximum(0, 1 - is_right.sum() / number)
    axes.plot(share, best, color=COLOURS[1], linestyle="--", label="wrong ones last")
    decided, highest = 1 - float(is_deferred.mean()), max(1.5 * axes.get_ylim()[1], 0.01)
    axes.axvline(decided, color=MUTED, linewidth=1)
    axes.annotate(
        f"decides {decided:.0%},\ndefers {1 - decided:.0%}",
        (decided, highest),
        (-6, -4),
        textcoords="offset points",
        ha="right",
        va="top",
    )
    axes.set(xlim=(0, 1), ylim=(0, highest))
    axes.set(xlabel=f"share of the {rows} that the model decides", ylabel="wrong decisions among them")
    axes.legend(loc="upper left")


def learning_curve(axes: Axes, values: Mapping[str, Sequence[float]], best: int | None = None) -> None:
    """Draws values after each epoch or block of rounds, counted from 1, and marks the one that was kept.

    Args:
        axes: To draw on.
        values: Name to values; of different lengths where some stopped early.
        best: The step that was kept; None: no mark.
    """
    from matplotlib.ticker import MaxNLocator

    for (name, line), colour in zip(values.items(), COLOURS, strict=False):
        axes.plot(range(1, len(line) + 1), line, color=colour, marker="o", markersize=3, label=name)
    if best is not None:
        axes.axvline(best, color=MUTED, linewidth=1, linestyle=":", label=f"kept: {best}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="epoch", ylabel="value")
    axes.legend(loc="best")


def importance(shares: Mapping[str, float], n_shown: int = 15) -> Figure:
    """Returns the largest shares of a booster's gain as bars, in a figure as high as its names need.

    Args:
        shares: Column to its share of the gain (:func:`modelyard.tasks.boosting.gain_shares`).
        n_shown: Bars at most.
    """
    from matplotlib.ticker import MaxNLocator

    shown = sorted(shares.items(), key=lambda item: item[1])[-n_shown:]
    figure, (place,) = axes(size=(6.4, 1.3 + 0.22 * max(len(shown), 3)))
    place.barh([name.replace("_", " ") for name, _ in shown], [share for _, share in shown], color=COLOURS[0])
    place.grid(visible=False, axis="y")
    place.tick_params(axis="y", labelsize=9)
    place.xaxis.set_major_locator(MaxNLocator(5))
    place.xaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    place.set(xlabel="share of the trees' gain")
    place.set_title("What the trees look at")
    return figure


def logit_axis(axes: Axes, which: Literal["x", "y"]) -> None:
    """Gives an axis of probabilities from 0.01 % to 99.9 % a scale of log-odds with ticks in percent."""
    axes.set(**{f"{which}scale": "logit", f"{which}lim": _LOGIT_ENDS})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_ticks(_LOGIT_TICKS, labels=[f"{100 * tick:g} %" for tick in _LOGIT_TICKS])
    axis.set_ticks([], minor=True)


def wilson_interval(share: Floats, counts: Integers) -> tuple[Floats, Floats]:
    """Returns Wilson's score intervals of 95 % for shares of ``counts`` rows each.

    Wilson 1927, https://doi.org/10.1080/01621459.1927.10502953; unlike the textbook's it has a width at 0 and 1.
    """
    z = 1.96
    centre = (share + z * z / (2 * counts)) / (1 + z * z / counts)
    half = z / (1 + z * z / counts) * np.sqrt(share * (1 - share) / counts + z * z / (4 * counts**2))
    return centre - half, centre + half
