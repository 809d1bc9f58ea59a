"""The model: what its inputs are made of, and what follows from its log-odds."""

import math

import numpy as np
import polars as pl
import pytest

from modelyard.errors import ConfigurationError, DataContractError
from modelyard.lineage.table_digest import table_digest
from pipelines.fraud_detection.inputs import input_columns, model_inputs
from pipelines.fraud_detection.model import BlendParameters, load, probabilities, save


def test_inputs_change_no_example_and_see_neither_label_nor_scenario(examples):
    rows = examples.tail(200)
    before = table_digest(rows)
    inputs = model_inputs(rows)
    assert table_digest(rows) == before
    turned = rows.with_columns(~pl.col("is_fraud"), pl.lit(3, pl.Int64).alias("fraud_scenario"))
    assert np.array_equal(model_inputs(turned).columns, inputs.columns, equal_nan=True)


def test_the_current_amount_is_taken_out_of_the_customers_means(examples):
    rows = examples.filter(pl.col("customer_tx_count_30d") == 2).head(1)
    amount, mean = rows["amount"][0], rows["customer_amount_mean_30d"][0]
    position = list(input_columns()).index("log_amount_over_mean_30d")
    other = 2 * mean - amount
    assert model_inputs(rows).columns[0, position] == pytest.approx(math.log((amount + 1) / (other + 1)), rel=1e-4)


def test_the_earlier_amounts_are_those_before_the_current_one(examples):
    rows = examples.filter(pl.col("customer_recent_length") == 3).head(1)
    first, second, current = rows["customer_recent_amounts"].list.tail(3)[0].to_list()
    position = list(input_columns()).index("log_amount_over_largest")
    expected = math.log((current + 1) / (max(first, second) + 1))
    assert model_inputs(rows).columns[0, position] == pytest.approx(expected, rel=1e-4)


def test_no_rows_are_refused(examples):
    with pytest.raises(DataContractError, match="no transactions"):
        model_inputs(examples.clear())


def test_a_model_for_other_columns_is_refused(trained, tmp_path, monkeypatch):
    save(trained.model, tmp_path)
    columns = dict(list(input_columns().items())[:-1])
    monkeypatch.setattr("pipelines.fraud_detection.model.input_columns", lambda _: columns)
    with pytest.raises(ConfigurationError, match="do not fit"):
        load(tmp_path)


def test_what_validation_did_not_decide_is_neutral():
    trees, network = np.array([-1.0, 3.0]), np.array([1.0, 3.0])
    assert probabilities(trees, network, BlendParameters()) == pytest.approx([0.5, 1 / (1 + math.exp(-3))])


def test_extreme_log_odds_stay_probabilities():
    extreme = np.array([-1e6, 1e6])
    assert probabilities(extreme, extreme, BlendParameters()) == pytest.approx([0, 1])
