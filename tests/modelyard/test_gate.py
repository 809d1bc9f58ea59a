import math

import pytest

from modelyard.gate import Evaluation, GateParameters, Interval, standard_gate


def evaluation(low=0.7, value=0.8, high=0.9, floor=0.5, champion=None, greater=True):
    return Evaluation(
        primary="m",
        greater_is_better=greater,
        metrics={"m": Interval(value, low, high)},
        floor={"m": floor},
        champion=None if champion is None else {"m": champion},
    )


@pytest.mark.parametrize(
    ("case", "margins", "passed"),
    [
        (evaluation(), {}, True),
        (evaluation(low=0.5), {}, False),  # the interval touches the floor
        (evaluation(), {"floor_margin": 0.25}, False),
        (evaluation(champion=0.79), {}, True),
        (evaluation(champion=0.81), {}, False),
        (evaluation(champion=0.81), {"champion_margin": 0.02}, True),
        (evaluation(low=1.0, value=1.1, high=1.2, floor=2.0, greater=False), {}, True),
        (evaluation(low=1.0, value=1.1, high=2.1, floor=2.0, greater=False), {}, False),
        (evaluation(value=1.1, low=1.0, high=1.2, floor=2.0, champion=1.0, greater=False), {}, False),
        (evaluation(low=math.nan, value=math.nan, high=math.nan), {}, False),
        (evaluation(champion=math.nan), {}, False),
    ],
)
def test_the_gate(case, margins, passed):
    verdict = standard_gate(case, GateParameters(**margins))
    assert verdict.passed is passed
    assert "floor" in verdict.reason or "champion" in verdict.reason
