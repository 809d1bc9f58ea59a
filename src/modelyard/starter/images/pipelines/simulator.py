"""Pictures of brushed metal with a hairline crack, and a known ceiling.

The darker the crack, the deeper it is, and the more likely the part fails within the week. A picture shows the crack
through the grain of the metal; nothing else in it has to do with failing, so no model can rank parts better than the
depth of their cracks does.
"""

from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from modelyard.parameters import Parameters
from modelyard.tasks.simulation import known_risk_ceiling

_RISK_SLOPE = 10
"""Log-odds of failing from no crack to the deepest, which are -5 and 5."""


class SimulationParameters(Parameters):
    """What :func:`simulate` draws."""

    seed: int = Field(0, ge=0, description="Seed of the simulation.")
    n_pictures: int = Field(3000, ge=10, le=1_000_000, description="Pictures, one of each part.")
    n_days: int = Field(365, ge=1, le=10_000, description="Days over which they were taken, evenly.")
    start_date: date = Field(date(2024, 1, 1), description="Day of the first picture (UTC).")
    side: int = Field(32, ge=16, le=256, description="Pixels on each side of a picture.")
    noise: float = Field(1.0, ge=0, le=10, description="Factor of the metal's grain; 0: the crack is all there is.")


def simulate(params: SimulationParameters) -> tuple[pl.DataFrame, NDArray[np.uint8]]:
    """Simulates pictures; the same parameters give the same bits.

    Returns:
        ``picture_id``, ``event_time``, ``is_failing`` and ``true_risk``, the probability with which ``is_failing`` was
        drawn, ordered by time; and the pictures, shape (N, side, side).
    """
    rng, n = np.random.default_rng(params.seed), params.n_pictures
    depth = rng.uniform(0, 1, n)
    true_risk = 1 / (1 + np.exp(-_RISK_SLOPE * (depth - 0.5)))
    start = datetime.combine(params.start_date, datetime.min.time(), UTC)
    step_s = 86_400 * params.n_days // n
    rows = pl.DataFrame(
        {
            "picture_id": [f"picture_{number:06d}" for number in range(n)],
            "is_failing": rng.random(n) < true_risk,
            "true_risk": true_risk,
        }
    ).with_columns(
        (pl.lit(start).cast(pl.Datetime("us", "UTC")) + pl.duration(seconds=pl.int_range(n) * step_s)).alias(
            "event_time"
        )
    )
    return rows, _pictures(depth, params, rng)


def _pictures(depth: NDArray[np.float64], params: SimulationParameters, rng: np.random.Generator) -> NDArray[np.uint8]:
    n, side = len(depth), params.side
    # Brushed metal: each line of pixels has a shade of its own, each pixel a little grain.
    grey = 150 + params.noise * (12 * rng.normal(size=(n, side, 1)) + 6 * rng.normal(size=(n, side, side)))
    # A crack runs from left to right as a flat parabola.
    across = np.linspace(-1, 1, side)
    height, slope, bend = (rng.uniform(-limit, limit, (n, 1)) * side for limit in (0.25, 0.2, 0.15))
    middle = side / 2 + height + slope * across + bend * across**2
    distance = np.abs(np.arange(side)[None, :, None] - middle[:, None, :])
    grey -= 90 * depth[:, None, None] * np.clip(1.5 - distance, 0, 1)
    return np.clip(grey, 0, 255).astype(np.uint8)


def known_ceiling(params: SimulationParameters) -> dict[str, float]:
    """Returns ROC AUC and accuracy of a model that knew each part's true risk, on the latest pictures: the test."""
    rows, _ = simulate(params)
    return known_risk_ceiling(rows["true_risk"].to_numpy(), rows["is_failing"].to_numpy())
