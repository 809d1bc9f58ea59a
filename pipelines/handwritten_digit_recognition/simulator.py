"""Digits drawn with Bezier strokes, on a canvas, with a pen; how good any model can be on them is known.

Three pairs of digits go over into each other along one number each: 4 and 9 by the gap at the top of the loop, 1 and 7
by the bar, 3 and 8 by the gaps at the left. Which of the two a picture is called is drawn with a known probability of
that number alone, so nothing else in it says more. Some pictures are scribbles: no digits.
"""

from __future__ import annotations

from datetime import date
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from modelyard.parameters import Parameters
from modelyard.tasks.simulation import TEST_SHARE, event_times
from pipelines.handwritten_digit_recognition.preparation import draw_strokes

Points = NDArray[np.float64]
Pixels = NDArray[np.uint8]

CANVAS = 64
"""Pixels on each side of a simulated canvas."""

CLASSES = tuple("0123456789")
STRANGER = "no digit"
"""Label of a picture that shows none; it is never learnt from."""

TWINS = ((1, 7), (4, 9), (3, 8))
_ALONE = (0, 2, 5, 6)
_SLOPE = 10.0
"""Log-odds of a twin rise from -5 to 5 along its axis."""


class SimulationParameters(Parameters):
    """What :func:`simulate` draws."""

    seed: int = Field(0, ge=0, description="Seed of the simulation.")
    n_pictures: int = Field(3_000, ge=40, le=1_000_000, description="Pictures.")
    n_days: int = Field(90, ge=1, le=10_000, description="Days over which they are drawn evenly.")
    start_date: date = Field(date(2024, 3, 1), description="First day (UTC).")
    stranger_share: float = Field(0.05, ge=0, lt=0.5, description="Share of pictures that are scribbles.")
    drift: float = Field(
        0.0, ge=0, le=1, description="How far pens have changed by the last day: 1 is felt pens on shaded paper."
    )


def simulate(params: SimulationParameters) -> tuple[pl.DataFrame, Pixels]:
    """Simulates canvases; the same parameters give the same pixels.

    Returns:
        One row for each picture, in time (``picture_id``, ``event_time``, ``label``, ``origin``), and dark ink on light
        paper or light on dark, uint8 of shape (N, 64, 64).
    """
    first, axis, label, is_stranger = _digits(params)
    rng, n = np.random.default_rng([params.seed, 1]), params.n_pictures
    elapsed = (np.arange(n) + rng.random(n)) / n
    rows = pl.DataFrame(
        {
            "picture_id": [f"picture_{number:06d}" for number in range(n)],
            "event_time": event_times(params.start_date, elapsed * params.n_days),
            "label": np.where(is_stranger, STRANGER, np.array(CLASSES)[label]),
            "origin": ["simulated"] * n,
        },
        schema_overrides={"label": pl.String},
    )
    pictures = np.stack(
        [
            _canvas(
                scribble(rng) if strange else write(strokes_of(int(digit), float(place)), rng),
                params.drift * float(part),
                rng,
            )
            for digit, place, strange, part in zip(first, axis, is_stranger, elapsed, strict=True)
        ]
    )
    return rows, pictures


def second_twin_probability(axis: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the probability of the second of two twins at a place (0 to 1) on the axis between them."""
    return np.asarray(1 / (1 + np.exp(-_SLOPE * (axis - 0.5))))


def known_ceiling(params: SimulationParameters) -> dict[str, float]:
    """Returns the accuracy of a model that knows each picture's axis, on the last 15 % of the pictures."""
    first, axis, label, is_stranger = _digits(params)
    test = slice(params.n_pictures - round(TEST_SHARE * params.n_pictures), None)
    second = dict(TWINS)
    best = np.array(
        [second.get(int(one), int(one)) if place > 0.5 else one for one, place in zip(first, axis, strict=True)]
    )
    return {"accuracy": float((best == label)[test][~is_stranger[test]].mean())}


def _digits(
    params: SimulationParameters,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.bool_]]:
    """Returns the first twin or digit, the place on its axis, the label, and whether it is a scribble; each (N,)."""
    rng, n = np.random.default_rng([params.seed, 0]), params.n_pictures
    kinds = np.array([*(first for first, _ in TWINS for _ in range(2)), *_ALONE])
    first, axis = kinds[rng.integers(0, len(kinds), n)], rng.random(n)
    is_second = rng.random(n) < second_twin_probability(axis)
    second = dict(TWINS)
    label = np.array(
        [second.get(int(one), int(one)) if own else one for one, own in zip(first, is_second, strict=True)]
    )
    return first, axis, label, rng.random(n) < params.stranger_share


