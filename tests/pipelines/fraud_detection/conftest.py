"""A small simulated world and one model fitted in it, shared by the tests of what learns, predicts and serves."""

import polars as pl
import pytest

from pipelines.fraud_detection.boosting import BoosterParameters
from pipelines.fraud_detection.data import IngestParameters, PeriodParameters, ingest
from pipelines.fraud_detection.features import FeatureParameters
from pipelines.fraud_detection.pipeline import PROJECT
from pipelines.fraud_detection.simulator import SimulationParameters
from pipelines.fraud_detection.train import AlertParameters, FitParameters, NetworkParameters
from tests.pipelines.small_fit import Trained, fitter, trained_on, with_features

SMALL = IngestParameters(
    simulation=SimulationParameters(n_customers=400, n_terminals=400, n_days=35, fraud_share=0.03),
    periods=PeriodParameters(train_days=12, valid_days=3, delay_days=7, test_days=6),
)
QUICK = FitParameters(
    booster=BoosterParameters(max_rounds=60, max_bins=256),
    network=NetworkParameters(epochs=3, batch_size=128, learning_rate=5e-3),
    alert=AlertParameters(cards_per_day=10),
)


@pytest.fixture(scope="session")
def small() -> IngestParameters:
    """The world of ``examples``."""
    return SMALL


@pytest.fixture(scope="session")
def examples() -> pl.DataFrame:
    return with_features(PROJECT, ingest(SMALL), FeatureParameters())


@pytest.fixture(scope="session")
def trained(examples, refit, tmp_path_factory) -> Trained:
    return trained_on(examples, refit, tmp_path_factory.mktemp("fit"))


@pytest.fixture(scope="session")
def refit():
    """Fits once more."""
    return fitter(PROJECT, QUICK)
