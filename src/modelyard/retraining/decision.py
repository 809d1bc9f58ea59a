"""The two decisions as pure functions: whether to retrain, and whether to promote the result."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from modelyard.gate import Interval
from modelyard.retraining.policy import PromotionPolicy, Reason, RetrainingParameters

_EVER = datetime(1970, 1, 1, tzinfo=UTC)
_JUMP = timedelta(hours=1)
"""A recorded time further ahead than this comes from a clock that has been set back since."""


class Trigger(NamedTuple):
    """One reason for a retraining.

    Args:
        reason: Its kind.
        key: A due time, a drifted window or a digest of data; no key is retrained for twice.
        why: The explanation shown on Dagster's page.
    """

    reason: Reason
    key: str
    why: str


class Drift(NamedTuple):
    """The latest verdict of the monitor.

    Args:
        model_version: The version whose requests were compared.
        window: Identifies the requests that were compared.
        is_drifted: The verdict.
        alarms: The verdict's alarms, one sentence each.
    """

    model_version: str
    window: str
    is_drifted: bool
    alarms: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Situation:
    """Everything that the decision to retrain depends on.

    Args:
        now: The time.
        due: The calendar's last time up to ``now``; None: there is no calendar.
        since: When the scheduler first saw the project; due times before it do not count as missed.
        drift: The monitor's verdict; None: there is none.
        champion: The version that is served; None: there is none.
        data_digest: Digest of the configured source's data; None: the data have no versions (simulated data).
        known_digest: The digest that the scheduler saw first, or last retrained for.
        handled: Key of each trigger that a retraining has ended for, with success or failure, to when it ended.
        starts: Key to the number of retrainings started for it whose end is not recorded.
        is_running: Whether a retraining of the project is waiting or under way.
    """

    now: datetime
    due: datetime | None = None
    since: datetime = _EVER
    drift: Drift | None = None
    champion: str | None = None
    data_digest: str | None = None
    known_digest: str | None = None
    handled: Mapping[str, datetime] = field(default_factory=dict)
    starts: Mapping[str, int] = field(default_factory=dict)
    is_running: bool = False


class Decision(NamedTuple):
    """Whether to retrain.

    Args:
        triggers: What a retraining now would be for; empty: none is wanted.
        why: For people, also where nothing is to be done.
        hopeless: Triggers whose retrainings have vanished too often to try again.
    """

    triggers: tuple[Trigger, ...]
    why: str
    hopeless: tuple[Trigger, ...] = ()


class Promotion(NamedTuple):
    """Whether a retrained version may become champion by itself, and why (not)."""

    is_allowed: bool
    why: str


def should_retrain(situation: Situation, params: RetrainingParameters) -> Decision:
    """Decides from the situation alone, so that any number of schedulers come to the same keys.

    Several missed due times are one trigger, the last. A clock that jumps ahead and back neither repeats a handled
    trigger nor loses one that becomes due, because keys are compared and not times.
    """
    candidates = (_by_calendar(situation), _by_drift(situation, params), _by_data(situation))
    open_ones = [one for one in candidates if one is not None and one.key not in situation.handled]
    hopeless = tuple(one for one in open_ones if situation.starts.get(one.key, 0) >= params.max_starts)
    wanted = tuple(one for one in open_ones if one not in hopeless)
    if situation.is_running:
        return Decision((), "a retraining is under way")
    if not wanted:
        return Decision((), "there is no reason to retrain", hopeless)
    return Decision(wanted, "; ".join(one.why for one in wanted), hopeless)


def _by_calendar(situation: Situation) -> Trigger | None:
    since = situation.since if situation.since <= situation.now + _JUMP else _EVER
    if situation.due is None or situation.due <= since:
        return None
    return Trigger("schedule", f"schedule:{situation.due:%Y-%m-%dT%H:%MZ}", f"due {situation.due:%Y-%m-%d %H:%M} UTC")


def _by_drift(situation: Situation, params: RetrainingParameters) -> Trigger | None:
    """Returns a drifted window as a trigger, unless another version is served by now, or within the drift pause."""
    drift = situation.drift
    if drift is None or not drift.is_drifted or drift.model_version != (situation.champion or drift.model_version):
        return None
    trigger = Trigger(
        "drift",
        f"drift:{drift.model_version}:{drift.window}",
        f"version {drift.model_version} met drift in {drift.window}"
        + (f" ({', '.join(drift.alarms[:3])}{', …' if len(drift.alarms) > 3 else ''})" if drift.alarms else ""),
    )
    pause = timedelta(hours=params.drift_pause_h)
    before = [at for key, at in situation.handled.items() if key.startswith(f"drift:{drift.model_version}:")]
    is_pausing = any(-_JUMP <= situation.now - at < pause for at in before)
    return None if is_pausing else trigger


def _by_data(situation: Situation) -> Trigger | None:
    digest = situation.data_digest
    if digest is None or digest == situation.known_digest:
        return None
    return Trigger("new_data", f"new_data:{digest}", f"data version {digest[:12]} is new")


def should_promote(
    policy: PromotionPolicy,
    *,
    reasons: Sequence[Reason],
    gate_passed: bool,
    gain: Interval | None,
    compared_with: str | None,
    champion: str | None,
) -> Promotion:
    """Decides whether a retrained version may take over without a person.

    Args:
        policy: The project's promotion policy.
        reasons: The reasons for the retraining.
        gate_passed: Whether the version passed its gate.
        gain: Gain over the champion in the primary metric, on the same test rows; positive is better.
        compared_with: The version that ``gain`` compares with; None: there was no champion.
        champion: The version that is champion now.
    """
    refused = [reason for reason in reasons if reason not in policy.triggers]
    # "not (low > margin)": a NaN gain is no gain.
    is_unsure = gain is None or not gain.low > policy.margin
    shown = "unknown" if gain is None else f"{gain.value:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})"
    objections = (
        (policy.policy == "manual", "the policy leaves promotion to a person"),
        (not gate_passed, "its gate failed"),
        (bool(refused), f"the policy leaves retrainings for {', '.join(refused)} to a person"),
        (not reasons, "a person started it, and decides"),
        (champion is None and not policy.is_first_free, "the first champion is a person's choice"),
        (
            champion is not None and compared_with != champion,
            f"it was compared with {compared_with or 'no champion'}, but {champion} serves now",
        ),
        (
            champion is not None and is_unsure,
            f"its gain is not sure: {shown}, and must lie above {policy.margin:g}",
        ),
    )
    for is_raised, objection in objections:
        if is_raised:
            return Promotion(False, objection)
    return Promotion(True, f"its gain is sure: {shown}" if champion else "there was no champion")