def strokes_of(digit: int, axis: float = 0.0) -> list[Points]:
    """Returns the strokes of a plain digit, points (x, y) in a box one high, y from the top.

    Args:
        digit: 0 to 9.
        axis: Of the first of two twins: how far it goes towards the second, 0 to 1; other digits have none.
    """
    second = {twin: first for first, twin in TWINS}
    if digit in second:
        return strokes_of(second[digit], 1.0)
    gap = 1 - axis
    shapes: dict[int, list[Points]] = {
        0: [_arc(0.33, 0.5, 0.32, 0.5, -90, 270)],
        1: [
            np.concatenate(
                [
                    _bezier((0.6 - 0.5 * axis, 0.02 + 0.1 * gap), (0.6, 0.0)),
                    _bezier((0.6, 0.0), (0.45, 0.5), (0.35, 1.0)),
                ]
            )
        ],
        2: [
            np.concatenate(
                [
                    _arc(0.33, 0.27, 0.28, 0.27, -190, 20),
                    _bezier((0.58, 0.38), (0.4, 0.7), (0.03, 0.97)),
                    _bezier((0.03, 0.97), (0.3, 0.93), (0.66, 0.98)),
                ]
            )
        ],
        3: [
            _arc(0.32, 0.25, 0.24, 0.24, -180 + 38 * gap, 180 - 95 * gap),
            _arc(0.32, 0.74, 0.3, 0.26, -180 + 95 * gap, 180 - 38 * gap),
        ],
        4: [
            _arc(0.32, 0.3, 0.28, 0.28, 10 - 130 * gap, -340),
            _bezier((0.6, 0.03 + 0.1 * axis), (0.6, 0.5), (0.52, 1.0)),
        ],
        5: [
            _bezier((0.6, 0.0), (0.35, 0.02), (0.13, 0.02)),
            np.concatenate([_bezier((0.13, 0.02), (0.1, 0.25), (0.1, 0.45)), _arc(0.28, 0.68, 0.32, 0.3, -125, 140)]),
        ],
        6: [np.concatenate([_bezier((0.5, 0.0), (0.15, 0.2), (0.05, 0.68)), _arc(0.33, 0.7, 0.28, 0.28, 180, 540)])],
    }
    return shapes[digit]


def _bezier(*controls: tuple[float, float], n: int = 10) -> Points:
    """Returns n points of a Bezier curve of any degree (de Casteljau), shape (n, 2)."""
    t = np.linspace(0, 1, n)[:, None]
    level = [np.broadcast_to(np.array(point), (n, 2)) for point in controls]
    while len(level) > 1:
        level = [(1 - t) * a + t * b for a, b in pairwise(level)]
    return np.array(level[0])


def _arc(x: float, y: float, wide: float, high: float, start: float, end: float) -> Points:
    """Returns points of an ellipse's arc; degrees from the right, clockwise on the screen."""
    angle = np.radians(np.linspace(start, end, max(3, round(abs(end - start) / 15))))
    return np.stack([x + wide * np.cos(angle), y + high * np.sin(angle)], axis=1)


def write(strokes: list[Points], rng: np.random.Generator) -> list[Points]:
    """Returns strokes as a hand writes them: slanted, turned, stretched, and a little bent; centre 0, one high."""
    slant, turn = rng.normal(0.1, 0.18), rng.normal(0, 0.08)
    wide, bend, phase = rng.uniform(0.8, 1.2), rng.normal(0, 0.025, 2), rng.uniform(0, 2 * np.pi, 2)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ np.array(
        [[wide, -slant], [0, 1]]
    )
    written = []
    for stroke in strokes:
        points = stroke - np.array([0.33, 0.5])
        points = points + bend * np.sin(2 * np.pi * points[:, ::-1] + phase)
        written.append(points @ matrix.T)
    return written


def scribble(rng: np.random.Generator) -> list[Points]:
    """Returns strokes that are no digit: a zigzag, a cross of lines, or a tangle of random curves."""
    kind, n = rng.integers(3), int(rng.integers(5, 9))
    if kind == 0:
        across = np.linspace(-0.5, 0.5, n)
        return [np.stack([across, 0.35 * (-1.0) ** np.arange(n)], axis=1) + rng.normal(0, 0.04, (n, 2))]
    if kind == 1:
        ends = rng.uniform(-0.5, 0.5, (4, 2, 2))
        return [_bezier(tuple(a), tuple(b)) for a, b in ends]
    return [_bezier(*(tuple(point) for point in rng.uniform(-0.9, 0.9, (n + 3, 2))), n=40) for _ in range(3)]


def _canvas(strokes: list[Points], drift: float, rng: np.random.Generator) -> Pixels:
    """Returns strokes anywhere on a canvas, dark on light or light on dark, shape (64, 64)."""
    height, pen = rng.uniform(0.5, 0.75) * CANVAS, rng.uniform(0.07, 0.12) + 0.12 * drift
    low, high = (np.concatenate(strokes).min(axis=0), np.concatenate(strokes).max(axis=0))
    size = height / max(*(high - low), 0.2)
    room = np.maximum(CANVAS - size * (high - low) - 2 * (pen * height / 2 + 3), 0)
    corner = pen * height / 2 + 3 + rng.random(2) * room
    ink = draw_strokes([(points - low) * size + corner for points in strokes], CANVAS, CANVAS, pen * height) / 255
    paper, dark = rng.uniform(0.85, 1.0), rng.uniform(0.0, 0.3)
    slope = np.linspace(-1, 1, CANVAS)
    shade = 0.25 * drift * (slope[:, None] * rng.uniform(-1, 1) + slope * rng.uniform(-1, 1))
    shown = (paper - 0.2 * drift + shade) * (1 - ink) + dark * ink + rng.normal(0, 0.01, ink.shape)
    shown = 1 - shown if rng.random() < 0.3 else shown
    return np.clip(np.rint(255 * shown), 0, 255).astype(np.uint8)


def scribbled(n: int, seed: int = 0) -> Pixels:
    """Returns n canvases with something that is no digit, shape (n, 64, 64)."""
    rng = np.random.default_rng([seed, 2])
    return np.stack([_canvas(scribble(rng), 0.0, rng) for _ in range(n)])
