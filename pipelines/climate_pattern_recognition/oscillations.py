"""What is forecast: the steps of time of each oscillation, the leads, and the phases.

El Niño and La Niña: an anomaly of the Niño 3.4 sea surface temperature of at least 0.5 °C, of either sign (NOAA's
operational threshold, here on single months). Madden-Julian Oscillation: the eight octants of the plane of RMM1 and
RMM2, "weak" inside the unit circle (Wheeler and Hendon 2004, Monthly Weather Review 132, 1917, figure 7). Carbon
dioxide and global temperature rise; what swings is how far they are from what the decade before lets expect
(`sources.py`); their thresholds are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Step = Literal["month", "day"]
Name = Literal["enso", "mjo", "carbon_dioxide", "temperature"]

_DAY_US = 86_400_000_000


@dataclass(frozen=True, kw_only=True)
class Oscillation:
    """What distinguishes one from the other.

    Args:
        step: Time between two values of the series.
        leads: How many steps ahead is forecast, unless configured otherwise.
        told_leads: Those whose metrics are told one by one.
        threshold: From which amplitude on the oscillation is active, in units of its index.
        phases: Names of the phases: the inactive one; of a single index then the one below and the one above.
        label: The first index and its unit, for figures.
    """

    step: Step
    leads: tuple[int, ...]
    told_leads: tuple[int, ...]
    threshold: float
    phases: tuple[str, ...]
    label: str


_DAYS = (1, 5, 10, 15, 20, 25, 30)


def _monthly(threshold: float, phases: tuple[str, str, str], label: str) -> Oscillation:
    """A single index of months."""
    leads, told = tuple(range(1, 13)), (1, 3, 6, 9, 12)
    return Oscillation(step="month", leads=leads, told_leads=told, threshold=threshold, phases=phases, label=label)


OSCILLATIONS: dict[str, Oscillation] = {
    "enso": _monthly(0.5, ("neutral", "la_nina", "el_nino"), "Niño 3.4 anomaly, °C"),
    "mjo": Oscillation(
        step="day",
        leads=_DAYS,
        told_leads=_DAYS,
        threshold=1.0,
        phases=("weak", *(f"phase_{number}" for number in range(1, 9))),
        label="RMM1",
    ),
    "carbon_dioxide": _monthly(
        0.5,
        ("as_before", "slower_growth", "faster_growth"),
        "excess growth of CO2 in a year, ppm",
    ),
    "temperature": _monthly(0.2, ("as_before", "cooler", "warmer"), "excess temperature, °C"),
}


class Phases(NamedTuple):
    """What a forecast says about phases; N rows.

    Args:
        phase: Index of the likeliest phase, shape (N,).
        phase_probability: How likely that one is, shape (N,).
        active_probability: How likely the oscillation is active at all, shape (N,).
    """

    phase: NDArray[np.int64]
    phase_probability: Floats
    active_probability: Floats


def step_number(time: str = "event_time", oscillation: str = "oscillation") -> pl.Expr:
    """Number of the month (from year 0) or of the day (from 1970), so that neighbours differ by one."""
    import polars as pl

    moment = pl.col(time)
    month = moment.dt.year().cast(pl.Int64) * 12 + moment.dt.month().cast(pl.Int64) - 1
    return pl.when(pl.col(oscillation) == "mjo").then(moment.to_physical() // _DAY_US).otherwise(month)


def time_of(step: pl.Expr, oscillation: str = "oscillation") -> pl.Expr:
    """The first instant (UTC) of a step of :func:`step_number`."""
    import polars as pl

    day = (step * _DAY_US).cast(pl.Datetime("us", "UTC"))
    month = pl.datetime(step // 12, step % 12 + 1, 1, time_unit="us", time_zone="UTC")
    return pl.when(pl.col(oscillation) == "mjo").then(day).otherwise(month)


def observed_phase(oscillation: str, first: Floats, second: Floats) -> NDArray[np.int64]:
    """Index into ``phases``; what is not known (NaN) is inactive.

    Args:
        oscillation: A name of :data:`OSCILLATIONS`.
        first: The first index, any shape.
        second: Unused, or RMM2, the same shape.
    """
    import numpy as np

    threshold = OSCILLATIONS[oscillation].threshold
    if oscillation != "mjo":
        return np.where(first <= -threshold, 1, np.where(first >= threshold, 2, 0)).astype(np.int64)
    octant = np.floor((np.arctan2(second, first) + np.pi) / (np.pi / 4))
    is_active = np.hypot(first, second) >= threshold
    return np.where(is_active, np.clip(np.nan_to_num(octant), 0, 7) + 1, 0).astype(np.int64)


def forecast_phases(oscillation: str, mean: Floats, spread: Floats) -> Phases:
    """Phases of Gaussian forecasts whose two components err independently of each other.

    Args:
        oscillation: A name of :data:`OSCILLATIONS`.
        mean: Shape (N, 2).
        spread: Standard deviations, shape (N, 2).
    """
    import numpy as np

    if oscillation != "mjo":
        shares = _sides(mean[:, 0], spread[:, 0], OSCILLATIONS[oscillation].threshold)
    else:
        shares = np.concatenate(
            [
                _octants(mean[block], spread[block])
                for block in np.array_split(np.arange(len(mean)), len(mean) // 4096 + 1)
            ]
        )
    phase = shares.argmax(axis=1)
    return Phases(phase, shares[np.arange(len(shares)), phase], 1 - shares[:, 0])


def _sides(mean: Floats, spread: Floats, threshold: float) -> Floats:
    """Probabilities of neutral, below and above, shape (N, 3)."""
    import numpy as np
    from scipy.special import ndtr  # type: ignore[import-untyped]  # scipy ships no types

    low, high = ndtr((-threshold - mean) / spread), ndtr((mean - threshold) / spread)
    shares: Floats = np.stack([1 - low - high, low, high], axis=1)
    return shares


def _octants(mean: Floats, spread: Floats) -> Floats:
    """Probabilities of weak and of the eight octants, shape (N, 9): shares of 256 evenly spread points.

    The points are the R2 sequence of M. Roberts (2018), "The unreasonable effectiveness of quasirandom sequences", put
    through the inverse normal distribution; always the same, so that equal forecasts have equal phases.
    """
    import numpy as np
    from scipy.special import ndtri

    plastic = 1.32471795724474602596
    points = ndtri((0.5 + np.arange(1, 257)[:, None] / plastic ** np.array([1, 2])) % 1)
    drawn = mean[:, None, :] + spread[:, None, :] * points
    phases = observed_phase("mjo", drawn[..., 0], drawn[..., 1])
    shares: Floats = np.stack([(phases == phase).mean(axis=1) for phase in range(9)], axis=1)
    return shares
