"""Intervals, floor, champion and slices, on a tiny record of functions (no project, no training)."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from modelyard import scoring
from modelyard.feature_store.schema import schema_digest
from modelyard.gate import GateParameters, standard_gate
from modelyard.parameters import Parameters
from modelyard.project import Metrics
from modelyard.records import Column, Contract, Media
from modelyard.scoring import EvaluateParameters, Scores, _resamples, gain, intervals, percentile_intervals, resampled
from modelyard.stages.evaluate import make_evaluate


class ScoreParameters(Parameters):
    """None."""


def score(rows: pl.DataFrame, params: ScoreParameters) -> dict[str, float]:
    error = rows["value"] - rows["prediction"]
    return {"rmse": math.sqrt((error**2).mean()), "n_groups": rows["patient"].n_unique(), "undefined": math.nan}


def project(group="patient"):
    columns = tuple(
        Column(name=name, dtype=dtype, description="A column.")
        for name, dtype in {
            "id": "int64",
            "patient": "int64",
            "value": "float64",
            "reading": "float64",
            "ward": "string",
        }.items()
    )
    return SimpleNamespace(
        name="toy",
        contract=Contract(columns=columns, key="id", event_time="event_time", target="value", group=group),
        feature_views=(),
        metrics=Metrics(
            score=score,
            primary="rmse",
            greater_is_better=False,
            floor=lambda train, test: pl.DataFrame({"prediction": np.full(test.height, train["value"].mean())}),
            slices=("ward",),
        ),
        predict=lambda model, examples: examples.select(prediction=pl.col("reading") + model),
        figures=lambda rows, model: {},
        gate=standard_gate,
    )


def examples(n=600, per_patient=3):
    random = np.random.default_rng(0)
    patient = np.arange(n) // per_patient
    value = random.normal(size=n // per_patient).repeat(per_patient)  # rows of a patient are alike
    return pl.DataFrame(
        {
            "id": np.arange(n),
            "patient": patient,
            "value": value,
            "reading": value,
            "ward": np.where(patient % 2 == 0, "north", "south"),
            "split": ["train"] * (n // 2) + ["test"] * (n // 2),
        }
    )


def rows():
    return examples().with_columns(prediction=pl.lit(0.0))


PARAMS = EvaluateParameters(n_resamples=200, min_slice_rows=50)


def test_the_interval_covers_the_value_and_undefined_stays_undefined():
    found = intervals(project(), rows(), ScoreParameters(), PARAMS)
    assert found["rmse"].low < found["rmse"].value < found["rmse"].high
    assert math.isnan(found["undefined"].low)


def test_the_same_seed_gives_the_same_interval():
    first, second = (intervals(project(), rows(), ScoreParameters(), PARAMS)["rmse"] for _ in range(2))
    other = intervals(project(), rows(), ScoreParameters(), EvaluateParameters(seed=1))["rmse"]
    assert first == second != other


def test_resampling_patients_is_more_careful_than_resampling_rows():
    by_patient = intervals(project(), rows(), ScoreParameters(), PARAMS)["rmse"]
    by_row = intervals(project(group=None), rows(), ScoreParameters(), PARAMS)["rmse"]
    assert by_patient.high - by_patient.low > 1.4 * (by_row.high - by_row.low)  # sqrt(3) for 3 equal rows a patient


def test_a_resample_draws_whole_groups_and_tells_copies_apart():
    original = rows()
    sizes = original.group_by("patient").len()["len"]
    for resample in _resamples(
        original.sample(fraction=1, shuffle=True, seed=2), "patient", EvaluateParameters(n_resamples=20)
    ):
        assert resample["patient"].n_unique() == len(sizes)
        assert (resample.group_by("patient").agg(pl.col("id").n_unique(), pl.len())["len"] == 3).all()
        assert resample.group_by("patient").agg(pl.col("value").n_unique())["value"].to_list() == [1] * len(sizes)


def evaluate(model=0.1, champion=None, gate=None):
    return make_evaluate(project())(
        examples(), pl.DataFrame(), model, champion, PARAMS, ScoreParameters(), gate or GateParameters()
    )


def test_floor_and_slices_stand_beside_the_metric():
    evaluation, predictions, _ = evaluate()
    assert evaluation["n_test"] == predictions.height == 300
    assert evaluation["metrics"]["rmse"]["value"] == pytest.approx(0.1)
    assert evaluation["floor"]["rmse"] == pytest.approx(1.0, abs=0.2)
    assert evaluation["champion"] is None
    assert evaluation["gate"]["passed"] is True
    assert [(part["value"], part["n_rows"]) for part in evaluation["slices"]] == [("north", 150), ("south", 150)]


def test_the_champion_is_measured_on_the_same_rows_and_can_fail_the_gate():
    champion = SimpleNamespace(model=0.05, version="3", feature_schema_digest=schema_digest(()))
    evaluation, _, _ = evaluate(champion=champion)
    assert evaluation["champion"]["rmse"] == pytest.approx(0.05)
    assert evaluation["gate"]["passed"] is False
    assert "worse than the champion" in evaluation["gate"]["reason"]


def test_a_champion_of_another_feature_schema_is_not_compared(caplog):
    champion = SimpleNamespace(model=0.05, version="3", feature_schema_digest="other")
    evaluation, _, _ = evaluate(champion=champion)
    assert evaluation["champion"] is None
    assert "another feature schema" in caplog.text


def test_inputs_are_not_changed():
    before = examples()
    make_evaluate(project())(before, pl.DataFrame(), 0.1, None, PARAMS, ScoreParameters(), GateParameters())
    assert before.equals(examples())


def gained(of, ours, theirs):
    return gain(of, *(resampled(of, one, ScoreParameters(), PARAMS) for one in (ours, theirs)), PARAMS)


def test_a_small_gain_on_every_row_is_sure_where_two_intervals_would_overlap():
    champion = rows()
    better = champion.with_columns(prediction=pl.col("value") * 0.05)
    found = gained(project(), better, champion)
    assert 0 < found.low < found.value < found.high
    ours, theirs = (intervals(project(), one, ScoreParameters(), PARAMS)["rmse"] for one in (better, champion))
    assert ours.high > theirs.low, "seen apart, nothing could be said"
    assert gained(project(), champion, better).high < 0


def test_no_gain_over_itself_and_none_where_the_metric_is_undefined():
    assert gained(project(), rows(), rows()) == (0, 0, 0)
    undefined = project()
    undefined.metrics = Metrics(score=score, primary="undefined", greater_is_better=True, floor=undefined.metrics.floor)
    assert math.isnan(gained(undefined, rows(), rows()).low)


def test_predict_and_floor_cannot_see_the_answer():
    peeking = project()
    peeking.predict = lambda model, examples: examples.select(prediction="value")
    with pytest.raises(pl.exceptions.ColumnNotFoundError):
        make_evaluate(peeking)(examples(), pl.DataFrame(), 0.1, None, PARAMS, ScoreParameters(), GateParameters())
    peeking = project()
    peeking.metrics = replace(peeking.metrics, floor=lambda train, test: test.select(prediction="value"))
    with pytest.raises(pl.exceptions.ColumnNotFoundError):
        make_evaluate(peeking)(examples(), pl.DataFrame(), 0.1, None, PARAMS, ScoreParameters(), GateParameters())


def test_a_model_that_would_copy_the_target_or_a_mask_is_shown_neither():
    peeking = project()
    mask = Media(name="mask", dtype="uint8", shape=(1,), description="Where the value is.", role="target")
    peeking.contract = replace(peeking.contract, media=(mask,))
    rows = examples().with_columns(mask=pl.col("value"))

    def copying(model, shown):
        known = next((name for name in ("value", "mask") if name in shown.columns), None)
        return shown.select(prediction=pl.col(known) if known else pl.col("reading") * 0)

    peeking.predict = copying
    assert scoring.score(peeking, None, rows, ScoreParameters())["rmse"] == pytest.approx(
        math.sqrt((rows["value"] ** 2).mean())
    )
    assert copying(None, rows)["prediction"].equals(rows["value"].alias("prediction")), "it would copy, if it could"


def root_mean(rows: pl.DataFrame, params: ScoreParameters) -> dict[str, float]:
    return {"rmse": math.sqrt(rows["squared_error"].mean())}


def measured_project(calls):
    """A project whose metric needs the target of each row, which only ``measure`` sees, and one without resamples."""
    measured = project()

    def measure(rows, predictions, params):
        calls.append(rows.height)
        return pl.DataFrame({"squared_error": (rows["value"] - predictions["prediction"]) ** 2})

    measured.metrics = replace(
        measured.metrics,
        measure=measure,
        score=root_mean,
        once=lambda rows, params: {"n_distinct_rows": rows["id"].n_unique()},
    )
    return measured


def test_rows_are_measured_once_for_each_model_and_resampled_afterwards():
    calls = []
    evaluation, answered, _ = make_evaluate(measured_project(calls))(
        examples(), pl.DataFrame(), 0.1, None, PARAMS, ScoreParameters(), GateParameters()
    )
    assert calls == [300, 300], "the model and the floor"
    assert evaluation["metrics"]["rmse"]["value"] == pytest.approx(0.1)
    assert "squared_error" not in answered.columns, "labels must not reach the reference of what is served"


def test_a_metric_without_resamples_has_no_interval():
    evaluation, _, _ = make_evaluate(measured_project([]))(
        examples(), pl.DataFrame(), 0.1, None, PARAMS, ScoreParameters(), GateParameters()
    )
    found = evaluation["metrics"]["n_distinct_rows"]
    assert found["value"] == evaluation["floor"]["n_distinct_rows"] == 300
    assert math.isnan(found["low"])
    assert math.isnan(found["high"])
    assert evaluation["shown"] == ["rmse", "n_distinct_rows"]


def test_a_model_that_loses_rows_is_refused():
    losing = project()
    losing.predict = lambda model, examples: examples.select(prediction="reading").head(3)
    with pytest.raises(ValueError, match="3 rows for 300 examples"):
        make_evaluate(losing)(examples(), pl.DataFrame(), 0.1, None, PARAMS, ScoreParameters(), GateParameters())


def test_the_value_lies_in_its_interval_even_where_resamples_are_biased():
    """Repeated rows make the number of distinct ones smaller, and a binned calibration error larger."""
    random = np.random.default_rng(0)
    for biased in (random.normal(0.12, 0.02, 500), random.normal(0.02, 0.005, 500).clip(0)):
        found = percentile_intervals(Scores({"error": 0.07}, biased[:, None]), EvaluateParameters())["error"]
        assert 0 <= found.low <= 0.07 <= found.high
        width = np.subtract(*np.percentile(biased, [97.5, 2.5]))
        assert found.high - found.low == pytest.approx(width, rel=0.01)
    nothing = percentile_intervals(Scores({"error": math.nan}, np.full((20, 1), math.nan)), EvaluateParameters())
    assert math.isnan(nothing["error"].low)
