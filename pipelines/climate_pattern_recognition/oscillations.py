"""What is forecast: the steps of time of each oscillation, the leads, the phases, and the other indices that may help.

El Niño and La Niña: an anomaly of the Niño 3.4 sea surface temperature of at least 0.5 °C, of either sign (NOAA's
operational threshold, here on single months). Madden-Julian Oscillation: the eight octants of the plane of RMM1 and
RMM2, "weak" inside the unit circle (Wheeler and Hendon 2004, Monthly Weather Review 132, 1917, figure 7). Carbon
dioxide and global temperature rise; what swings is how far they are from what the decade before lets expect
(`sources.py`); their thresholds are ours. Any other series, a river's level, say, is forecast in its own unit: its
phases are terciles, below, near and above what is normal for the month (as in seasonal forecasts; WMO-No. 1246).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.tasks.series.steps import Step, step_number

Floats = NDArray[np.float64]
Name = Literal["enso", "mjo", "carbon_dioxide", "temperature", "monthly", "weekly", "daily"]
"""The last three: any other series by months, weeks or days."""

STATE = ("first_index", "second_index")
"""The indices of the oscillation itself."""

COVARIATES = (
    "nino3_index",
    "nino4_index",
    "soi_index",
    "pdo_index",
    "np_index",
    "tna_index",
    "tsa_index",
    "whwp_index",
    "qbo_index",
)
"""Other indices of the same month that may help."""


@dataclass(frozen=True, kw_only=True)
class Oscillation:
    """What distinguishes one from the other.

    Args:
        step: Time between two values of the series.
        leads: How many steps ahead is forecast, unless configured otherwise.
        reported_leads: Those with metrics of their own.
        threshold: From which amplitude of the anomaly on the oscillation is active.
        phases: Names of the phases: the inactive one; of a single index then the one below and the one above.
        label: The first index and its unit, for figures; empty: the name of the series says it.
        is_anomaly: Whether the index is an anomaly itself. Else its anomaly is how far it is from the climatology of
            the month, in standard deviations of the month.
    """

    step: Step
    leads: tuple[int, ...]
    reported_leads: tuple[int, ...]
    threshold: float
    phases: tuple[str, ...]
    label: str = ""
    is_anomaly: bool = True


def _monthly(threshold: float, phases: tuple[str, str, str], label: str) -> Oscillation:
    """Returns a single index of months."""
    leads, reported = tuple(range(1, 13)), (1, 3, 6, 9, 12)
    return Oscillation(
        step="month", leads=leads, reported_leads=reported, threshold=threshold, phases=phases, label=label
    )


def _other(step: Step, leads: tuple[int, ...]) -> Oscillation:
    """Returns a series in its own unit; a third of a normal distribution lies within 0.43 deviations of its middle."""
    return Oscillation(
        step=step,
        leads=leads,
        reported_leads=leads,
        threshold=0.43,
        phases=("near_normal", "below_normal", "above_normal"),
        is_anomaly=False,
    )


_DAYS = (1, 5, 10, 15, 20, 25, 30)

OSCILLATIONS: dict[str, Oscillation] = {
    "enso": _monthly(0.5, ("neutral", "la_nina", "el_nino"), "Niño 3.4 anomaly, °C"),
    "mjo": Oscillation(
        step="day",
        leads=_DAYS,
        reported_leads=_DAYS,
        threshold=1.0,
        phases=("weak", *(f"phase_{number}" for number in range(1, 9))),
        label="RMM1",
    ),
    "carbon_dioxide": _monthly(
        0.5, ("as_before", "slower_growth", "faster_growth"), "excess growth of CO2 in a year, ppm"
    ),
    "temperature": _monthly(0.2, ("as_before", "cooler", "warmer"), "excess temperature, °C"),
    "monthly": _other("month", (1, 2, 3, 6, 9, 12)),
    "weekly": _other("week", (1, 2, 3, 4, 6, 8, 12)),
    "daily": _other("day", (1, 2, 3, 5, 7, 10, 14)),
}


def by_step(expression: Callable[[Step], pl.Expr]) -> pl.Expr:
    """Returns the expression of each row's step, which follows from its ``oscillation``; an unknown one has months."""
    chosen = expression("month")
    steps: tuple[Step, ...] = ("day", "week")
    for step in steps:
        has_step = pl.col("oscillation").is_in([name for name, one in OSCILLATIONS.items() if one.step == step])
        chosen = pl.when(has_step).then(expression(step)).otherwise(chosen)
    return chosen


