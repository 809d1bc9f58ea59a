"""The two decisions, as tables."""
# ruff: noqa: E501  # one case, one line

from datetime import UTC, datetime, timedelta

import pytest

from modelyard.gate import Interval
from modelyard.retraining.decision import Drift, Situation, should_promote, should_retrain
from modelyard.retraining.policy import PromotionPolicy, RetrainingParameters

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
DUE = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
CALENDAR = "schedule:2026-11-23T04:00Z"
DRIFT = Drift("3", "2026-11-23", True, ("amount",))
LONG_AGO, HOUR = NOW - timedelta(days=90), timedelta(hours=1)

RETRAIN = {
    "nothing known": ({}, []),
    "due and not handled": ({"due": DUE}, [CALENDAR]),
    "due before watching began": ({"due": DUE, "since": DUE + HOUR}, []),
    "due at the very moment that watching began": ({"due": DUE, "since": DUE}, []),
    "due and handled": ({"due": DUE, "handled": {CALENDAR: NOW}}, []),
    "months missed: once, for the last": ({"due": DUE, "handled": {"schedule:2026-08-03T04:00Z": LONG_AGO}}, [CALENDAR]),
    "handled in a future that the clock has left again": ({"due": DUE, "handled": {"schedule:2027-01-04T04:00Z": NOW}}, [CALENDAR]),
    "watching began in such a future": ({"due": DUE, "since": NOW + 900 * HOUR}, [CALENDAR]),
    "that, and handled": ({"due": DUE, "since": NOW + 900 * HOUR, "handled": {CALENDAR: NOW}}, []),
    "no drift": ({"drift": DRIFT._replace(is_drifted=False), "champion": "3"}, []),
    "drift": ({"drift": DRIFT, "champion": "3"}, ["drift:3:2026-11-23"]),
    "drift, nobody serves": ({"drift": DRIFT}, ["drift:3:2026-11-23"]),
    "drift of a version that serves no more": ({"drift": DRIFT, "champion": "4"}, []),
    "the same alarm": ({"drift": DRIFT, "champion": "3", "handled": {"drift:3:2026-11-23": LONG_AGO}}, []),
    "the next window within the pause": ({"drift": DRIFT, "champion": "3", "handled": {"drift:3:2026-11-22": NOW - 167 * HOUR}}, []),
    "the next window after it": ({"drift": DRIFT, "champion": "3", "handled": {"drift:3:2026-11-22": NOW - 169 * HOUR}}, ["drift:3:2026-11-23"]),
    "the pause of another version": ({"drift": DRIFT, "champion": "3", "handled": {"drift:2:2026-11-22": NOW}}, ["drift:3:2026-11-23"]),
    "a pause from a future that the clock has left": ({"drift": DRIFT, "champion": "3", "handled": {"drift:3:x": NOW + 50 * HOUR}}, ["drift:3:2026-11-23"]),
    "known data": ({"data_digest": "aa", "known_digest": "aa"}, []),
    "new data": ({"data_digest": "bb", "known_digest": "aa"}, ["new_data:bb"]),
    "the first data": ({"data_digest": "bb"}, ["new_data:bb"]),
    "data that went away": ({"data_digest": None, "known_digest": "aa"}, []),
    "new data, handled": ({"data_digest": "bb", "known_digest": "aa", "handled": {"new_data:bb": NOW}}, []),
    "everything at once": ({"due": DUE, "drift": DRIFT, "data_digest": "bb", "known_digest": "aa"}, [CALENDAR, "drift:3:2026-11-23", "new_data:bb"]),
    "everything, but one is running": ({"due": DUE, "drift": DRIFT, "data_digest": "bb", "is_running": True}, []),
    "lost twice": ({"due": DUE, "starts": {CALENDAR: 2}}, [CALENDAR]),
    "lost three times": ({"due": DUE, "starts": {CALENDAR: 3}}, []),
}  # fmt: skip


@pytest.mark.parametrize(("known", "keys"), RETRAIN.values(), ids=RETRAIN)
def test_should_retrain(known, keys):
    decision = should_retrain(Situation(now=NOW, **known), RetrainingParameters())
    assert [trigger.key for trigger in decision.triggers] == keys
    assert decision.why


def test_a_trigger_that_was_lost_too_often_is_named_for_the_alert_but_not_while_its_run_may_live():
    lost = Situation(now=NOW, due=DUE, starts={CALENDAR: 3})
    assert [trigger.key for trigger in should_retrain(lost, RetrainingParameters()).hopeless] == [CALENDAR]
    running = Situation(now=NOW, due=DUE, starts={CALENDAR: 3}, is_running=True)
    assert should_retrain(running, RetrainingParameters()) == ((), "a retraining is under way", ())


AUTO = PromotionPolicy(policy="auto", margin=0.01)
SURE = Interval(0.05, 0.02, 0.08)
GOOD = {"policy": AUTO, "reasons": ["drift"], "gate_passed": True, "gain": SURE, "compared_with": "3", "champion": "3"}

PROMOTE = {
    "sure gain": ({}, True),
    "manual": ({"policy": PromotionPolicy()}, False),
    "gate failed": ({"gate_passed": False}, False),
    "interval holds zero": ({"gain": Interval(0.05, -0.01, 0.11)}, False),
    "interval above zero, not above the margin": ({"gain": Interval(0.05, 0.009, 0.11)}, False),
    "interval begins at the margin": ({"gain": Interval(0.05, 0.01, 0.11)}, False),
    "worse": ({"gain": Interval(-0.05, -0.08, -0.02)}, False),
    "undefined": ({"gain": Interval(float("nan"), float("nan"), float("nan"))}, False),
    "champion could not be compared": ({"gain": None, "compared_with": None}, False),
    "champion changed meanwhile": ({"champion": "4"}, False),
    "champion appeared meanwhile": ({"gain": None, "compared_with": None, "champion": "4"}, False),
    "champion was taken away": ({"champion": None}, False),
    "first version": ({"gain": None, "compared_with": None, "champion": None}, False),
    "first version, allowed": ({"policy": PromotionPolicy(policy="auto", is_first_free=True), "gain": None, "compared_with": None, "champion": None}, True),
    "first version, allowed, gate failed": ({"policy": PromotionPolicy(policy="auto", is_first_free=True), "gain": None, "champion": None, "compared_with": None, "gate_passed": False}, False),
    "trigger not allowed": ({"policy": PromotionPolicy(policy="auto", triggers=("schedule",))}, False),
    "one of two triggers not allowed": ({"policy": PromotionPolicy(policy="auto", triggers=("drift",)), "reasons": ["drift", "schedule"]}, False),
    "a person started it": ({"reasons": []}, False),
}  # fmt: skip


@pytest.mark.parametrize(("changed", "is_allowed"), PROMOTE.values(), ids=PROMOTE)
def test_should_promote(changed, is_allowed):
    decision = should_promote(**GOOD | changed)
    assert decision.is_allowed is is_allowed, decision.why
    assert decision.why
