"""One look for the figures of projects."""

from typing import Any

INK, MUTED, GRID = "#22313f", "#8796a5", "#e4e9ee"
"""Colours of text, of what is beside the point, and of grids."""


def figure_style() -> dict[Any, Any]:
    """Settings for ``matplotlib.rc_context``: one style for the figures of all projects."""
    return {
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
