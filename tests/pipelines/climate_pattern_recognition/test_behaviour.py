"""Laws of the oscillations, the ceiling, and the API."""

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from pipelines.climate_pattern_recognition.data import IngestParameters, records_of
from pipelines.climate_pattern_recognition.evaluate import ScoreParameters, floor, predict, score
from pipelines.climate_pattern_recognition.oscillations import OSCILLATIONS, forecast_phases, observed_phase
from pipelines.climate_pattern_recognition.serve import EXAMPLE, ForecastRequest, decode, encode
from pipelines.climate_pattern_recognition.simulator import SimulationParameters, perfect_forecast, simulate
from tests.pipelines.climate_pattern_recognition.small import SMALL


def test_the_farther_ahead_the_wider(trained):
    test = trained.rows("test")
    rows = test.select("lead_count").hstack(trained.predictions)
    means = rows.group_by("lead_count").agg(pl.col("forecast_first_spread").mean()).sort("lead_count")
    assert means["forecast_first_spread"].is_sorted()
    assert means["forecast_first_spread"].n_unique() == 4


def test_intervals_hold_their_nominal_share(trained):
    test = trained.rows("test")
    scores = score(test.hstack(trained.predictions), ScoreParameters(nominal_coverage=0.8))
    assert scores["interval_coverage"] == pytest.approx(0.8, abs=0.05)


def test_the_oscillation_turns_and_its_forecast_turns_with_it(trained):
    """Ten days are a quarter of a turn: RMM1 follows where RMM2 was, as the system rotates."""
    test = trained.rows("test").filter(pl.col("lead_count") == 10)
    answers = predict(trained.model, test)
    turned = np.corrcoef(answers["forecast_first"], test["second_index"])[0, 1]
    assert abs(turned) > 0.9


def test_nobody_beats_the_perfect_forecast_and_it_is_calibrated():
    params = SimulationParameters(oscillation="enso", n_years=300)
    states = simulate(params).select("first_index", "second_index").to_numpy()
    mean, spread = perfect_forecast(params, 6)
    place = (states[6:] - mean[:-6]) / spread[:-6]
    assert np.isnan(mean[-6:]).all()
    assert place.mean() == pytest.approx(0, abs=0.08)
    assert place.std() == pytest.approx(1, abs=0.05)


def test_el_nino_is_locked_to_the_season():
    series = simulate(SimulationParameters(oscillation="enso", n_years=400))
    by_month = series.group_by(pl.col("event_time").dt.month()).agg(pl.col("first_index").std()).sort("event_time")
    spread = by_month["first_index"].to_list()
    assert spread.index(max(spread)) + 1 in (11, 12, 1, 2)
    assert max(spread) > 1.2 * min(spread)
    flat = simulate(SimulationParameters(oscillation="enso", n_years=400, seasonality=0))
    flat_spread = flat.group_by(pl.col("event_time").dt.month()).agg(pl.col("first_index").std())["first_index"]
    assert flat_spread.max() < 1.1 * flat_spread.min()


def test_drift_moves_the_last_quarter_only_and_the_ceiling_knows_it():
    still, moved = (SimulationParameters(oscillation="enso", n_years=20, drift=drift) for drift in (0.0, 2.0))
    shift = (simulate(moved)["first_index"] - simulate(still)["first_index"]).to_numpy()
    assert shift[:180] == pytest.approx(0)
    assert shift[-1] == pytest.approx(2, abs=0.05)
    difference = perfect_forecast(moved, 3)[0][:-3, 0] - perfect_forecast(still, 3)[0][:-3, 0]
    assert difference == pytest.approx(shift[3:])


def test_phases_are_wheelers_and_hendons_octants():
    angle = np.deg2rad(np.array([200, 250, 290, 340, 20, 70, 110, 160]))
    assert observed_phase("mjo", 2 * np.cos(angle), 2 * np.sin(angle)).tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert observed_phase("mjo", np.array([0.5]), np.array([0.5])).tolist() == [0]
    assert observed_phase("enso", np.array([-0.5, 0.49, 0.5]), np.zeros(3)).tolist() == [1, 0, 2]


@pytest.mark.parametrize("oscillation", ["enso", "mjo"])
def test_phase_probabilities_are_shares_of_drawn_outcomes(oscillation):
    random = np.random.default_rng(0)
    mean, spread = np.array([[0.8, -0.9]]), np.array([[0.5, 0.7]])
    drawn = mean + spread * random.standard_normal((100_000, 2))
    seen = np.bincount(observed_phase(oscillation, drawn[:, 0], drawn[:, 1]), minlength=9) / len(drawn)
    found = forecast_phases(oscillation, mean, spread)
    assert found["phase"][0] == OSCILLATIONS[oscillation].phases[seen.argmax()]
    assert found["phase_probability"][0] == pytest.approx(seen.max(), abs=0.02)
    assert found["active_probability"][0] == pytest.approx(1 - seen[0], abs=0.02)


