"""The gate: decides whether a model may become champion."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from pydantic import Field

from modelyard.parameters import Parameters


class Interval(NamedTuple):
    """A metric on the test rows with its bootstrap confidence interval."""

    value: float
    low: float
    high: float


class GateParameters(Parameters):
    """How much better than the trivial floor, and how close to the champion, a model must be."""

    floor_margin: float = Field(0.0, ge=0, description="The interval's worse end must beat the floor by this much.")
    champion_margin: float = Field(
        0.0, ge=0, description="The value may be worse than the champion's on the same rows by at most this much."
    )


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Test metrics of one model, with those of the floor (a trivial rule) and of the champion on the same rows.

    Args:
        primary: Name of the metric that decides.
        greater_is_better: Its direction.
        metrics: Metric name to value with interval.
        floor: Metric name to the trivial rule's value.
        champion: Metric name to the current champion's value; None where there is no champion yet.
    """

    primary: str
    greater_is_better: bool
    metrics: Mapping[str, Interval]
    floor: Mapping[str, float]
    champion: Mapping[str, float] | None


class Verdict(NamedTuple):
    """The gate's decision, with a reason a reviewer can read."""

    passed: bool
    reason: str


def standard_gate(evaluation: Evaluation, params: GateParameters) -> Verdict:
    """Passes a model that clearly beats the floor and is not worse than the champion.

    "Clearly" means that the whole confidence interval of the primary metric lies on the better side.
    """
    name, sign = evaluation.primary, 1 if evaluation.greater_is_better else -1
    ours, floor = evaluation.metrics[name], evaluation.floor[name]
    worse_end = ours.low if evaluation.greater_is_better else ours.high
    # "not (a > b)" rather than "a <= b": a NaN metric must fail the gate.
    if not sign * (worse_end - floor) > params.floor_margin:
        return Verdict(
            False,
            f"{name} {ours.value:.4f} [{ours.low:.4f}, {ours.high:.4f}] does not clearly beat the floor {floor:.4f}"
            f" (margin {params.floor_margin:g})",
        )
    if evaluation.champion is None:
        return Verdict(True, f"{name} {ours.value:.4f} beats the floor {floor:.4f}; there is no champion yet")
    champion = evaluation.champion[name]
    if not sign * (ours.value - champion) >= -params.champion_margin:
        return Verdict(
            False,
            f"{name} {ours.value:.4f} is worse than the champion's {champion:.4f} on the same rows"
            f" (margin {params.champion_margin:g})",
        )
    return Verdict(
        True, f"{name} {ours.value:.4f} beats the floor {floor:.4f} and holds against the champion {champion:.4f}"
    )
