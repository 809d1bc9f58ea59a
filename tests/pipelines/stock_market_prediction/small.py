"""The small fit of the tests: three hundred days of a simulated market in which something can be foreseen."""

from typing import Any

import polars as pl

from pipelines.stock_market_prediction.data import IngestParameters, ingest
from pipelines.stock_market_prediction.model import FitParameters
from pipelines.stock_market_prediction.pipeline import PROJECT
from pipelines.stock_market_prediction.serve import StockRequest
from pipelines.stock_market_prediction.simulator import SimulationParameters, known_ceiling
from tests.pipelines.small_fit import SmallFit


def ceiling(params: IngestParameters) -> dict[str, float]:
    """What Bayes' rule reaches, which knows the generator."""
    target = params.target
    return known_ceiling(ingest(params), params.simulation, target.up_from_pct, target.down_to_pct)


def as_requests(examples: pl.DataFrame, rows: pl.DataFrame) -> list[StockRequest]:
    """The requests that a client would send at these closes."""
    return [_request(examples, row) for row in rows.iter_rows(named=True)]


def _request(examples: pl.DataFrame, row: dict[str, Any]) -> StockRequest:
    past = examples.filter(pl.col("symbol") == row["symbol"], pl.col("event_time") <= row["event_time"])
    past = past.sort("event_time").tail(30)
    prices = {f"{name}s": past[f"{name}_usd"].to_list() for name in ("open", "high", "low", "close")}
    return StockRequest(
        days=past["event_time"].dt.to_string("%Y-%m-%d").to_list(),
        volumes=past["volume_count"].to_list(),
        market_returns_pct=past["market_return_pct"].to_list(),
        **prices,
    )


SMALL = SmallFit(
    project=PROJECT,
    ingest=IngestParameters(simulation=SimulationParameters(n_symbols=30, n_days=300, signal_strength=0.5)),
    fit=FitParameters.model_validate({"booster": {"n_estimators": 40}}),
    ceiling=ceiling,
    ceiling_slack=0.01,
    as_requests=as_requests,
)
