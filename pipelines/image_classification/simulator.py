"""Pictures of boxes and balls, plain or striped, before clutter; how good any model can be on them is known.

A figure has two parameters that go over into each other: how round it is and how striped. Which class it belongs to is
drawn with probabilities that depend on these two alone, so nothing else in a picture says more. Some pictures show a
cross instead, or clutter only: strangers. Light, place, size and colours change from picture to picture.
"""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from modelyard.parameters import Parameters
from modelyard.tasks.simulation import TEST_SHARE, event_times

Floats = NDArray[np.float32]

SIDE = 32
"""Pixels on each side, as CIFAR-10 has."""

CLASSES = ("plain ball", "plain box", "striped ball", "striped box")
STRANGER = "none of the classes"
"""Label of a picture that shows no class; it is never learnt from."""

_SLOPE = 16.0
"""Log-odds of round and of striped rise from -8 to 8 over their range: half-round figures are drawn either way."""


class SimulationParameters(Parameters):
    """What :func:`simulate` draws."""

    seed: int = Field(0, ge=0, description="Seed of the simulation.")
    n_pictures: int = Field(3_000, ge=40, le=1_000_000, description="Pictures.")
    n_days: int = Field(90, ge=1, le=10_000, description="Days over which they are taken evenly.")
    start_date: date = Field(date(2024, 3, 1), description="First day (UTC).")
    stranger_share: float = Field(0.06, ge=0, lt=0.5, description="Share of pictures that show none of the classes.")
    noise: float = Field(0.03, ge=0, le=1, description="Standard deviation of the pixels' noise, 1 is white.")
    drift: float = Field(
        0.0, ge=0, le=1, description="How far the camera has changed by the last day: 1 is dark and out of focus."
    )


def simulate(params: SimulationParameters) -> tuple[pl.DataFrame, NDArray[np.uint8]]:
    """Simulates pictures; the same parameters give the same pixels.

    Returns:
        One row for each picture, in time (``picture_id``, ``event_time``, ``label``, ``origin``), and the pictures,
        shape (N, 32, 32, 3).
    """
    rng, n = np.random.default_rng([params.seed, 1]), params.n_pictures
    roundness, stripes, label, is_stranger = _figures(params)
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
    scene = _scene(roundness, stripes, is_stranger, rng)
    strength = (params.drift * elapsed).astype(np.float32)[:, None, None, None]
    scene = (1 - 0.55 * strength) * ((1 - strength) * scene + strength * _blurred(scene))
    scene += params.noise * rng.standard_normal(scene.shape, dtype=np.float32)
    pictures = np.clip(np.rint(255 * scene), 0, 255).astype(np.uint8)
    return rows, np.ascontiguousarray(pictures.transpose(0, 2, 3, 1))


