"""The page: a history of an oscillation, to be drawn, and the fan of what may come of it."""

from __future__ import annotations

import math

from modelyard.play.description import Example, FanChart, Measure, Number, Play, Probability, Series, Step, Verdict
from pipelines.climate_pattern_recognition.features import MAX_HISTORY
from pipelines.climate_pattern_recognition.oscillations import COVARIATES, OSCILLATIONS
from pipelines.climate_pattern_recognition.serve import EXAMPLE

_LEADS = tuple(sorted({lead for one in OSCILLATIONS.values() for lead in one.leads}))
_STEPS: dict[str, Step] = {name: one.step for name, one in OSCILLATIONS.items()}

_STRONG_EL_NINO = (
    *(-0.3, -0.4, -0.2, 0.0, 0.1, 0.1, 0.0, 0.1, 0.3, 0.5, 0.7, 0.7),
    *(0.6, 0.6, 0.6, 0.8, 1.0, 1.2, 1.5, 1.8, 2.1),
)
"""Made up, °C: it grows as that of 2015 did, month by month until September."""

_LA_NINA = (0.4, 0.3, 0.1, -0.1, -0.3, -0.4, -0.4, -0.6, -0.8, -1.0, -1.1, -1.2, -1.1, -1.0)
"""Made up, °C."""


def examples() -> list[Example]:
    """Returns two Madden-Julian Oscillations and two series of El Niño, all made up."""
    days = range(60)
    return [
        Example(
            title="Rain moves over the Indian Ocean",
            sentence="A made-up Madden-Julian Oscillation: active, and turning through its phases.",
            request=EXAMPLE.model_dump(mode="json", exclude_none=True),
        ),
        Example(
            title="Two months of a regular oscillation",
            sentence="Made up: it comes round every 45 days and keeps its strength, as the real one seldom does.",
            request={
                "series": "made up",
                "oscillation": "mjo",
                "event_time": "2017-03-01T00:00:00Z",
                "lead_count": 5,
                "first_indices": [round(1.6 * math.cos(2 * math.pi * day / 45), 2) for day in days],
                "second_indices": [round(1.6 * math.sin(2 * math.pi * day / 45), 2) for day in days],
            },
        ),
        Example(
            title="A strong El Niño grows",
            sentence="Made-up anomalies that grow as those of 2015 did: how much further by winter?",
            request=_monthly(_STRONG_EL_NINO, "2015-09-01T00:00:00Z"),
        ),
        Example(
            title="La Niña begins to fade",
            sentence="Made-up anomalies, below minus one degree and about to turn.",
            request=_monthly(_LA_NINA, "2011-02-01T00:00:00Z"),
        ),
    ]


def _monthly(anomalies: tuple[float, ...], event_time: str) -> dict[str, object]:
    """Returns a request about El Niño."""
    begin = {"series": "made up", "oscillation": "enso", "event_time": event_time, "lead_count": 3}
    return begin | {"first_indices": list(anomalies)}


PLAY = Play(
    question="What will the oscillation do in the coming days or months, and how sure is that?",
    inputs=[
        Series(
            field="first_indices",
            label="History up to today",
            help="RMM1 of the Madden-Julian Oscillation by days, or El Niño's anomaly by months in °C; draw, or paste.",
            minimum=-5,
            maximum=5,
            shortest=1,
            longest=MAX_HISTORY,
            step_field="oscillation",
            steps=_STEPS,
            end_field="event_time",
            follows=["second_indices", *(name.removesuffix("_index") + "_indices" for name in COVARIATES)],
        ),
        Number(
            field="lead_count",
            label="Steps ahead",
            help="For phase and probabilities; a version knows the leads that the fan shows.",
            minimum=1,
            maximum=max(_LEADS),
            step=1,
        ),
    ],
    outputs=[
        FanChart(
            field="first_quantiles",
            label="What may come",
            help="Half of the outcomes lie in the inner band, nine of ten in the outer one.",
            history_field="first_indices",
            lead_field="lead_count",
            leads=_LEADS,
            levels=(0.05, 0.25, 0.5, 0.75, 0.95),
            baseline_field="linear_mean",
        ),
        Verdict(
            field="phase",
            label="Likeliest phase",
            tones={phase: "neutral" for one in OSCILLATIONS.values() for phase in one.phases},
            names={phase: phase.replace("_", " ") for one in OSCILLATIONS.values() for phase in one.phases},
        ),
        Probability(field="phase_probability", label="Probability of that phase"),
        Probability(field="active_probability", label="Probability that it is active at all"),
        Measure(field="first_spread", label="Standard deviation of the forecast"),
    ],
    examples=examples,
    meaning=(
        "Share of a linear model's error (CRPS, of the whole distribution) that the forecast saves: 0 is no better,"
        " 1 is perfect, 0.07 is good."
    ),
    without_answer="This version forecasts another oscillation or other leads; choose another example.",
    caution="The examples are made up; a real decision needs real indices and a forecaster.",
    picture="plume",
)
"""The page of the project."""
