"""How does what a person drew become what the model reads? By MNIST's own preparation, in training and in service.

Ink is told from paper by the picture's border, so that polarity, alpha and even shade do not matter; a row of digits is
cut by connected components; each digit's box is brought to 20 pixels and its centre of mass to the middle of 28 x 28
(LeCun, http://yann.lecun.com/exdb/mnist). On MNIST itself next to nothing changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from modelyard.tasks.images.decoding import ImageFormat, read_grey_and_alpha

Ink = NDArray[np.float32]
"""How much ink there is, 0 to 1, shape (H, W)."""
Pixels = NDArray[np.uint8]
Strokes = Sequence[Sequence[Sequence[float]]]
"""Strokes of points (x, y), y from the top, in any unit."""

SIDE, BOX = 28, 20
"""Pixels of a prepared picture's side, and of the longer side of the digit's box in it."""

FORMAT = ImageFormat(side=SIDE, channels=1, min_side=16, max_pixels=4_000_000)
"""Of pictures with a digit or a row of them; a photo of a telephone is made smaller first."""

MAX_DIGITS = 12
"""A row of more is taken for a page of writing."""

_UNCHANGED_BOX = range(BOX - 3, BOX + 2)
"""Longer sides of the box that are left as they are: faint edges make a side one or two pixels shorter or longer."""

_EMPTY_CONTRAST, _ALL_INK = 25 / 255, 0.6
_DARK = 0.3
"""Ink from which on a pixel belongs to a stroke."""
_STROKE_HEIGHT, _PEN, _LONGEST_ROW = 100, 9, 16
"""Strokes are drawn this high, with a pen of this width (pixels), and at most this many times as long as high."""


class Digit(NamedTuple):
    """One digit of a row.

    Args:
        pixels: As MNIST has it, uint8 of shape (28, 28), paper 0, ink 255.
        box: Left, top, width and height in the picture, pixels.
    """

    pixels: Pixels
    box: tuple[int, int, int, int]


def read_ink(content: bytes) -> Pixels:
    """Returns the ink of a picture file, uint8 of shape (H, W), 255 where there is most of it.

    Raises:
        ValueError: It is no picture that can be read, empty, or all ink.
    """
    ink = ink_of(*read_grey_and_alpha(content, FORMAT))
    return np.rint(255 * ink).astype(np.uint8)


def read_row(content: bytes) -> Pixels:
    """Returns what :func:`read_ink` does, of a picture that :func:`cut` takes.

    Raises:
        ValueError: See :func:`read_ink` and :func:`cut`.
    """
    ink = read_ink(content)
    cut(as_ink(ink))
    return ink


def as_ink(pixels: Pixels) -> Ink:
    """Returns pixels of 0 to 255 as ink of 0 to 1."""
    return pixels.astype(np.float32) / np.float32(255)


def read_digit(content: bytes) -> Pixels:
    """Returns the one digit of a picture file, prepared, shape (28, 28).

    Raises:
        ValueError: See :func:`read_ink`.
    """
    return prepare(as_ink(read_ink(content)))


def ink_of(grey: Pixels, alpha: Pixels) -> Ink:
    """Returns how much ink there is: what differs from the paper, whose plane of grey is fitted to the border.

    Args:
        grey: Shape (H, W).
        alpha: Opacity, shape (H, W); where the border is transparent, ink is what is opaque, whatever its colour.

    Raises:
        ValueError: The picture is empty, or all ink.
    """
    border = _border(grey.shape)
    if np.median(alpha[border]) < 128:
        ink: Ink = alpha.astype(np.float32) / np.float32(255)
    else:
        share = alpha.astype(np.float32) / 255
        shown = share * grey + (1 - share) * np.median(grey[border])
        apart = shown - _paper(shown, border)
        noise = 4 * float(np.median(np.abs(apart[border])))
        apart = apart if apart.max() > -apart.min() else -apart
        ink = np.where(apart > noise, apart / 255, 0).astype(np.float32)
    if ink.max() < _EMPTY_CONTRAST:
        raise ValueError("the canvas is empty: nothing on it differs from its border; draw a digit, large and dark")
    ink /= ink.max()
    if (ink > 0.5).mean() > _ALL_INK:
        raise ValueError("nearly all of the picture is ink: leave some paper around the digit")
    return ink


def _border(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Returns which pixels are the frame of 1/28 of the shorter side."""
    wide = max(1, min(shape) // SIDE)
    border = np.ones(shape, bool)
    border[wide:-wide, wide:-wide] = False
    return border


def _paper(shown: NDArray[np.floating], border: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Returns the plane of grey through the border's pixels that are no ink, shape (H, W)."""
    y, x = np.indices(shown.shape, dtype=np.float64)
    rows = np.stack([np.ones_like(x), x, y], axis=-1)
    paper: NDArray[np.float64] = np.full(shown.shape, np.median(shown[border]))
    tolerance = 64.0
    for _ in range(4):
        is_paper = border & (np.abs(shown - paper) <= tolerance)
        plane, *_ = np.linalg.lstsq(rows[is_paper], shown[is_paper], rcond=None)
        paper = rows @ plane
        # Ink that reaches the border is left out step by step.
        tolerance = max(1.0, 3 * float(np.median(np.abs(shown - paper)[border])))
    return paper


def prepare(ink: Ink) -> Pixels:
    """Returns ink of any size as MNIST has its digits, shape (28, 28), ink 255; what is prepared already stays so."""
    from PIL import Image

    rows, columns = (np.flatnonzero((ink >= _DARK).any(axis=axis)) for axis in (1, 0))
    longest = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
    factor = 1.0 if longest in _UNCHANGED_BOX else BOX / longest
    # Two pixels of the result around the box keep its faint edges; what is prepared already keeps all of them.
    around = int(np.ceil(2 / factor)) if factor != 1 else 4
    wide = np.pad(ink, around)
    piece = wide[rows[0] : rows[-1] + 1 + 2 * around, columns[0] : columns[-1] + 1 + 2 * around]
    if factor != 1:
        size = [max(1, round(factor * side)) for side in piece.shape[::-1]]
        piece = np.array(Image.fromarray(piece).resize((size[0], size[1]), Image.Resampling.BICUBIC))
        piece = np.clip(piece / piece.max(), 0, 1)
    return _centred(np.rint(255 * piece).astype(np.uint8))


def _centred(piece: Pixels) -> Pixels:
    """Returns a piece in 28 x 28 with its centre of mass in the middle; what lies beyond is cut off."""
    canvas = np.zeros((3 * SIDE, 3 * SIDE), np.uint8)
    canvas[SIDE : SIDE + piece.shape[0], SIDE : SIDE + piece.shape[1]] = piece
    weight = piece.astype(np.float64)
    corner = []
    for axis in (0, 1):
        profile = weight.sum(axis=1 - axis)
        mass = float((profile * np.arange(len(profile))).sum() / profile.sum())
        # MNIST's mean centre of mass lies at 14, a half pixel behind the middle.
        corner.append(SIDE + round(mass - SIDE / 2 + 1e-9))
    return canvas[corner[0] : corner[0] + SIDE, corner[1] : corner[1] + SIDE].copy()


def cut(ink: Ink) -> list[Digit]:
    """Returns the digits of a row from left to right, each prepared; a picture of 28 x 28 is one digit.

    Connected pieces of ink that lie above each other, and pieces less than half as high as the highest, belong to one
    digit (the bar of a 5); specks are left out.

    Raises:
        ValueError: There are more than :data:`MAX_DIGITS`.
    """
    from scipy.ndimage import binary_dilation, find_objects, label  # type: ignore[import-untyped]  # scipy has no types

    if ink.shape == (SIDE, SIDE):
        return [Digit(prepare(ink), _box_of(ink >= _DARK))]
    pieces, n_pieces = label(ink >= _DARK, np.ones((3, 3)))
    places = find_objects(pieces)
    area = np.bincount(pieces.ravel(), minlength=n_pieces + 1)[1:]
    kept = [number for number in range(n_pieces) if area[number] >= 0.02 * area.max()]
    groups = _grouped({number: places[number] for number in kept})
    if len(groups) > MAX_DIGITS:
        raise ValueError(
            f"there are {len(groups)} pieces of ink in a row, more than {MAX_DIGITS} digits: is it a page?"
        )
    found = []
    for group in groups:
        is_own = np.isin(pieces, [number + 1 for number in group])
        found.append(Digit(prepare(np.where(binary_dilation(is_own, iterations=2), ink, 0)), _box_of(is_own)))
    return found


def _grouped(places: dict[int, tuple[slice, slice]]) -> list[list[int]]:
    """Returns the numbers of the pieces that are one digit, from left to right."""
    highest = max(place[0].stop - place[0].start for place in places.values())

    def is_low(number: int) -> bool:
        return bool(places[number][0].stop - places[number][0].start < 0.5 * highest)

    groups: list[list[int]] = []
    for number in sorted((n for n in places if not is_low(n)), key=lambda n: places[n][1].start):
        if groups and _overlap(places, groups[-1], number) > 0.5:
            groups[-1].append(number)
        else:
            groups.append([number])
    for number in filter(is_low, places):
        min(groups, key=lambda group: (-max(0.0, _overlap(places, group, number)), _gap(places, group, number))).append(
            number
        )
    return groups


def _span(places: dict[int, tuple[slice, slice]], group: list[int]) -> tuple[int, int]:
    return min(places[n][1].start for n in group), max(places[n][1].stop for n in group)


def _gap(places: dict[int, tuple[slice, slice]], group: list[int], number: int) -> int:
    """Returns the columns between a piece and a group, below 0 where they overlap."""
    (left, right), (start, stop) = _span(places, group), _span(places, [number])
    return max(start - right, left - stop)


def _overlap(places: dict[int, tuple[slice, slice]], group: list[int], number: int) -> float:
    """Returns the columns that both have, in shares of the narrower one."""
    (left, right), (start, stop) = _span(places, group), _span(places, [number])
    return -_gap(places, group, number) / max(1, min(right - left, stop - start))


def _box_of(is_ink: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(is_ink.any(axis=1)), np.flatnonzero(is_ink.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1] - columns[0] + 1), int(rows[-1] - rows[0] + 1)


def cut_strokes(strokes: Strokes) -> list[Digit]:
    """Returns the digits of strokes, drawn with a round pen; boxes are in the strokes' own unit, rounded.

    Raises:
        ValueError: There is no point, or there are more than :data:`MAX_DIGITS`.
    """
    points = np.array([point for stroke in strokes for point in stroke], np.float64).reshape(-1, 2)
    if not len(points):
        raise ValueError("the canvas is empty: there is no point in any stroke")
    low, extent = points.min(axis=0), np.ptp(points, axis=0)
    height = max(extent[1], extent[0] / _LONGEST_ROW, 1e-6)
    scale, margin = _STROKE_HEIGHT / height, 2 * _PEN
    width, high = (int(np.ceil(scale * side)) + 2 * margin for side in extent)
    drawn = draw_strokes([(np.array(one) - low) * scale + margin for one in strokes if len(one)], width, high, _PEN)
    found = cut(as_ink(drawn))
    return [Digit(one.pixels, _in_their_unit(one.box, low, scale, margin)) for one in found]


def _in_their_unit(
    box: tuple[int, int, int, int], low: NDArray[np.float64], scale: float, margin: int
) -> tuple[int, int, int, int]:
    left, top = (round(float((box[axis] - margin) / scale + low[axis])) for axis in (0, 1))
    return left, top, round(box[2] / scale), round(box[3] / scale)


def draw_strokes(strokes: Sequence[NDArray[np.float64]], width: int, height: int, pen: float) -> Pixels:
    """Returns strokes as a round pen draws them on a canvas, shape (H, W), paper 0, ink 255.

    Args:
        strokes: Points (x, y) of each, shape (P, 2), pixels.
        width: Pixels of the canvas.
        height: Pixels of the canvas.
        pen: Width of the pen, pixels.
    """
    from PIL import Image, ImageDraw

    finer = 3
    canvas = Image.new("L", (finer * width, finer * height))
    pencil, radius = ImageDraw.Draw(canvas), finer * pen / 2
    for stroke in strokes:
        points = [(finer * float(x), finer * float(y)) for x, y in stroke]
        if len(points) > 1:
            pencil.line(points, fill=255, width=max(1, round(2 * radius)))
        for x, y in points:
            pencil.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    return np.array(canvas.resize((width, height), Image.Resampling.BOX), np.uint8)
