"""Simulators: times are counted from the first day's midnight in UTC, and whoever knows the risk is not beaten."""

from datetime import UTC, date, datetime

import numpy as np
import polars as pl
import pytest

from modelyard.tasks.ranking import roc_auc
from modelyard.tasks.simulation import event_times, known_risk_ceiling


def test_times_are_counted_from_the_first_midnight():
    found = event_times(date(2024, 2, 29), np.array([0.0, 0.5, 1 + 1 / 86_400, 1.9e-11]))
    assert found.dtype == pl.Datetime("us", "UTC")
    assert found.name == "event_time"
    midnight = datetime(2024, 2, 29, tzinfo=UTC)
    noon, next_day = midnight.replace(hour=12), datetime(2024, 3, 1, 0, 0, 1, tzinfo=UTC)
    assert found.to_list() == [midnight, noon, next_day, midnight.replace(microsecond=1)]


def test_the_ceiling_is_that_of_the_latest_examples():
    risk = np.array([0.0] * 17 + [0.9, 0.2, 0.6])
    label = np.array([True] * 17 + [True, False, False])
    assert known_risk_ceiling(risk, label) == {"roc_auc": 1.0, "accuracy": pytest.approx(2 / 3)}


def test_what_is_seen_through_noise_ranks_no_better_than_the_risk_itself():
    rng = np.random.default_rng(0)
    risk = rng.random(20_000)
    label = rng.random(20_000) < risk
    ceiling = known_risk_ceiling(risk, label)
    seen = (risk + rng.normal(0, 0.3, 20_000))[-3_000:]
    assert roc_auc(label[-3_000:], seen) < ceiling["roc_auc"] - 0.02
    assert ((seen >= 0.5) == label[-3_000:]).mean() < ceiling["accuracy"]
