"""Notes of a plant's operators, and a known ceiling.

The more a part is worn, the more likely it fails within the week, and the more sentences of a note are complaints; the
others say that all is well, or are about something else. Sentences are drawn one by one from the wear, so no model
can rank parts better than their true risk does.
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
"""Log-odds of failing from a new part to a worn one, which are -5 and 5."""

_PARTS = ("bearing", "pump", "spindle", "gearbox", "fan", "valve")
_COMPLAINTS = (
    "The {} hums louder than last week.",
    "There is a smell of burnt oil near the {}.",
    "The {} shakes at full load.",
    "Metal dust under the {}.",
    "The {} is hot to the touch.",
    "Had to restart because the {} stalled.",
)
_PRAISES = (
    "The {} runs smoothly.",
    "The {} is quiet and cool.",
    "Oil level of the {} is fine.",
    "No leak at the {}.",
    "The {} was cleaned as planned.",
)
_OTHERS = (
    "Night shift was one person short.",
    "The new forklift has arrived.",
    "Visitors came through the hall at noon.",
    "Order for next week is bigger than usual.",
    "The light above the door is broken.",
)


class SimulationParameters(Parameters):
    """What :func:`simulate` draws."""

    seed: int = Field(0, ge=0, description="Seed of the simulation.")
    n_notes: int = Field(5000, ge=10, le=1_000_000, description="Notes, one on each part.")
    n_days: int = Field(365, ge=1, le=10_000, description="Days over which they were written, evenly.")
    start_date: date = Field(date(2024, 1, 1), description="Day of the first note (UTC).")
    n_sentences: int = Field(10, ge=2, le=200, description="Sentences of the longest note; the shortest has 2.")


def simulate(params: SimulationParameters) -> pl.DataFrame:
    """Simulates notes; the same parameters give the same table, to the bit.

    Returns:
        ``note_id``, ``event_time``, ``note``, ``is_failing`` and ``true_risk``, the probability with which
        ``is_failing`` was drawn; ordered by time.
    """
    rng, n = np.random.default_rng(params.seed), params.n_notes
    wear = rng.uniform(0, 1, n)
    true_risk = 1 / (1 + np.exp(-_RISK_SLOPE * (wear - 0.5)))
    start = datetime.combine(params.start_date, datetime.min.time(), UTC)
    rows = pl.DataFrame(
        {
            "note_id": [f"N-{number:06d}" for number in range(n)],
            "note": _notes(wear, params.n_sentences, rng),
            "is_failing": rng.random(n) < true_risk,
            "true_risk": true_risk,
        }
    )
    since_start = pl.duration(seconds=pl.int_range(n) * (86_400 * params.n_days // n))
    return rows.with_columns(event_time=pl.lit(start).cast(pl.Datetime("us", "UTC")) + since_start)


def _notes(wear: NDArray[np.float64], n_sentences: int, rng: np.random.Generator) -> list[str]:
    notes = []
    for each in wear:
        shares = (0.7 * each, 0.7 * (1 - each), 0.3)
        kinds = rng.choice(3, size=rng.integers(2, n_sentences + 1), p=shares)
        sentences = [rng.choice((_COMPLAINTS, _PRAISES, _OTHERS)[kind]) for kind in kinds]
        notes.append(" ".join(str(sentence).format(rng.choice(_PARTS)) for sentence in sentences))
    return notes


def known_ceiling(params: SimulationParameters) -> dict[str, float]:
    """Returns ROC AUC and accuracy of a model that knew each part's true risk, on the latest notes: the test."""
    rows = simulate(params)
    return known_risk_ceiling(rows["true_risk"].to_numpy(), rows["is_failing"].to_numpy())
