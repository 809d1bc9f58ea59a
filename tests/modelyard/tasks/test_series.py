"""Series: steps, lags, outcomes, seasons and splits that never look ahead, and scores that reward the truth."""

import math
from datetime import UTC, datetime, timedelta
from itertools import permutations
from statistics import NormalDist

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modelyard.errors import DataContractError
from modelyard.tasks.quantiles import interval_coverage, pinball
from modelyard.tasks.series.lags import windows, with_lags, with_means
from modelyard.tasks.series.leads import by_lead, with_outcomes
from modelyard.tasks.series.scores import (
    crps_from_quantiles,
    crps_gaussian,
    crps_gaussian_loss,
    gaussian_quantiles,
)
from modelyard.tasks.series.seasons import annual_waves, anomaly, climatology
from modelyard.tasks.series.splits import contiguous_folds, known_at, split_by_target, walk_forward
from modelyard.tasks.series.steps import regular, step_begin, step_number

START = datetime(2001, 1, 1, tzinfo=UTC)  # a Monday
EVERY = {"day": "1d", "week": "1w", "month": "1mo"}
STEPS = sorted(EVERY)


def times(n, step="day"):
    return pl.datetime_range(START, START + timedelta(days=31 * n), EVERY[step], time_unit="us", eager=True)[:n]


def series(n=40, step="day"):
    random = np.random.default_rng(0)
    return pl.DataFrame({"series": "a", "event_time": times(n, step), "value": random.normal(size=n)})


def on_steps(rows, step="day"):
    return regular(rows, step, ["value"], "here")


moments = st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))


@pytest.mark.parametrize("step", STEPS)
@given(moment=moments)
def test_a_moment_lies_in_its_step_and_the_next_step_begins_where_it_ends(step, moment):
    frame = pl.DataFrame({"time": [moment]}, schema={"time": pl.Datetime("us", "UTC")})
    number = step_number(pl.col("time"), step)
    begin, end = frame.select(step_begin(number, step).alias("a"), step_begin(number + 1, step).alias("b")).row(0)
    assert begin <= moment < end
    assert (begin.hour, begin.minute) == (0, 0)
    assert step != "week" or begin.weekday() == 0


@pytest.mark.parametrize("step", STEPS)
def test_neighbouring_steps_differ_by_one_and_the_order_of_rows_does_not_matter(step):
    rows = on_steps(series(step=step), step)
    assert rows["step"].diff().drop_nulls().to_list() == [1] * 39
    assert on_steps(series(step=step).sample(fraction=1, shuffle=True, seed=0), step).equals(rows)


@pytest.mark.parametrize(("step", "given_step"), list(permutations(STEPS, 2)))
def test_a_series_of_another_step_is_refused(step, given_step):
    with pytest.raises(DataContractError, match=rf"days apart .* one row for each {step}"):
        on_steps(series(step=given_step), step)


def test_rows_without_a_time_and_copies_have_no_step_but_a_reason():
    rows = series()
    untimed = rows[:1].with_columns(pl.lit(None, dtype=pl.Datetime("us", "UTC")).alias("event_time"))
    found = on_steps(pl.concat([rows, rows[5:6], untimed]))
    assert found.height == 42
    left_out = found.filter(pl.col("step").is_null())
    assert sorted(left_out["parse_errors"]) == ["event_time: is missing", "event_time: repeats the row of 2001-01-06"]
    assert found.filter(pl.col("step").is_not_null()).equals(on_steps(rows))


def test_different_values_for_one_step_are_refused():
    with pytest.raises(DataContractError, match=r"2 rows have different values for 1 steps, first at 2001-01-06"):
        on_steps(pl.concat([series(), series()[5:6].with_columns(value=pl.lit(9.0))]))


def test_a_lag_is_the_value_so_many_steps_before_also_across_a_gap():
    rows = on_steps(series().filter(pl.int_range(pl.len()) != 20))
    found = with_lags(rows, ["value"], [0, 1, 3])
    values = dict(zip(rows["step"], rows["value"], strict=True))
    for row in found.iter_rows(named=True):
        assert row["value_lag_0"] == row["value"]
        assert row["value_lag_3"] == values.get(row["step"] - 3)
    assert found["value_lag_1"].null_count() == 2  # the first row, and the one behind the gap


def test_a_mean_is_that_of_the_steps_in_its_span():
    rows = on_steps(series().filter(pl.int_range(pl.len()) != 20))
    for row in with_means(rows, ["value"], [5]).iter_rows(named=True):
        part = rows.filter(pl.col("step").is_between(row["step"] - 4, row["step"]))
        assert row["value_mean_5"] == pytest.approx(part["value"].mean())


@given(moment=st.integers(1, 39))
def test_nothing_known_at_a_step_changes_with_a_later_value(moment):
    rows = on_steps(series())
    planted = rows.with_columns(pl.when(pl.int_range(pl.len()) >= moment).then(1e6).otherwise("value").alias("value"))

    def known(frame):
        return with_means(with_lags(frame, ["value"], [0, 2, 5]), ["value"], [3, 9])[:moment]

    assert known(planted).equals(known(rows))


