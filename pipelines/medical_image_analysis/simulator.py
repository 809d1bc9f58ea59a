"""How do simulated radiographs come about, and how good can any model be on them?

A chest is drawn from soft shapes: body, two lungs, heart, spine, ribs. Consolidations are clouds inside the lungs;
their total size times density is the exam's severity. Whether the later culture says pneumonia is drawn with a
probability that depends on the severity alone, so that no model of the picture can rank exams better than that
probability does: the ceiling is known. Pictures show the severity through noise, overlapping ribs and each scanner's
own exposure.
"""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from modelyard.parameters import Parameters
from modelyard.tasks.simulation import event_times, known_risk_ceiling, severities

Floats = NDArray[np.float32]

SIDE = 28
"""Pixels on each side of a picture, as in PneumoniaMNIST."""

_RISK_SLOPE, _RISK_CENTRE = 9.0, 0.45
"""True risk = sigmoid(slope * (severity - centre)): an exam without any cloud has 1.7 %, a severe one nearly 100 %."""

_N_CLOUDS = 3


class SimulationParameters(Parameters):
    """What :func:`simulate` draws."""

    seed: int = Field(0, ge=0, description="Seed of the simulation.")
    n_exams: int = Field(3_000, ge=20, le=200_000, description="Exams, one picture each.")
    n_days: int = Field(180, ge=1, le=5_000, description="Days over which they are spread evenly.")
    start_date: date = Field(date(2024, 1, 1), description="First day (UTC).")
    n_scanners: int = Field(4, ge=1, le=1_000, description="Scanners, each with its own exposure and noise.")
    ill_share: float = Field(0.5, gt=0, lt=1, description="Share of exams with clouds in the lungs.")
    noise: float = Field(0.03, ge=0, le=1, description="Standard deviation of the pixels' noise, 1 is white.")
    drift: float = Field(
        0.0, ge=0, le=1, description="By how much all scanners become brighter until the last day; 1 is white."
    )


def simulate(params: SimulationParameters) -> tuple[pl.DataFrame, NDArray[np.uint8]]:
    """Simulates exams; the same parameters give the same pixels.

    Returns:
        One row for each exam, in time (``exam_id``, ``event_time``, ``patient_id``, ``scanner_id``, ``is_pneumonia``,
        ``severity`` and ``true_risk``, the probability with which ``is_pneumonia`` was drawn), and the pictures,
        shape (N, 28, 28).
    """
    rng, n = np.random.default_rng([params.seed, 1]), params.n_exams
    severity, true_risk, is_pneumonia = _patients(params)
    scanner = rng.integers(0, params.n_scanners, n)
    elapsed = np.sort(rng.random(n))
    rows = pl.DataFrame(
        {
            "exam_id": [f"exam_{number:06d}" for number in range(n)],
            "patient_id": [f"patient_{number:06d}" for number in range(n)],
            "scanner_id": [f"scanner_{number}" for number in scanner],
            "is_pneumonia": is_pneumonia,
            "severity": severity,
            "true_risk": true_risk,
        }
    ).with_columns(event_times(params.start_date, elapsed * params.n_days))
    chests = _chests(severity.astype(np.float32), rng)
    pictures = _exposed(chests, scanner, (params.drift * elapsed).astype(np.float32), params, rng)
    return rows, pictures


def true_risks(params: SimulationParameters) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Returns what :func:`simulate` draws labels with, and the labels, both of shape (N,), in time; without pixels."""
    _, true_risk, is_pneumonia = _patients(params)
    return true_risk, is_pneumonia


def known_ceiling(params: SimulationParameters) -> dict[str, float]:
    """Returns AUC and accuracy of a model that knows each exam's true risk, on the last 15 % of the exams.

    Labels are drawn with that risk and depend on the picture in no other way, so nothing in a picture says more.
    """
    return known_risk_ceiling(*true_risks(params))


def _patients(params: SimulationParameters) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Severity, true risk and label of each exam, shape (N,)."""
    rng = np.random.default_rng([params.seed, 0])
    return severities(params.ill_share, _RISK_SLOPE, _RISK_CENTRE, params.n_exams, rng)


