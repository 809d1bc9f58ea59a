from typing import Any

import pytest
from pydantic import Field, ValidationError

from modelyard.parameters import Parameters
from modelyard.training.parameters import LoopParameters, learning_rate


class FitParameters(Parameters):
    width: int = Field(8, description="Units of the hidden layer.")
    loop: LoopParameters = Field(LoopParameters(epochs=3), description="The training loop.")


@pytest.mark.parametrize(
    "bad",
    [
        {"epochs": 0},
        {"learning_rate": 0.0},
        {"warmup_share": 1.0},
        {"clip_norm": -1.0},
        {"best_epoch": 0},
        {"schedule": "linear"},
        {"device": "cpu"},
    ],
)
def test_bounds_hold(bad: dict[str, Any]) -> None:
    (name,) = bad
    with pytest.raises(ValidationError, match=name):
        LoopParameters(**bad)
    with pytest.raises(ValidationError, match=name):
        FitParameters.model_validate({"loop": bad})


def test_inside_a_parameter_model() -> None:
    params = FitParameters.model_validate({"loop": {"epochs": "4", "clip_norm": None}})
    assert params.loop == LoopParameters(epochs=4, clip_norm=None)
    assert params.model_dump()["loop"] == params.loop.model_dump()
    with pytest.raises(ValidationError, match="epoch_s"):
        FitParameters.model_validate({"loop": {"epoch_s": 4}})


def test_every_parameter_is_described() -> None:
    properties = LoopParameters.model_json_schema()["properties"]
    assert all(spec["description"].endswith(".") for spec in properties.values())
    assert properties["epochs"]["minimum"] == 1


def test_cosine_with_warm_up() -> None:
    params = LoopParameters(learning_rate=2.0, warmup_share=0.1)
    rates = [learning_rate(step, 100, params) for step in range(100)]
    assert rates[:10] == pytest.approx([0.2 * (step + 1) for step in range(10)])
    assert rates[10] == 2.0
    assert rates[55] == pytest.approx(1.0)
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert 0 < rates[-1] < 0.001


def test_constant_without_warm_up() -> None:
    params = LoopParameters(learning_rate=0.5, warmup_share=0, schedule="constant")
    assert {learning_rate(step, 7, params) for step in range(7)} == {0.5}


def test_stopping_after() -> None:
    params = LoopParameters(epochs=10, patience=3).stopping_after(4)
    assert (params.epochs, params.last_epoch, params.patience) == (10, 4, None)
    assert LoopParameters(epochs=3, best_epoch=9).last_epoch == 3