@given(n=st.integers(0, 50), length=st.integers(1, 12), stride=st.integers(1, 12))
def test_windows_begin_a_stride_apart_and_all_of_them_are_full(n, length, stride):
    samples = np.arange(2 * n).reshape(n, 2)
    found = windows(samples, length, stride)
    assert len(found) == len(range(0, n - length + 1, stride))
    for number, window in enumerate(found):
        assert window.tolist() == samples[number * stride : number * stride + length].tolist()


def test_an_outcome_is_the_value_so_many_steps_later_and_what_has_none_is_no_forecast():
    rows = on_steps(series().filter(pl.int_range(pl.len()) != 20))
    found = with_outcomes(rows, [1, 7], {"later": "value"})
    values = dict(zip(rows["step"], rows["value"], strict=True))
    assert found.height == sum(step + lead in values for step in values for lead in (1, 7))
    for row in found.iter_rows(named=True):
        assert row["later"] == values[row["step"] + row["lead_count"]]
        assert row["target_at"] - row["event_time"] == timedelta(days=row["lead_count"])


def test_an_outcome_that_cannot_be_read_is_told_at_the_forecast():
    rows = on_steps(series(6).with_columns(parse_errors=pl.Series([None, None, "value: 'x'", None, None, None])))
    found = with_outcomes(rows, [1], {"later": "value"})["parse_errors"].to_list()
    assert found == [None, "at the time that is forecast: value: 'x'", "value: 'x'", None, None]


def forecasts(n=400, leads=(1, 5, 30)):
    return with_outcomes(on_steps(series(n)), leads, {"later": "value"})


@given(valid=st.integers(60, 250), length=st.integers(40, 100), embargo=st.none() | st.integers(0, 20))
def test_no_target_of_a_training_row_reaches_into_the_validation_or_the_test(valid, length, embargo):
    begins = {"train": START, "valid": START + timedelta(days=valid)}
    begins["test"] = begins["valid"] + timedelta(days=length)
    gap = None if embargo is None else timedelta(days=embargo)
    rows = split_by_target(forecasts(), begins, gap)
    spans = {name: rows.filter(split=name) for name in begins}
    for earlier, later in (("train", "valid"), ("valid", "test")):
        assert spans[earlier]["target_at"].max() < begins[later] <= spans[later]["target_at"].min()
        if gap is not None:
            last_known = rows.filter(pl.col("target_at") < begins[later])["target_at"].max()
            assert spans[later]["event_time"].min() >= last_known + gap
    assert gap is not None or not (rows["split"] == "unused").any()


def test_a_row_without_a_known_outcome_is_unused_and_an_empty_split_is_refused():
    rows = forecasts(60).with_columns(pl.when(pl.col("lead_count") < 30).then("target_at").alias("target_at"))
    begins = {"train": START, "valid": START + timedelta(days=20), "test": START + timedelta(days=40)}
    assert set(split_by_target(rows, begins).filter(lead_count=30)["split"]) == {"unused"}
    with pytest.raises(DataContractError, match=r"2001-01-02 to 2001-03-01, none is of the split test; .*2030-01-01"):
        split_by_target(rows, begins | {"test": datetime(2030, 1, 1, tzinfo=UTC)})


@given(n_folds=st.integers(1, 6), embargo=st.integers(0, 10), first_share=st.sampled_from([0.0, 0.25, 0.5]))
def test_a_walk_forward_forecasts_each_later_time_once_and_learns_only_what_was_known(n_folds, embargo, first_share):
    rows = forecasts(100)
    gap = timedelta(days=embargo)
    folds = walk_forward(rows, n_folds, gap, first_share)
    all_times = rows["event_time"].unique().sort()
    forecast = [time for fold in folds for time in fold.future["event_time"].unique().sort()]
    assert forecast == all_times[int(len(all_times) * first_share) :].to_list()
    for past, future in folds:
        begin = future["event_time"].min()
        assert past.equals(known_at(rows, begin, gap))
        assert past.is_empty() or past["target_at"].max() + gap <= begin


def test_no_period_is_no_fold():
    assert walk_forward(forecasts(100), 0) == []


def test_contiguous_folds_are_blocks_of_nearly_equal_size():
    fold = contiguous_folds(30, 8)
    assert (np.diff(fold) >= 0).all()
    assert set(np.bincount(fold)) == {3, 4}
    assert contiguous_folds(0, 8).shape == (0,)


def test_the_year_is_a_circle():
    waves = annual_waves(times(366))
    assert waves[0] == pytest.approx([1, 0])
    assert np.hypot(*waves.T) == pytest.approx(1)
    assert waves[365] == pytest.approx(waves[0], abs=0.02)


def test_a_climatology_is_mean_and_deviation_by_season_and_of_all_where_a_season_is_empty():
    values, season = np.array([1.0, 3.0, 10.0, 14.0, np.nan]), np.array([0, 0, 1, 1, 2])
    mean, std = climatology(values, season, 3)
    assert mean == pytest.approx([2, 12, 7])
    assert std == pytest.approx([1, 2, values[:4].std()])
    assert [each.tolist() for each in climatology(np.full(2, np.nan), np.array([0, 1]), 2)] == [[0, 0], [1, 1]]


