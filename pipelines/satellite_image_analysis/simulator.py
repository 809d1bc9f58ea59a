"""How do simulated tiles come about, and how good can any model be on them?

Around each building lie ground, trees, a road and neighbours' roofs. A storm leaves muddy water on the ground and
debris around the house; how much of both is the tile's severity. Whether inspectors call the building damaged is drawn
with a probability that depends on the severity alone, so that no model of the tile can know more: the ceiling is known.
Haze and the season change how all of it looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from modelyard.parameters import Parameters
from modelyard.tasks.simulation import event_times, known_risk_ceiling, severities

Floats = NDArray[np.float32]

SIDE, CHANNELS = 128, 3
"""Pixels on each side of a tile, and its colours red, green, blue; as in the Hurricane Harvey set."""

_RISK_SLOPE, _RISK_CENTRE = 9.0, 0.45
"""True risk = sigmoid(slope * (severity - centre)): without water and debris 1.7 %, with much of both nearly 100 %."""

_GRASS, _SOIL, _TREE = (0.42, 0.5, 0.33), (0.56, 0.5, 0.42), (0.2, 0.3, 0.18)
_ROAD, _WATER, _HAZE = (0.6, 0.6, 0.6), (0.36, 0.34, 0.27), (0.86, 0.88, 0.9)
_ROOFS = ((0.5, 0.44, 0.42), (0.62, 0.6, 0.58), (0.42, 0.36, 0.33), (0.56, 0.42, 0.36))
"""Reflectances in red, green, blue, read off tiles of the Hurricane Harvey set by eye."""

_CHUNK = 8
"""Tiles that are painted together: few enough that they stay in the processor's cache."""

_N_TREES, _N_NEIGHBOURS = 6, 3


class SimulationParameters(Parameters):
    """What :func:`simulate` draws."""

    seed: int = Field(0, ge=0, description="Seed of the simulation.")
    n_tiles: int = Field(1_200, ge=20, le=100_000, description="Tiles, one building each.")
    n_days: int = Field(30, ge=1, le=1_000, description="Days over which they are taken evenly.")
    start_date: date = Field(date(2024, 8, 30), description="First day (UTC).")
    hit_share: float = Field(0.5, gt=0, lt=1, description="Share of buildings that the storm has hit.")
    noise: float = Field(0.02, ge=0, le=1, description="Standard deviation of the pixels' noise, 1 is white.")
    haze: float = Field(0.1, ge=0, lt=1, description="Share of the light that haze replaces on the haziest day.")
    drift: float = Field(
        0.0, ge=0, le=1, description="How far the season has changed by the last day: 1 is dry grass in thick haze."
    )


def simulate(params: SimulationParameters) -> tuple[pl.DataFrame, NDArray[np.uint8]]:
    """Simulates tiles; the same parameters give the same pixels.

    Returns:
        One row for each tile, in time (``tile_id``, ``event_time``, ``longitude_deg``, ``latitude_deg``,
        ``is_damaged``, ``severity`` and ``true_risk``, the probability with which ``is_damaged`` was drawn), and the
        tiles, shape (N, 128, 128, 3).
    """
    rng, n = np.random.default_rng([params.seed, 1]), params.n_tiles
    severity, true_risk, is_damaged = _storm(params)
    elapsed = np.sort(rng.random(n))
    rows = pl.DataFrame(
        {
            "tile_id": [f"tile_{number:06d}" for number in range(n)],
            "longitude_deg": rng.uniform(-96.4, -94.6, n).round(6),
            "latitude_deg": rng.uniform(28.8, 30.2, n).round(6),
            "is_damaged": is_damaged,
            "severity": severity,
            "true_risk": true_risk,
        }
    ).with_columns(event_times(params.start_date, elapsed * params.n_days))
    haze = params.haze * (0.5 + 0.5 * np.sin(elapsed * params.n_days)) + 0.3 * params.drift * elapsed
    tiles = np.empty((n, SIDE, SIDE, CHANNELS), np.uint8)
    for begin in range(0, n, _CHUNK):
        part = slice(begin, begin + _CHUNK)
        dry = (params.drift * elapsed[part]).astype(np.float32)
        scene = _scene(severity[part].astype(np.float32), dry, rng)
        seen = _painted(scene, haze[part].astype(np.float32)[:, None, None], _HAZE)
        seen += params.noise * rng.standard_normal(scene.shape, dtype=np.float32)
        tiles[part] = np.clip(np.rint(255 * seen), 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)
    return rows, tiles


def true_risks(params: SimulationParameters) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Returns what :func:`simulate` draws labels with, and the labels, both of shape (N,), in time; without pixels."""
    _, true_risk, is_damaged = _storm(params)
    return true_risk, is_damaged


def known_ceiling(params: SimulationParameters) -> dict[str, float]:
    """Returns accuracy and AUC of a model that knows each tile's true risk, on the last 15 % of the tiles.

    Labels are drawn with that risk and depend on the tile in no other way, so nothing in a tile says more.
    """
    return known_risk_ceiling(*true_risks(params))


def _storm(params: SimulationParameters) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Severity, true risk and label of each building, shape (N,)."""
    rng = np.random.default_rng([params.seed, 0])
    return severities(params.hit_share, _RISK_SLOPE, _RISK_CENTRE, params.n_tiles, rng)


