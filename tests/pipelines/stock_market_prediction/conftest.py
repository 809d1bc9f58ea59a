"""A small simulated market and one model fitted in it, shared by all tests."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from modelyard.project import FitRun
from modelyard.stages.examples import learning_rows
from pipelines.stock_market_prediction.bars import TargetParameters, records_of
from pipelines.stock_market_prediction.data import IngestParameters, PeriodParameters, ingest, split_by_share
from pipelines.stock_market_prediction.features import FeatureParameters, derive_features
from pipelines.stock_market_prediction.model import FitParameters, StockModel
from pipelines.stock_market_prediction.simulator import SimulationParameters, simulate
from pipelines.stock_market_prediction.train import fit

SMALL = IngestParameters(simulation=SimulationParameters(n_symbols=30, n_days=300, signal_strength=0.5))
QUICK = FitParameters(max_rounds=40)


@dataclass(frozen=True)
class Trained:
    """Examples, the model fitted on them, and what it reported."""

    examples: pl.DataFrame
    model: StockModel
    reports: list[tuple[int, float]]

    def rows(self, split: str) -> pl.DataFrame:
        return self.examples.filter(pl.col("split") == split)


def joined(records: pl.DataFrame) -> pl.DataFrame:
    features = derive_features(records, FeatureParameters())["recent_bars"]
    return records.join(features, on=["symbol", "event_time"], how="left", maintain_order="left")


def examples_of(bars: pl.DataFrame) -> pl.DataFrame:
    return joined(split_by_share(records_of(bars, TargetParameters()), PeriodParameters()))


def fitted(examples: pl.DataFrame, folder: Path, params: FitParameters = QUICK):
    reports: list[tuple[int, float]] = []
    run = FitRun(seed=0, folder=folder, report=lambda step, value: reports.append((step, value)), n_threads=1)
    return fit(learning_rows(examples), params, run), reports


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
def trained(examples, tmp_path_factory) -> Trained:
    return Trained(examples, *fitted(examples, tmp_path_factory.mktemp("fit")))


@pytest.fixture(scope="session")
def refit():
    """``fitted``, for tests that fit once more."""
    return fitted


@pytest.fixture(scope="session")
def prepared():
    """``examples_of``, for tests that change bars."""
    return examples_of