def steps_of(time: str = "event_time") -> pl.Expr:
    """Returns the number of the month, week or day that holds a time, so that neighbours differ by one."""
    return by_step(lambda step: step_number(pl.col(time), step))


def observed_phase(oscillation: str, first: Floats, second: Floats) -> NDArray[np.int64]:
    """Returns indices into ``phases``, of the shape of ``first``; what is not known (NaN) is inactive.

    Args:
        oscillation: A name of :data:`OSCILLATIONS`.
        first: The anomaly of the first index, any shape.
        second: RMM2, the same shape; of other oscillations not used.
    """
    threshold = OSCILLATIONS[oscillation].threshold
    if oscillation != "mjo":
        return np.where(first <= -threshold, 1, np.where(first >= threshold, 2, 0)).astype(np.int64)
    octant = np.floor((np.arctan2(second, first) + np.pi) / (np.pi / 4))
    is_active = np.hypot(first, second) >= threshold
    return np.where(is_active, np.clip(np.nan_to_num(octant), 0, 7) + 1, 0).astype(np.int64)


def forecast_phases(oscillation: str, mean: Floats, spread: Floats) -> pl.DataFrame:
    """Returns ``phase`` (the likeliest), ``phase_probability`` and ``active_probability`` of N Gaussian forecasts.

    The errors of the two components are taken as independent.

    Args:
        oscillation: A name of :data:`OSCILLATIONS`.
        mean: Of the anomalies, shape (N, 2).
        spread: Standard deviations, shape (N, 2).
    """
    if oscillation != "mjo":
        probability = _sides(mean[:, 0], spread[:, 0], OSCILLATIONS[oscillation].threshold)
    else:
        blocks = np.array_split(np.arange(len(mean)), len(mean) // 4096 + 1)
        probability = np.concatenate([_octants(mean[block], spread[block]) for block in blocks])
    phase = probability.argmax(axis=1)
    return pl.DataFrame(
        {
            "phase": np.array(OSCILLATIONS[oscillation].phases)[phase].tolist(),
            "phase_probability": probability[np.arange(len(phase)), phase],
            "active_probability": 1 - probability[:, 0],
        },
        schema_overrides={"phase": pl.String},
    )


def _sides(mean: Floats, spread: Floats, threshold: float) -> Floats:
    """Returns the probabilities of neutral, below and above, shape (N, 3)."""
    from scipy.special import ndtr  # type: ignore[import-untyped]  # scipy ships no types

    low, high = ndtr((-threshold - mean) / spread), ndtr((mean - threshold) / spread)
    probability: Floats = np.stack([1 - low - high, low, high], axis=1)
    return probability


def _octants(mean: Floats, spread: Floats) -> Floats:
    """Returns the probabilities of weak and of the eight octants, shape (N, 9): shares of 256 evenly spread points.

    The points are the R2 sequence of M. Roberts (2018), "The unreasonable effectiveness of quasirandom sequences", put
    through the inverse normal distribution; always the same, so that equal forecasts have equal phases.
    """
    from scipy.special import ndtri

    plastic = 1.32471795724474602596
    points = ndtri((0.5 + np.arange(1, 257)[:, None] / plastic ** np.array([1, 2])) % 1)
    drawn = mean[:, None, :] + spread[:, None, :] * points
    phases = observed_phase("mjo", drawn[..., 0], drawn[..., 1])
    probability: Floats = np.stack([(phases == phase).mean(axis=1) for phase in range(9)], axis=1)
    return probability
