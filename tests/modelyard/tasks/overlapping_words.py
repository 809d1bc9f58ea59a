"""Which words of a figure nobody can read, because others lie on them or the figure ends."""

from itertools import combinations
from unittest import mock

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text


def overlapping_words(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of texts of a figure whose boxes lie on each other, and texts that run out of it (paired with "")."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]  # arranges everything; the second time nothing moves
    with mock.patch.object(Text, "draw", autospec=True) as draw:
        canvas.draw()  # type: ignore[no-untyped-call]
    renderer = canvas.get_renderer()  # type: ignore[no-untyped-call]
    words = dict.fromkeys(
        text for (text, _), _ in draw.call_args_list if text.get_visible() and text.get_text().strip()
    )
    boxes = [(text.get_text(), text.get_window_extent(renderer).shrunk(0.9, 0.9)) for text in words]
    found = [(one, two) for (one, a), (two, b) in combinations(boxes, 2) if a.overlaps(b)]
    whole = figure.bbox.padded(2)
    return found + [(word, "") for word, box in boxes if not (whole.contains(*box.min) and whole.contains(*box.max))]
