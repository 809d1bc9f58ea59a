"""A small simulated market, shared by all tests."""

import polars as pl
import pytest

from pipelines.stock_market_prediction.bars import TargetParameters, records_of
from pipelines.stock_market_prediction.data import IngestParameters, PeriodParameters, split_by_share
from pipelines.stock_market_prediction.simulator import simulate
from tests.pipelines.stock_market_prediction.small import SMALL


def examples_of(bars: pl.DataFrame) -> pl.DataFrame:
    return SMALL.joined(split_by_share(records_of(bars, TargetParameters()), PeriodParameters()))


@pytest.fixture(scope="session")
def small() -> IngestParameters:
    return SMALL.ingest


@pytest.fixture(scope="session")
def bars() -> pl.DataFrame:
    """The small market's daily bars."""
    return simulate(SMALL.ingest.simulation)


@pytest.fixture(scope="session")
def examples() -> pl.DataFrame:
    return SMALL.examples()


@pytest.fixture(scope="session")
def prepared():
    """``examples_of``, for tests that change bars."""
    return examples_of
