"""What happens to a digit when people draw it in a page? It is moved, inverted, thin, on nothing, shaded, in a row.

Each picture is redrawn once, in a way that follows from its own pixels alone, and prepared anew: over many pictures the
manners are equally frequent, for one more look at each.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipelines.handwritten_digit_recognition.preparation import SIDE, cut, ink_of
from pipelines.handwritten_digit_recognition.simulator import STRANGER

Pixels = NDArray[np.uint8]

MANNERS = ("moved", "inverted", "thin", "on nothing", "shaded", "five in a row")
"""How pictures are redrawn; the last one repeats the digit five times, in other sizes and at other heights."""

_IN_A_ROW = 5


def redraw(picture: Pixels, manner: str, rng: np.random.Generator) -> list[Pixels]:
    """Returns what the preparation finds on a canvas with a prepared digit, redrawn: pictures of shape (28, 28).

    Args:
        picture: Shape (28, 28).
        manner: One of :data:`MANNERS`.
        rng: Draws place and size.
    """
    n = _IN_A_ROW if manner == "five in a row" else 1
    height, wide = 140, 110
    ink = np.zeros((height, n * wide), np.float64)
    for number in range(n):
        side = int(rng.integers(64, 100))
        top, left = int(rng.integers(4, height - side - 3)), int(rng.integers(2, wide - side - 1))
        piece = _scaled(picture, side, is_thin=manner == "thin")
        left += number * wide
        ink[top : top + side, left : left + side] = np.maximum(ink[top : top + side, left : left + side], piece)
    opaque = np.full(ink.shape, 255, np.uint8)
    if manner == "on nothing":
        return [digit.pixels for digit in cut(ink_of(np.zeros_like(opaque), np.rint(255 * ink).astype(np.uint8)))]
    paper = np.full(ink.shape, 0.95)
    if manner == "shaded":
        paper = paper - 0.35 * np.linspace(0, 1, ink.shape[1]) * rng.random() - 0.3 * np.linspace(0, 1, height)[:, None]
    shown = paper * (1 - ink) + 0.1 * ink
    shown = 1 - shown if manner == "inverted" else shown
    return [digit.pixels for digit in cut(ink_of(np.rint(255 * shown).astype(np.uint8), opaque))]


def _scaled(picture: Pixels, side: int, *, is_thin: bool) -> NDArray[np.float64]:
    """Returns the ink of a picture in another size, 0 to 1; a thin pen loses its edge by grey erosion."""
    from PIL import Image
    from scipy.ndimage import grey_erosion  # type: ignore[import-untyped]  # scipy has no types

    large = np.array(Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC)) / 255
    thin = grey_erosion(large, 3) if is_thin else large
    # A digit of one pixel's width would vanish.
    return np.asarray(thin if thin.max() > 0.5 else large, np.float64)


def with_redrawn(answer: Callable[[pl.DataFrame], pl.DataFrame], examples: pl.DataFrame) -> pl.DataFrame:
    """Returns the answers for examples, beside what is answered when each picture is redrawn once.

    Args:
        answer: ``answer(rows)`` returns the columns of predictions for rows with ``image``.
        examples: Has ``image``, N rows.

    Returns:
        The columns of ``answer``, and ``manner`` and ``redrawn_predicted``: the digit, in a row the one that all five
        are read as, or ``no digit`` where the preparation finds another number of digits, or they differ.
    """
    pictures = examples["image"].to_numpy().reshape(-1, SIDE, SIDE)
    manners, found, owners = [], [], []
    for row, picture in enumerate(pictures):
        digest = zlib.crc32(picture.tobytes())
        manners.append(MANNERS[digest % len(MANNERS)])
        pieces = redraw(picture, manners[-1], np.random.default_rng(digest))
        if len(pieces) == (_IN_A_ROW if manners[-1] == "five in a row" else 1):
            found += pieces
            owners += [row] * len(pieces)
    read: list[set[str]] = [set() for _ in pictures]
    if found:
        shown = pl.DataFrame({"image": pl.Series(np.stack(found).reshape(len(found), -1))})
        for row, digit in zip(owners, answer(shown)["predicted"], strict=True):
            read[row].add(digit)
    return answer(examples).with_columns(
        pl.Series("manner", manners, dtype=pl.String),
        pl.Series("redrawn_predicted", [one.pop() if len(one) == 1 else STRANGER for one in read], dtype=pl.String),
    )