def posteriors(roundness: NDArray[np.float64], stripes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the probabilities with which classes are drawn, (N,) and (N,) to (N, 4) in the order of ``CLASSES``."""
    is_round, is_striped = (1 / (1 + np.exp(-_SLOPE * (value - 0.5))) for value in (roundness, stripes))
    parts = [(striped * form) for striped in (1 - is_striped, is_striped) for form in (is_round, 1 - is_round)]
    return np.stack(parts, axis=1)


def known_ceiling(params: SimulationParameters) -> dict[str, float]:
    """Returns the accuracy of a model that knows roundness and stripes, on the last 15 % of the pictures."""
    roundness, stripes, label, is_stranger = _figures(params)
    test = slice(len(label) - round(TEST_SHARE * len(label)), None)
    is_right = posteriors(roundness, stripes)[test].argmax(axis=1) == label[test]
    return {"accuracy": float(is_right[~is_stranger[test]].mean())}


def _figures(
    params: SimulationParameters,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64], NDArray[np.bool_]]:
    """Returns roundness, stripes (both 0 to 1), number of the class, and whether it is a stranger; shapes (N,)."""
    rng, n = np.random.default_rng([params.seed, 0]), params.n_pictures
    roundness, stripes = rng.random((2, n))
    below = posteriors(roundness, stripes).cumsum(axis=1)
    label = (rng.random((n, 1)) > below[:, :-1]).sum(axis=1)
    return roundness, stripes, label, rng.random(n) < params.stranger_share


def _scene(
    roundness: NDArray[np.float64],
    stripes: NDArray[np.float64],
    is_stranger: NDArray[np.bool_],
    rng: np.random.Generator,
) -> Floats:
    """Returns what is seen without noise, black 0 and white 1, shape (N, 3, 32, 32)."""
    n = len(roundness)
    edge = ((np.arange(SIDE) + 0.5) / SIDE * 2 - 1).astype(np.float32)
    y, x = np.meshgrid(edge, edge, indexing="ij")
    scene = _colour(n, rng, 0.15, 0.55) + 0.12 * (_wave(n, x, y, rng, 0.5, 1.5)[:, None])
    for _ in range(3):
        scene = _painted(scene, _box(n, x, y, rng), _colour(n, rng, 0.1, 0.6))
    u, v = _place(n, x, y, rng)
    # A superellipse of exponent 2 is a disc, of exponent 12 nearly a square.
    exponent = (2 + 10 * (1 - roundness) ** 2).astype(np.float32)[:, None, None]
    form = np.abs(u) ** exponent + np.abs(v) ** exponent
    cross = np.minimum(np.maximum(np.abs(u), 4 * np.abs(v)), np.maximum(4 * np.abs(u), np.abs(v)))
    is_cross = (rng.random(n) < 0.5)[:, None, None]
    form = np.where(is_stranger[:, None, None], np.where(is_cross, cross, np.float32(9)), form)
    amplitude = (0.32 * stripes).astype(np.float32)[:, None, None, None]
    paint = _colour(n, rng, 0.55, 0.9) + amplitude * _wave(n, x, y, rng, 2.5, 3.5)[:, None]
    mask: Floats = (1 / (1 + np.exp(np.clip(10 * (form - 1), -60, 60)))).astype(np.float32)
    return _painted(scene, mask, paint)


def _place(n: int, x: Floats, y: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Returns each pixel's coordinates on the figure, 1 at its edge: turned, moved and scaled."""
    angle, dx, dy, size = (
        rng.uniform(low, high, (n, 1, 1)).astype(np.float32)
        for low, high in ((-0.7, 0.7), (-0.25, 0.25), (-0.25, 0.25), (0.42, 0.62))
    )
    across, down = x - dx, y - dy
    return (np.cos(angle) * across + np.sin(angle) * down) / size, (
        np.cos(angle) * down - np.sin(angle) * across
    ) / size


def _colour(n: int, rng: np.random.Generator, low: float, high: float) -> Floats:
    return rng.uniform(low, high, (n, 3, 1, 1)).astype(np.float32)


def _wave(n: int, x: Floats, y: Floats, rng: np.random.Generator, slowest: float, fastest: float) -> Floats:
    """Returns a sine wave in a random direction with that many periods to a side, -1 to 1, shape (N, 32, 32)."""
    angle, phase = rng.uniform(0, 2 * np.pi, (2, n, 1, 1)).astype(np.float32)
    periods = rng.uniform(slowest, fastest, (n, 1, 1)).astype(np.float32)
    wave: Floats = np.sin(np.pi * periods * (np.cos(angle) * x + np.sin(angle) * y) + phase)
    return wave


def _box(n: int, x: Floats, y: Floats, rng: np.random.Generator) -> Floats:
    """Returns masks of thin turned rectangles anywhere."""
    angle, dx, dy = rng.uniform(-1, 1, (3, n, 1, 1)).astype(np.float32)
    u, v = (
        np.cos(3 * angle) * (x - dx) + np.sin(3 * angle) * (y - dy),
        np.cos(3 * angle) * (y - dy) - np.sin(3 * angle) * (x - dx),
    )
    mask: Floats = 1 / (1 + np.exp(np.clip(40 * (np.maximum(np.abs(u) / 3, np.abs(v)) - 0.08), -60, 60)))
    return mask


def _painted(scene: Floats, mask: Floats, colour: Floats) -> Floats:
    painted: Floats = scene + mask[:, None].astype(np.float32) * (colour - scene)
    return painted


def _blurred(scene: Floats) -> Floats:
    """Returns the scene blurred three times over 3 x 3 pixels."""
    blurred: Floats = scene
    for axis in (2, 3) * 3:
        blurred = ((np.roll(blurred, 1, axis) + blurred + np.roll(blurred, -1, axis)) / 3).astype(np.float32)
    return blurred
