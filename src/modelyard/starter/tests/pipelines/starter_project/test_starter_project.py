"""The project learns what there is to learn, serves what it learnt, and looks into no future."""

import math
from dataclasses import dataclass

import polars as pl
import pytest
from pydantic import ValidationError

from modelyard.errors import ConfigurationError
from modelyard.project import FitRun
from modelyard.scoring import learning_rows, rows_of
from modelyard.stages.examples import SplitParameters, with_split
from pipelines.starter_project.data import (
    CONTRACT,
    IngestParameters,
    SimulationParameters,
    ingest,
    simulate,
)
from pipelines.starter_project.evaluate import ScoreParameters, ceiling, floor, predict, score
from pipelines.starter_project.features import FeatureParameters, derive_features
from pipelines.starter_project.model import FailureModel, FitParameters, load, save
from pipelines.starter_project.serve import EXAMPLE, PartReadings, decode, encode
from pipelines.starter_project.train import fit

SMALL = SimulationParameters(n_machines=100, n_weeks=60)
QUICK = FitParameters(epochs=6)


@dataclass(frozen=True)
class Trained:
    """Simulated examples, a model fitted on them, and what it reported."""

    examples: pl.DataFrame
    model: FailureModel
    reports: list[tuple[int, float]]


def fitted(examples, folder):
    reports = []
    run = FitRun(seed=0, folder=folder, report=lambda step, value: reports.append((step, value)), n_threads=1)
    return fit(learning_rows(examples), QUICK, run), reports


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Trained:
    records = simulate(SMALL)
    features = derive_features(records, FeatureParameters())["part_condition"]
    joined = records.join(features, on=["part_id", "event_time"], how="left", maintain_order="left")
    examples = with_split(joined.drop("true_risk"), CONTRACT, SplitParameters())
    return Trained(examples, *fitted(examples, tmp_path_factory.mktemp("fit")))


def metrics_of(rows, predictions):
    return score(rows.hstack(predictions), ScoreParameters())


def test_the_model_lies_between_the_floor_and_the_known_ceiling(trained):
    test = rows_of(trained.examples, "test")
    trivial = metrics_of(test, floor(rows_of(trained.examples, "train"), test))
    ours = metrics_of(test, predict(trained.model, test))
    best = ceiling(SMALL)
    assert trivial["roc_auc"] + 0.1 < ours["roc_auc"] < best["roc_auc"]
    assert trivial["found_when_inspecting"] < ours["found_when_inspecting"] <= best["found_when_inspecting"]


def test_every_epoch_is_reported_and_the_best_one_is_kept(trained):
    steps, values = zip(*trained.reports, strict=True)
    assert list(steps) == list(range(1, len(steps) + 1))
    assert trained.model.params.best_epoch == values.index(max(values)) + 1


def test_the_same_seed_gives_the_same_bits(trained, tmp_path):
    again, _ = fitted(trained.examples, tmp_path)
    test = rows_of(trained.examples, "test")
    assert predict(again, test).equals(predict(trained.model, test))


def test_a_loaded_model_predicts_the_same_bits(trained, tmp_path):
    save(trained.model, tmp_path)
    loaded = load(tmp_path)
    test = rows_of(trained.examples, "test")
    assert loaded.params == trained.model.params
    assert predict(loaded, test).equals(predict(trained.model, test))


def test_a_future_reading_changes_no_earlier_feature():
    records = simulate(SMALL)
    moment = records["event_time"].sort()[records.height // 2]
    is_later = pl.col("event_time") > moment
    changed = records.with_columns(pl.when(is_later).then(999.0).otherwise("vibration_mm_s").alias("vibration_mm_s"))
    before, after = (derive_features(table, FeatureParameters())["part_condition"] for table in (records, changed))
    assert not before.equals(after)
    assert before.filter(~is_later).equals(after.filter(~is_later))


def test_serving_answers_what_the_batch_predicts(trained):
    rows = trained.examples.filter(pl.len().over("part_id") >= 4).sort("part_id", "event_time")
    part = rows.filter(pl.col("part_id") == rows["part_id"][0]).head(4)
    request = PartReadings(
        age_d=part["age_d"][-1],
        temperatures_c=part["temperature_c"].to_list(),
        vibrations_mm_s=part["vibration_mm_s"].to_list(),
    )
    served = encode(predict(trained.model, decode([EXAMPLE, request])))[1].failure_probability
    assert served == pytest.approx(predict(trained.model, part)["failure_probability"][-1], rel=1e-5)


def test_a_part_that_shakes_more_is_not_safer(trained):
    calm = PartReadings(age_d=100.0, temperatures_c=[60.0] * 4, vibrations_mm_s=[2.0] * 4)
    shaking = calm.model_copy(update={"vibrations_mm_s": [6.0] * 4})
    safe, risky = encode(predict(trained.model, decode([calm, shaking])))
    assert safe.failure_probability < risky.failure_probability


def test_own_data_without_a_file_are_refused():
    with pytest.raises(ConfigurationError, match="No file of own readings"):
        ingest(IngestParameters(source="own"))


def test_a_request_with_a_missing_reading_is_refused():
    with pytest.raises(ValidationError, match="2 temperatures and 1 vibrations"):
        PartReadings(age_d=1.0, temperatures_c=[60.0, 61.0], vibrations_mm_s=[2.0])


def test_metrics_of_four_rows_are_those_counted_by_hand():
    rows = pl.DataFrame({"is_failing": [False, True, False, True], "failure_probability": [0.1, 0.2, 0.2, 0.9]})
    # Of four pairs of a failing and a healthy part, three are ranked right and one is tied.
    assert score(rows, ScoreParameters(inspected_share=0.25)) == {"roc_auc": 0.875, "found_when_inspecting": 0.5}


@pytest.mark.parametrize("is_failing", [True, False])
def test_rows_of_one_class_have_no_metrics(is_failing):
    rows = pl.DataFrame({"is_failing": [is_failing] * 2, "failure_probability": [0.1, 0.2]})
    assert all(math.isnan(value) for value in score(rows, ScoreParameters()).values())
