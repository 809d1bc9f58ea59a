"""A small simulated market and one model fitted in it, shared by all tests."""

import polars as pl
import pytest

from pipelines.stock_market_prediction.bars import TargetParameters, records_of
from pipelines.stock_market_prediction.data import IngestParameters, PeriodParameters, ingest, split_by_share
from pipelines.stock_market_prediction.features import FeatureParameters
from pipelines.stock_market_prediction.model import FitParameters
from pipelines.stock_market_prediction.pipeline import PROJECT
from pipelines.stock_market_prediction.simulator import SimulationParameters, simulate
from tests.pipelines.small_fit import Trained, fitter, trained_on, with_features

SMALL = IngestParameters(simulation=SimulationParameters(n_symbols=30, n_days=300, signal_strength=0.5))
QUICK = FitParameters(max_rounds=40)


def joined(records: pl.DataFrame) -> pl.DataFrame:
    return with_features(PROJECT, records, FeatureParameters())


def examples_of(bars: pl.DataFrame) -> pl.DataFrame:
    return joined(split_by_share(records_of(bars, TargetParameters()), PeriodParameters()))


@pytest.fixture(scope="session")
def small() -> IngestParameters:
    return SMALL


@pytest.fixture(scope="session")
def bars() -> pl.DataFrame:
    """The small market's daily bars."""
    return simulate(SMALL.simulation)


@pytest.fixture(scope="session")
def examples() -> pl.DataFrame:
    return joined(ingest(SMALL))


@pytest.fixture(scope="session")
def trained(examples, refit, tmp_path_factory) -> Trained:
    return trained_on(examples, refit, tmp_path_factory.mktemp("fit"))


@pytest.fixture(scope="session")
def refit():
    """Fits once more."""
    return fitter(PROJECT, QUICK)


@pytest.fixture(scope="session")
def prepared():
    """``examples_of``, for tests that change bars."""
    return examples_of
