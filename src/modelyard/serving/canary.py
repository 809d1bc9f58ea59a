"""The canary: some keys are answered by the challenger, always the same ones, until it proves worse."""

from collections import deque
from dataclasses import dataclass
from hashlib import blake2b

from pydantic import Field

from modelyard.parameters import Parameters

_WINDOW = 1000
"""Latest predictions that are compared."""


class CanaryPolicy(Parameters):
    """When the challenger is worse."""

    min_errors: int = Field(5, ge=1, description="Fewer failures than this never roll back.")
    error_margin: float = Field(0.01, ge=0, description="How much larger its share of failures may be.")
    min_requests: int = Field(50, ge=1, description="Latencies are compared from this many requests on, of both.")
    latency_factor: float = Field(1.5, ge=1, description="How many times the champion's p95 it may take.")
    latency_slack_s: float = Field(0.01, ge=0, description="What it may take beyond that, s.")


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """How a version has behaved lately.

    Args:
        requests: How many it was asked.
        errors: How many of them failed.
        p95_s: 95th percentile of the seconds a prediction took.
    """

    requests: int
    errors: int
    p95_s: float

    @property
    def error_share(self) -> float:
        """Failed requests over all."""
        return self.errors / self.requests if self.requests else 0.0


def reason_to_roll_back(champion: Behaviour, canary: Behaviour, policy: CanaryPolicy) -> str | None:
    """Why the canary must end, in words; None while it may go on."""
    if canary.errors >= policy.min_errors and canary.error_share > champion.error_share + policy.error_margin:
        return f"{canary.error_share:.1%} of its requests failed, {champion.error_share:.1%} of the champion's"
    enough = min(champion.requests, canary.requests) >= policy.min_requests
    if enough and canary.p95_s > policy.latency_factor * champion.p95_s + policy.latency_slack_s:
        return f"its p95 is {canary.p95_s * 1000:.1f} ms, the champion's {champion.p95_s * 1000:.1f} ms"
    return None


def is_chosen(key: str, version: str, share: float) -> bool:
    """Whether ``key`` belongs to the share that ``version`` answers: the same key always gets the same answer."""
    digest = blake2b(f"{version}\0{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2**64


class Watch:
    """Remembers the latest predictions of one version."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, bool]] = deque(maxlen=_WINDOW)

    def add(self, seconds: float, *, failed: bool) -> None:
        """One request took ``seconds`` to predict, or failed."""
        self._seen.append((seconds, failed))

    def behaviour(self) -> Behaviour:
        """What was seen."""
        seen = list(self._seen)
        seconds = sorted(one for one, failed in seen if not failed)
        p95_s = seconds[min(int(len(seconds) * 0.95), len(seconds) - 1)] if seconds else 0.0
        return Behaviour(requests=len(seen), errors=sum(failed for _, failed in seen), p95_s=p95_s)