def test_anomalies_are_zero_on_average_in_the_reference_which_alone_decides():
    rows = series(48, "month")
    month, is_reference = pl.col("event_time").dt.month(), pl.col("event_time").dt.year() < 2004
    found = rows.with_columns(anomaly("value", month, is_reference))
    means = found.filter(is_reference).group_by(month).agg(pl.col("value").mean())
    assert means["value"].to_numpy() == pytest.approx(0)
    later = rows.with_columns(pl.when(~is_reference).then(9.0).otherwise("value").alias("value"))
    planted = later.with_columns(anomaly("value", month, is_reference))
    assert planted.filter(is_reference).equals(found.filter(is_reference))


normal = st.tuples(st.floats(-5, 5), st.floats(0.1, 5), st.floats(-10, 10))


@given(normal)
def test_the_crps_of_a_normal_distribution_is_the_integral_of_its_definition(drawn):
    mean, std, outcome = drawn
    grid = np.linspace(-60, 60, 240_001)
    below = np.array([NormalDist(mean, std).cdf(float(x)) for x in grid[::40]])
    wanted = np.trapezoid((below - (grid[::40] >= outcome)) ** 2, grid[::40])
    assert crps_gaussian(np.array(mean), np.array(std), np.array(outcome)) == pytest.approx(wanted, abs=0.02)


def test_crps_of_arrays_and_tensors_and_quantiles_agree_and_an_unknown_outcome_has_none():
    random = np.random.default_rng(0)
    mean, std, outcome = random.normal(size=50), random.uniform(0.2, 3, 50), random.normal(0, 3, 50)
    exact = crps_gaussian(mean, std, outcome)
    assert crps_gaussian_loss(*map(torch.tensor, (mean, std, outcome))).numpy() == pytest.approx(exact)
    levels = (np.arange(500) + 0.5) / 500
    assert crps_from_quantiles(gaussian_quantiles(mean, std, levels), levels, outcome) == pytest.approx(exact, rel=0.02)
    assert math.isnan(crps_gaussian(np.array(1.0), np.array(2.0), np.array(np.nan)))


def test_nobody_scores_better_than_who_says_the_truth():
    outcome = np.random.default_rng(0).normal(1, 2, 100_000)

    def mean_crps(mean, std):
        return crps_gaussian(np.array(mean), np.array(std), outcome).mean()

    truth = mean_crps(1.0, 2.0)
    assert all(truth < mean_crps(mean, std) for mean, std in ((1.3, 2.0), (0.7, 2.0), (1.0, 2.4), (1.0, 1.6)))
    levels = np.array([0.1, 0.5, 0.9])
    candidates = np.linspace(-6, 8, 281)
    losses = [pinball(np.full(3, each), levels, outcome).mean(axis=0) for each in candidates]
    assert candidates[np.argmin(losses, axis=0)] == pytest.approx(np.quantile(outcome, levels), abs=0.05)


def test_pinball_of_tensors_is_that_of_arrays_and_pulls_a_quantile_to_its_level():
    levels, outcome = torch.tensor([0.1, 0.9]), torch.randn(4000, generator=torch.Generator().manual_seed(0))
    quantiles = torch.zeros(2, requires_grad=True)
    loss = pinball(quantiles, levels, outcome)
    assert loss.detach().numpy() == pytest.approx(pinball(np.zeros(2), levels.numpy(), outcome.numpy()), abs=1e-6)
    loss.mean().backward()
    assert quantiles.grad[0] > 0 > quantiles.grad[1]  # a step against the gradient lowers the first, raises the second


def test_gaussian_quantiles_are_ordered_and_hold_their_share():
    levels = (0.05, 0.5, 0.95)
    found = gaussian_quantiles(np.array([0.0, 5.0]), np.array([1.0, 2.0]), levels)
    assert found.shape == (2, 3)
    assert found[1] == pytest.approx([NormalDist(5, 2).inv_cdf(level) for level in levels])


def test_coverage_counts_known_outcomes_and_the_bounds():
    low, high = np.zeros(4), np.ones(4)
    assert interval_coverage(low, high, np.array([0.0, 1.0, 1.1, np.nan])) == pytest.approx(2 / 3)
    assert math.isnan(interval_coverage(low, high, np.full(4, np.nan)))


def test_metrics_by_lead_are_those_of_the_leads_rows_and_absent_where_rows_are_few():
    lead, values = np.repeat([1, 2, 3], [50, 40, 5]), np.arange(95.0)
    found = by_lead(lead, (1, 3, 9), {"mean": lambda at: float(values[at].mean())}, min_rows=30)
    assert found.keys() == {"mean_lead_1", "mean_lead_3", "mean_lead_9"}
    assert found["mean_lead_1"] == values[:50].mean()
    assert math.isnan(found["mean_lead_3"])
    assert math.isnan(found["mean_lead_9"])