def _chests(severity: Floats, rng: np.random.Generator) -> Floats:
    """Ideal pictures, black 0 and white 1, shape (N, 28, 28)."""
    n = len(severity)
    x, y = _body_coordinates(n, rng)
    height = rng.normal(1, 0.08, (2, n, 1, 1)).astype(np.float32)
    distances = [
        np.hypot((x - side * 0.42) / 0.32, (y - 0.02) / (0.66 * height[number])) for number, side in enumerate((-1, 1))
    ]
    lungs = sum(1 / (1 + np.exp(14 * (distance - 1))) for distance in distances)
    body = 1 / (1 + np.exp(10 * ((x / 0.98) ** 4 + (y / 1.25) ** 4 - 1)))
    air = rng.normal(0.42, 0.05, (n, 1, 1)).astype(np.float32)
    heart_width = rng.normal(0.3, 0.04, (n, 1, 1)).astype(np.float32)
    heart = np.exp(-(((x - 0.12) / heart_width) ** 2) - ((y - 0.38) / 0.3) ** 2)
    spine = np.exp(-((x / 0.09) ** 2))
    phase = rng.uniform(0, 2 * np.pi, (n, 1, 1)).astype(np.float32)
    ribs = np.cos(15 * (y - 0.25 * np.abs(x)) + phase)
    clouds = _clouds(severity, x, y, rng)
    chest = 0.62 * body - air * lungs * body + 0.3 * heart * body + 0.12 * spine * body + 0.045 * ribs * lungs
    result: Floats = chest + 0.4 * clouds * np.clip(lungs, 0, 1)
    return result


def _body_coordinates(n: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Coordinates of the pixels in each body's own frame, -1 to 1 from edge to edge, shape (N, 28, 28)."""
    edge = ((np.arange(SIDE) + 0.5) / SIDE * 2 - 1).astype(np.float32)
    y, x = np.meshgrid(edge, edge, indexing="ij")
    shift_x, shift_y = rng.normal(0, 0.05, (2, n, 1, 1)).astype(np.float32)
    angle = rng.normal(0, 0.05, (n, 1, 1)).astype(np.float32)
    scale = rng.normal(1, 0.05, (n, 1, 1)).astype(np.float32)
    turned_x = (np.cos(angle) * x + np.sin(angle) * y) * scale + shift_x
    turned_y = (-np.sin(angle) * x + np.cos(angle) * y) * scale + shift_y
    return turned_x, turned_y


def _clouds(severity: Floats, x: Floats, y: Floats, rng: np.random.Generator) -> Floats:
    """Consolidations, shape (N, 28, 28): their sizes times densities add up to the severity."""
    n = len(severity)
    parts = rng.dirichlet(np.full(_N_CLOUDS, 0.8), n).astype(np.float32)
    total = np.zeros_like(x)
    for number in range(_N_CLOUDS):
        side = rng.choice(np.array([-1, 1], dtype=np.float32), (n, 1, 1))
        centre_x = side * rng.uniform(0.25, 0.55, (n, 1, 1)).astype(np.float32)
        centre_y = rng.uniform(-0.4, 0.5, (n, 1, 1)).astype(np.float32)
        radius = rng.uniform(0.18, 0.36, (n, 1, 1)).astype(np.float32)
        density = (severity * parts[:, number])[:, None, None] * (0.27 / radius) ** 2
        total += density * np.exp(-((x - centre_x) ** 2 + (y - centre_y) ** 2) / radius**2)
    return total


def _exposed(
    chests: Floats, scanner: NDArray[np.int64], brighter: Floats, params: SimulationParameters, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """What each exam's scanner makes of it: gain, offset, drift, noise, eight bits."""
    gain = rng.uniform(0.85, 1.1, params.n_scanners).astype(np.float32)[scanner][:, None, None]
    offset = rng.uniform(0.02, 0.14, params.n_scanners).astype(np.float32)[scanner][:, None, None]
    noise = params.noise * rng.standard_normal(chests.shape, dtype=np.float32)
    seen = gain * chests + offset + brighter[:, None, None] + noise
    pictures: NDArray[np.uint8] = np.clip(np.rint(255 * seen), 0, 255).astype(np.uint8)
    return pictures
