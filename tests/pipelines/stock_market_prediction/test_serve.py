"""The API: the same answers as in batch, and bars that make no sense are refused."""

import json

import pytest
from pydantic import ValidationError

from modelyard.monitoring.reference import watched_inputs
from pipelines.stock_market_prediction.evaluate import predict
from pipelines.stock_market_prediction.pipeline import PROJECT
from pipelines.stock_market_prediction.serve import EXAMPLE, StockRequest, decode, encode


def test_what_is_watched_has_no_price_level_and_no_future_in_it(examples):
    watched = set(watched_inputs(PROJECT, examples))
    assert {"volatility_pct", "return_20d_pct"} <= watched
    assert not watched & {"close_usd", "move_pct", "next_volatility_pct", "sector"}


def test_an_index_and_a_stock_are_answered_in_order(trained):
    index = EXAMPLE.model_copy(update={"is_volatility_index": True, "volumes": [], "market_returns_pct": []})
    frame = decode([index, EXAMPLE, index])
    assert frame["volatility_pct"].to_list()[0] == index.closes[-1] == frame["volatility_pct"].to_list()[2]
    assert frame["volatility_pct"][1] != index.closes[-1]
    assert len(encode(predict(trained.model, frame))) == 3


def test_the_example_survives_json_and_two_bars_are_enough(trained):
    again = StockRequest.model_validate_json(json.dumps(EXAMPLE.model_dump(mode="json")))
    assert again == EXAMPLE
    short = StockRequest(
        **{name: value[-2:] for name, value in EXAMPLE.model_dump().items() if isinstance(value, list)}
    )
    (answer,) = encode(predict(trained.model, decode([short])))
    assert 0 < answer.up_probability < 1
    assert answer.volatility_forecast_pct > 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"opens": EXAMPLE.opens[1:]}, "29 opens for 30 days"),
        ({"days": EXAMPLE.days[::-1]}, "oldest first"),
        ({"days": [*EXAMPLE.days[:-1], EXAMPLE.days[-2]]}, "oldest first"),
        ({"days": [*EXAMPLE.days[:-1], "yesterday"]}, "yesterday"),
        ({"lows": [-1.0, *EXAMPLE.lows[1:]]}, "greater than 0"),
        ({"closes": [1e18, *EXAMPLE.closes[1:]]}, "less than or equal to 1000000000"),
        ({"volumes": [-1.0, *EXAMPLE.volumes[1:]]}, "greater than or equal to 0"),
        ({"volumes": [1e18, *EXAMPLE.volumes[1:]]}, "less than or equal to 1000000000000000"),
        ({"market_returns_pct": [1e18, *EXAMPLE.market_returns_pct[1:]]}, "less than or equal to 10000"),
        ({"highs": [1.0, *EXAMPLE.highs[1:]]}, "between low and high"),
        ({"price": 1.0}, "Extra inputs"),
    ],
)
def test_bars_that_make_no_sense_are_refused(change, words):
    with pytest.raises(ValidationError, match=words):
        StockRequest.model_validate(EXAMPLE.model_dump() | change)
