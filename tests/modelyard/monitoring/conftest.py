"""A simulated world, a model fitted in it and registered with its reference, and weeks to watch it in."""

import json
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from modelyard.model_registry.registration import Reference, Registration
from modelyard.monitoring.reference import MonitorParameters
from modelyard.projects import load_project
from modelyard.stages.monitor import make_summarise

PROJECT = "fraud_detection"
FIRST_DAY = datetime(2024, 1, 1, tzinfo=UTC)
TEST_ENDS = 42
"""Training days are 14 to 27, labels are waited for, the test days are 35 to 41; windows begin here."""


def examples_of(**world):
    """Transactions with their features; split where ``TEST_ENDS`` says so."""
    from pipelines.fraud_detection.data import PeriodParameters, assign_split
    from pipelines.fraud_detection.features import FEATURE_VIEWS, FeatureParameters, derive_features
    from pipelines.fraud_detection.simulator import simulate
    from pipelines.fraud_detection.world import SimulationParameters

    records = simulate(SimulationParameters(n_days=TEST_ENDS + 7, **world))
    views = derive_features(records, FeatureParameters())
    for view in FEATURE_VIEWS:
        keys = [view.entity, "event_time"]
        records = records.join(views[view.name], on=keys, how="left", maintain_order="left")
    return assign_split(records, PeriodParameters(), FIRST_DAY + timedelta(days=TEST_ENDS))


def last_week(examples):
    """The week after the test, without the cards that are blocked by then: the test has none of them either."""
    from pipelines.fraud_detection.data import PeriodParameters, assign_split

    week = assign_split(examples, PeriodParameters(), FIRST_DAY + timedelta(days=TEST_ENDS + 7))
    return week.filter(pl.col("split") == "test")


@dataclass(frozen=True)
class Watched:
    """A model in service.

    Args:
        data: The data folder, in which version 1 is registered.
        model: That version.
        reference: What it carries.
        examples: Records with features of the undrifted world.
    """

    data: Path
    model: object
    reference: Reference
    examples: pl.DataFrame

    def answered(self, rows):
        """Rows with predictions, as the judge gets them: without customers, whom no log names."""
        answers = load_project(PROJECT).predict(self.model, rows)
        return rows.hstack(answers)


@pytest.fixture(scope="session")
def fitted_model(tmp_path_factory):
    from modelyard.project import FitRun
    from modelyard.scoring import learning_rows
    from pipelines.fraud_detection.model import FitParameters
    from pipelines.fraud_detection.train import fit

    examples = examples_of(n_customers=80, n_terminals=80, fraud_share=0.05, seed=7)
    params = FitParameters.model_validate(
        {"booster": {"n_estimators": 20, "max_bin": 64}, "network": {"loop": {"epochs": 1}}}
    )
    run = FitRun(seed=0, folder=tmp_path_factory.mktemp("fit"), report=lambda step, value: None, n_threads=1)
    return fit(learning_rows(examples), params, run)


@pytest.fixture(scope="session")
def watched(tmp_path_factory, migrated_database, fitted_model):
    from modelyard.catalog.model_versions import RegisteredVersion
    from modelyard.feature_store.schema import schema_digest
    from modelyard.model_registry.versions import CHAMPION
    from modelyard.parameters import parameters_of
    from modelyard.scoring import EvaluateParameters, intervals, rows_of, scored_rows, without_answers
    from modelyard.tracking.mlflow_store import client

    project = load_project(PROJECT)
    data = tmp_path_factory.mktemp("monitor")
    shutil.copy(migrated_database, data / "mlflow.db")
    examples = examples_of(n_customers=1000, n_terminals=1000, seed=1)
    test = rows_of(examples, "test")
    answers = project.predict(fitted_model, without_answers(project, test))
    score_params = parameters_of(project.metrics.score)()
    predictions = scored_rows(project, test, answers, score_params)
    metrics = intervals(project, predictions, score_params, EvaluateParameters(n_resamples=30))
    evaluation = {
        "gate": {"passed": True, "reason": "for the test"},
        "primary": project.metrics.primary,
        "greater_is_better": True,
        "metrics": {name: interval._asdict() for name, interval in metrics.items()},
        "floor": dict.fromkeys(metrics, 0.0),
        "champion": None,
    }
    reference = Reference(*make_summarise(project)(examples, predictions, evaluation, MonitorParameters()))
    schema = schema_digest(project.feature_views)
    record = {"feature_schema_digest": schema, "source": "test", "data_digest": "", "commit": "", "is_dirty": False}
    record["parameters"] = {"evaluate": {"n_resamples": 30}, "score": {}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODELYARD_DATA_DIR", str(data))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        RegisteredVersion(project=PROJECT, filepath=str(data / "version.json")).save(
            Registration(
                model=fitted_model, evaluation=evaluation, card="", record=record, digest="1", reference=reference
            )
        )
        client().set_registered_model_alias(PROJECT, CHAMPION, "1")
    assert json.loads((data / "version.json").read_text())["version"] == 1
    return Watched(data, fitted_model, reference, examples)


@pytest.fixture
def in_service(watched, monkeypatch):
    """``watched``, its data folder being this process's; what was served and reported is cleared away."""
    monkeypatch.setenv("MODELYARD_DATA_DIR", str(watched.data))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield watched
    shutil.rmtree(watched.data / "07_model_output", ignore_errors=True)
    shutil.rmtree(watched.data / "08_reporting", ignore_errors=True)