def _scene(severity: Floats, dry: Floats, rng: np.random.Generator) -> Floats:
    """What lies there, black 0 and white 1, shape (N, 3, 128, 128); ``dry``: how far the grass has faded, (N,).

    Colour by colour, because numpy is several times as quick along rows of pixels as along the three colours of one.
    """
    n = len(severity)
    edge = ((np.arange(SIDE) + 0.5) / SIDE * 2 - 1).astype(np.float32)
    y, x = np.meshgrid(edge, edge, indexing="ij")
    relief, patches, grain = (_texture(n, cells, rng) for cells in (4, 16, 64))
    soil = np.clip(0.5 + 0.35 * patches + dry[:, None, None], 0, 1)
    grass = np.broadcast_to(_planes(_GRASS), (n, CHANNELS, SIDE, SIDE))
    scene = _painted(grass, soil, _SOIL) + 0.03 * grain[:, None]
    scene = _painted(scene, _road(n, x, y, rng), _ROAD)
    for _ in range(_N_TREES):
        scene = _painted(scene, _disc(n, x, y, rng), _TREE)
    # Half of the severity's mean goes into water, the rest into debris; which prevails differs from tile to tile.
    wet = rng.beta(2, 2, n).astype(np.float32)
    level = np.clip(1.6 * severity * wet, 0, 1.3)[:, None, None]
    scene = _painted(scene, _soft(-12 * (1.5 * level - 1 + 0.7 * relief)), _WATER)
    for number in range(_N_NEIGHBOURS + 1):
        roof = _roof(n, x, y, rng, is_centre=number == _N_NEIGHBOURS)
        scene = _painted(scene, roof, _pick(_ROOFS, n, rng))
    density = np.clip(1.2 * severity * (1 - wet), 0, 1)[:, None, None]
    near = np.exp(-(x**2 + y**2) / 0.45)
    rubble = (rng.random((n, SIDE // 2, SIDE // 2), dtype=np.float32) < 0.3).repeat(2, 1).repeat(2, 2)
    shade = rng.uniform(0.25, 0.95, (n, SIDE // 2, SIDE // 2)).astype(np.float32).repeat(2, 1).repeat(2, 2)
    return _painted(scene, density * near * rubble, shade[:, None])


def _painted(scene: Floats, mask: Floats, colour: Sequence[float] | Floats) -> Floats:
    """The scene with a colour (3 numbers, or one for each tile or pixel) where the mask (N, H, W) is 1."""
    painted: Floats = (colour if isinstance(colour, np.ndarray) else _planes(colour)) - scene
    painted *= mask[:, None].astype(np.float32)
    painted += scene
    return painted


def _planes(colour: Sequence[float]) -> Floats:
    """A colour in the shape of a tile, (3, 1, 1)."""
    return np.array(colour, np.float32)[:, None, None]


def _soft(distance: Floats) -> Floats:
    """A mask that is 1 inside (below 0), 0 outside, and soft in between."""
    mask: Floats = (1 / (1 + np.exp(np.minimum(distance, 60)))).astype(np.float32)
    return mask


def _texture(n: int, cells: int, rng: np.random.Generator) -> Floats:
    """Smooth random relief with that many cells along each side, about standard normal, shape (N, 128, 128)."""
    coarse = rng.standard_normal((n, cells + 1, cells + 1), dtype=np.float32)
    place = np.linspace(0, cells, SIDE, dtype=np.float32)
    low = np.minimum(place.astype(np.int64), cells - 1)
    share = place - low
    share = share * share * (3 - 2 * share)
    rows = coarse[:, low] + share[None, :, None] * (coarse[:, low + 1] - coarse[:, low])
    texture: Floats = rows[:, :, low] + share * (rows[:, :, low + 1] - rows[:, :, low])
    return texture


def _road(n: int, x: Floats, y: Floats, rng: np.random.Generator) -> Floats:
    angle = rng.uniform(0, np.pi, (n, 1, 1)).astype(np.float32)
    offset = (rng.choice([-1, 1], (n, 1, 1)) * rng.uniform(0.45, 0.9, (n, 1, 1))).astype(np.float32)
    distance = np.abs(np.cos(angle) * x + np.sin(angle) * y - offset)
    return _soft((60 * (distance - 0.09)).astype(np.float32))


def _disc(n: int, x: Floats, y: Floats, rng: np.random.Generator) -> Floats:
    centre_x, centre_y = rng.uniform(-1, 1, (2, n, 1, 1)).astype(np.float32)
    radius = rng.uniform(0.05, 0.2, (n, 1, 1)).astype(np.float32)
    return _soft(25 * (np.hypot(x - centre_x, y - centre_y) / radius - 1))


def _roof(n: int, x: Floats, y: Floats, rng: np.random.Generator, *, is_centre: bool) -> Floats:
    """A turned rectangle: the building itself in the centre, or a neighbour's."""
    farthest = 0.05 if is_centre else 1.0
    centre_x, centre_y = rng.uniform(-farthest, farthest, (2, n, 1, 1)).astype(np.float32)
    if not is_centre:
        centre_x = np.where(np.abs(centre_x) < 0.6, np.copysign(0.75, centre_x), centre_x)
    angle = rng.uniform(0, np.pi, (n, 1, 1)).astype(np.float32)
    length, width = rng.uniform(0.15, 0.34, (2, n, 1, 1)).astype(np.float32)
    along = np.abs(np.cos(angle) * (x - centre_x) + np.sin(angle) * (y - centre_y)) - length
    across = np.abs(-np.sin(angle) * (x - centre_x) + np.cos(angle) * (y - centre_y)) - width
    return _soft(80 * np.maximum(along, across))


def _pick(colours: Sequence[Sequence[float]], n: int, rng: np.random.Generator) -> Floats:
    """One of the colours for each tile, a little lighter or darker, shape (N, 3, 1, 1)."""
    chosen = np.array(colours, np.float32)[rng.integers(0, len(colours), n)]
    picked: Floats = (chosen * rng.uniform(0.85, 1.15, (n, 1)).astype(np.float32))[:, :, None, None]
    return picked
