"""The page: a hall's latest days, to be drawn, and the fan of what the coming days may use."""

from __future__ import annotations

from collections.abc import Sequence

from modelyard.play.description import Example, FanChart, Play, Series
from pipelines.starter_project.data import LEADS
from pipelines.starter_project.features import SPAN
from pipelines.starter_project.model import LEVELS

_WEEK = (1.0, 1.02, 1.01, 1.0, 0.97, 0.66, 0.55)
"""Use of Monday to Sunday, in shares of Monday's."""


def examples() -> list[Example]:
    """Returns a regular hall, one that grows, and one after a strike; each ends on a Sunday."""
    regular = [1_200 * share for share in _WEEK * 4]
    growing = [use * (1 + day / 60) for day, use in enumerate(regular)]
    stopped = [*regular[:-7], *(0.2 * use for use in regular[-7:])]
    return [
        _example("A regular hall", "Four weeks, each like the one before; what will Monday be?", regular),
        _example("A hall that grows", "A little more every day: will the forecast follow?", growing),
        _example("After a strike", "The last week hardly counts; does the model know?", stopped),
    ]


def _example(title: str, sentence: str, used: Sequence[float]) -> Example:
    request = {"last_day": "2024-03-03", "used_kwh": [round(use, 1) for use in used], "lead_count": 1}
    return Example(title=title, sentence=sentence, request=request)


PLAY = Play(
    question="How much electricity will a hall use in the coming days?",
    inputs=[
        Series(
            field="used_kwh",
            label="Use of the latest days",
            help="Draw it, or pull today back.",
            unit="kWh",
            minimum=0,
            maximum=3_000,
            shortest=1,
            longest=SPAN,
            step="day",
            end_field="last_day",
        ),
    ],
    outputs=[
        FanChart(
            field="quantiles_kwh",
            label="What the coming days may use",
            help="Two in five of the outcomes lie in the inner band, four in five in the outer one.",
            history_field="used_kwh",
            lead_field="lead_count",
            leads=LEADS,
            levels=LEVELS,
            unit="kWh",
        ),
    ],
    examples=examples,
    meaning="Mean error of the quantiles in kWh, smaller is better; half of the floor's is good.",
    picture="forecast",
)
"""The page of the project."""
