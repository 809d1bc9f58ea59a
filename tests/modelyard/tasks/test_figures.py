"""Each figure shows the numbers that it was given, in one look, and none of its words lie on each other."""

import io
from collections.abc import Callable

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from modelyard.tasks import figures as library
from modelyard.tasks.figures import figure_style
from tests.modelyard.tasks.overlapping_words import overlapping_words

RNG = np.random.default_rng(0)
PROBABILITY = RNG.uniform(0, 1, 2_000) ** 3
IS_POSITIVE = RNG.uniform(0, 1, 2_000) < PROBABILITY
LONG_NAMES = {f"log_amount_over_mean_{number}d_to_{9 * number}d": 0.3 / number for number in range(1, 40)}


def drawn(draw: Callable[[Axes], object]) -> Figure:
    with figure_style():
        figure, (axes,) = library.axes()
        draw(axes)
    return figure


def line(axes: Axes, number: int) -> NDArray[np.float64]:
    """The points of a curve, shape (K, 2)."""
    return np.asarray(axes.lines[number].get_xydata(), dtype=np.float64)


@figure_style()
def all_figures() -> dict[str, Figure]:
    is_right = (PROBABILITY >= 0.5) == IS_POSITIVE
    margin = np.abs(PROBABILITY - 0.5)
    true, predicted = IS_POSITIVE.astype(int), (PROBABILITY > 0.5).astype(int)
    pictures, places = library.gallery(2, 4, "What is unsure")
    for number, place in enumerate(places):
        library.picture(place, np.zeros((4, 4)), "pneumonia, says 51%", np.eye(2) * 0.5, is_wrong=number % 2 == 0)
    return {
        "roc_pr": library.roc_pr(IS_POSITIVE, PROBABILITY, PROBABILITY >= 0.5, "pneumonias", "normal exams"),
        "precision_recall": drawn(
            lambda axes: library.precision_recall(axes, IS_POSITIVE, {"ours": PROBABILITY, "turned": -PROBABILITY})
        ),
        "reliability": drawn(lambda axes: library.reliability(axes, IS_POSITIVE, PROBABILITY)),
        "reliability_logit": drawn(lambda axes: library.reliability(axes, IS_POSITIVE, PROBABILITY, "logit")),
        "histogram": drawn(lambda axes: library.score_histogram(axes, IS_POSITIVE, PROBABILITY, ("well", "ill"))),
        "confusion": drawn(lambda axes: library.confusion_matrix(axes, true, predicted, ["normal", "pneumonia"])),
        "confusion_many": drawn(
            lambda axes: library.confusion_matrix(axes, true, predicted, [f"a long class name {n}" for n in range(9)])
        ),
        "risk_coverage": drawn(
            lambda axes: library.risk_coverage(axes, is_right, margin, margin < np.quantile(margin, 0.1), "exams")
        ),
        "learning_curve": drawn(
            lambda axes: library.learning_curve(axes, {"training": [3, 2, 1, 0.5], "validation": [3, 2.5, 2.6]}, best=2)
        ),
        "importance": library.importance(LONG_NAMES),
        "importance_of_nothing": library.importance({}),
        "gallery": pictures,
    }


@pytest.mark.parametrize("name", all_figures())
def test_words_do_not_lie_on_each_other(name: str) -> None:
    assert overlapping_words(all_figures()[name]) == []


def test_a_collision_is_seen() -> None:
    figure = drawn(lambda axes: [axes.text(0.5, 0.5, "one"), axes.text(0.5, 0.5, "two")])
    assert ("one", "two") in overlapping_words(figure)


def test_figures_can_be_written_and_leave_the_style_as_it_was() -> None:
    before = (mpl.rcParams["font.size"], mpl.rcParams["axes.grid"], mpl.rcParams["legend.frameon"])
    for figure in all_figures().values():
        figure.savefig(io.BytesIO(), format="png")
    assert (mpl.rcParams["font.size"], mpl.rcParams["axes.grid"], mpl.rcParams["legend.frameon"]) == before


def test_curves_end_where_they_must() -> None:
    roc, precision = all_figures()["roc_pr"].axes
    first, last = line(roc, 0)[[0, -1]]
    assert (first.tolist(), last.tolist()) == ([0, 0], [1, 1])
    assert line(precision, 0)[-1] == pytest.approx([1, IS_POSITIVE.mean()])


@pytest.mark.parametrize("scale", ["linear", "logit"])
def test_reliability_of_true_probabilities_lies_on_the_diagonal(scale: str) -> None:
    figure = drawn(lambda axes: library.reliability(axes, IS_POSITIVE, PROBABILITY, scale))  # type: ignore[arg-type]
    points = figure.axes[0].containers[0]
    predicted, seen = points[0].get_data()
    segments = np.array(points[2][0].get_segments())
    inside = (segments[:, 0, 1] <= predicted) & (predicted <= segments[:, 1, 1])
    assert len(seen) >= 8
    assert inside.mean() >= 0.75


def test_a_picture_is_gray_or_coloured_and_its_heat_covers_it() -> None:
    figure, places = library.gallery(1, 2, "Pictures")
    library.picture(places[0], np.full((8, 6), 0.5), "gray", heat=np.array([[0.0, 1.0]]))
    library.picture(places[1], np.zeros((8, 6, 3), np.uint8), "coloured", is_wrong=True)
    gray, heat = places[0].images
    assert (gray.get_cmap().name, gray.get_extent()) == ("gray", heat.get_extent())
    assert [place.title.get_color() == library.COLOURS[1] for place in places] == [False, True]
    assert overlapping_words(figure) == []


def test_a_confusion_matrix_counts_rows_of_the_true_class() -> None:
    figure = drawn(
        lambda axes: library.confusion_matrix(axes, np.array([0, 0, 0, 0, 1]), np.array([0, 0, 0, 1, 0]), ["a", "b"])
    )
    assert [text.get_text() for text in figure.axes[0].texts] == ["75", "25", "100", "0"]


def test_risk_coverage_ends_at_the_error_of_all_rows() -> None:
    is_right = RNG.uniform(0, 1, 400) < 0.8
    figure = drawn(lambda axes: library.risk_coverage(axes, is_right, is_right.astype(float), ~is_right))
    ours, best = line(figure.axes[0], 0), line(figure.axes[0], 2)
    assert ours[-1] == pytest.approx([1, 1 - is_right.mean()])
    assert np.allclose(ours, best)  # who is sure where he is right cannot be beaten


def test_wilson_intervals_have_a_width_at_the_ends() -> None:
    low, high = library.wilson_interval(np.array([0.0, 0.5, 1.0]), np.array([10, 10, 10]))
    assert low == pytest.approx([0, 0.2366, 0.7225], abs=1e-4)
    assert high == pytest.approx([0.2775, 0.7634, 1], abs=1e-4)
