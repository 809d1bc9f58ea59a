"""Further columns of own data: from the file through the model to requests, reasons and the monitor."""

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from modelyard.errors import DataContractError
from modelyard.monitoring.reference import watched_inputs
from modelyard.project import FitRun
from modelyard.stages.validate import ValidateParameters, make_validate
from modelyard.tasks.ranking import roc_auc
from pipelines.fraud_detection.data import IngestParameters, PeriodParameters, ingest
from pipelines.fraud_detection.evaluate import predict
from pipelines.fraud_detection.inputs import input_columns
from pipelines.fraud_detection.model import load, save
from pipelines.fraud_detection.pipeline import PROJECT
from pipelines.fraud_detection.serve import EXAMPLE, FraudRequest, decode
from pipelines.fraud_detection.simulator import simulate
from pipelines.fraud_detection.train import fit
from pipelines.fraud_detection.world import SimulationParameters
from tests.pipelines.fraud_detection.small import SMALL


@pytest.fixture(scope="module")
def telling(examples):
    """Examples with a category that frauds have more often, and a distance that says nothing."""
    random = np.random.default_rng(0)
    is_telling = examples["is_fraud"].to_numpy() & (random.random(examples.height) < 0.9)
    kinds = np.where(is_telling, "cash {desk}", random.choice(["food", "fuel"], examples.height))
    return examples.with_columns(
        shop_kind=pl.Series(kinds.astype(str)), distance_km=pl.Series(random.random(examples.height))
    )


@pytest.fixture(scope="module")
def model(telling, tmp_path_factory):
    params = SMALL.fit.model_copy(update={"booster": SMALL.fit.booster.model_copy(update={"n_estimators": 20})})
    run = FitRun(seed=0, folder=tmp_path_factory.mktemp("fit"), report=lambda step, value: None, n_threads=1)
    return fit(telling.filter(pl.col("split").is_in(["train", "valid"])), params, run)


def test_the_model_learns_from_them_and_keeps_what_it_learnt(model, telling, tmp_path):
    assert [(one.name, one.categories and set(one.categories)) for one in model.params.further] == [
        ("shop_kind", {"food", "fuel", "cash {desk}"}),
        ("distance_km", None),
    ]
    test = telling.filter(pl.col("split") == "test")
    answers = predict(model, test)
    without = predict(model, test.drop("shop_kind", "distance_km"))
    is_fraud = test["is_fraud"].to_numpy()
    assert roc_auc(is_fraud, answers["score"].to_numpy()) > roc_auc(is_fraud, without["score"].to_numpy()) + 0.02
    assert any("shop kind is cash {desk}: yes" in reasons for reasons in answers["reasons"])
    save(model, tmp_path)
    assert predict(load(tmp_path), test).equals(answers)
    assert list(input_columns(model.params.further))[-1] == "distance_km"


def test_a_request_gives_them_by_name(model, telling):
    def asked(**further):
        request = FraudRequest.model_validate(EXAMPLE.model_dump() | {"further": further})
        return predict(model, decode([request]))["score"][0]

    assert asked(shop_kind="cash {desk}", distance_km=0.5) > asked(shop_kind="food", distance_km=0.5)
    assert 0 < asked() < 1
    with pytest.raises(DataContractError, match="no further column colour"):
        asked(colour="red")
    with pytest.raises(DataContractError, match="holds numbers in the training data"):
        asked(distance_km="far")
    for name in ("amount", "customer_tx_count_1h", "is_fraud", "further"):
        with pytest.raises(ValidationError, match=f"{name}: no further column has this name"):
            asked(**{name: 1.0})


def test_a_model_of_other_columns_answers_all_the_same(trained, telling):
    test = telling.filter(pl.col("split") == "test").head(50)
    assert predict(trained.model, test).equals(predict(trained.model, test.drop("shop_kind", "distance_km")))


def test_the_monitor_watches_them(telling):
    assert {"shop_kind", "distance_km", "amount"} <= set(watched_inputs(PROJECT, telling))


def test_they_come_from_the_file_that_names_them(tmp_path):
    world = SimulationParameters(n_customers=50, n_terminals=60, n_days=30, fraud_share=0.05)
    table = simulate(world).drop("fraud_scenario").with_columns(pl.lit(5411).alias("MCC"), pl.lit("x").alias("note"))
    table.write_csv(tmp_path / "own.csv")
    params = IngestParameters.model_validate(
        {
            "source": "own",
            "path": str(tmp_path / "own.csv"),
            "periods": PeriodParameters(train_days=12),
            "columns": {"merchant_category": "MCC"},
            "further_columns": {"merchant_category": {"dtype": "string"}},
        }
    )
    checked, rejected, report, _ = make_validate(PROJECT)(ingest(params), None, params, ValidateParameters())
    assert rejected.is_empty()
    assert set(checked["merchant_category"]) == {"5411"}
    assert "note" not in checked.columns
    assert "merchant_category" in report
    with pytest.raises(ValidationError, match="the contract has amount already"):
        IngestParameters.model_validate({"source": "own", "further_columns": {"amount": {}}})
