"""Simulated pieces: four voices that follow a grammar, with a known smallest expected loss.

In each frame the chord is held or moves along a Markov chain over the seven degrees; each phrase of eight frames ends
in a cadence, dominant and tonic. Given the chord, the voices go where the least motion without parallel fifths and
octaves takes them, so that all randomness is in the chain. Whoever knows the key, the collection's pace and the chain
knows the probability of every key in the next frame; no model that gives one probability to each key can have a smaller
expected loss, so the ceiling is known.
"""

from __future__ import annotations

from datetime import date
from functools import cache
from itertools import product

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from modelyard.parameters import Parameters
from modelyard.tasks.simulation import TEST_SHARE, event_times
from pipelines.music_generation.rolls import LOWEST, N_KEYS, Roll

Voicing = tuple[int, int, int, int]
"""Bass, tenor, alto, soprano as MIDI numbers, as if the tonic were C."""

_PHRASE = 8
_TRIADS = {
    False: ((0, 4, 7), (2, 5, 9), (4, 7, 11), (5, 9, 0), (7, 11, 2), (9, 0, 4), (11, 2, 5)),
    True: ((0, 3, 7), (2, 5, 8), (3, 7, 10), (5, 8, 0), (7, 11, 2), (8, 0, 3), (11, 2, 5)),
}
_CHAIN = (
    (0.00, 0.15, 0.05, 0.30, 0.30, 0.15, 0.05),
    (0.00, 0.00, 0.00, 0.15, 0.70, 0.00, 0.15),
    (0.00, 0.10, 0.00, 0.40, 0.00, 0.50, 0.00),
    (0.25, 0.20, 0.00, 0.00, 0.45, 0.00, 0.10),
    (0.65, 0.00, 0.00, 0.10, 0.00, 0.25, 0.00),
    (0.00, 0.35, 0.10, 0.30, 0.25, 0.00, 0.00),
    (0.85, 0.00, 0.15, 0.00, 0.00, 0.00, 0.00),
)
"""Transition matrix from degree (row) to degree where the chord changes; the diagonal is 0."""

_RANGES = ((38, 55), (48, 65), (55, 71), (60, 78))
"""Lowest and highest MIDI number of bass, tenor, alto and soprano."""

_TONICS = (-5, 0, 2, 5)
"""Tonics of the pieces, semitones from C: G, C, D, F."""

_START: Voicing = (48, 55, 64, 72)


class SimulationParameters(Parameters):
    """What :func:`simulate` composes."""

    seed: int = Field(0, ge=0, description="Seed of the simulation.")
    n_pieces: int = Field(600, ge=10, le=100_000, description="Pieces.")
    n_phrases: int = Field(6, ge=1, le=100, description="Phrases of eight frames in a piece.")
    n_days: int = Field(360, ge=1, le=5_000, description="Days over which they are spread evenly.")
    start_date: date = Field(date(2024, 1, 1), description="First day (UTC).")
    n_collections: int = Field(4, ge=1, le=100, description="Collections, each with its own pace.")
    slowest_share: float = Field(0.4, gt=0, lt=1, description="Probability of a new chord in the slowest collection.")
    fastest_share: float = Field(0.9, gt=0, lt=1, description="Probability of a new chord in the fastest collection.")
    minor_share: float = Field(0.4, ge=0, le=1, description="Share of pieces in minor.")
    drift: float = Field(
        0.0, ge=0, le=1, description="How far all collections move towards a new chord in each frame until the end."
    )


def simulate(params: SimulationParameters) -> tuple[pl.DataFrame, list[Roll]]:
    """Composes the pieces; the same parameters give the same notes.

    Returns:
        One row for each piece, by time (``piece_id``, ``event_time``, ``collection_id`` and ``min_nll_nats``, the
        smallest expected loss of its frames from the second on), and the rolls, shape (T, 88).
    """
    n = params.n_pieces
    rng = np.random.default_rng(params.seed)
    elapsed = np.sort(rng.random(n))
    collection = rng.integers(0, params.n_collections, n)
    paces = np.linspace(params.slowest_share, params.fastest_share, params.n_collections)[collection]
    paces = paces + (1 - paces) * params.drift * elapsed
    composed = [_compose(float(pace), params, rng) for pace in paces]
    rows = pl.DataFrame(
        {
            "piece_id": [f"piece_{number:06d}" for number in range(n)],
            "collection_id": [f"collection_{number}" for number in collection],
            "min_nll_nats": [nll for _, nll in composed],
        }
    ).with_columns(event_times(params.start_date, elapsed * params.n_days))
    return rows, [roll for roll, _ in composed]


