"""Conformal intervals: coverage on new rows, in each group, and of a series that changes."""

import numpy as np
import pytest

from modelyard.tasks.conformal import adapt, apply, fit_cqr


def rows(n, seed):
    """Noise that is four times as large in group b; the quantiles know nothing of it."""
    random = np.random.default_rng(seed)
    groups = np.where(random.random(n) < 0.3, "b", "a")
    outcome = random.normal(size=n) * np.where(groups == "b", 4, 1)
    return np.full(n, -1.0), np.full(n, 1.0), outcome, groups.tolist()


def shares(low, high, outcome, groups):
    inside = (low <= outcome) & (outcome <= high)
    return {name: inside[np.array(groups) == name].mean() for name in ("a", "b")}


def test_each_group_is_covered_as_promised_and_without_groups_all_rows_are():
    low, high, outcome, groups = rows(4000, 0)
    new_low, new_high, new_outcome, new_groups = rows(4000, 1)
    offsets = fit_cqr(low, high, outcome, 0.9, groups)
    found = shares(*apply(new_low, new_high, offsets, new_groups), new_outcome, new_groups)
    assert found == pytest.approx({"a": 0.9, "b": 0.9}, abs=0.03)
    together = apply(new_low, new_high, fit_cqr(low, high, outcome, 0.9))
    assert np.mean((together[0] <= new_outcome) & (new_outcome <= together[1])) == pytest.approx(0.9, abs=0.02)
    assert shares(*together, new_outcome, new_groups)["b"] < 0.8


def test_small_and_unknown_groups_are_moved_as_all_rows():
    low, high, outcome, _ = rows(200, 0)
    offsets = fit_cqr(low, high, outcome, 0.9, ["rare"] * 10 + ["a"] * 190)
    assert set(offsets) == {"all", "a"}
    moved = apply(low[:2], high[:2], offsets, ["rare", "never seen"])
    assert moved[1].tolist() == [1 + offsets["all"]] * 2


def test_wide_intervals_are_narrowed_and_never_turned_around():
    outcome = np.linspace(-1, 1, 101)
    offsets = fit_cqr(np.full(101, -5.0), np.full(101, 5.0), outcome, 0.9)
    assert offsets["all"] < -3.9
    low, high = apply(np.array([-5.0, -1.0]), np.array([5.0, 1.0]), offsets)
    assert low == pytest.approx([-5 - offsets["all"], 0])
    assert high == pytest.approx([5 + offsets["all"], 0])


def test_open_ends_stay_open():
    low, high = apply(np.array([0.0]), np.array([np.inf]), {"all": 2.0})
    assert (low[0], high[0]) == (-2, np.inf)
    offsets = fit_cqr(np.zeros(60), np.full(60, np.inf), np.full(60, -1.0), 0.9)
    assert offsets["all"] == 1


def test_a_series_whose_noise_grows_stays_covered():
    random = np.random.default_rng(2)
    offsets, hits = {"lead 1": 0.0, "lead 2": 0.0}, []
    for step in range(3000):
        outcome = random.normal() * (1 + step / 500)
        hit = abs(outcome) <= 1 + offsets["lead 1"]
        hits.append(hit)
        offsets = adapt(offsets, {"lead 1": hit}, rate=0.3, coverage=0.9)
    assert np.mean(hits) == pytest.approx(0.9, abs=0.02)
    assert np.mean(hits[-500:]) == pytest.approx(0.9, abs=0.04)
    assert offsets["lead 2"] == 0
