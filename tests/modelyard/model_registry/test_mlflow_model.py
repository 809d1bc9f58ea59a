"""MLflow's interface to a project's model: what MLflow makes of a row is read as the JSON that was sent."""

from dataclasses import replace

import mlflow.pyfunc
import pandas as pd
import polars as pl
import pytest
from mlflow.models import Model
from pydantic import BaseModel, ConfigDict

from modelyard.model_registry import mlflow_model
from modelyard.project import Api
from tests.modelyard.serving.toy import TOY


class Basket(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)  # a numpy array is no list

    prices_eur: list[float]
    weights: list[float] | None = None


class Total(BaseModel):
    total_eur: float
    has_weights: bool


def predict(factor, baskets):
    total = factor * pl.col("prices_eur").list.sum()
    return baskets.select(total_eur=total, has_weights=pl.col("weights").is_not_null())


API = Api(
    request=Basket,
    response=Total,
    decode=lambda baskets: pl.DataFrame([basket.model_dump() for basket in baskets], infer_schema_length=None),
    encode=lambda totals: [Total(**row) for row in totals.iter_rows(named=True)],
    example=Basket(prices_eur=[1.5, 2.0]),
)


@pytest.fixture
def served():
    described = Model(
        flavors={"python_function": {"loader_module": mlflow_model.__name__}},
        signature=mlflow_model.signature(Basket, Total),
    )
    return mlflow.pyfunc.PyFuncModel(described, mlflow_model._Served(replace(TOY, predict=predict, api=API), 2.0))


def test_lists_arrive_as_lists_and_what_is_missing_is_left_out(served):
    answers = served.predict(pd.DataFrame({"prices_eur": [[1.5, 2.0], [3.0]], "weights": [None, [0.5]]}))
    assert answers.to_dict("records") == [
        {"total_eur": 7.0, "has_weights": False},
        {"total_eur": 6.0, "has_weights": True},
    ]