def known_ceiling(params: SimulationParameters) -> dict[str, float]:
    """Returns the smallest expected loss on the test pieces for whoever knows key, pace and the chain of chords.

    Args:
        params: Those of a run whose pieces are split by time with the default shares.

    Returns:
        ``nll_per_frame``, in nats.
    """
    rows, rolls = simulate(params)
    n_test = round(TEST_SHARE * len(rolls))
    n_frames = sum(len(roll) - 1 for roll in rolls[-n_test:])
    return {"nll_per_frame": float(rows["min_nll_nats"].tail(n_test).sum()) / n_frames}


def _compose(pace: float, params: SimulationParameters, rng: np.random.Generator) -> tuple[Roll, float]:
    """Returns a piece, and the smallest expected loss of its frames from the second on."""
    is_minor, shift = bool(rng.random() < params.minor_share), int(rng.choice(_TONICS))
    roll = np.zeros((params.n_phrases * _PHRASE, N_KEYS), dtype=bool)
    voicing, degree, nll = voice_chord(_START, 0, is_minor), 0, 0.0
    for frame in range(len(roll)):
        if frame:
            target = _cadence(frame)
            rate = pace if target is None else 1.0  # a cadence is certain
            nll += entropy(key_probabilities(voicing, degree, is_minor, target, rate))
            if rng.random() < rate:
                degree = int(rng.choice(7, p=_CHAIN[degree])) if target is None else target
                voicing = voice_chord(voicing, degree, is_minor)
        roll[frame, np.array(voicing) + shift - LOWEST] = True
    return roll, nll


def _cadence(frame: int) -> int | None:
    """Returns the degree of the cadence in a phrase's last two frames, else None."""
    return {_PHRASE - 2: 4, _PHRASE - 1: 0}.get(frame % _PHRASE)


def key_probabilities(
    voicing: Voicing, degree: int, is_minor: bool, target: int | None, rate: float
) -> NDArray[np.float64]:
    """Returns the probability of each key (tonic C) in the next frame, shape (88,).

    Args:
        voicing: What sounds.
        degree: Its degree, 0 to 6.
        is_minor: The mode.
        target: The degree that comes if the chord changes; None: as the chain has it.
        rate: Probability that the chord changes.
    """
    held = np.zeros(N_KEYS)
    held[np.array(voicing) - LOWEST] = 1
    return (1 - rate) * held + rate * _after_a_change(voicing, degree, is_minor, target)


@cache
def _after_a_change(voicing: Voicing, degree: int, is_minor: bool, target: int | None) -> NDArray[np.float64]:
    shares = enumerate(_CHAIN[degree]) if target is None else [(target, 1.0)]
    result = np.zeros(N_KEYS)
    for following, share in shares:
        if share:
            result[np.array(voice_chord(voicing, following, is_minor)) - LOWEST] += share
    return result


def entropy(probability: NDArray[np.float64]) -> float:
    """Returns the entropy of independent keys with these probabilities, in nats: the smallest expected loss."""
    inner = probability[(probability > 0) & (probability < 1)]
    return float(-(inner * np.log(inner) + (1 - inner) * np.log1p(-inner)).sum())


@cache
def voice_chord(before: Voicing, degree: int, is_minor: bool) -> Voicing:
    """Returns the voicing of a chord that the voices reach with the least motion.

    It is complete, with the root in the bass, and without parallel fifths and octaves if possible.

    Args:
        before: What sounded.
        degree: The chord's degree, 0 to 6.
        is_minor: The mode.
    """
    return min(_voicings(degree, is_minor), key=lambda voicing: (_motion(before, voicing), voicing))


@cache
def _voicings(degree: int, is_minor: bool) -> tuple[Voicing, ...]:
    triad = _TRIADS[is_minor][degree]
    choices = [
        [pitch for pitch in range(low, high + 1) if pitch % 12 in (triad if voice else triad[:1])]
        for voice, (low, high) in enumerate(_RANGES)
    ]
    return tuple(
        (bass, tenor, alto, soprano)
        for bass, tenor, alto, soprano in product(*choices)
        if bass < tenor < alto < soprano
        and soprano - alto <= 12
        and alto - tenor <= 12
        and {pitch % 12 for pitch in (bass, tenor, alto, soprano)} == set(triad)
    )


def _motion(before: Voicing, after: Voicing) -> int:
    """Returns the semitones that the voices move, with penalties for leaps and for parallel fifths and octaves."""
    steps = [b - a for a, b in zip(before, after, strict=True)]
    motion = sum(map(abs, steps)) + 3 * sum(abs(step) > 5 for step in steps[1:])
    for low in range(4):
        for high in range(low + 1, 4):
            interval = (before[high] - before[low]) % 12
            is_parallel = steps[low] != 0 and steps[low] == steps[high]
            motion += 30 * (interval in (0, 7) and is_parallel)
    return motion