def test_another_unit_of_a_series_changes_the_numbers_and_nothing_else():
    """Degrees Celsius or Fahrenheit, metres or micrometres: phases, skill and calibration stay."""
    times = simulate(SimulationParameters(oscillation="enso", n_years=30))
    scores, means = [], []
    for scale, offset in ((1.0, 0.0), (1.8e-4, 3.2e-3), (60.0, 1800.0)):
        series = times.select("event_time", first_index=pl.col("first_index") * scale + offset, series=pl.lit("a"))
        params = IngestParameters(leads=(1, 6), oscillation="monthly")
        examples = SMALL.joined(records_of(series, "monthly", params, "here"))
        test = examples.filter(split="test")
        predictions = floor(examples.filter(split="train"), test)
        found = score(test.hstack(predictions), ScoreParameters())
        scores.append({name: found[name] for name in ("accuracy", "correlation", "interval_coverage", "brier_score")})
        means.append((predictions["forecast_first"] - offset).to_numpy() / scale)
    assert scores[1] == pytest.approx(scores[0], abs=1e-3)
    assert scores[2] == pytest.approx(scores[0], abs=1e-3)
    assert means[1] == pytest.approx(means[0], abs=1e-3)
    assert means[2] == pytest.approx(means[0], abs=1e-3)
    assert 0.3 < scores[0]["accuracy"] < 0.95


def test_a_lead_or_an_oscillation_that_was_not_learnt_has_no_answer_and_spoils_no_other(trained):
    requests = [
        EXAMPLE,
        EXAMPLE.model_copy(update={"lead_count": 6}),
        EXAMPLE.model_copy(update={"oscillation": "enso"}),
    ]
    known, *unknown = encode(predict(trained.model, decode(requests)))
    assert known.first_mean is not None
    assert known.first_quantiles == sorted(known.first_quantiles)
    assert all(value is None for answer in unknown for value in answer.model_dump().values())


@pytest.mark.parametrize(
    "change",
    [
        {"second_indices": [0.1]},
        {"first_indices": []},
        {"first_indices": [99.9]},
        {"lead_count": 0},
        {"oscillation": "nao"},
        {"oscillation": "daily", "first_indices": [1e12] * 8},
        {"event_time": datetime(2017, 1, 20)},  # no zone
    ],
)
def test_a_request_that_makes_no_sense_is_refused(change):
    with pytest.raises(ValidationError):
        ForecastRequest.model_validate(EXAMPLE.model_dump() | change)


def test_months_of_a_request_end_at_its_month():
    request = ForecastRequest(
        oscillation="enso", event_time=datetime(1997, 5, 17, tzinfo=UTC), lead_count=3, first_indices=[0.1, 0.4, 0.9]
    )
    row = decode([request]).row(0, named=True)
    assert (row["first_index_lag_0"], row["first_index_lag_2"], row["first_index_lag_3"]) == (0.9, 0.1, None)
    assert row["event_time"] == datetime(1997, 5, 1, tzinfo=UTC)


def test_the_date_of_a_request_is_the_one_that_is_written():
    kathmandu = datetime(2017, 1, 20, tzinfo=timezone(timedelta(hours=5, minutes=45)))
    asked = [EXAMPLE, EXAMPLE.model_copy(update={"event_time": kathmandu})]
    first, second = decode(asked).rows()
    assert first == second


def test_metrics_by_lead_add_up_to_those_of_all_leads(trained):
    test = trained.rows("test").filter(pl.col("lead_count").is_in([1, 5, 10, 20]))
    scores = score(test.hstack(predict(trained.model, test)), ScoreParameters())
    share = {lead: (test["lead_count"] == lead).mean() for lead in (1, 5, 10, 20)}
    squared = sum(share[lead] * scores[f"root_mean_squared_error_lead_{lead}"] ** 2 for lead in share)
    assert squared == pytest.approx(scores["root_mean_squared_error"] ** 2)
    right = sum(share[lead] * scores[f"accuracy_lead_{lead}"] for lead in share)
    assert right == pytest.approx(scores["accuracy"])
    assert scores["root_mean_squared_error_lead_1"] < scores["root_mean_squared_error_lead_20"]


def test_a_lead_with_hardly_any_rows_has_no_metrics(trained):
    test = trained.rows("test")
    few = pl.concat([test.filter(pl.col("lead_count") == 1), test.filter(pl.col("lead_count") == 5)[:3]])
    scores = score(few.hstack(predict(trained.model, few)), ScoreParameters())
    assert np.isfinite(scores["root_mean_squared_error_lead_1"])
    assert all(np.isnan(scores[f"{name}_lead_5"]) for name in ("root_mean_squared_error", "accuracy", "correlation"))
