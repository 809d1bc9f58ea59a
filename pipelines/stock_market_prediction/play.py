"""The page: a symbol's bars, to be bent, and what the model says of the next one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, timedelta

from modelyard.play.description import Bars, Example, Measure, Play, Probability, Verdict
from pipelines.stock_market_prediction.features import LONGEST

_N_DAYS = 3 * LONGEST
_FIRST_DAY = date(2024, 1, 1)


def examples() -> list[Example]:
    """Returns four made-up symbols: one that sways, one that climbs, one that falls at once, one that shakes."""
    number = range(_N_DAYS)
    sway = [100 + 2 * math.sin(day / 4) + 0.6 * math.sin(2.3 * day) for day in number]
    climb = [100 * 1.004**day + 0.4 * math.sin(1.7 * day) for day in number]
    fall = [price * (0.86 if day >= _N_DAYS - 2 else 1) for day, price in enumerate(sway)]
    shake = [100 + 5 * math.sin(2.1 * day) * math.sin(day / 9) for day in number]
    return [
        _example("A stock that sways", "Made up: up and down by two per cent within a month.", sway),
        _example("A steady climb", "Made up: a little more every day, as if it could go on.", climb),
        _example("Bad news", "Made up: it has lost 14 per cent since yesterday; what is shaken stays shaken.", fall),
        _example("A nervous market", "Made up: large swings in both directions.", shake),
    ]


def _example(title: str, sentence: str, closes: Sequence[float]) -> Example:
    """Returns a request with bars around the closes; a day opens near where the day before closed."""
    days = [_FIRST_DAY + timedelta(days=7 * (number // 5) + number % 5) for number in range(len(closes))]
    closes = [round(close, 2) for close in closes]
    opens = [round(0.8 * before + 0.2 * close, 2) for before, close in zip([closes[0], *closes], closes, strict=False)]
    return Example(
        title=title,
        sentence=sentence,
        request={
            "days": [day.isoformat() for day in days],
            "opens": opens,
            "highs": [round(1.004 * max(pair), 2) for pair in zip(opens, closes, strict=True)],
            "lows": [round(0.996 * min(pair), 2) for pair in zip(opens, closes, strict=True)],
            "closes": closes,
            "volumes": [1e6 + 1e5 * (number * 7 % 11) for number in range(len(closes))],
        },
    )


PLAY = Play(
    question="Will the price rise or fall on the next trading day, and how much will it move?",
    inputs=[
        Bars(
            field="closes",
            label="Bars up to today",
            help="Bend the closes, or pull today back; 21 days fill all windows of the features.",
            days_field="days",
            opens_field="opens",
            highs_field="highs",
            lows_field="lows",
            volumes_field="volumes",
            follows=["market_returns_pct"],
            shortest=2,
            longest=250,
        ),
    ],
    outputs=[
        Verdict(
            field="is_up_predicted",
            label="Direction",
            tones={"true": "neutral", "false": "neutral"},
            names={"true": "Rather up", "false": "Rather down"},
        ),
        Probability(
            field="up_probability",
            label="Probability of a rise",
            help="Given that the price moves at all; values near one half are the honest ones.",
        ),
        Measure(
            field="volatility_forecast_pct",
            label="Volatility of the target day, annualised",
            unit="%",
            decimals=1,
        ),
    ],
    examples=examples,
    meaning=(
        "Correlation of predicted and true directions: 0 is chance, 1 is perfect; on daily prices 0.05 is much, and far"
        " more is mostly an error."
    ),
    caution="No advice: direction is hardly better than chance, and costs eat the rest.",
    picture="walk_forward",
)
"""The page of the project."""
