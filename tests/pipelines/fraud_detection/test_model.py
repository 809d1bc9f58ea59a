"""The model: inputs that depend on their own row alone, files that give the same model back."""

import math

import numpy as np
import polars as pl
import pytest

from modelyard.errors import ConfigurationError, DataContractError, StorageError
from modelyard.lineage.table_digest import table_digest
from pipelines.fraud_detection.evaluate import predict
from pipelines.fraud_detection.inputs import input_columns, model_inputs
from pipelines.fraud_detection.model import load, probabilities, save
from pipelines.fraud_detection.train import BlendParameters


@pytest.fixture
def saved(trained, tmp_path):
    save(trained.model, tmp_path)
    return tmp_path


def test_a_loaded_model_predicts_the_same_bits(trained, saved):
    test = trained.rows("test")
    loaded = load(saved)
    assert loaded.params == trained.model.params
    assert predict(loaded, test).equals(predict(trained.model, test))


def test_the_files_hold_no_pickle(saved):
    assert {path.name for path in saved.iterdir()} == {"booster.ubj", "network.safetensors", "params.json"}
    # A pickle of protocol 2 or later begins with this byte.
    assert all(path.read_bytes()[:1] != b"\x80" for path in saved.iterdir() if path.suffix != ".safetensors")


@pytest.mark.parametrize("name", ["booster.ubj", "network.safetensors", "params.json"])
def test_a_missing_or_damaged_file_is_said_to_be_so(saved, name):
    (saved / name).write_bytes(b"{")
    with pytest.raises(StorageError):
        load(saved)
    (saved / name).unlink()
    with pytest.raises(StorageError):
        load(saved)


def test_inputs_of_a_row_do_not_depend_on_other_rows(examples):
    rows = examples.tail(300)
    whole, part = model_inputs(rows), model_inputs(rows[100:101])
    assert np.array_equal(whole.columns[100], part.columns[0], equal_nan=True)
    assert np.array_equal(whole.sequence[100], part.sequence[0])


def test_inputs_change_no_example_and_see_neither_label_nor_scenario(examples):
    rows = examples.tail(200)
    before = table_digest(rows)
    inputs = model_inputs(rows)
    assert table_digest(rows) == before
    turned = rows.with_columns(~pl.col("is_fraud"), pl.lit(3, pl.Int64).alias("fraud_scenario"))
    assert np.array_equal(model_inputs(turned).columns, inputs.columns, equal_nan=True)


def test_the_current_amount_is_taken_out_of_the_customers_means(examples):
    rows = examples.filter(pl.col("customer_tx_count_30d") == 2).head(1)
    amount, mean = rows["amount_eur"][0], rows["customer_amount_mean_30d_eur"][0]
    position = list(input_columns()).index("log_amount_over_mean_30d")
    other = 2 * mean - amount
    assert model_inputs(rows).columns[0, position] == pytest.approx(math.log((amount + 1) / (other + 1)), rel=1e-4)


def test_the_earlier_amounts_are_those_before_the_current_one(examples):
    rows = examples.filter(pl.col("customer_recent_length") == 3).head(1)
    first, second, current = rows["customer_recent_amounts_eur"].list.tail(3)[0].to_list()
    position = list(input_columns()).index("log_amount_over_largest")
    expected = math.log((current + 1) / (max(first, second) + 1))
    assert model_inputs(rows).columns[0, position] == pytest.approx(expected, rel=1e-4)


def test_no_rows_are_refused(examples):
    with pytest.raises(DataContractError, match="no transactions"):
        model_inputs(examples.clear())


def test_a_model_for_other_columns_is_refused(trained, saved, monkeypatch):
    columns = dict(list(input_columns().items())[:-1])
    monkeypatch.setattr("pipelines.fraud_detection.model.input_columns", lambda: columns)
    with pytest.raises(ConfigurationError, match="do not fit"):
        load(saved)


def test_what_validation_did_not_decide_is_neutral():
    trees, network = np.array([-1.0, 3.0]), np.array([1.0, 3.0])
    assert probabilities(trees, network, BlendParameters()) == pytest.approx([0.5, 1 / (1 + math.exp(-3))])


def test_extreme_log_odds_stay_probabilities():
    extreme = np.array([-1e6, 1e6])
    assert probabilities(extreme, extreme, BlendParameters()) == pytest.approx([0, 1])
